"""Regularised evolution (Real et al. 2019) for several objectives, as a sampler."""

from __future__ import annotations

from collections.abc import Callable

import moocore
import numpy as np
from numpy.typing import NDArray
from optuna.study import Study
from optuna.trial import BaseTrial, FrozenTrial

from optnas.errors import UsageError
from optnas.sampler.candidates import build_of
from optnas.sampler.history import History, read_history
from optnas.sampler.planned import PlannedSampler, unseen
from optnas.sampler.seeded import derive_seed
from optnas.space import Choices, mutate, sample

__all__ = ["EvolutionSampler"]


class EvolutionSampler(PlannedSampler):
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
        super().__init__(space, seed)
        self._population, self._tournament = population, tournament

    def _plan(self, study: Study, trial: FrozenTrial) -> Choices:
        history = read_history(study, trial.number, self._plans)
        generator = np.random.default_rng(derive_seed(self._seed, trial.number))
        if len(history.finished) < self._population:
            build = self._space or build_of(history.distributions)
            child = sample(build, generator)
        else:
            parent = self._parent(history, generator)
            build = self._space or build_of(parent.distributions)
            child = mutate(build, parent.params, generator)
        return unseen(build, child, history.tried, trial.system_attrs.get("fixed_params", {}), generator)

    def _parent(self, history: History, generator: np.random.Generator) -> FrozenTrial:
        alive = np.arange(len(history.finished))[-self._population :]
        drawn = np.sort(generator.choice(alive, self._tournament, replace=False))
        feasible = drawn[history.feasible[drawn]]
        if not len(feasible):
            return history.finished[int(drawn[np.argmin(history.violations[drawn])])]
        losses = history.losses[feasible]
        best = moocore.is_nondominated(losses) if len(losses) > 1 else np.array([True])
        room = _room(history.losses[alive], losses[best])
        return history.finished[int(feasible[best][int(np.argmax(room))])]


def _room(everyone: NDArray[np.float64], members: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each member is from the nearest other value, with each objective scaled to its range: (m,)."""
    span = np.ptp(everyone, axis=0)
    scaled = (members[:, None, :] - everyone[None, :, :]) / np.where(span > 0, span, 1.0)
    distance = np.linalg.norm(scaled, axis=2)
    # A member's own entry, and those of equal values, are no neighbours.
    distance[distance == 0] = np.inf
    return np.asarray(distance.min(axis=1))
