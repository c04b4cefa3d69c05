"""What a finished study of another task says of networks, and whether that helps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution

from optnas.sampler.candidates import NothingToPropose, key_of
from optnas.sampler.encoding import Encoding, Features
from optnas.sampler.surrogate import GaussianProcess
from optnas.space import Choices

__all__ = ["LEAST_SHARED", "Experience", "Forecast", "helps", "silent"]

Array = NDArray[np.float64]

#: A forecast needs so many networks that both spaces have.
LEAST_SHARED = 6


def silent(text: str) -> None:
    """Says nothing; unlike a lambda it can be pickled with a sampler."""


@dataclass(frozen=True)
class Experience:
    """The networks that another study trained."""

    study: str
    """Its name."""
    networks: Sequence[Choices]
    errors: Sequence[float]
    """What each reached there: any positive loss, smaller is better."""


class Forecast:
    """The error that a network would have had in another study, from a Gaussian process on its networks.

    Only the order and the proportions matter here: how far they carry over is for the sampler's own model to
    find out.

    Args:
        experience: Of the other study.
        cost_of: The costs of a network in the space of this study, None for one that is not of it.
        distributions: Of the choices, as far as they are known.

    Raises:
        NothingToPropose: If fewer than `LEAST_SHARED` networks of the experience are of this space.
    """

    def __init__(
        self,
        experience: Experience,
        cost_of: Callable[[Choices], Array | None],
        distributions: Mapping[str, BaseDistribution],
    ) -> None:
        trained = zip(experience.networks, experience.errors, strict=True)
        # An error of 0 has no logarithm, and is the best there was: it counts as half the least other.
        least = min((error for error in experience.errors if error > 0), default=1.0) / 2
        priced = [(network, max(error, least), cost_of(network)) for network, error in trained]
        shared = [(network, error, costs) for network, error, costs in priced if costs is not None]
        if len(shared) < LEAST_SHARED:
            raise NothingToPropose(
                f"warm start: expected at least {LEAST_SHARED} trained networks of this space in study "
                f"{experience.study!r}, got {len(shared)} of {len(experience.networks)}"
            )
        self.networks = [network for network, _, _ in shared]
        """Those of the experience that are networks of this space."""
        costs = np.array([known for _, _, known in shared])
        self._encoding = Encoding(self.networks, costs, distributions)
        logs = np.log([[error] for _, error, _ in shared])
        self._process = GaussianProcess(self._encoding(self.networks, costs), logs)
        self._known: dict[object, float] = {}

    def __call__(self, network: Choices, costs: Array) -> float:
        """The error to expect of a network with these costs, in the unit of the experience."""
        key = key_of(network)
        if key not in self._known:
            mean, _ = self._process.predict(self._encoding([network], costs[None]))
            self._known[key] = float(np.exp(mean[0, 0]))
        return self._known[key]


def helps(features: Features, errors: Array) -> bool:
    """Whether the last cost of the features makes other networks' errors more likely than they are without it.

    Each network is predicted from all others, by a process fitted with and one without the cost (the logarithm of
    the pseudo-likelihood, Rasmussen & Williams 2006, section 5.4.2).

    Args:
        features: Of n finished networks.
        errors: (n,) what they reached, smaller is better.
    """
    best, median = float(errors.min()), float(np.median(errors))
    targets = np.log(errors - best + (0.5 * (median - best) or 1.0))[:, None]
    without = Features(features.choices, features.owners, features.counts, features.costs[:, :-1])
    with_it, without_it = (GaussianProcess(seen, targets).leave_one_out_density() for seen in (features, without))
    return bool(with_it >= without_it)
