"""What only measuring tells of a network, such as its latency: learned from the trials that were measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial
from scipy.special import ndtr

from optnas.sampler.candidates import Catalogue
from optnas.sampler.encoding import Features
from optnas.sampler.history import History
from optnas.sampler.surrogate import GaussianProcess

__all__ = ["ERROR", "INFORMED", "Limits", "Partly", "broken", "foresight", "limits_of", "outcomes", "partly_known"]

Array = NDArray[np.float64]
#: Trials, and (p, k) their losses, NaN where they are not known.
Partly = tuple[Sequence[FrozenTrial], Array]

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


def limits_of(catalogue: Catalogue, history: History) -> Limits | None:
    """The limits that proposals have been beyond, if there are any."""
    measured = [*history.finished, *history.stopped, *history.refused]
    names = broken([trial.constraints for trial in measured])
    rows = catalogue.rows([trial.params for trial in measured])
    if not names or (rows >= 0).sum() < INFORMED:
        return None
    violations = [[trial.constraints.get(name, math.nan) for name in names] for trial in measured]
    return Limits(catalogue.features(rows[rows >= 0]), np.array(violations)[rows >= 0])


def partly_known(history: History, names: Sequence[str], learned: int | None, signs: Array) -> Partly:
    """Trials without values, and what is known of them: costs that were measured, and how far they learned.

    Args:
        history: The study.
        names: Of its values.
        learned: Which of them training tells; None if none of them is named so.
        signs: (k,) -1 where a value is maximised.
    """
    trials = [*history.stopped, *history.refused]
    losses = np.full((len(trials), len(signs)), np.nan)
    for row, trial in zip(losses, trials, strict=True):
        costs = trial.user_attrs.get(_COSTS, {})
        row[:] = signs * [costs.get(name, math.nan) for name in names]
    if learned is not None:
        losses[:, learned] = math.nan
        losses[: len(history.stopped), learned] = history.last_errors
    return trials, losses


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
    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.user_attrs.get(_COSTS, {}).get(cost)]
    rows = catalogue.rows([trial.params for trial in trials])
    values = [trial.user_attrs[_COSTS][cost] for trial in trials]
    used = np.flatnonzero(rows >= 0)
    if len(used) < INFORMED:
        return None
    process = GaussianProcess(catalogue.features(rows[used]), np.log(np.array(values)[used])[:, None])
    return float(np.sqrt(np.mean(np.expm1(process.leave_one_out()) ** 2)))
