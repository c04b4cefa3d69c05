"""Stop a trial that would need to learn unlike any other to be on the front."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from optnas.errors import UsageError
from optnas.prune.base import Finished, Pruner, cost_table

__all__ = ["DominancePruner"]

#: At least so many curves take part in a fit, however small the span: a line in three unknowns and its spread.
_LEAST_CURVES = 20
#: No more than so many do: they would lie far from the bound, and a decision would take longer and longer.
_MOST_CURVES = 200
#: In between, the curves that take part as a share of all; Cleveland (1979) recommends 0.2 to 0.8.
_SPAN = 0.7
#: Ridge on standardised columns: with ten curves, a cost is believed only where it clearly matters.
_RIDGE = 0.1


@dataclass(frozen=True)
class DominancePruner(Pruner):
    """Stops a trial once it is unlikely to end better than a finished network that costs no more.

    Let B be the least final error among the finished, feasible networks that are no worse in every cost. A
    trial can be on the front only if it ends below B. That is a hypothesis, and it is tested: where does a
    network of these costs that ends *exactly* at B stand after each epoch? A trial that stands clearly higher
    is stopped. Predicting the curve from the end, rather than the end from the curve, has three merits.
    - The probability of a wrong stop is held per front member, which is what a search loses, and not per
      trial; where most trials are bad the second says nothing of the first.
    - Only survivors have a final error. A regression of the end on the curve is biased by that choice; one of
      the curve on the end is not, as long as trials are chosen by how they end.
    - Near the end of a schedule that drops (cosine, steps) the bound follows the drop, for it is learnt epoch
      by epoch.

    The curve at the end B is read from a regression for each epoch, linear in the final error and in the ranks
    of the costs (a dear network drops later and deeper), on the curves whose final error is near B: tricube
    weights on the nearest 70 % (locally weighted regression, Cleveland 1979). Residuals are those of leaving
    each curve out. The bound lies above the fit by a multiple of each epoch's spread, one multiple for all
    epochs, so that the look at every epoch does not add up: it is an upper quantile of the *largest*
    standardised residual of a whole curve, the score of a split-conformal band (Lei et al. 2018; Diquigiovanni
    et al. 2022 for curves). The quantile is that of a normal with the scores' mean and spread: with ten to
    thirty scores an empirical one is a guess about the largest.

    What is promised: of networks like the finished ones that end exactly at B a share `quantile` is kept. A
    network on the front ends below B, so this is the least favourable case, and the loss of front members is
    smaller than 1 - quantile: at 0.7, with 150 trials, 0 to 4 % on the curves of NAS-Bench-201 and
    NAS-Bench-NLP (8 % with 345), but 7 to 22 % on power-law curves of which one in four is on the front and
    wins by no more than the noise of its last epoch. It is no guarantee in finite samples: residuals are those
    of survivors, without the tail that was stopped, and the longer the study the more is missing. Trials that
    are trained to the end although they would have been pruned (`optnas.prune.audit`)
    bring that tail back, and measure what is lost.

    A network cheaper than all finished ones in some cost has no B and is never stopped, nor is one whose
    lowest error so far is below B.

    Raises:
        UsageError: If a setting is out of range, or `objectives` names a cost that the trial lacks.
    """

    quantile: float = 0.7
    """Share, in (0, 1), of networks that would end exactly at the bound to be kept. Higher is safer."""
    warmup_trials: int = 10
    """How many whole curves it takes before a trial is pruned."""
    grace: float = 0.05
    """Share of the epochs, in [0, 1), after which the first look is taken: earlier looks save next to nothing."""
    slack: float = 0.0
    """Error by which a network may beat the front without being worth its epochs; 0 keeps all members."""
    objectives: tuple[str, ...] | None = None
    """Costs in which a finished network must be no worse, by default all of the trial's. The others still
    help to predict its curve."""
    ties: Mapping[str, float] = field(default_factory=dict)
    """By name of a cost, the relative difference that is noise: {"latency_ms": 0.02} calls 1.00 and 1.02 equal."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.quantile < 1:
            raise UsageError(f"quantile: expected a number between 0 and 1, got {self.quantile}")
        if self.warmup_trials < 2:
            raise UsageError(f"warmup_trials: expected at least 2, got {self.warmup_trials}")
        if not 0 <= self.grace < 1:
            raise UsageError(f"grace: expected a share of the epochs in [0, 1), got {self.grace}")
        if not 0 <= self.slack < math.inf:
            raise UsageError(f"slack: expected a finite error of at least 0, got {self.slack}")
        for name, share in self.ties.items():
            if not 0 <= share < math.inf:
                raise UsageError(f"ties: expected a relative difference of at least 0 for {name}, got {share}")

    def thresholds(self, costs: Mapping[str, float], finished: Sequence[Finished]) -> NDArray[np.float64]:
        n_epochs = self.epochs(finished)
        bounds = np.full(n_epochs, np.inf)
        own = np.array(list(costs.values()), dtype=float)
        prices = cost_table(finished, costs)
        final = np.array([trial.final for trial in finished])
        rivals = self._no_worse(costs, prices) & np.array([trial.feasible for trial in finished], dtype=bool)
        bound = final[rivals].min(initial=np.inf)
        # A curve that has no finite error at its first epoch fits no regression.
        lengths = np.array([len(trial.curve) if math.isfinite(trial.final) else 0 for trial in finished])
        whole = [i for i in np.flatnonzero(lengths == n_epochs).tolist() if math.isfinite(finished[i].best[0])]
        first = max(math.ceil(self.grace * n_epochs), 1)
        if not math.isfinite(bound) or len(whole) < self.warmup_trials or first >= n_epochs:
            return bounds
        looks = slice(first - 1, n_epochs - 1)
        away = final[whole] - (bound - self.slack)
        weight = _weights(np.abs(away))
        near = np.flatnonzero(weight).tolist()
        best = np.stack([finished[whole[i]].best[looks] for i in near])
        columns = np.column_stack([away, _ranks(own, prices[whole])])[near]
        bounds[looks] = _upper_band(best, columns, weight[near], self.quantile)
        return np.asarray(np.maximum(bounds, bound))

    def _no_worse(self, costs: Mapping[str, float], prices: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(n,) Which finished trials are known to cost no more in each of the objectives."""
        unknown = set(self.objectives or ()) - set(costs)
        if unknown:
            known = ", ".join(costs) or "none"
            raise UsageError(f"objectives: expected some of the trial's costs ({known}), got {min(unknown)!r}")
        columns = [i for i, name in enumerate(costs) if self.objectives is None or name in self.objectives]
        limits = [value + self.ties.get(name, 0.0) * abs(value) for name, value in costs.items()]
        return np.asarray((prices <= np.array(limits, dtype=float))[:, columns].all(axis=1))


def _ranks(own: NDArray[np.float64], prices: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, costs) Share of the curves that are cheaper than each one, minus the share cheaper than `own`.

    Ranks, because costs spread over decades and may have any sign. One that is not known counts as equal.
    """
    ranks = np.zeros(prices.shape)
    for rank, value, column in zip(ranks.T, own, prices.T, strict=True):
        known = np.sort(column[~np.isnan(column)])
        asked = np.append(column, value)
        places = (np.searchsorted(known, asked) + np.searchsorted(known, asked, "right")) / 2
        rank[:] = np.where(np.isnan(column + value), 0.0, places[:-1] - places[-1]) / max(len(known), 1)
    return ranks


def _weights(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) Tricube weights of the nearest, with the sum 1; 0 for those that take no part."""
    n = len(distance)
    nearest = min(max(math.ceil(_SPAN * n), _LEAST_CURVES), _MOST_CURVES, n) - 1
    # A little beyond the farthest, which then has a weight too.
    reach = 1.01 * np.partition(distance, nearest)[nearest] + np.finfo(float).tiny
    weight = np.clip(1 - (distance / reach) ** 3, 0, None) ** 3
    return np.asarray(weight / weight.sum())


def _upper_band(
    best: NDArray[np.float64], columns: NDArray[np.float64], weight: NDArray[np.float64], quantile: float
) -> NDArray[np.float64]:
    """The errors below which a share `quantile` of the curves stays whose columns are 0.

    Args:
        best: (n, epochs) lowest error so far of each finished curve.
        columns: (n, 1 + costs) its final error and its costs, relative to those that are asked about.
        weight: (n,) how much each curve counts, with the sum 1.

    Returns:
        (epochs,)
    """
    centre = weight @ columns
    spread = np.sqrt(weight @ (columns - centre) ** 2)
    # A column that is constant but for rounding has no slope, and must not be divided by its rounding.
    spread[spread <= 1e-9 * np.abs(columns).max(axis=0)] = 1.0
    x = (columns - centre) / spread
    mean = weight @ best
    inverse = np.linalg.inv((x * weight[:, None]).T @ x + _RIDGE * np.eye(x.shape[1]))
    slopes = inverse @ (x * weight[:, None]).T @ best

    leverage = weight * (1 + np.einsum("ni,ij,nj->n", x, inverse, x))
    residual = (best - mean - x @ slopes) / np.clip(1 - leverage, 0.1, None)[:, None]
    # Rounding must not stop a curve that is the fit itself.
    deviation = np.sqrt(weight @ residual**2) + 1e-9 * np.abs(best).max()
    deviation += np.finfo(float).tiny
    score = (residual / deviation).max(axis=1)
    level = weight @ score
    level += NormalDist().inv_cdf(quantile) * np.sqrt(weight @ (score - level) ** 2)

    at = -centre / spread
    uncertainty = np.sqrt(1 + (1 + at @ inverse @ at) * (weight @ weight))
    return np.asarray(mean + at @ slopes + max(level, 0.0) * deviation * uncertainty)
