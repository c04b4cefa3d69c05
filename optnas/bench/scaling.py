"""Simulated searches put together: what more workers bring, and what they lose."""

from __future__ import annotations

import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from math import isfinite

import numpy as np

from optnas.bench.samplers import CHECKPOINTS
from optnas.bench.workers import Simulated
from optnas.errors import UsageError
from optnas.report import Scaling

__all__ = ["LEVEL", "check_level", "hours_to", "scalings"]

#: The share of the table's hypervolume that a speed-up is to, unless another is asked for.
LEVEL = 0.95
#: Points of a course.
_POINTS = 120


def check_level(level: float) -> None:
    """Refuse a level that no search can be measured by.

    Raises:
        UsageError: If it is not above 0 and at most 1.
    """
    if not (isfinite(level) and 0 < level <= 1):
        raise UsageError(f"level: expected a share of the hypervolume above 0 and at most 1, got {level:g}")


def hours_to(run: Simulated, level: float) -> float | None:
    """Virtual hours until a run had found a share of the hypervolume; None if it never had."""
    place = bisect_left(run.hypervolume, level)
    return run.hours[place] if place < len(run.hours) else None


def scalings(runs: Sequence[Simulated], level: float = LEVEL) -> list[Scaling]:
    """One for each sampler, number of workers and way to die, in the order of the runs.

    Runs without a training count in nothing.

    Raises:
        UsageError: As `check_level`.
    """
    check_level(level)
    runs = [run for run in runs if run.hours]
    kinds = dict.fromkeys((run.sampler, run.workers, run.checkpoints) for run in runs)
    return [
        _scaling(
            [run for run in runs if (run.sampler, run.workers, run.checkpoints) == kind],
            {run.seed: run for run in runs if (run.sampler, run.workers, run.checkpoints) == (kind[0], 1, kind[2])},
            level,
        )
        for kind in kinds
    ]


def _scaling(runs: Sequence[Simulated], alone: dict[int, Simulated], level: float) -> Scaling:
    """Of runs that differ in their seeds, and those of one worker by seed."""
    ends = [len(run.hours) for run in (*runs, *(alone[run.seed] for run in runs if run.seed in alone))]
    checkpoints = sorted({*(count for count in CHECKPOINTS if count < min(ends)), min(ends)})
    shares = np.array([[run.hypervolume[count - 1] for count in checkpoints] for run in runs])
    losses = None
    speedups: list[float] = []
    if all(run.seed in alone for run in runs):
        best = np.array([[alone[run.seed].hypervolume[count - 1] for count in checkpoints] for run in runs])
        losses = best - shares
        pairs = [(hours_to(alone[run.seed], level), hours_to(run, level)) for run in runs]
        speedups = [one / many for one, many in pairs if one is not None and many is not None]
    hours = [reached for run in runs if (reached := hours_to(run, level)) is not None]
    whole, sped = len(hours) == len(runs), len(speedups) == len(runs)
    course_hours, course = _course(runs)
    worked = sum(run.worked_hours for run in runs)
    return Scaling(
        sampler=runs[0].sampler,
        workers=runs[0].workers,
        runs=len(runs),
        level=level,
        trainings=tuple(checkpoints),
        hypervolume=_means(shares),
        hypervolume_spread=_spreads(shares),
        loss=None if losses is None else _means(losses),
        loss_spread=None if losses is None else _spreads(losses),
        reached=len(hours),
        hours=statistics.mean(hours) if whole else None,
        hours_spread=_spread(hours) if whole else None,
        speedup=statistics.mean(speedups) if sped else None,
        speedup_spread=_spread(speedups) if sped else None,
        repeats=statistics.mean(run.repeats / run.proposals for run in runs),
        seconds_per_proposal=statistics.mean(run.seconds_per_proposal for run in runs),
        checkpoints=runs[0].checkpoints,
        deaths=statistics.mean(run.deaths for run in runs),
        failed=statistics.mean(run.failed for run in runs),
        lost=sum(run.lost_hours for run in runs) / worked,
        course_hours=course_hours,
        course=course,
    )


def _course(runs: Sequence[Simulated]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean share against hours, from when all runs have trained a network until the last has ended."""
    hours = np.geomspace(max(run.hours[0] for run in runs), max(run.hours[-1] for run in runs), _POINTS)
    # A product may fall short of the end that it is meant to be.
    hours[-1] = max(run.hours[-1] for run in runs)
    hours[0] = max(run.hours[0] for run in runs)
    shares = [[run.hypervolume[bisect_right(run.hours, hour) - 1] for run in runs] for hour in hours]
    return tuple(hours.tolist()), tuple(statistics.mean(at) for at in shares)


def _means(rows: Iterable[Iterable[float]]) -> tuple[float, ...]:
    return tuple(statistics.mean(map(float, column)) for column in zip(*rows, strict=True))


def _spreads(rows: Iterable[Iterable[float]]) -> tuple[float, ...]:
    return tuple(_spread(list(map(float, column))) for column in zip(*rows, strict=True))


def _spread(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0
