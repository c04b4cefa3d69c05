"""`optnas explain`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from optuna import Study
from rich.console import Group
from rich.table import Table
from rich.text import Text

from optnas.cli.command import add_command, add_study, constraints_of
from optnas.errors import UsageError
from optnas.explain import Explanation, Importances, Price, explain
from optnas.explain.words import effect_range, rise
from optnas.objective import ERROR, Objective
from optnas.printable import one_line
from optnas.report.explained import save_explained
from optnas.report.picture import check_picture
from optnas.study import find_study, open_storage
from optnas.study.reopen import reopen
from optnas.terminal import Terminal, titled

__all__ = ["add"]

#: Choices in the tables, unless all are asked for.
_CHOICES = 10
_BAR = 24


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "explain", _explain, "why these networks: what choices cost, bring and decide")
    add_study(parser)
    parser.add_argument(
        "--budget",
        action="append",
        default=[],
        metavar="BUDGET",
        help='the smallest change that brings a network within it: "macs<=1M"',
    )
    parser.add_argument("--trial", type=int, metavar="N", help="whose network to change (default: one of the front)")
    parser.add_argument("--data-root", metavar="DIR", help="where the data are, if they have moved")
    parser.add_argument("--all", action="store_true", help="the whole price list, and all importances")
    parser.add_argument("--json", action="store_true", help="an object on standard output")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw importances and price list into a picture")


def _explain(given: argparse.Namespace) -> int:
    budget = constraints_of(given.budget)
    if given.plot is not None:
        check_picture(given.plot)
    study = find_study(open_storage(given.storage, read_only=True), given.study, given.storage)
    objective, absent = _objective(study, given)
    explanation = explain(study, objective, budget, given.trial, absent=absent)
    if given.plot is not None:
        save_explained(explanation, given.plot)
    if given.json:
        print(json.dumps(asdict(explanation), indent=2, default=str))
        return 0
    console = Terminal()
    for sentence in explanation.sentences:
        line = Table.grid(padding=(0, 1))
        line.add_row("-", Text(one_line(sentence)))
        console.print(line)
    shown = None if given.all else _CHOICES
    if explanation.prices:
        console.print()
        console.print(_price_table(explanation, shown))
    if explanation.importances.choices:
        console.print()
        console.print(_importance_table(explanation.importances, explanation.learned, shown))
    return 0


def _objective(study: Study, given: argparse.Namespace) -> tuple[Objective | None, str]:
    """What the study searches, or why that is not at hand."""
    moved = {} if given.data_root is None else {"data_root": given.data_root}
    try:
        return reopen(study.study_name, given.storage, read_only=True, **moved).objective, ""
    except UsageError as error:
        return None, str(error)


def _price_table(explanation: Explanation, choices: int | None) -> Group:
    """For each choice the option that saves most and the one that promises most; or all."""
    costs = explanation.objective_costs
    rows = list(explanation.prices) if choices is None else _chosen(explanation, choices)
    left_out = len(explanation.prices) - len(rows)
    title = "another option in place of the usual one: what it costs and brings"
    table = Table(box=None, pad_edge=False, header_style="bold")
    if left_out:
        table.caption, table.caption_justify = Text(f"{left_out} more with --all"), "left"
    table.add_column("choice", overflow="fold")
    table.add_column("usual -> option")
    for name in costs:
        table.add_column(Text(one_line(f"{name}, est." if name in explanation.estimated else name)), justify="right")
    learned = "error, points" if explanation.learned == ERROR else one_line(explanation.learned)
    table.add_column(Text(learned), justify="right")
    before = ""
    for price in rows:
        cells = [_cost(price, name, len(costs) == 1) for name in costs]
        told = Text("-") if price.learned is None else Text(effect_range(explanation.learned, price.learned))
        if price.learned is not None and price.learned.told:
            told.stylize("bold")
        shown = price.choice if price.choice != before else ""
        table.add_row(Text(one_line(shown)), Text(one_line(f"{price.usual} -> {price.option}")), *cells, told)
        before = price.choice
    return titled(title, table)


def _cost(price: Price, name: str, ranged: bool) -> str:
    change = price.costs[name]
    if not change.told:
        return "~0"
    text, low, high = (rise(name, value).replace(" ", "") for value in (change.mean, change.low, change.high))
    return f"{text} ({low} to {high})" if ranged and low != high else text


def _chosen(explanation: Explanation, choices: int) -> list[Price]:
    by_choice: dict[str, list[Price]] = {}
    for price in explanation.prices:
        by_choice.setdefault(price.choice, []).append(price)
    sign = 1 if explanation.direction == "minimize" else -1

    def brings(price: Price) -> float:
        return 0.0 if price.learned is None else sign * price.learned.mean

    def costs(price: Price) -> float:
        return price.costs[explanation.objective_costs[0]].mean if explanation.objective_costs else 0.0

    moved = sorted(by_choice, key=lambda name: -max(abs(brings(price)) for price in by_choice[name]))[:choices]
    kept = {
        id(price) for name in moved for price in (min(by_choice[name], key=costs), min(by_choice[name], key=brings))
    }
    return [price for price in explanation.prices if id(price) in kept]


def _importance_table(found: Importances, learned: str, choices: int | None) -> Group:
    title = f"share of each choice in reaching the best {found.best} of {found.trials} in {learned}"
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column("choice", overflow="fold")
    table.add_column("", width=_BAR)
    table.add_column("share", justify="right")
    table.add_column("interval")
    rows: Sequence[Any] = found.choices if choices is None else found.choices[:choices]
    for one in rows:
        bar = Text("█" * round(_BAR * one.share)) if one.told else Text("░" * round(_BAR * one.share), style="dim")
        interval = f"{one.low:.0%} to {one.high:.0%}" + ("" if one.told else ", may be chance")
        table.add_row(Text(one_line(one.choice)), bar, f"{one.share:.0%}", Text(interval))
    if len(found.choices) > len(rows):
        table.caption = Text(f"{len(found.choices) - len(rows)} more with --all")
        table.caption_justify = "left"
    return titled(title, table)
