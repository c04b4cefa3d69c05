"""What a pruning rule is: a bound on the error for each epoch, fixed before the first."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from optnas.errors import UsageError

__all__ = ["Finished", "NoPruner", "Pruner", "Stopper", "kept_error"]


@dataclass(frozen=True)
class Finished:
    """A trial that a pruner learns from: trained to the end, or pruned on the way."""

    costs: Mapping[str, float]
    """What was measured before training, by name; smaller is better."""
    curve: Sequence[float]
    """Validation error after each epoch that was trained, to be minimised."""
    complete: bool = True
    """Whether it was trained to the end, so that the last error is its final one."""
    feasible: bool = True
    """Whether it meets the study's constraints."""

    @cached_property
    def errors(self) -> NDArray[np.float64]:
        """(epochs,) The curve as an array. Read-only."""
        errors = np.array(self.curve, dtype=float).reshape(-1)
        errors.flags.writeable = False
        return errors

    @cached_property
    def best(self) -> NDArray[np.float64]:
        """(epochs,) The lowest error so far after each epoch; inf until the first finite one. Read-only."""
        lowest = np.minimum.accumulate(np.where(np.isfinite(self.errors), self.errors, np.inf))
        lowest.flags.writeable = False
        return lowest

    @cached_property
    def final(self) -> float:
        """The error after the last epoch; inf if it was pruned or its last error is not finite."""
        if not self.complete or not len(self.curve) or not math.isfinite(self.curve[-1]):
            return math.inf
        return float(self.curve[-1])


@dataclass(frozen=True)
class Pruner(ABC):
    """Says above which error a trial is not worth another epoch.

    A subclass is a frozen dataclass of its settings. It keeps nothing from call to call, so that a rule can be
    replayed on old curves, and its answer can travel with a job to a worker.
    """

    n_epochs: int | None = field(default=None, kw_only=True)
    """Epochs of a whole training; by default the most common number among the trials trained to the end."""

    def __post_init__(self) -> None:
        if self.n_epochs is not None and self.n_epochs < 1:
            raise UsageError(f"n_epochs: expected at least 1, got {self.n_epochs}")

    @abstractmethod
    def thresholds(self, costs: Mapping[str, float], finished: Sequence[Finished]) -> NDArray[np.float64]:
        """The bounds for one trial, asked once before its first epoch.

        A trial stops after an epoch if the lowest error that it has reached so far lies above that epoch's
        bound. The lowest so far, because a single epoch is noisy while the learning rate is high: on
        NAS-Bench-201 it foretells the final error up to a third more closely.

        Args:
            costs: The trial's costs by name. A cost to be maximised is given as its negative.
            finished: Trials that ended, in the order in which they ended.

        Returns:
            (n_epochs,) in the unit of the errors; inf where the trial goes on whatever its error. The last is
            inf: nothing is left to save. Empty if `n_epochs` is not given and no trial was trained to the
            end. Epochs beyond the array never stop a trial.
        """

    def epochs(self, finished: Sequence[Finished]) -> int:
        """`n_epochs`, or what the finished trials say; of two equally common lengths the longer."""
        if self.n_epochs is not None:
            return self.n_epochs
        lengths = Counter(len(trial.curve) for trial in finished if trial.complete)
        return max(lengths, key=lambda length: (lengths[length], length), default=0)


@dataclass(frozen=True)
class NoPruner(Pruner):
    """Trains every trial to the end."""

    def thresholds(self, costs: Mapping[str, float], finished: Sequence[Finished]) -> NDArray[np.float64]:
        return np.full(self.epochs(finished), np.inf)


def kept_error(error: float) -> float:
    """An error as the curve of a trial keeps it: to six decimals."""
    return round(float(error), 6)


class Stopper:
    """Follows one trial and says when it is to stop.

    Args:
        thresholds: (n_epochs,) from a pruner.
    """

    def __init__(self, thresholds: Sequence[float] | NDArray[np.float64]) -> None:
        self.thresholds = tuple(float(bound) for bound in thresholds)
        self.best = math.inf

    def __call__(self, epoch: int, error: float) -> str | None:
        """Why the trial stops after this epoch, counted from 1, or None if it goes on.

        An error that is not finite stops it: training has diverged.
        """
        if not math.isfinite(error):
            return f"the error after epoch {epoch} is {error}, not a finite number"
        self.best = min(self.best, error)
        bound = self.bound(epoch)
        # Bounds are made of errors as they are kept: one that is equal to its bound is not above it.
        if kept_error(self.best) <= kept_error(bound):
            return None
        return beyond(epoch, self.best, bound)

    def bound(self, epoch: int) -> float:
        """The bound after this epoch; inf beyond the last."""
        return self.thresholds[epoch - 1] if epoch <= len(self.thresholds) else math.inf


def beyond(epoch: int, best: float, bound: float, in_percent: bool | None = None) -> str:
    """Why a trial stops, or would: its lowest error until an epoch, and that epoch's bound.

    In per cent if so said; where nothing is said, if both are shares.
    """
    if in_percent is None:
        in_percent = 0 <= best <= 1 and 0 <= bound <= 1
    shown, limit = (f"{value:.2%}" if in_percent else f"{value:.6g}" for value in (best, bound))
    above = f"above the bound {limit}" if shown != limit else "just above the bound"
    return f"the lowest error until epoch {epoch} is {shown}, {above}"


def cost_table(finished: Sequence[Finished], names: Collection[str]) -> NDArray[np.float64]:
    """(n, names) The costs of finished trials; NaN where one was not measured."""
    rows = [[trial.costs.get(name, math.nan) for name in names] for trial in finished]
    return np.array(rows, dtype=float).reshape(len(finished), len(names))
