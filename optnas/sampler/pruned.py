"""A study in which pruned trials count: for samplers that look at finished ones only."""

from __future__ import annotations

import copy
from collections.abc import Container, Sequence
from typing import Any, cast

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

__all__ = ["CountingPruned"]

_CURVE, _COSTS = "optnas:curve", "optnas:costs"


class CountingPruned(BaseSampler):
    """Shows a sampler each pruned trial as a finished one with the error that it had reached.

    NSGA-II breeds the next generation once enough trials are COMPLETE. With 70 % of them pruned a population of
    20 takes 67 trainings, and what was learnt of the pruned ones is lost. Their costs are known and their last
    error is an upper bound of what they would have reached; they were stopped because others beat them, so as
    members of the population they lose to those others, as they should, and it does not starve.

    Trials refused before training have no error and stay as they are.
    """

    def __init__(self, sampler: BaseSampler) -> None:
        self._sampler = sampler

    def reseed_rng(self) -> None:
        self._sampler.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._sampler.before_trial(_view(study), trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._sampler.infer_relative_search_space(_view(study), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._sampler.sample_relative(_view(study), trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._sampler.sample_independent(_view(study), trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self._sampler.after_trial(study, trial, state, values)


def _view(study: Study) -> Study:
    names = study.metric_names
    return cast(Study, _View(study, names)) if names and "error" in names else study


class _View:
    """A study, but for the trials that it shows."""

    def __init__(self, study: Study, names: Sequence[str]) -> None:
        self._study = study
        self._names = names

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    @property
    def trials(self) -> list[FrozenTrial]:
        return self.get_trials()

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        return self._get_trials(deepcopy, states)

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        trials = [self._shown(trial) for trial in self._study._get_trials(deepcopy=deepcopy, use_cache=use_cache)]
        return [trial for trial in trials if states is None or trial.state in states]

    def _shown(self, trial: FrozenTrial) -> FrozenTrial:
        curve = trial.user_attrs.get(_CURVE)
        if trial.state != TrialState.PRUNED or not curve:
            return trial
        known = {**trial.user_attrs.get(_COSTS, {}), "error": curve[-1]}
        if not all(name in known for name in self._names):
            return trial
        shown = copy.copy(trial)
        shown.state = TrialState.COMPLETE
        shown.values = [float(known[name]) for name in self._names]
        return shown
