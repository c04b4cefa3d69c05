"""`optnas front`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna import Study
from optuna.trial import FrozenTrial
from rich.console import Console
from rich.table import Table
from rich.text import Text

from optnas.cli.choice import (
    certainty_or_none,
    fitness_facts,
    fitness_table,
    fittest_sentence,
    map_lines,
    member_facts,
    plain,
)
from optnas.cli.command import add_command, add_study, budget_of
from optnas.cost import COSTS, Constraint
from optnas.facts.certainty import Certainty
from optnas.facts.fitness import Fitness, parse_fitness, rank
from optnas.facts.knee import knee
from optnas.facts.summary import format_value
from optnas.facts.trials import trial_facts
from optnas.facts.weights import weight_map
from optnas.front import Network, front, objective_names
from optnas.objective import ATTRIBUTE
from optnas.printable import counted, one_line
from optnas.report import save_choice, save_front
from optnas.study import find_study, open_storage
from optnas.terminal import Terminal, titled
from optnas.watch import front_table

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "front", _front, "the best networks of a study")
    add_study(parser)
    parser.add_argument(
        "--budget",
        action="append",
        default=[],
        metavar="BUDGET",
        help='only networks within it: "latency_ms<=2", "error<=1%%"',
    )
    parser.add_argument(
        "--fitness",
        metavar="TERMS",
        help='rank all networks by weights such as "accuracy=1,1/latency_ms=0.2" (the median latency earns 0.2, half '
        "of it 0.4), and say which weights pick which network",
    )
    parser.add_argument("--knee", action="store_true", help="the best bargain on the front, if it has one")
    parser.add_argument("--all", action="store_true", help="every trial, with why it was refused, pruned or failed")
    parser.add_argument(
        "--json",
        action="store_true",
        help="a list of objects on standard output; with --fitness or --knee an object of several answers",
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw the front into a picture; with --fitness its map beside it"
    )


def _front(given: argparse.Namespace) -> int:
    budget = budget_of(given.budget)
    fitness = None if given.fitness is None else parse_fitness(given.fitness)
    study = find_study(open_storage(given.storage, read_only=True), given.study, given.storage)
    members = front(study, budget)
    weights = None if fitness is None else weight_map(study, fitness, budget)
    if given.plot is not None and fitness is not None and weights is not None:
        save_choice(study, weights, fitness, given.plot)
    elif given.plot is not None:
        save_front(study, given.plot)
    if given.all:
        _print_all(study, {network.trial for network in members}, given.json)
        return 0
    sure = certainty_or_none(study, budget)
    if given.json:
        print(json.dumps(_facts(study, members, sure, budget, fitness, given.knee), indent=2))
        return 0
    console = Terminal()
    if not members:
        console.print(f"study {one_line(study.study_name)}: no trained network{_within(budget)}")
        return 0
    # The answers to what was asked, then what they were found in.
    if given.knee:
        found = knee(study, budget)
        console.print(one_line(found))
        if found.network is not None:
            _print_choices(console, found.network)
        console.print()
    if fitness is not None:
        ranked = rank(study, fitness, budget)
        if ranked:
            console.print(one_line(fittest_sentence(study, fitness, ranked[0])))
            _print_choices(console, ranked[0].network)
            console.print()
    _print_front(console, study, members, sure, budget)
    if fitness is not None:
        _print_fitness(console, study, fitness, budget)
    _print_differences(console, members)
    return 0


def _within(budget: Sequence[Constraint]) -> str:
    return f" within {', '.join(map(str, budget))}" if budget else ""


def _print_choices(console: Console, network: Network) -> None:
    _print_named(console, f"trial {network.trial}", network.choices)


def _print_differences(console: Console, members: Sequence[Network]) -> None:
    """What all members have in common once, then of each what not all have."""
    first, *others = members
    common = {name: value for name, value in first.choices.items() if all(_has(one, name, value) for one in others)}
    if not others:
        common = {}
    if common:
        _print_named(console, f"all {len(members)}", common)
    for member in members:
        own = {name: value for name, value in member.choices.items() if name not in common}
        _print_named(console, f"trial {member.trial}", own)


def _has(network: Network, name: str, value: Any) -> bool:
    return name in network.choices and network.choices[name] == value


def _print_named(console: Console, name: str, choices: Mapping[str, Any]) -> None:
    told = " ".join(f"{choice}={value}" for choice, value in choices.items())
    # A program reads lines, a person words that are whole.
    console.print(one_line(f"{name}: {told}"), soft_wrap=not console.is_terminal)


def _facts(
    study: Study,
    members: Sequence[Network],
    sure: Certainty | None,
    budget: Sequence[Constraint],
    fitness: Fitness | None,
    with_knee: bool,
) -> Any:
    rows = member_facts(members, sure)
    if fitness is None and not with_knee:
        return rows
    answers: dict[str, Any] = {"front": rows, "certainty": plain(sure)}
    if with_knee:
        answers["knee"] = plain(knee(study, budget))
    if fitness is not None:
        answers["fitness"] = fitness_facts(study, fitness, budget, weight_map(study, fitness, budget))
    return answers


def _print_front(
    console: Console, study: Study, members: Sequence[Network], sure: Certainty | None, budget: Sequence[Constraint]
) -> None:
    names = [*objective_names(study)]
    names += [name for name in COSTS if name not in names and any(name in member.costs for member in members)]
    known = {} if sure is None else {one.trial: f"{one.probability:.0%}" for one in sure.networks}
    beside = {"sure": [known[member.trial] for member in members]} if known else {}
    title = f"front of {study.study_name}{_within(budget)}: {counted(len(members), 'network')}"
    console.print(titled(title, front_table(members, names, beside=beside)))
    console.print()
    if sure is not None:
        console.print(f"{one_line(sure)}\n")


def _print_fitness(console: Console, study: Study, fitness: Fitness, budget: Sequence[Constraint]) -> None:
    table, words = fitness_table(study, fitness, budget)
    console.print(titled(f"fittest by {', '.join(str(fitness).split(','))}{_within(budget)}", table))
    console.print(f"\n{one_line(words)}\n" if words else "")
    lines = map_lines(fitness, weight_map(study, fitness, budget))
    if lines:
        console.print("\n".join(lines) + "\n")


def _print_all(study: Study, on_front: set[int], as_json: bool) -> None:
    if as_json:
        print(json.dumps(plain([_trial(trial, study) for trial in study.get_trials(deepcopy=False)]), indent=2))
    else:
        Terminal().print(titled(f"trials of {study.study_name}", _all_trials(study, on_front)))


def _all_trials(study: Study, on_front: set[int]) -> Table:
    names = objective_names(study)
    table = Table(box=None, pad_edge=False)
    table.add_column("trial", justify="right")
    table.add_column("")
    table.add_column("epochs", justify="right")
    for name in names:
        table.add_column(Text(one_line(name)), justify="right")
    table.add_column("why", overflow="fold")
    for trial in study.get_trials(deepcopy=False):
        facts = _trial(trial, study)
        known = {**facts["costs"], **facts["values"]}
        values = [format_value(name, known[name]) if name in known else "-" for name in names]
        state = "front" if trial.number in on_front else facts["state"]
        table.add_row(str(trial.number), state, str(len(facts["curve"])), *values, Text(one_line(facts["why"] or "")))
    return table


def _trial(trial: FrozenTrial, study: Study) -> dict[str, Any]:
    facts = trial_facts(trial, objective_names(study))
    return {
        "trial": trial.number,
        "state": facts.state if facts.state in ("repeat", "refused") else trial.state.name.lower(),
        "values": dict(facts.values),
        "costs": trial.user_attrs.get(ATTRIBUTE + "costs", {}),
        "choices": trial.params,
        "curve": list(facts.curve),
        "why": facts.why,
        "audited": facts.audited,
        "pruned_epoch": facts.stop_epoch,
    }
