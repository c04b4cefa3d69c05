"""What only measuring tells of a network, such as its latency: learned from the trials that were measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial
from scipy.special import ndtr

from optnas.sampler.candidates import Catalogue
from optnas.sampler.encoding import Features
from optnas.sampler.history import History, Surveyed, surveyed_of
from optnas.sampler.surrogate import GaussianProcess

__all__ = ["ERROR", "INFORMED", "Limits", "Partly", "broken", "foresight", "limits_of", "outcomes", "partly_known"]

Array = NDArray[np.float64]
#: The params of p networks, and (p, k) their losses, NaN where they are not known.
Partly = tuple[Sequence[Mapping[str, Any]], Array]

#: What training learns and what it costs, as `optnas.objective` names and keeps them.
ERROR, _COSTS = "error", "optnas:costs"
#: Trials that a model needs.
INFORMED = 4


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


def limits_of(catalogue: Catalogue, history: History, surveyed: Sequence[Surveyed] = ()) -> Limits | None:
    """The limits that proposals have been beyond, if there are any."""
    measured: list[FrozenTrial | Surveyed] = [*history.finished, *history.stopped, *history.refused, *surveyed]
    names = broken([trial.constraints for trial in measured])
    rows = catalogue.rows([trial.params for trial in measured])
    if not names or (rows >= 0).sum() < INFORMED:
        return None
    violations = [[trial.constraints.get(name, math.nan) for name in names] for trial in measured]
    return Limits(catalogue.features(rows[rows >= 0]), np.array(violations)[rows >= 0])


def partly_known(
    history: History, names: Sequence[str], learned: int | None, signs: Array, surveyed: Sequence[Surveyed] = ()
) -> Partly:
    """Networks without values, and what is known of them: costs that were measured, and how far they learned.

    Those of pruned trials come first, then those of refused ones, then the ones that were measured before.

    Args:
        history: The study.
        names: Of its values.
        learned: Which of them training tells; None if none of them is named so.
        signs: (k,) -1 where a value is maximised.
        surveyed: The ones that were measured before.
    """
    measured: list[FrozenTrial | Surveyed] = [*history.stopped, *history.refused, *surveyed]
    known = [_costs_of(one) for one in measured]
    losses = np.full((len(known), len(signs)), np.nan)
    for row, (_, costs) in zip(losses, known, strict=True):
        row[:] = signs * [costs.get(name, math.nan) for name in names]
    if learned is not None:
        losses[:, learned] = math.nan
        losses[: len(history.stopped), learned] = history.last_errors
    return [params for params, _ in known], losses


def outcomes(history: History, study: Study, names: Sequence[str]) -> list[tuple[FrozenTrial, Array]]:
    """Trials that tell how good a network is, with their losses (k,), smaller is better.

    Finished ones have their own; pruned ones, if they left their curve and the costs that are objectives, those that
    they would probably have reached; refused ones NaN. In that order, each kind by number.

    Args:
        history: The study's.
        study: For its directions.
        names: Of its values; without names pruned trials are left out.
    """
    signs = np.array([-1.0 if direction == StudyDirection.MAXIMIZE else 1.0 for direction in study.directions])
    rows = list(zip(history.finished, history.losses, strict=True))
    if names:
        _, losses = partly_known(history, names, names.index(ERROR) if ERROR in names else None, signs)
        # The stopped ones come first.
        rows += [(trial, row) for trial, row in zip(history.stopped, losses, strict=False) if np.isfinite(row).all()]
    return rows + [(trial, np.full(len(signs), np.nan)) for trial in history.refused]


def foresight(catalogue: Catalogue, study: Study, cost: str) -> float | None:
    """How well a cost is predicted for a network that is not measured; see `CostAwareSampler.foresight`."""
    measured: list[FrozenTrial | Surveyed] = [*study.get_trials(deepcopy=False), *surveyed_of(study)]
    known = [(params, costs) for params, costs in map(_costs_of, measured) if costs.get(cost)]
    rows = catalogue.rows([params for params, _ in known])
    values = [costs[cost] for _, costs in known]
    used = np.flatnonzero(rows >= 0)
    if len(used) < INFORMED:
        return None
    process = GaussianProcess(catalogue.features(rows[used]), np.log(np.array(values)[used])[:, None])
    return float(np.sqrt(np.mean(np.expm1(process.leave_one_out()) ** 2)))


def _costs_of(one: FrozenTrial | Surveyed) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    return one.params, one.costs if isinstance(one, Surveyed) else one.user_attrs.get(_COSTS, {})
