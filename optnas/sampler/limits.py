"""Constraints on what only measuring tells, such as a latency: learned from the trials that were measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from optnas.sampler.encoding import Features
from optnas.sampler.surrogate import GaussianProcess

__all__ = ["Limits", "broken"]

Array = NDArray[np.float64]


def broken(constraints: Sequence[Mapping[str, float]]) -> list[str]:
    """The constraints that some trial broke: those that are worth a model, by name.

    A constraint on a cost that is known beforehand is never broken by what is proposed.
    """
    return sorted({name for one in constraints for name, violation in one.items() if violation > 0})


class Limits:
    """How likely networks are to meet constraints (Gardner et al. 2014, "Bayesian optimization with inequality
    constraints"): a Gaussian process for each, on the logarithm of 1 + violation, and independent of each other.

    Args:
        features: Of n networks that were measured.
        violations: (n, q) by how much each breaks q constraints, as Optuna stores it: 0 or less meets one. NaN
            where a constraint was not measured.
    """

    def __init__(self, features: Features, violations: Array) -> None:
        self._processes = []
        for column in violations.T:
            known = np.flatnonzero(np.isfinite(column))
            logs = np.sign(column[known]) * np.log1p(np.abs(column[known]))
            self._processes.append(GaussianProcess(features[known], logs[:, None]))

    def chance(self, features: Features) -> Array:
        """(m,) the probability of each network to meet all of them."""
        chance = np.ones(len(features))
        for process in self._processes:
            mean, std = process.predict(features)
            chance *= ndtr(-mean[:, 0] / np.hypot(std[:, 0], process.noise_std[0]))
        return chance
