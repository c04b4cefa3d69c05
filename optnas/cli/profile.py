"""`optnas profile`."""

from __future__ import annotations

import argparse
import json
from typing import Any

from rich.table import Table

from optnas.cli.command import add_command, constraints_of
from optnas.cost import USUAL, Constraint, Prices, Profile, format_cost, profile
from optnas.errors import UsageError
from optnas.runtime import default_runtime
from optnas.space import bind_space, load_space
from optnas.terminal import Terminal

__all__ = ["add", "shape_of"]

_SHAPE = "1x28x28"


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "profile", _profile, "what the networks of a space cost, without training any")
    parser.add_argument("--space", default="mobile", help="mobile, cell or module:function (default: %(default)s)")
    parser.add_argument("--input", default=_SHAPE, metavar="CxHxW", help="shape of one image (default: %(default)s)")
    parser.add_argument("--classes", type=int, default=10, metavar="N", help="outputs (default: %(default)s)")
    parser.add_argument("--samples", type=int, default=200, metavar="N", help="random networks (default: %(default)s)")
    parser.add_argument("--constraint", action="append", default=[], metavar="BUDGET", help='a budget: "params<=100k"')
    parser.add_argument("--latency", action="store_true", help="time every network too, half a second each")
    parser.add_argument(
        "--runtime", metavar="WORD", help="what times them (default: onnxruntime where it is installed)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="an object on standard output")


def _profile(given: argparse.Namespace) -> int:
    constraints = constraints_of(given.constraint)
    for name, value in (("--samples", given.samples), ("--classes", given.classes)):
        if value < 1:
            raise UsageError(f"{name}: expected a whole number from 1, got {value}")
    if given.seed < 0:
        raise UsageError(f"--seed: expected a whole number from 0, got {given.seed}")
    shape = shape_of(given.input)
    build = bind_space(load_space(given.space), shape, given.classes)
    costs = [*USUAL, *(["latency_ms"] if given.latency else [])]
    if given.runtime is not None and not given.latency:
        raise UsageError("--runtime: expected --latency beside it")
    prices = Prices(given.runtime or default_runtime()) if given.latency else Prices()
    prices.fingerprint()  # refuses a runtime that is not there
    with Terminal(stderr=True).status("") as status:

        def on_sample(done: int) -> None:
            status.update(f"{done} of {given.samples} networks")

        found = profile(build, shape, costs, given.samples, constraints, given.seed, prices, on_sample)
    if given.json:
        facts = {"space": given.space, "input": list(shape), "samples": found.samples, "invalid": found.invalid}
        facts |= {"costs": _quantiles(found), "constraints": list(map(str, constraints)), "share": found.share}
        print(json.dumps(facts, indent=2))
        return 0
    _print(found, given, constraints)
    return 0


def _quantiles(found: Profile) -> dict[str, dict[str, float]]:
    places = {"min": 0.0, "median": 0.5, "max": 1.0}
    return {cost: {name: found.quantile(cost, at) for name, at in places.items()} for cost in found.costs}


def _print(found: Profile, given: argparse.Namespace, constraints: tuple[Constraint, ...]) -> None:
    console = Terminal()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("cost")
    for column in ("min", "median", "max"):
        table.add_column(column, justify="right")
    for name, row in _quantiles(found).items():
        table.add_row(name, *(format_cost(name, value) for value in row.values()))
    console.print(f"{found.samples} random networks of {given.space} at {given.input}")
    console.print(table)
    if found.invalid:
        reason = found.problem.strip().splitlines()[-1]
        console.print(f"{found.invalid} of them do not work: {reason}", markup=False)
    if constraints:
        console.print(f"{found.share:.1%} meet {', '.join(map(str, constraints))}")


def shape_of(text: str) -> tuple[int, int, int]:
    """The shape that `--input` names; raises UsageError."""
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise UsageError(f"--input: expected channels x height x width such as {_SHAPE}, got {text!r}")
    channels, height, width = map(int, parts)
    return channels, height, width
