"""`optnas rerank`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from optnas.cli.command import add_command, add_study
from optnas.deploy import model_of
from optnas.deploy.rerank import DeployedFront, format_of, rerank
from optnas.errors import UsageError
from optnas.front import front
from optnas.study.reopen import Reopened, reopen
from optnas.watch import format_value

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "rerank", _rerank, "the front after deployment, and what fell off it")
    add_study(parser)
    parser.add_argument(
        "--runtime",
        default="onnxruntime",
        metavar="A,B",
        help="some of onnxruntime, executorch, litert (default: %(default)s)",
    )
    parser.add_argument("--int8", action="store_true", help="measure files of 8-bit integers too")
    parser.add_argument("--networks", type=int, metavar="N", help="only the N most accurate of the front")
    parser.add_argument("--images", type=int, metavar="N", help="validation images to run (default: all)")
    parser.add_argument("--workers", type=int, metavar="N", help="processes; 0 works in this process")
    parser.add_argument("--data-root", metavar="DIR", help="folder of fashion-mnist and cifar10, if it moved")
    parser.add_argument("--json", action="store_true", help="a list of objects on standard output")


def _rerank(given: argparse.Namespace) -> int:
    runtimes = tuple(dict.fromkeys(given.runtime.split(",")))
    for name in runtimes:
        format_of(name)
    for flag, value, least in (
        ("--networks", given.networks, 1), ("--images", given.images, 1), ("--workers", given.workers, 0)
    ):  # fmt: skip
        if value is not None and value < least:
            raise UsageError(f"{flag}: expected a whole number from {least}, got {value}")
    reopened = reopen(given.study, given.storage, data_root=given.data_root)
    members = sorted(front(reopened.study), key=lambda member: member.error)[: given.networks]
    if not members:
        raise UsageError(f"study {reopened.study.study_name!r} has no trained network")
    progress = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    try:
        models = [model_of(reopened, member.trial, progress.print) for member in members]
        found = rerank(
            models, members, reopened, runtimes, given.int8, images=given.images, workers=given.workers,
            say=progress.print,
        )  # fmt: skip
    except KeyboardInterrupt:
        print("optnas: stopped", file=sys.stderr)
        return 130
    if given.json:
        print(json.dumps([asdict(one) for one in found], indent=2))
        return 0
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for one in found:
        _print(console, one, reopened)
    return 0


def _print(console: Console, found: DeployedFront, reopened: Reopened) -> None:
    names = [*dict.fromkeys((*reopened.settings.objectives, "latency_ms", "size_bytes"))]
    title = f"{reopened.study.study_name} in {found.runtime}, {found.precision}: searched -> deployed"
    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False, header_style="bold")
    table.add_column("trial", justify="right")
    for name in names:
        table.add_column(name, justify="right")
    table.add_column("")
    for trial, before in found.searched.items():
        after = found.deployed.get(trial, {})
        cells = [f"{_shown(name, before.get(name))} -> {_shown(name, after.get(name))}" for name in names]
        table.add_row(str(trial), *cells, Text(_standing(found, trial)))
    console.print(table)
    for name, tau in found.tau.items():
        said = "none, all are equal" if tau is None else f"{tau:.2f}"
        console.print(f"Kendall's tau of {name}: {said} (n = {found.n})")
    left = f"{len(found.front)} of {len(found.searched)} stay on the front"
    console.print(f"{left}: trials {', '.join(map(str, found.front)) or 'none'}\n")


def _standing(found: DeployedFront, trial: int) -> str:
    if trial in found.problems:
        return found.problems[trial]
    if trial in found.fell:
        return f"fell, beaten by {', '.join(map(str, found.fell[trial]))}"
    return "front"


def _shown(name: str, value: float | None) -> str:
    return "-" if value is None else format_value(name, value)
