"""Pruning in an objective that a person wrote for plain Optuna, with as many objectives as they like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf, isfinite
from typing import Any

from optuna import Study, Trial, TrialPruned
from optuna.trial import FrozenTrial, TrialState

from optnas.prune.base import Finished, Pruner, Stopper, kept_error

__all__ = ["Reporter", "finished_trials", "plain_bounds", "reporter"]

_COSTS, _CURVE, _REASON, _EPOCH, _BOUND, _BOUNDS = (
    f"optnas:{name}" for name in ("costs", "curve", "reason", "pruned_epoch", "pruned_bound", "bounds")
)


class Reporter:
    """Hears the error of one trial after each epoch, and ends the trial when it is not worth another."""

    def __init__(self, trial: Trial, stopper: Stopper) -> None:
        self._trial = trial
        self._stopper = stopper
        self._curve: list[float] = []

    def __call__(self, epoch: int, error: float) -> None:
        """Keep the error after an epoch, counted from 1.

        Raises:
            optuna.TrialPruned: With the epoch, the error and the bound in its message. So too if the error is
                not finite; that one is not kept, since JSON has no name for it.
        """
        reason = self._stopper(epoch, float(error))
        self._curve.append(kept_error(error))
        finite = [value for value in self._curve if abs(value) < float("inf")]
        # A user attribute: intermediate values in a study of several objectives make Optuna's TPE fail.
        self._trial.set_user_attr(_CURVE, finite)
        if reason is None:
            return
        self._trial.set_user_attr(_REASON, reason)
        self._trial.set_user_attr(_EPOCH, epoch)
        if len(finite) == len(self._curve):
            self._trial.set_user_attr(_BOUND, self._stopper.bound(epoch))
        raise TrialPruned(reason)


def reporter(trial: Trial, pruner: Pruner, costs: Mapping[str, float]) -> Reporter:
    """What to call after each epoch: `report = reporter(trial, pruner, costs)`, then `report(epoch, error)`.

    The pruner sees the other trials of the study as they are now, once; an epoch costs a comparison. Costs
    and curve are kept in the trial's user attributes.

    Args:
        trial: A trial of a study with any number of objectives.
        pruner: One from `optnas.prune`.
        costs: What is known of the network before its first epoch, by name; smaller is better.

    Raises:
        UsageError: What the pruner raises.
    """
    trial.set_user_attr(_COSTS, {name: float(value) for name, value in costs.items()})
    thresholds = pruner.thresholds(costs, finished_trials(trial.study))
    bounds = plain_bounds(thresholds)
    if bounds:
        trial.set_user_attr(_BOUNDS, bounds)
    return Reporter(trial, Stopper(thresholds))


def plain_bounds(thresholds: Iterable[float]) -> list[float | None]:
    """Thresholds as a trial keeps them: None where they stop nothing; empty if they never do."""
    bounds = [float(bound) if isfinite(bound) else None for bound in thresholds]
    return bounds if any(bound is not None for bound in bounds) else []


def read_bounds(bounds: Iterable[float | None]) -> tuple[float, ...]:
    """The thresholds that `plain_bounds` made plain."""
    return tuple(inf if bound is None else bound for bound in bounds)


def finished_trials(study: Study, known: dict[int, Finished] | None = None) -> list[Finished]:
    """The trials of a study that left a curve, in the order of their numbers, complete and pruned ones.

    A trial that has a constraint above 0 is not feasible. Trials that optnas has not seen train are left out.

    Args:
        study: Any study.
        known: What earlier calls found for the same study, by trial number; what is new is added. An ended
            trial does not change, and a pruner keeps in it what it has worked out.
    """
    known = {} if known is None else known
    finished = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)):
        if trial.user_attrs.get(_CURVE):
            if trial.number not in known:
                known[trial.number] = _finished(trial)
            finished.append(known[trial.number])
    return finished


def _finished(trial: FrozenTrial) -> Finished:
    attributes: Mapping[str, Any] = trial.user_attrs
    return Finished(
        costs=attributes.get(_COSTS, {}),
        curve=tuple(attributes[_CURVE]),
        complete=trial.state == TrialState.COMPLETE,
        feasible=all(violation <= 0 for violation in trial.constraints.values()),
    )
