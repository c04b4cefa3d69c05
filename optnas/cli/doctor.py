"""`optnas doctor`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from rich.console import Console

from optnas.cli.command import STORAGE, add_command
from optnas.errors import UsageError
from optnas.keeping.doctor import CHECKED, Examined, examine
from optnas.keeping.findings import SEVERITIES, Finding
from optnas.keeping.mend import mend
from optnas.keeping.merge import as_address
from optnas.keeping.rescue import Rescued, rescue
from optnas.printable import counted, printable, shell_word
from optnas.study import sqlite_path
from optnas.study.addresses import sqlite_address

__all__ = ["add"]

#: Numbers of trials in a line; --json has all of them.
_SHOWN = 20


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "doctor", _doctor, "what is wrong with a storage, and what helps; it changes nothing"
    )
    parser.add_argument("--storage", default=STORAGE, help="a SQLite file or an address (default: %(default)s)")
    parser.add_argument("--study", help="only this one")
    parser.add_argument("--mend", action="store_true", help="do what it says that mending does")
    parser.add_argument(
        "--rescue-into", type=Path, metavar="NEW.db", help="write what can be read of a damaged file into a new one"
    )
    parser.add_argument("--json", action="store_true", help="an object on standard output")


def _doctor(given: argparse.Namespace) -> int:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if given.storage == "memory":
        raise UsageError("doctor: expected a storage that is kept, got memory")
    storage = as_address(given.storage)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if given.rescue_into is not None:
        path = sqlite_path(storage)
        if path is None or given.mend:
            with_what = "--mend" if given.mend else f"the storage {printable(given.storage)}"
            raise UsageError(f"doctor --rescue-into: expected a SQLite file alone, got {with_what}")
        if not path.is_file():
            raise UsageError(f"storage {path}: there is no such file")
        _print_rescued(console, rescue(path, given.rescue_into), given.json)
        return 0
    examined = examine(storage, given.study)
    done: list[str] = []
    if given.mend:
        done = mend(storage, examined)
        examined = examine(storage, given.study)
    if given.json:
        findings = [
            {**asdict(one), "mend": one.mend, "remove": [str(path) for path in one.remove]} for one in examined.findings
        ]
        print(json.dumps({**asdict(examined), "findings": findings, "well": examined.well, "done": done}, indent=2))
    else:
        _print(console, examined, done)
    return 0 if examined.well else 1


def _print(console: Console, examined: Examined, done: Sequence[str]) -> None:
    for sentence in done:
        console.print(f"mended: {printable(sentence)}")
    plural = "study" if len(examined.studies) == 1 else "studies"
    looked = f"{len(examined.studies)} {plural}, {counted(examined.trials, 'trial')}"
    for severity, words in SEVERITIES.items():
        some = [finding for finding in examined.findings if finding.severity == severity]
        if some:
            console.print(f"{words}:")
            for finding in some:
                console.print(f"  {_sentence(finding)}")
    if examined.well and not examined.studies:
        console.print(f"{printable(examined.storage)}: there is no study in it yet")
    elif examined.well:
        also = "otherwise all is well" if examined.findings else "all is well"
        console.print(f"{printable(examined.storage)}: {also} ({looked}; checked: {CHECKED})")
    if any(finding.mend for finding in examined.findings):
        console.print("\noptnas doctor --mend does what is said of it, and nothing else")


def _sentence(finding: Finding) -> str:
    numbers = ", ".join(map(str, finding.trials[:_SHOWN]))
    if len(finding.trials) > _SHOWN:
        numbers += f" and {len(finding.trials) - _SHOWN} more"
    subject = f"{'trial' if len(finding.trials) == 1 else 'trials'} {numbers} " if finding.trials else ""
    study = f"{printable(finding.study)}: " if finding.study is not None else ""
    verb = "" if not finding.trials else "- "
    parts = [f"{study}{subject}{verb}{printable(finding.what)}"]
    parts += [printable(finding.advice)] if finding.advice else []
    parts += [f"--mend {printable(finding.mend)}"] if finding.mend else []
    return "; ".join(parts)


def _print_rescued(console: Console, rescued: Rescued, as_json: bool) -> None:
    if as_json:
        print(json.dumps({**asdict(rescued), "path": str(rescued.path)}, indent=2))
        return
    console.print(
        f"rescued: {printable(rescued.path)}, {rescued.rows} rows; {rescued.gaps} stretches could not be read"
    )
    for study in rescued.studies:
        console.print(f"  {printable(study.study)}: {counted(study.trials, 'trial')}")
        for numbers, what in (
            (study.lost, "of which nothing is left; they keep their numbers and have failed"),
            (study.broken, "whose choices or values are incomplete; they have failed"),
            (study.recomputed, "whose values come from their costs and curves, to six digits"),
            (study.poorer, "which may lack attributes such as costs or curves"),
        ):
            if numbers:
                more = f" and {len(numbers) - _SHOWN} more" if len(numbers) > _SHOWN else ""
                console.print(f"    trials {', '.join(map(str, numbers[:_SHOWN]))}{more} - {what}")
        if study.guessed:
            console.print("    its name or directions were lost: it is called so, and minimises")
    console.print(f"\nnext:\n  optnas doctor --storage {shell_word(sqlite_address(rescued.path))}")
