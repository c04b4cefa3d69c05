"""`optnas bench`: replay on tables with known answers."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from optnas.bench.curves import load_curves
from optnas.bench.others import OTHERS
from optnas.bench.pruners import PrunerResult, replay_pruners
from optnas.bench.samplers import REPLAYED, Replayed, check_replay, replay_samplers
from optnas.bench.summary import summarise
from optnas.bench.table import load_table
from optnas.cli.bench_workers import add_workers
from optnas.cli.command import Parser, add_command
from optnas.prune import PRUNERS
from optnas.report import check_picture, save_courses
from optnas.terminal import Terminal

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command and its parts."""
    bench = commands.add_parser("bench", help="replay pruners and samplers on tables", description="Replay.")
    parts = bench.add_subparsers(title="what", metavar="WHAT", required=True, parser_class=Parser)
    pruners = add_command(parts, "pruners", _pruners, "what pruners save and lose on finished learning curves")
    pruners.add_argument("--curves", type=Path, required=True, metavar="FILE.npz", help="errors by network and epoch")
    pruners.add_argument(
        "--cost", action="append", required=True, metavar="A,B", help="costs known before training, beside the error"
    )
    pruners.add_argument("--pruners", default=",".join(reversed(PRUNERS)), metavar="A,B", help="(default: %(default)s)")
    pruners.add_argument("--trials", type=int, default=150, metavar="N", help="networks a draw (default: %(default)s)")
    pruners.add_argument("--seeds", type=int, default=10, metavar="N", help="draws (default: %(default)s)")
    pruners.add_argument("--json", action="store_true", help="a list of objects on standard output")
    samplers = add_command(parts, "samplers", _samplers, "how soon samplers find the front of a table")
    samplers.add_argument("--table", type=Path, required=True, metavar="FILE.csv.gz", help="every network of a space")
    samplers.add_argument("--objectives", required=True, metavar="A,B", help="columns to minimise")
    samplers.add_argument(
        "--samplers",
        default="random,nsga2,cost-aware",
        metavar="A,B",
        help=f"some of {', '.join(REPLAYED)}; {' and '.join(OTHERS)} with optnas[bench] (default: %(default)s)",
    )
    samplers.add_argument("--trials", type=int, default=150, metavar="N", help="trainings (default: %(default)s)")
    samplers.add_argument("--seeds", type=int, default=5, metavar="N", help="searches of each (default: %(default)s)")
    samplers.add_argument("--plot", type=Path, metavar="OUT.png", help="draw them; also .svg, .pdf")
    samplers.add_argument("--json", action="store_true", help="a list of objects on standard output")
    add_workers(parts)


def _pruners(given: argparse.Namespace) -> int:
    costs = [name for text in given.cost for name in text.split(",")]
    names = given.pruners.split(",")
    results = replay_pruners(load_curves(given.curves), costs, names, given.trials, given.seeds)
    if given.json:
        print(json.dumps([asdict(result) for result in results], indent=2))
        return 0
    print(
        f"{given.trials} networks in random order, {given.seeds} draws; error and {', '.join(costs)}", file=sys.stderr
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("pruner")
    for column in ("epochs used", "hypervolume kept", "front recall", "front size"):
        table.add_column(column, justify="right")
    for name in names:
        table.add_row(name, *_means([result for result in results if result.pruner == name]))
    Terminal().print(table)
    return 0


def _means(results: Sequence[PrunerResult]) -> list[str]:
    """Mean and, behind it, the standard deviation over the draws."""
    cells = []
    for field, digits in (("epochs_used", 3), ("hypervolume_kept", 4), ("front_recall", 3), ("front_size", 1)):
        values = [getattr(result, field) for result in results]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        cells.append(f"{statistics.mean(values):.{digits}f} ± {spread:.{digits}f}")
    return cells


def _samplers(given: argparse.Namespace) -> int:
    names, objectives = given.samplers.split(","), given.objectives.split(",")
    check_replay(names, given.trials, given.seeds)
    if given.plot:
        check_picture(given.plot)
    progress = _Progress(len(names) * given.seeds)
    results = replay_samplers(load_table(given.table), objectives, names, given.trials, given.seeds, progress.show)
    progress.end()
    if given.plot:
        title = f"{given.table.name.split('.')[0]}: {', '.join(objectives)}"
        save_courses(summarise(results), given.plot, title)
        print(f"picture: {given.plot}", file=sys.stderr)
    if given.json:
        print(json.dumps([asdict(result) for result in results], indent=2))
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("sampler")
    for column in ("trainings", "hypervolume", "front recall", "repeats", "s a suggestion"):
        table.add_column(column, justify="right")
    for name in names:
        for trainings in sorted({result.trainings for result in results if result.sampler == name}):
            rows = [result for result in results if (result.sampler, result.trainings) == (name, trainings)]
            table.add_row(name, str(trainings), *_checkpoint(rows))
    Terminal().print(table)
    return 0


def _checkpoint(rows: Sequence[Replayed]) -> list[str]:
    volumes = [row.hypervolume for row in rows]
    spread = statistics.stdev(volumes) if len(rows) > 1 else 0.0
    others = [
        statistics.mean(getattr(row, name) for row in rows)
        for name in ("front_recall", "repeats", "seconds_per_suggestion")
    ]
    return [
        f"{statistics.mean(volumes):.4f} ± {spread:.4f}",
        f"{others[0]:.3f}",
        f"{others[1]:.1f}",
        f"{others[2]:.3f}",
    ]


class _Progress:
    """One line on standard error for each finished run; on a terminal the same line again."""

    def __init__(self, runs: int) -> None:
        self._runs, self._done, self._began = runs, 0, time.monotonic()
        self._rewrites = sys.stderr.isatty()

    def show(self, sampler: str, seed: int, results: Sequence[Replayed]) -> None:
        self._done += 1
        reached = (
            f"hypervolume {results[-1].hypervolume:.4f} after {results[-1].trainings}" if results else "no checkpoint"
        )
        text = f"{self._done}/{self._runs} {sampler}, seed {seed}: {reached}"
        text += f", {time.monotonic() - self._began:.0f} s"
        # Carriage return, and erase to the end of the line: the line before may have been longer.
        print(f"\r\x1b[K{text}" if self._rewrites else text, end="" if self._rewrites else "\n", file=sys.stderr)
        sys.stderr.flush()

    def end(self) -> None:
        if self._rewrites:
            print(file=sys.stderr)
