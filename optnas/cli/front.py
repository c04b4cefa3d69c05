"""`optnas front`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from optuna import Study
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.table import Table
from rich.text import Text

from optnas.cli.command import add_command, add_study, budget_of
from optnas.cost import COSTS
from optnas.front import Network, front, objective_names
from optnas.objective import ATTRIBUTE
from optnas.report import save_front
from optnas.study import find_study, open_storage
from optnas.watch import format_value, front_table

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "front", _front, "the best networks of a study")
    add_study(parser)
    parser.add_argument(
        "--budget", action="append", default=[], metavar="BUDGET", help='only networks within it: "latency_ms<=2"'
    )
    parser.add_argument("--all", action="store_true", help="every trial, with why it was refused, pruned or failed")
    parser.add_argument("--json", action="store_true", help="a list of objects on standard output")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the front into a picture")


def _front(given: argparse.Namespace) -> int:
    budget = budget_of(given.budget)
    study = find_study(open_storage(given.storage, create=False), given.study, given.storage)
    members = front(study, budget)
    if given.plot is not None:
        save_front(study, given.plot)
    if given.json:
        rows = [_trial(trial, study) for trial in study.trials] if given.all else [asdict(n) for n in members]
        print(json.dumps(rows, indent=2))
        return 0
    console = Console(highlight=False, markup=False)
    if given.all:
        console.print(_all_trials(study, {network.trial for network in members}))
        return 0
    if not members:
        within = f" within {', '.join(map(str, budget))}" if budget else ""
        console.print(f"study {study.study_name}: no trained network{within}")
        return 0
    _print_front(console, study, members)
    return 0


def _print_front(console: Console, study: Study, members: Sequence[Network]) -> None:
    names = [*objective_names(study)]
    names += [name for name in COSTS if name not in names and any(name in member.costs for member in members)]
    console.print(front_table(members, f"front of {study.study_name}: {len(members)} networks", names))
    console.print()
    for member in members:
        choices = " ".join(f"{name}={value}" for name, value in member.choices.items())
        console.print(f"trial {member.trial}: {choices}", soft_wrap=True, markup=False)


def _all_trials(study: Study, on_front: set[int]) -> Table:
    names = objective_names(study)
    table = Table(title=Text(f"trials of {study.study_name}"), title_justify="left", box=None, pad_edge=False)
    table.add_column("trial", justify="right")
    table.add_column("")
    table.add_column("epochs", justify="right")
    for name in names:
        table.add_column(name, justify="right")
    table.add_column("why", overflow="fold")
    for trial in study.get_trials(deepcopy=False):
        facts = _trial(trial, study)
        known = {**facts["costs"], **facts["values"]}
        values = [format_value(name, known[name]) if name in known else "-" for name in names]
        state = "front" if trial.number in on_front else facts["state"]
        table.add_row(str(trial.number), state, str(len(facts["curve"])), *values, Text(facts["why"] or ""))
    return table


def _trial(trial: FrozenTrial, study: Study) -> dict[str, Any]:
    kept = {key.removeprefix(ATTRIBUTE): value for key, value in trial.user_attrs.items() if key.startswith(ATTRIBUTE)}
    twin = kept.get("repeat_of")
    state = trial.state.name.lower()
    if trial.state == TrialState.PRUNED and "fingerprint" not in kept:
        state = "refused"
    return {
        "trial": trial.number,
        "state": "repeat" if twin is not None else state,
        "values": dict(zip(objective_names(study), trial.values or (), strict=False)),
        "costs": kept.get("costs", {}),
        "choices": trial.params,
        "curve": kept.get("curve", []),
        "why": kept.get("reason", "" if twin is None else f"the same network as trial {twin}"),
    }
