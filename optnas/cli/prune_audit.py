"""`optnas prune-audit`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from optnas.cli.command import add_command, add_study
from optnas.study import find_study, open_storage
from optnas.study.audit import audit_study
from optnas.terminal import Terminal

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "prune-audit", _audit, "what pruning saved in a study, and what it lost")
    add_study(parser)
    parser.add_argument(
        "--accept",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="share of the front that may be lost (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="an object on standard output")


def _audit(given: argparse.Namespace) -> int:
    study = find_study(open_storage(given.storage, read_only=True), given.study, given.storage)
    account = audit_study(study, accepted=given.accept)
    if given.json:
        print(json.dumps({**asdict(account), "verdict": account.verdict}, indent=2))
    else:
        Terminal().print(str(account))
    return 0
