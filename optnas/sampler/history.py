"""What a sampler reads from a study, and nothing else: so a new process proposes what the old one would have."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import moocore
import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

__all__ = ["SURVEYED", "History", "Surveyed", "read_history", "surveyed_of", "violation_of"]

Array = NDArray[np.float64]

#: The validation error after each epoch, as `optnas.objective` keeps it in a trial's user attributes.
_CURVE = "optnas:curve"
#: Networks that were measured before the first trial, as a search keeps them in the study's system attributes: nothing
#: to look at in a dashboard.
SURVEYED = "optnas:surveyed"


@dataclass(frozen=True)
class Surveyed:
    """A network that was measured, and is no trial."""

    params: Mapping[str, Any]
    costs: Mapping[str, float]
    """By name."""
    constraints: Mapping[str, float]
    """By how much it breaks each one that was measured, as those of a trial."""


@dataclass(frozen=True)
class History:
    """The trials of a study, without the one that asks. Values are turned so that smaller is better."""

    finished: Sequence[FrozenTrial]
    """Trials with values, by number."""
    losses: Array
    """(n, k) of the finished trials."""
    violations: Array
    """(n,) the sum of what they exceed their constraints by; 0 if they meet all."""
    stopped: Sequence[FrozenTrial]
    """Pruned trials with a curve."""
    last_errors: Array
    """(p,) what these would probably have reached, from their last error and the curves of the finished."""
    refused: Sequence[FrozenTrial]
    """Pruned trials without a curve that break a constraint: they were not trained."""
    pending: Sequence[Mapping[str, Any]]
    """Params of the trials in training, as far as they are known."""
    blind: int
    """Earlier trials that run and have not said what: they are proposing now, in another process."""
    failed: Sequence[Mapping[str, Any]]
    tried: Sequence[Mapping[str, Any]]
    """Params of all trials that must not be repeated: those above and pruned and failed ones."""

    @property
    def feasible(self) -> NDArray[np.bool_]:
        """(n,) whether the finished trials met all constraints."""
        return np.asarray(self.violations == 0)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Of all choices that trials with an outcome made, as the latest of them made it."""
        trials = sorted((*self.finished, *self.stopped, *self.refused), key=lambda trial: trial.number)
        return {name: distribution for trial in trials for name, distribution in trial.distributions.items()}

    def front(self) -> list[Mapping[str, Any]]:
        """Params of the feasible finished networks that no other dominates."""
        losses = self.losses[self.feasible]
        kept = moocore.is_nondominated(losses) if len(losses) > 1 else np.ones(len(losses), dtype=bool)
        return [self.finished[index].params for index in np.flatnonzero(self.feasible)[kept]]


def read_history(study: Study, number: int, plans: Mapping[int, Mapping[str, Any]]) -> History:
    """Read a study for its trial `number`.

    Args:
        plans: Params that this process has proposed and that trials may not have taken over yet.
    """
    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.number != number]
    finished = [trial for trial in trials if trial.state == TrialState.COMPLETE and _finite(trial)]
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED]
    failed = [trial.params for trial in trials if trial.state == TrialState.FAIL and trial.params]
    running = [trial for trial in trials if trial.state == TrialState.RUNNING]
    pending = [plans.get(trial.number, trial.params) for trial in running]
    # A process that died while proposing stays blind for ever: it counts until a later trial has ended.
    latest = max((trial.number for trial in trials if trial.state.is_finished()), default=-1)
    blind = sum(not params and latest < trial.number < number for trial, params in zip(running, pending, strict=True))
    signs = [-1.0 if direction == StudyDirection.MAXIMIZE else 1.0 for direction in study.directions]
    losses = np.array([trial.values for trial in finished], dtype=float).reshape(-1, len(signs)) * signs
    stopped = [trial for trial in pruned if trial.user_attrs.get(_CURVE)]
    pending = [params for params in pending if params]
    return History(
        finished,
        losses,
        np.array([violation_of(trial) for trial in finished], dtype=float),
        stopped,
        _extrapolate(stopped, finished),
        [trial for trial in pruned if not trial.user_attrs.get(_CURVE) and violation_of(trial) > 0],
        pending,
        blind,
        failed,
        [trial.params for trial in (*finished, *pruned)] + failed + pending,
    )


def surveyed_of(study: Study) -> list[Surveyed]:
    """Networks that were measured before the first trial of a study."""
    kept = study._storage.get_study_system_attrs(study._study_id).get(SURVEYED) or ()
    return [Surveyed(one["params"], one["costs"], one["constraints"]) for one in kept]


def violation_of(trial: FrozenTrial) -> float:
    """The sum of what a trial exceeds its constraints by; 0 if it meets all or has none."""
    return sum(max(0.0, violation) for violation in trial.constraints.values())


def _finite(trial: FrozenTrial) -> bool:
    return all(map(math.isfinite, trial.values))


def _extrapolate(stopped: Sequence[FrozenTrial], finished: Sequence[FrozenTrial]) -> Array:
    """The last errors, times the median factor by which finished trials still fell from that epoch on."""
    curves = [trial.user_attrs[_CURVE] for trial in finished if trial.user_attrs.get(_CURVE)]
    stumps = [trial.user_attrs[_CURVE] for trial in stopped]
    factors = {len(curve): _remaining_factor(curves, len(curve) - 1) for curve in stumps}
    return np.array([curve[-1] * factors[len(curve)] for curve in stumps], dtype=float)


def _remaining_factor(curves: Sequence[Sequence[float]], epoch: int) -> float:
    factors = [known[-1] / known[epoch] for known in curves if len(known) > epoch and known[epoch] > 0]
    return float(np.median(factors)) if factors else 1.0
