"""`optnas report`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from optnas.cli.command import add_command, add_study, file_stem
from optnas.report.page.write import check_report, write_report
from optnas.study import find_study, open_storage
from optnas.terminal import Terminal

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "report", _report, "a study as one HTML file to send round")
    add_study(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="the file (default: STUDY-report.html)")


def _report(given: argparse.Namespace) -> int:
    study = find_study(open_storage(given.storage, read_only=True), given.study, given.storage)
    path = given.out or Path(f"{file_stem(study.study_name)}-report.html")
    check_report(path)
    progress = Terminal(stderr=True, soft_wrap=True)
    try:
        write_report(study, path, given.storage, say=progress.print)
    except KeyboardInterrupt:
        print("optnas: stopped; no report was written", file=sys.stderr)
        return 130
    size = path.stat().st_size
    Terminal(soft_wrap=True).print(f"report: {path} ({size / 1e6:.1f} MB)")
    return 0
