"""The trained networks of a study as a model of the chance in their results sees them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray
from optuna import Study
from optuna.study import StudyDirection

from optnas.cost import COSTS
from optnas.errors import UsageError
from optnas.facts.noise import Noise, latency_noise, training_noise
from optnas.facts.repeatable import Repeatable
from optnas.front import Network, networks, objective_names
from optnas.sampler.encoding import Encoding, Features

__all__ = ["LATENCY", "Trained", "latency_noise_of", "learned_of", "read_trained"]

Array = NDArray[np.float64]

LATENCY = "latency_ms"
#: Networks that a model needs.
_LEAST = 4
#: It sees at most so many, the time being cubic in them ...
_MODELLED = 2000
#: ... of which so many are those that the fewest others beat.
_NEAREST = 500


@dataclass(frozen=True)
class Trained:
    """n trained networks; values are turned so that smaller is better."""

    trials: NDArray[np.int64]
    """(n,) their numbers."""
    learned: str
    """The name of the objective that training tells."""
    sign: float
    """-1 if that objective is maximised, else 1."""
    errors: Array
    """(n,) of that objective."""
    costs: Array
    """(n, k) of the others."""
    cost_noise: Array
    """(n, k) their standard errors, as shares; 0 for exact ones."""
    noise: Noise
    """The chance in one training."""
    model: Repeatable
    """What is repeatable of the errors."""


def read_trained(study: Study, counted: Collection[int], std: float | None = None) -> Trained:
    """All trained networks with finite values, feasible or not: each tells something of the others.

    Args:
        study: With one objective that training tells, "error" or the only one that is not in `optnas.cost.COSTS`.
        counted: Trials that the question is about. Of more networks than the model can see, those that the fewest of
            these beat are kept, and of the others every second, third and so on: to leave out all bad ones would
            make the noise look small.
        std: See `optnas.facts.noise.training_noise`.

    Raises:
        UsageError: If the study has not one objective of that kind, or too few trained networks.
    """
    names = objective_names(study)
    learned = learned_of(names)
    found = [network for network in networks(study) if all(map(isfinite, network.values.values()))]
    if len(found) < _LEAST:
        raise UsageError(f"certainty: expected at least {_LEAST} trained networks, got {len(found)}")
    signs = np.array([-1.0 if direction == StudyDirection.MAXIMIZE else 1.0 for direction in study.directions])
    losses = np.array([list(network.values.values()) for network in found]) * signs
    if len(found) > _MODELLED:
        rivals = losses[[network.trial in counted for network in found]]
        order = np.argsort([np.all(rivals <= loss, axis=1).sum() for loss in losses], kind="stable")
        others = np.sort(order[_NEAREST:])
        kept = np.sort([*order[:_NEAREST], *others[:: -(-len(others) // (_MODELLED - _NEAREST))]])
        found, losses = [found[row] for row in kept], losses[kept]
    column = names.index(learned)
    errors, costs = losses[:, column], [name for name in names if name != learned]
    chance = [latency_noise_of(found) if name == LATENCY else np.zeros(len(found)) for name in costs]
    features = _features(study, found)
    noise = training_noise(study, learned, features, errors, std)
    return Trained(
        np.array([network.trial for network in found]),
        learned,
        float(signs[column]),
        errors,
        np.delete(losses, column, axis=1),
        np.array(chance).reshape(len(costs), len(found)).T,
        noise,
        Repeatable(features, errors, noise.std),
    )


def latency_noise_of(found: Sequence[Network]) -> Array:
    """(n,) the standard error of each network's latency as a share of it, by the spread that its measurement left."""
    latency, spread = (
        np.array([network.costs.get(name, np.nan) for network in found]) for name in (LATENCY, "latency_spread_ms")
    )
    return latency_noise(latency, spread)


def learned_of(names: Sequence[str]) -> str:
    """Which of the objectives training tells.

    Raises:
        UsageError: If not just one of them is no cost.
    """
    unknown = [name for name in names if name not in COSTS]
    if len(unknown) != 1:
        raise UsageError(
            f"certainty: expected one objective that training tells beside costs such as macs, got {', '.join(names)}"
        )
    return unknown[0]


def _features(study: Study, found: Sequence[Network]) -> Features:
    """By the choices, and by the costs that are known of all."""
    trials = study.get_trials(deepcopy=False)
    distributions = {name: one for network in found for name, one in trials[network.trial].distributions.items()}
    known = [name for name in COSTS if all(isfinite(network.costs.get(name, np.nan)) for network in found)]
    costs = np.array([[network.costs[name] for name in known] for network in found]).reshape(len(found), len(known))
    choices = [network.choices for network in found]
    return Encoding(choices, costs, distributions)(choices, costs)
