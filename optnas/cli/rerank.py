"""`optnas rerank`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from optnas.cli.command import add_command, add_study, file_stem
from optnas.cost import format_cost
from optnas.deploy import model_of
from optnas.deploy.rerank import DeployedFront, format_of, front_points, is_timed_elsewhere, rerank
from optnas.errors import UsageError
from optnas.facts.summary import format_value
from optnas.front import front
from optnas.objective import ERROR
from optnas.report.deployed import save_deployed
from optnas.study.reopen import Reopened, reopen
from optnas.terminal import Terminal, titled

__all__ = ["add"]

Write = Callable[[float], str]
Show = Callable[[Mapping[str, float], Mapping[str, float]], str]


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "rerank", _rerank, "the front after deployment, and what fell off it")
    add_study(parser)
    parser.add_argument(
        "--runtime",
        default="onnxruntime",
        metavar="A,B",
        help="some of onnxruntime, executorch, litert (default: %(default)s)",
    )
    parser.add_argument("--int8", action="store_true", help="measure files of 8-bit integers too")
    parser.add_argument("--networks", type=int, metavar="N", help="only the N most accurate of the front")
    parser.add_argument("--images", type=int, metavar="N", help="validation images to run (default: all)")
    parser.add_argument("--workers", type=int, metavar="N", help="processes; 0 works in this process")
    parser.add_argument("--data-root", metavar="DIR", help="folder of fashion-mnist and cifar10, if it moved")
    parser.add_argument("--json", action="store_true", help="a list of objects on standard output")


def _rerank(given: argparse.Namespace) -> int:
    runtimes = tuple(dict.fromkeys(given.runtime.split(",")))
    for name in runtimes:
        format_of(name)
    for flag, value, least in (
        ("--networks", given.networks, 1), ("--images", given.images, 1), ("--workers", given.workers, 0)
    ):  # fmt: skip
        if value is not None and value < least:
            raise UsageError(f"{flag}: expected a whole number from {least}, got {value}")
    reopened = reopen(given.study, given.storage, read_only=True, data_root=given.data_root)
    members = sorted(front(reopened.study), key=lambda member: member.error)[: given.networks]
    if not members:
        raise UsageError(f"study {reopened.study.study_name!r} has no trained network")
    progress = Terminal(stderr=True, soft_wrap=True)
    try:
        models = [model_of(reopened, member.trial, progress.print, weights="searched") for member in members]
        found = rerank(
            models, members, reopened, runtimes, given.int8, images=given.images, workers=given.workers,
            say=progress.print,
        )  # fmt: skip
    except KeyboardInterrupt:
        print("optnas: stopped", file=sys.stderr)
        return 130
    if given.json:
        print(json.dumps([asdict(one) for one in found], indent=2))
    else:
        _print_all(Terminal(soft_wrap=True), found, reopened)
    return 0 if any(one.deployed for one in found) else 1


def _print_all(console: Console, found: Sequence[DeployedFront], reopened: Reopened) -> None:
    if is_timed_elsewhere(reopened):
        console.print("the study was timed on another device: the latencies in files below are of this machine\n")
    for one in found:
        _print(console, one, reopened)
    console.print("errors in search are those of the weights of the search in PyTorch, on the images of the files")
    x, y, points = front_points(found, reopened.settings.objectives)
    if any(one.deployed for one in found):
        name = reopened.study.study_name
        picture = Path(f"{file_stem(name)}-deployed.png")
        save_deployed(points, x, y, f"{name}: the front as searched and as deployed", picture)
        console.print(f"picture: {picture}")


def _print(console: Console, found: DeployedFront, reopened: Reopened) -> None:
    title = f"{reopened.study.study_name} in {found.runtime}, {found.precision}: as searched, and in the file"
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    columns = _columns(found, reopened)
    for head in ("trial", *columns):
        table.add_column(head, justify="right", vertical="bottom", no_wrap=True)
    table.add_column("", overflow="fold")
    for trial, before in found.searched.items():
        after = found.deployed.get(trial, {})
        cells = [show(before, after) for show in columns.values()]
        table.add_row(str(trial), *cells, Text(_standing(found, trial)))
    console.print(titled(title, table))
    for name, tau in found.tau.items():
        said = "none, all are equal" if tau is None else f"{tau:.2f}"
        said = "none, of fewer than two networks" if found.n < 2 else said
        console.print(f"Kendall's tau of {name}: {said} (n = {found.n})")
    left = f"{len(found.front)} of {len(found.searched)} are on the front"
    console.print(f"{left}: trials {', '.join(map(str, found.front)) or 'none'}\n")


def _columns(found: DeployedFront, reopened: Reopened) -> dict[str, Show]:
    """What stands in each column by its head; what the search never measured has none, so that 80 signs are enough."""
    columns: dict[str, Show] = {}
    objectives = reopened.settings.objectives
    for name in dict.fromkeys((*objectives, "latency_ms", "size_bytes")):
        head, show = _UNITS.get(name, (name, partial(format_value, name)))
        if name in objectives or (name == "latency_ms" and any(name in one for one in found.searched.values())):
            columns[f"{head}\nsearch"] = partial(_cell, name, show, False)
        if name in _UNITS:
            columns[f"{head}\nfile"] = partial(_cell, name, show, True)
    return columns


def _cell(name: str, show: Write, is_after: bool, before: Mapping[str, float], after: Mapping[str, float]) -> str:
    value = (after if is_after else before).get(name)
    return "-" if value is None else show(value)


def _standing(found: DeployedFront, trial: int) -> str:
    if trial in found.problems:
        return found.problems[trial]
    if trial in found.over:
        return f"over the budget: {found.over[trial]}"
    if trial in found.fell:
        return f"fell, beaten by {', '.join(map(str, found.fell[trial]))}"
    if trial in found.already:
        return f"beaten before, by {', '.join(map(str, found.already[trial]))}"
    return "front"


#: The head of what is measured again, and how its cells are written.
_UNITS: Mapping[str, tuple[str, Write]] = {
    ERROR: ("error", "{:.2%}".format),
    "latency_ms": ("ms", lambda value: format_cost("latency_ms", value).removesuffix(" ms")),
    "size_bytes": ("kB", lambda value: f"{value / 1000:.1f}"),
}
