"""Regularised evolution (Real et al. 2019) for several objectives, as a sampler."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import moocore
import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import BaseTrial, FrozenTrial, TrialState

from optnas.errors import UsageError
from optnas.sampler.candidates import build_of, key_of
from optnas.sampler.draw import allows, draw
from optnas.sampler.history import History, read_history
from optnas.sampler.seeded import derive_seed
from optnas.space import Choices, RandomTrial, mutate

__all__ = ["EvolutionSampler"]

#: A mutant that was tried before is mutated again, so often.
_ATTEMPTS = 64


class EvolutionSampler(BaseSampler):
    """Mutates the best of a few random members of a population from which the oldest member goes.

    The population are the `population` youngest finished trials, whoever made them: it is read from the study,
    so it survives a restart and imported trials are members. Of `tournament` members drawn at random the best
    is the parent: of those that no other of them dominates the one with most room about it, and one that meets
    the constraints before one that does not (Real et al. have one objective, where this is theirs). The child
    differs in one choice; one that a trial has had is mutated further.

    Conditional choices follow the build function if `space` is given. If not, they are those of the parent,
    and new ones are drawn at random when the objective asks for them.

    Args:
        space: Makes the choices of a network on a trial; what it returns is not used.
        population: How many trials are alive; as many random ones come first.
        tournament: How many compete to be the parent.
        seed: The study's seed.

    Raises:
        UsageError: If the population is smaller than the tournament, or the tournament than 1.
    """

    def __init__(
        self,
        space: Callable[[BaseTrial], object] | None = None,
        *,
        population: int = 20,
        tournament: int = 5,
        seed: int = 0,
    ) -> None:
        if not 1 <= tournament <= population:
            raise UsageError(
                "evolution: expected a tournament of at least 1 and a population of at least that, "
                f"got {tournament} and {population}"
            )
        self._space = space
        self._population, self._tournament, self._seed = population, tournament, seed
        self._plans: dict[int, Choices] = {}
        self._lock = threading.Lock()

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

    def _plan(self, study: Study, trial: FrozenTrial) -> Choices:
        """The child for a trial; nothing, so that all is drawn, while the population grows without a space."""
        history = read_history(study, trial.number, self._plans)
        generator = np.random.default_rng(derive_seed(self._seed, trial.number))
        tried = {key_of(params) for params in history.tried}
        growing = len(history.finished) < self._population
        if growing and self._space is None:
            return {}
        parent = None if growing else self._parent(history, generator)
        build = self._space or build_of(parent.distributions if parent else {})
        child = dict(parent.params) if parent else _sample(build, generator)
        for attempt in range(_ATTEMPTS):
            if (parent is None or attempt > 0) and key_of(child) not in tried:
                break
            child = mutate(build, child, generator)
        return child

    def _parent(self, history: History, generator: np.random.Generator) -> FrozenTrial:
        alive = np.arange(len(history.finished))[-self._population :]
        drawn = np.sort(generator.choice(alive, self._tournament, replace=False))
        feasible = drawn[history.feasible[drawn]]
        if not len(feasible):
            return min([history.finished[int(index)] for index in drawn], key=_violation)
        losses = history.losses[feasible]
        best = moocore.is_nondominated(losses) if len(losses) > 1 else np.array([True])
        room = _room(history.losses[alive], losses[best])
        return history.finished[int(feasible[best][int(np.argmax(room))])]


def _sample(build: Callable[[BaseTrial], object], generator: np.random.Generator) -> Choices:
    trial = RandomTrial(generator)
    build(trial)
    return trial.params


def _violation(trial: FrozenTrial) -> float:
    return sum(max(0.0, violation) for violation in trial.constraints.values())


def _room(everyone: NDArray[np.float64], members: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each member is from the nearest other value, with each objective scaled to its range: (m,)."""
    span = np.ptp(everyone, axis=0)
    scaled = (members[:, None, :] - everyone[None, :, :]) / np.where(span > 0, span, 1.0)
    distance = np.linalg.norm(scaled, axis=2)
    # A member's own entry, and those of equal values, are no neighbours.
    distance[distance == 0] = np.inf
    return np.asarray(distance.min(axis=1))
