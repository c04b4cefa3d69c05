"""`optnas supernet-audit`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from rich.table import Table

from optnas.cli.command import add_command, add_study
from optnas.cost import format_cost
from optnas.study.search import supernet_audit
from optnas.supernet import SupernetAudit
from optnas.terminal import Terminal
from optnas.watch import Watch

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "supernet-audit", _audit, "whether shared weights rank networks as training from scratch does"
    )
    add_study(parser)
    parser.add_argument(
        "--networks", type=int, default=20, metavar="N", help="networks to train from scratch (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="training processes (default: one for each core)")
    parser.add_argument("--device-command", metavar="COMMAND", help="what timed the networks of the study, if one did")
    parser.add_argument("--json", action="store_true", help="an object on standard output")


def _audit(given: argparse.Namespace) -> int:
    audit = supernet_audit(
        given.study, given.storage, given.networks, workers=given.workers, device_command=given.device_command,
        watcher=Watch(stop=given.stop),
    )  # fmt: skip
    if given.json:
        print(json.dumps({**asdict(audit), "trusted": audit.trusted, "sentence": str(audit)}, indent=2))
        return 0
    console = Terminal()
    console.print(_table(audit))
    console.print(str(audit), soft_wrap=True)
    return 0


def _table(audit: SupernetAudit) -> Table:
    """The networks, the best after training first."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("macs", "error, trained", "error, shared weights"):
        table.add_column(name, justify="right")
    for error, score, macs in sorted(zip(audit.errors, audit.scores, audit.price, strict=True)):
        table.add_row(format_cost("macs", macs), f"{error:.2%}", f"{score:.2%}")
    return table
