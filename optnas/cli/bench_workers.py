"""`optnas bench workers`: samplers with many workers, in virtual time."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from optnas.bench.deaths import Deaths
from optnas.bench.samplers import REPLAYED
from optnas.bench.scaling import LEVEL, check_level, scalings
from optnas.bench.table import load_table
from optnas.bench.workers import Simulated, check_workers, simulate_workers
from optnas.cli.command import add_command
from optnas.errors import UsageError
from optnas.report import Scaling, check_picture, save_scaling

__all__ = ["add_workers"]


def add_workers(parts: Any) -> None:
    """Add the command to those of `optnas bench`."""
    parser = add_command(parts, "workers", _workers, "what samplers lose with many workers, in virtual time")
    parser.add_argument("--table", type=Path, required=True, metavar="FILE.csv.gz", help="every network of a space")
    parser.add_argument("--objectives", required=True, metavar="A,B", help="columns to minimise")
    parser.add_argument(
        "--samplers",
        default="random,nsga2,tpe-multivariate,cost-aware",
        metavar="A,B",
        help=f"some of {', '.join(REPLAYED)} (default: %(default)s)",
    )
    parser.add_argument(
        "--workers", default="1,16,64,256", metavar="N,N", help="trainings at a time (default: %(default)s)"
    )
    parser.add_argument("--trials", type=int, default=600, metavar="N", help="trainings (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="searches of each (default: %(default)s)")
    parser.add_argument(
        "--level", type=float, default=LEVEL, metavar="SHARE", help="speed-up is to this (default: %(default)s)"
    )
    parser.add_argument(
        "--deaths",
        type=float,
        metavar="RATE",
        help="also with workers that die so often an hour, with and without checkpoints to the epoch",
    )
    parser.add_argument(
        "--epochs", type=int, default=50, metavar="N", help="of a training, for --deaths (default: %(default)s)"
    )
    parser.add_argument("--plot", type=Path, metavar="OUT.png", help="draw them; also .svg, .pdf")
    parser.add_argument("--json", action="store_true", help="a list of objects on standard output")


def _workers(given: argparse.Namespace) -> int:
    names, objectives = given.samplers.split(","), given.objectives.split(",")
    workers = _counts(given.workers)
    check_workers(names, workers, given.trials, given.seeds)
    check_level(given.level)
    fates: list[Deaths | None] = [None]
    if given.deaths is not None:
        fates += [Deaths(given.deaths, given.epochs, checkpoints) for checkpoints in (True, False)]
    if given.plot:
        check_picture(given.plot)
    progress = _Progress(len(names) * len(workers) * given.seeds * len(fates))
    table = load_table(given.table)
    runs = simulate_workers(table, objectives, names, workers, given.trials, given.seeds, fates, on_done=progress.show)
    progress.end()
    found = scalings(runs, given.level)
    if given.plot:
        save_scaling(found, given.plot, f"{given.table.name.split('.')[0]}: {', '.join(objectives)}")
        print(f"picture: {given.plot}", file=sys.stderr)
    if given.json:
        print(json.dumps([asdict(one) for one in found], indent=2))
        return 0
    _print(found, given.level)
    return 0


def _counts(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"workers: expected numbers with commas, such as 1,16,256, got {text!r}") from None


def _print(found: Sequence[Scaling], level: float) -> None:
    print(
        f"after {found[0].trainings[-1]} trainings, {found[0].runs} searches each; lost: what one worker had found "
        f"more after as many; virtual hours to {level:g} of the hypervolume, or how many searches came there",
        file=sys.stderr,
    )
    # Without boxes and few digits: it fits in 80 columns.
    living = _table("workers", "hypervolume", "lost", "hours", "speed-up", "repeats", "s/ask")
    # What a training keeps when its worker dies.
    dying = _table("workers", "kept", "deaths", "given up", "hours lost", "hours", "hypervolume")
    for one in found:
        volume = f"{one.hypervolume[-1]:.3f} ± {one.hypervolume_spread[-1]:.3f}"
        lost = "" if one.loss is None or one.workers == 1 else f"{one.loss[-1]:.3f}"
        hours = f"{one.reached} of {one.runs}" if one.hours is None else f"{one.hours:.1f}"
        speedup = "" if one.speedup is None or one.workers == 1 else f"{one.speedup:.1f} ± {one.speedup_spread:.1f}"
        name, workers = one.sampler, str(one.workers)
        if one.checkpoints is None:
            ask = f"{one.seconds_per_proposal:.3f}"
            living.add_row(name, workers, volume, lost, hours, speedup, f"{one.repeats:.1%}", ask)
        else:
            kept = "epochs" if one.checkpoints else "nothing"
            deaths, failed = f"{one.deaths:.1f}", f"{one.failed:.1f}"
            dying.add_row(name, workers, kept, deaths, failed, f"{one.lost:.1%}", hours, volume)
    console = Console(highlight=False)
    console.print(living)
    if dying.row_count:
        console.print()
        console.print(dying)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="bold")
    table.add_column("sampler")
    for column in columns:
        table.add_column(column, justify="right")
    return table


class _Progress:
    """One line on standard error for each finished run; on a terminal the same line again."""

    def __init__(self, runs: int) -> None:
        self._runs, self._done, self._began = runs, 0, time.monotonic()
        self._rewrites = sys.stderr.isatty()

    def show(self, run: Simulated) -> None:
        self._done += 1
        text = f"{self._done}/{self._runs} {run.sampler}, {run.workers} workers, seed {run.seed}: "
        text += (
            f"hypervolume {run.hypervolume[-1]:.4f} in {run.hours[-1]:.1f} virtual hours" if run.hours else "nothing"
        )
        text += f", {time.monotonic() - self._began:.0f} s"
        # Carriage return, and erase to the end of the line: the line before may have been longer.
        print(f"\r\x1b[K{text}" if self._rewrites else text, end="" if self._rewrites else "\n", file=sys.stderr)
        sys.stderr.flush()

    def end(self) -> None:
        if self._rewrites:
            print(file=sys.stderr)
