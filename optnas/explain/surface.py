"""What trainings of networks are expected to show, together: the differences between networks are what prices are.

A Gaussian process (`optnas.sampler.surrogate`) on log(value - origin) is exact there, so values of several networks
are log-normal together, and mean and covariance have closed forms. What is particular to one network cannot be told
from the noise of its one training, so both count as noise of each training, and a difference between two networks is
that between two trainings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optnas.sampler.encoding import Features
from optnas.sampler.surrogate import GaussianProcess

__all__ = ["Effect", "Surface"]

Array = NDArray[np.float64]

#: Values beyond so many times the way from the best to the median are useless networks: how bad they are teaches
#: nothing of the others. As in `optnas.verdict.simulate`.
_CAP = 8.0
#: The origin lies below the best by so much of that way.
_ORIGIN = 0.5
#: Share of the variance that is expected to be noise: about what another seed changes, a sixth of the spread. With
#: the sampler's own belief, that there is next to none, the best networks' luck was taken for merit: intervals of 90 %
#: at the front of a cost-aware search held the truth in 75 % of cases (NAS-Bench-Macro, noise of 0.3 points).
_NOISE = 0.03


@dataclass(frozen=True)
class Effect:
    """An expected value or difference and how well it is known."""

    mean: float
    std: float
    """Of the mean; 0 if it is exact."""

    @property
    def told(self) -> bool:
        """Whether it lies two standard deviations from nothing, or more."""
        return abs(self.mean) > 2 * self.std


class Surface:
    """Fitted at construction.

    Args:
        features: Of n networks.
        values: (n,) what was measured of them, smaller is better.
        positive: Whether the origin is 0, as suits costs; else it lies a little below the best value, as suits errors,
            which crowd there, and what lies far beyond the median is capped.
    """

    def __init__(self, features: Features, values: Array, positive: bool = False) -> None:
        best, median = float(values.min()), float(np.median(values))
        way = (median - best) or float(np.ptp(values)) or max(abs(best), 1e-12)
        self.cap = best + _CAP * way
        """What useless networks count as; infinite for costs."""
        self._origin = best - _ORIGIN * way
        if positive and best > 0:
            self._origin, self.cap = 0.0, np.inf
        logs = np.log(np.minimum(values, self.cap) - self._origin)
        self._process = GaussianProcess(features, logs[:, None], noise=_NOISE)
        self._logs = logs

    @property
    def explained(self) -> float:
        """Which share of the variance of log(value - origin) is foretold of each network from all others, at most 1.

        0 or less where the choices say nothing.
        """
        count = len(self._logs)
        apart = (self._logs - self._logs.mean()) * count / max(1, count - 1)
        return 1 - float((self._process.leave_one_out() ** 2).sum()) / (float((apart**2).sum()) or 1.0)

    def joint(self, features: Features) -> tuple[Array, Array]:
        """Mean (m,) and covariance (m, m) of the values that trainings of m networks show."""
        logs, spread = self._process.joint(features)
        spread = spread[0] + np.diag(np.full(len(features), self._process.noise_std[0] ** 2))
        height = np.exp(logs[:, 0] + np.diag(spread) / 2)
        return self._origin + height, np.outer(height, height) * np.expm1(spread)

    def combined(self, features: Features, weights: Array) -> list[Effect]:
        """Sums of the values of m networks, each times its weight: one for each row of the weights (r, m)."""
        mean, covariance = self.joint(features)
        variance = np.einsum("ri,ij,rj->r", weights, covariance, weights, optimize=True)
        return [
            Effect(float(one), float(np.sqrt(max(0.0, other))))
            for one, other in zip(weights @ mean, variance, strict=True)
        ]
