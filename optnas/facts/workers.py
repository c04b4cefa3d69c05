"""What each worker did when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from optuna import Study

from optnas.facts.trials import lanes, read_trials

__all__ = ["Bar", "Timeline", "timeline"]

#: What is left of a pause, as a share of the time of work; a time without any trial is one if it is longer than that,
#: and than most trials.
_FOLDED = 0.02


@dataclass(frozen=True)
class Bar:
    """A trial on its worker."""

    trial: int
    state: str
    lane: int
    """The worker, counted from 0."""
    start: float
    """Seconds since the first trial began, pauses folded."""
    end: float


@dataclass(frozen=True)
class Timeline:
    """The trials of a study side by side, as far as their times are known."""

    bars: tuple[Bar, ...]
    """By their start."""
    pauses: tuple[tuple[float, float, float], ...]
    """Between two runs of a search: from, to (folded seconds, as in the bars), and how many seconds they were."""

    @property
    def workers(self) -> int:
        """How many trials ran at once at most."""
        return 1 + max((bar.lane for bar in self.bars), default=-1)

    @property
    def seconds(self) -> float:
        """From the first start to the last end, without pauses."""
        return max((bar.end for bar in self.bars), default=0.0) - sum(end - start for start, end, _ in self.pauses)

    @property
    def busy(self) -> float:
        """The share of the workers' time without pauses in which they had a trial; NaN if no time has passed."""
        available = self.workers * self.seconds
        return sum(bar.end - bar.start for bar in self.bars) / available if available > 0 else float("nan")


def timeline(study: Study) -> Timeline:
    """The trials of a study by worker and time, with the pauses between two runs of a search folded.

    Args:
        study: Any study; trials without a start and an end are left out.
    """
    trials = read_trials(study)
    lane_of = lanes(trials)
    timed = sorted((t.started, t.ended, t.trial, t.state) for t in trials if t.started and t.ended)
    runs = _runs([(start, end) for start, end, _, _ in timed])
    folded = _FOLDED * sum((end - start).total_seconds() for start, end in runs)
    usual = median([(end - start).total_seconds() for start, end, _, _ in timed] or [0.0])
    pauses: list[tuple[float, float, float]] = []
    begins: list[float] = []
    clock = 0.0
    for index, (start, end) in enumerate(runs):
        idle = (start - runs[index - 1][1]).total_seconds() if index else 0.0
        if idle > max(folded, usual):
            pauses.append((clock, clock + folded, idle))
            idle = folded
        clock += idle
        begins.append(clock)
        clock += (end - start).total_seconds()
    bars, run = [], 0
    for start, end, number, state in timed:
        while runs[run][1] < end:
            run += 1
        since = begins[run] + (start - runs[run][0]).total_seconds()
        bars.append(Bar(number, state, lane_of[number], since, since + (end - start).total_seconds()))
    return Timeline(tuple(bars), tuple(pauses))


def _runs(spans: Sequence[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """Of spans in the order of their starts, the times during which one of them ran."""
    merged: list[tuple[datetime, datetime]] = []
    for start, end in spans:
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged
