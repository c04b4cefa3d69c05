"""Successive halving by non-dominated rank, as a bound on the error."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import moocore
import numpy as np
from numpy.typing import NDArray

from optnas.errors import UsageError
from optnas.prune.base import Finished, Pruner, cost_table

__all__ = ["ParetoHalvingPruner"]


@dataclass(frozen=True)
class ParetoHalvingPruner(Pruner):
    """Asynchronous successive halving for several objectives (MO-ASHA, Schmucker et al. 2021).

    At a rung, a trial is ranked among all that reached it by non-dominated sorting of error and costs, and
    goes on if its front is among those that hold the best 1/`reduction_factor`. The published method breaks
    the tie within the last front by epsilon-net or crowding; here the whole front goes on.

    Costs do not change while a network trains, so at each rung this is a bound on the error: the least error
    of a network that costs no more and lies in the last front that goes on, or in a later one.

    Raises:
        UsageError: If a setting is out of range.
    """

    min_epochs: int = 1
    """The first rung; the others are this times powers of the reduction factor."""
    reduction_factor: int = 3
    """One of so many goes on to the next rung."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_epochs < 1:
            raise UsageError(f"min_epochs: expected at least 1, got {self.min_epochs}")
        if self.reduction_factor < 2:
            raise UsageError(f"reduction_factor: expected at least 2, got {self.reduction_factor}")

    def thresholds(self, costs: Mapping[str, float], finished: Sequence[Finished]) -> NDArray[np.float64]:
        n_epochs = self.epochs(finished)
        bounds = np.full(n_epochs, np.inf)
        prices = cost_table(finished, costs)
        # Ranks need all costs: an old trial that lacks one is no rival.
        usable = np.array([trial.feasible for trial in finished], dtype=bool) & ~np.isnan(prices).any(axis=1)
        known = [finished[index] for index in np.flatnonzero(usable).tolist()]
        prices = prices[usable]
        for rung in self._rungs(n_epochs):
            here = np.array([len(trial.curve) >= rung for trial in known], dtype=bool)
            errors = [trial.best[rung - 1] for trial, there in zip(known, here, strict=True) if there]
            bounds[rung - 1] = self._bound(np.array(list(costs.values())), prices[here], np.array(errors))
        return bounds

    def _rungs(self, n_epochs: int) -> Iterator[int]:
        rung = self.min_epochs
        while rung < n_epochs:
            yield rung
            rung *= self.reduction_factor

    def _bound(self, own: NDArray[np.float64], prices: NDArray[np.float64], errors: NDArray[np.float64]) -> float:
        if not len(errors):
            return math.inf
        # A diverged trial is the worst of all, and moocore wants finite numbers.
        errors = np.nan_to_num(errors, posinf=np.finfo(float).max)
        rank = moocore.pareto_rank(np.column_stack([errors, prices]))
        promoted = max((len(errors) + 1) // self.reduction_factor, 1)
        # better[r]: how many trials lie in fronts before front r. The last front that goes on has fewer
        # than `promoted` before it.
        better = np.concatenate([[0], np.cumsum(np.bincount(rank))])
        last = int(np.flatnonzero(better < promoted)[-1])
        dominators = errors[(rank >= last) & np.all(prices <= own, axis=1)]
        return float(dominators.min(initial=np.inf))
