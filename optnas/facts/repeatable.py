"""What would be seen again if networks were trained once more: their losses without the chance in them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from optnas.sampler.encoding import Features
from optnas.sampler.surrogate import GaussianProcess

__all__ = ["Repeatable"]

Array = NDArray[np.float64]


class Repeatable:
    """The repeatable losses of networks that were trained once each, given by how much chance may have moved them.

    The best of many noisy losses is lucky: the network is probably worse than it looks. Drawing every loss anew with
    its noise, the simple way, adds luck to luck. Here each loss is held against those of all other networks by a
    Gaussian process, which believes it the less the more it stands out (an empirical Bayes estimate, Efron and Morris
    1975).

    Losses crowd near the best and have a long tail, so the process sees log(loss - origin), with the origin as far
    below the best as the median is above it. The noise is carried there by its slope at what the process expects, which
    is one step of Gauss and Newton towards the mode.

    Args:
        features: Of n networks.
        losses: (n,) finite, smaller is better.
        std_of: The standard deviation of the chance in losses, in their unit.
    """

    def __init__(self, features: Features, losses: Array, std_of: Callable[[Array], Array]) -> None:
        self._features = features
        self._origin = float(losses.min()) - self.width_of(losses)
        above = losses - self._origin
        first = GaussianProcess(features, np.log(above)[:, None], noise_std=std_of(losses) / above)
        expected = np.exp(first.predict(features)[0][:, 0])
        targets = np.log(expected) + (above - expected) / expected
        self._slopes = expected
        self._process = GaussianProcess(
            features, targets[:, None], noise_std=std_of(self._origin + expected) / expected
        )

    @staticmethod
    def width_of(losses: Array) -> float:
        """How far the median of losses is above the least, or the mean, where half of them are equal; 1 if all are."""
        least = losses.min()
        return float(np.median(losses) - least) or float(losses.mean() - least) or 1.0

    def log_density(self) -> float:
        """How well each loss is foretold from all others: the sum of their log densities, in the losses' unit."""
        standard = self._process.leave_one_out_density()
        return standard - len(self._slopes) * float(np.log(self._process.scale[0])) - float(np.log(self._slopes).sum())

    def interval(self, deviations: float) -> tuple[Array, Array]:
        """(n,) each: so many standard deviations below and above what is expected of each network."""
        mean, std = (part[:, 0] for part in self._process.predict(self._features))
        low, high = (self._origin + np.exp(mean + sign * deviations * std) for sign in (-1, 1))
        return low, high

    def expected(self) -> Array:
        """(n,) the mean of each network's repeatable loss: what a person should expect of another training."""
        mean, std = (part[:, 0] for part in self._process.predict(self._features))
        return np.asarray(self._origin + np.exp(mean + std**2 / 2))

    def draw(self, rows: NDArray[np.int64], count: int, generator: np.random.Generator) -> Array:
        """(m, count) repeatable losses of m of the networks, drawn together; networks that are the same have the same.

        Args:
            rows: (m,) which ones.
            count: How many draws.
            generator: Of random numbers.
        """
        if not len(rows):
            return np.empty((0, count))
        features = self._features[rows]
        seen = np.hstack([features.choices, features.costs])
        _, firsts, same = np.unique(seen, axis=0, return_index=True, return_inverse=True)
        mean, covariance = self._process.joint(features[firsts])
        drawn = generator.multivariate_normal(mean[:, 0], covariance[0], count, check_valid="ignore", method="eigh")
        return np.asarray(self._origin + np.exp(drawn.T))[same.ravel()]
