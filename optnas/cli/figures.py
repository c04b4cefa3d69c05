"""`optnas figures`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from optnas.cli.command import add_command, add_study
from optnas.errors import UsageError
from optnas.report import FIGURES, save_figures
from optnas.study import find_study, open_storage
from optnas.terminal import Terminal

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "figures", _figures, "pictures of a study, and what each of them shows")
    add_study(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write them into")
    parser.add_argument("--kind", default=",".join(FIGURES), metavar="KIND,...", help=f"some of {', '.join(FIGURES)}")
    parser.add_argument(
        "--format", default="png,svg", metavar="FORMAT,...", help="png, svg, pdf or another (default: %(default)s)"
    )


def _figures(given: argparse.Namespace) -> int:
    study = find_study(open_storage(given.storage, read_only=True), given.study, given.storage)
    formats = _listed(given.format, "--format")
    shown = save_figures(study, given.out, _listed(given.kind, "--kind"), formats)
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, finding in shown.items():
        table.add_row(name, Text(finding))
    console = Terminal()
    console.print(table)
    console.print(f"\nwritten to {given.out}, each as {', '.join(formats)}", soft_wrap=True)
    return 0


def _listed(text: str, flag: str) -> list[str]:
    parts = [part for part in (piece.strip() for piece in text.split(",")) if part]
    if not parts:
        raise UsageError(f"{flag}: expected names with commas between them, got {text!r}")
    return list(dict.fromkeys(parts))
