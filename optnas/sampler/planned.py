"""What samplers share that plan a whole network at once: when it is planned, served and kept from repeating."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import BaseTrial, FrozenTrial, TrialState

from optnas.sampler.draw import allows, draw
from optnas.space import Choices, RandomTrial, mutate

__all__ = ["PlannedSampler", "follow", "is_repeat", "unseen"]

Build = Callable[[BaseTrial], object]

#: A network that was tried before is mutated, so often.
_ATTEMPTS = 64


class PlannedSampler(BaseSampler):
    """Plans a network when a trial asks for its first choice, and serves it choice by choice.

    A choice that the plan lacks, or whose planned value the objective does not offer, is drawn at random. A plan
    may depend on the study's seed, the trial's number and what the study holds, so that a new process makes the
    same one. Choices that were enqueued never reach a sampler; a plan has to fit them.

    Args:
        space: Makes all choices of a trial; what it returns is not used. Where it raises, the choices until then
            are the network: the trial will meet the same and say so.
        seed: The study's seed.
    """

    def __init__(self, space: Build | None, seed: int) -> None:
        self._space = None if space is None else partial(_choices, space)
        self._seed = seed
        #: By trial number, of the trials of this process that have not ended.
        self._plans: dict[int, Choices] = {}
        # Threads of one study must see each other's plans.
        self._lock = threading.Lock()

    @abstractmethod
    def _plan(self, study: Study, trial: FrozenTrial) -> Choices:
        """The network for a trial; called once, under the lock, and kept until the trial ends."""

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def reseed_rng(self) -> None:
        """Nothing to do: parallel workers hold trials of different numbers."""

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Nothing: a conditional choice cannot be promised; `sample_independent` serves the plan."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        plan = self._planned(study, trial)
        if param_name in plan and allows(param_distribution, plan[param_name]):
            return plan[param_name]
        return draw(self._seed, study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self._plans.pop(trial.number, None)

    def _planned(self, study: Study, trial: FrozenTrial) -> Choices:
        with self._lock:
            if trial.number not in self._plans:
                self._plans[trial.number] = self._plan(study, trial)
            return self._plans[trial.number]


def _choices(space: Build, trial: BaseTrial) -> None:
    with suppress(Exception):
        space(trial)


def follow(build: Build, params: Mapping[str, Any], generator: np.random.Generator) -> Choices:
    """The network that takes these params where the build function asks for them, and draws the others."""
    trial = RandomTrial(generator, params)
    build(trial)
    return trial.params


def is_repeat(network: Mapping[str, Any], tried: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a trial with these choices would be one of those tried.

    It is if it agrees with one in all that that one was asked: the same answers lead to the same questions. So
    choices of branches that a network does not take may be among its own.
    """
    absent = object()
    return any(params and all(network.get(name, absent) == value for name, value in params.items()) for params in tried)


def unseen(
    build: Build,
    network: Mapping[str, Any],
    tried: Sequence[Mapping[str, Any]],
    fixed: Mapping[str, Any],
    generator: np.random.Generator,
) -> Choices:
    """The network with the choices that are fixed, mutated in the others until it is none of those tried.

    After 64 mutations it is left as it is: little or nothing is untried.
    """
    network = follow(build, {**network, **fixed}, generator) if fixed else dict(network)
    for _ in range(_ATTEMPTS):
        if network.keys() <= fixed.keys() or not is_repeat(network, tried):
            break
        network = mutate(build, network, generator)
        if fixed:
            network = follow(build, {**network, **fixed}, generator)
    return network
