"""`optnas search`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from decimal import ROUND_CEILING, Decimal
from math import floor, log10
from pathlib import Path
from typing import Any

from optnas.cli.command import STORAGE, add_command, file_stem, refuse
from optnas.cost import COSTS
from optnas.front import Network
from optnas.printable import counted, shell_word
from optnas.report import save_front
from optnas.result import search
from optnas.space import SPACES
from optnas.study import is_trained, shown_storage
from optnas.study.audit import audit_study
from optnas.study.settings import Settings, explanations
from optnas.terminal import Terminal, titled
from optnas.watch import Watch, front_table

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command; its flags are the fields of `Settings`."""
    parser = add_command(commands, "search", _search, "search networks for a data set, or go on with a search")
    texts = explanations()
    for field in fields(Settings):
        flag, text = "--" + field.name.replace("_", "-"), texts[field.name].replace("%", "%%")
        # None stands for "not given": the study's own setting, or the default, takes its place.
        if field.name == "constraints":
            parser.add_argument("--constraint", dest=field.name, action="append", metavar="BUDGET", help=text)
        elif field.name in ("objectives", "tune"):
            parser.add_argument(flag, type=lambda words: tuple(words.split(",")), metavar="A,B", help=text)
        elif isinstance(field.default, bool):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
        elif "int" in str(field.type):
            parser.add_argument(flag, type=int, metavar="N", help=text)
        elif "float" in str(field.type):
            parser.add_argument(flag, type=float, metavar="X", help=text)
        else:
            parser.add_argument(flag, metavar="WORD", help=text)


def _search(given: argparse.Namespace) -> int:
    names = {field.name for field in fields(Settings)}
    settings = {name: value for name, value in vars(given).items() if name in names and value is not None}
    if "constraints" in settings:
        settings["constraints"] = tuple(part for text in settings["constraints"] for part in text.split(","))
    try:
        result = search(Watch(stop=given.stop), **settings)
    except KeyboardInterrupt:
        with suppress(OSError):  # the terminal may be gone
            print("optnas: stopped; the same command goes on", file=sys.stderr)
        return 130
    study, console = result.study, Terminal()
    members = result.front
    if result.stopped and not members:
        return refuse(f"{result.stopped}; what was trained is kept")
    if result.stopped:
        console.print(f"ended: {result.stopped}\n", soft_wrap=True)
    columns = [*result.settings.objectives]
    columns += [name for name in COSTS if name not in columns and any(name in member.costs for member in members)]
    title = f"front of {study.study_name}: {counted(len(members), 'network')}"
    console.print(titled(title, front_table(members, columns)))
    account = audit_study(study)
    if account.pruned + account.audited:
        console.print(f"\n{account}", soft_wrap=True)
    picture = Path(f"{file_stem(study.study_name)}-front.png")
    save_front(study, picture)
    console.print(f"\npicture: {picture}\nstudy:   {shown_storage(result.settings.storage)}\n\nnext:")
    for command in _next_commands(result.settings, members, sum(map(is_trained, study.trials))):
        console.print(f"  {command}", soft_wrap=True)
    return 0


def _next_commands(settings: Settings, members: Sequence[Network], trained: int) -> list[str]:
    if settings.storage == "memory":
        return ["optnas search ...    # with --storage sqlite:///optnas.db the study would be kept"]
    where = "" if settings.storage == STORAGE else f" --storage {shell_word(shown_storage(settings.storage))}"
    study = f"--study {shell_word(settings.study_name)}"
    if isinstance(settings.space, str) and settings.space not in SPACES:
        study += f" --space {shell_word(settings.space)}"
    cost = next((name for name in settings.objectives if name != "error"), "macs")
    middle = members[len(members) // 2] if members else None
    budget = f' --budget "{cost}<={_just_above(middle.costs[cost])}"' if middle is not None else ""
    trials = (settings.limit or trained) * 2
    commands = [
        f"optnas search {study} --trials {trials}{where}    # go on, to {trials} in all",
        f"optnas front {study}{where}{budget}    # the best under a budget",
        f"optnas retrain {study}{where}{budget}    # train the best of it properly, several seeds",
        f"optnas explain {study}{where}    # what each choice costs and brings",
        f"optnas report {study}{where}    # all of it in one HTML file",
        f"optnas export {study}{where} --out deploy    # files for phones, checked",
        f"optnas dashboard{where}    # every trial in a browser",
    ]
    if settings.evaluator == "one-shot":
        commands.append(f"optnas supernet-audit {study}{where}    # whether shared weights can be trusted here")
    return commands


def _just_above(value: float) -> str:
    """A limit that a person can read and that the value meets: three figures, rounded up."""
    if value == int(value):
        return str(int(value))
    step = Decimal(1).scaleb(floor(log10(value)) - 2)
    return f"{(Decimal(value) / step).to_integral_value(ROUND_CEILING) * step:f}"
