"""`optnas merge`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import optuna
from rich.console import Console

from optnas.cli.command import add_command
from optnas.keeping.merge import Merged, merge
from optnas.printable import counted, printable, shell_word
from optnas.study.addresses import sqlite_address

__all__ = ["add"]

_SHOWN = 12


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "merge", _merge, "one storage of several; studies of one name and the same settings become one"
    )
    parser.add_argument("sources", nargs="+", metavar="STORAGE", help="SQLite files or addresses, the first one leads")
    parser.add_argument(
        "--into", type=Path, required=True, metavar="FILE", help="the SQLite file, which must not exist"
    )
    parser.add_argument("--study", action="append", default=[], metavar="NAME", help="only this one; may be repeated")


def _merge(given: argparse.Namespace) -> int:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    merged = merge(given.sources, given.into, given.study)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for one in merged:
        console.print(_sentence(one))
    where = f"--storage {shell_word(sqlite_address(given.into))}"
    name = shell_word(merged[0].study)
    console.print(f"\nnext:\n  optnas studies {where}\n  optnas search --study {name} {where}    # go on with it")
    return 0


def _sentence(one: Merged) -> str:
    origins = " and ".join(map(printable, one.origins))
    parts = [f"{printable(one.study)}: {counted(one.trials, 'trial')} from {origins}"]
    if one.weights:
        parts.append(f"weights of {counted(one.weights, 'network')} on the front")
    if one.shared:
        parts.append(f"{counted(one.shared, 'trial')} in several files, each of them one now")
    if one.repeats:
        parts.append(
            f"{counted(one.repeats, 'training')} of networks that another file had trained, now repeats of those"
        )
    for origin, numbers in one.left_out.items():
        shown = ", ".join(map(str, numbers[:_SHOWN])) + (" and more" if len(numbers) > _SHOWN else "")
        parts.append(f"left out, since in {printable(origin)} they were running: trials {shown}")
    if one.dropped:
        parts.append(f"that of {' and '.join(map(printable, one.dropped))} was made otherwise and is not in it")
    return "; ".join(parts)
