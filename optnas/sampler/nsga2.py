"""NSGA-II (Deb et al. 2002) as a sampler for networks: any trial can be a parent, and no network comes twice."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import moocore
import numpy as np
from numpy.typing import NDArray
from optuna.study import Study
from optuna.trial import BaseTrial, FrozenTrial

from optnas.errors import UsageError
from optnas.sampler.candidates import build_of
from optnas.sampler.history import History, read_history, violation_of
from optnas.sampler.measured import outcomes
from optnas.sampler.planned import PlannedSampler, unseen
from optnas.sampler.seeded import derive_seed
from optnas.space import Choices, crossover, mutate, sample

__all__ = ["NSGA2Sampler", "crowding_distance", "sparse_first", "survivors"]

Array = NDArray[np.float64]
Indexes = NDArray[np.int64]

#: How often a child has two parents (Deb et al. 2002, section IV).
_CROSSOVER = 0.9


class NSGA2Sampler(PlannedSampler):
    """NSGA-II (Deb et al. 2002, doi:10.1109/4235.996017), one child at a time.

    The population are the best `population` of all trials so far, whoever made them: by non-dominated sorting,
    then by crowding distance; those that break constraints come last, by how much. It is read from the study, so
    it survives a restart and imported trials are members. Two parents win a tournament of two each; the child
    takes each choice from one of them and changes one choice on average. One that a trial has had, a failed or
    running one too, is mutated further.

    It is steady-state: every child sees all trials that ended before it, so no worker waits for a generation.

    Pruned trials are members too, if they left their curve and the costs that are objectives: with the error that
    they would probably have reached. So are trials refused for breaking a constraint, which lead to those that
    break it less while no other is there.

    Args:
        space: Makes all choices of a trial; what it returns is not used. Conditional choices of a child then
            follow its parents. If not given, they are those that its parents recorded.
        population: How many trials can be parents; as many random ones come first.
        objectives: The names of the study's values, of which "error" is what training tells, if the study has
            no metric names; without names pruned trials are not members.
        seed: The study's seed.

    Raises:
        UsageError: If the population is smaller than 2.
    """

    def __init__(
        self,
        space: Callable[[BaseTrial], object] | None = None,
        *,
        population: int = 20,
        objectives: Sequence[str] | None = None,
        seed: int = 0,
    ) -> None:
        if population < 2:
            raise UsageError(f"nsga2: expected a population of at least 2, got {population}")
        super().__init__(space, seed)
        self._population, self._objectives = population, objectives

    def _plan(self, study: Study, trial: FrozenTrial) -> Choices:
        history = read_history(study, trial.number, self._plans)
        generator = np.random.default_rng(derive_seed(self._seed, trial.number))
        everyone = _members(history, study, self._objectives or study.metric_names or ())
        if len(everyone.trials) < self._population:
            build = self._space or build_of(history.distributions)
            child = sample(build, generator)
        else:
            best = survivors(everyone.losses, everyone.violations, self._population)
            mother, father = (everyone.trials[best[place]] for place in _pair(len(best), generator))
            build = self._space or build_of({**father.distributions, **mother.distributions})
            child = dict(mother.params)
            if generator.random() < _CROSSOVER:
                child = crossover(build, child, father.params, generator)
            changes = int(generator.binomial(len(child), 1 / max(1, len(child))))
            if changes:
                child = mutate(build, child, generator, changes)
        return unseen(build, child, history.tried, trial.system_attrs.get("fixed_params", {}), generator)


@dataclass(frozen=True)
class _Members:
    """Trials that can be parents, by number."""

    trials: Sequence[FrozenTrial]
    losses: Array
    """(m, k), smaller is better; NaN in those that were refused."""
    violations: Array
    """(m,)"""


def _members(history: History, study: Study, names: Sequence[str]) -> _Members:
    rows = outcomes(history, study, names)
    trials = [trial for trial, _ in rows]
    # The finished ones come first, and their violations are known.
    others = [violation_of(trial) for trial in trials[len(history.finished) :]]
    order = sorted(range(len(rows)), key=lambda place: trials[place].number)
    return _Members(
        [trials[place] for place in order],
        np.array([losses for _, losses in rows]).reshape(-1, len(study.directions))[order],
        np.concatenate([history.violations, others])[order],
    )


def survivors(losses: Array, violations: Array, size: int) -> Indexes:
    """The best `size` of m members, the best first.

    Feasible ones come before those with violations, which come by their sum. Feasible ones come by rank in
    non-dominated sorting; those of a rank are removed one by one, each time the one in the densest place, and
    come in the opposite order. (Deb et al. 2002 compute the distances once, which leaves gaps where neighbours go
    together: Kukkonen & Deb 2006, doi:10.1109/CEC.2006.1688440.)

    Args:
        losses: (m, k), smaller is better; not read where a constraint is broken.
        violations: (m,), 0 for those that meet all constraints.
        size: How many are wanted; there may be fewer.
    """
    feasible = np.flatnonzero(violations == 0)
    ranks = moocore.pareto_rank(losses[feasible])
    order: list[int] = []
    for rank in range(int(ranks.max(initial=-1)) + 1):
        if len(order) < size:
            order += sparse_first(losses, list(feasible[ranks == rank]))
    broken = np.flatnonzero(violations > 0)
    order += list(broken[np.argsort(violations[broken], kind="stable")])
    return np.array(order[:size], dtype=np.int64)


def crowding_distance(losses: Array) -> Array:
    """The crowding distance of Deb et al. 2002 of m members of one rank, (m,): inf at the ends of an objective."""
    distance = np.zeros(len(losses))
    for column in losses.T:
        order = np.argsort(column, kind="stable")
        span = column[order[-1]] - column[order[0]]
        distance[order[[0, -1]]] = np.inf
        if span > 0:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
    return distance


def sparse_first(losses: Array, members: list[int]) -> list[int]:
    """Members of one rank, those that are removed last first.

    Who is removed changes the distances of its neighbours only, so they are kept in a heap: a front of thousands
    takes milliseconds for each of many workers.
    """
    values = losses[members]
    distances: list[float] = crowding_distance(values).tolist()
    chains = [_Chain(column) for column in values.T]
    heap = [(distance, place) for place, distance in enumerate(distances) if math.isfinite(distance)]
    heapq.heapify(heap)
    removed: list[int] = []
    gone = [False] * len(members)
    while heap:
        distance, place = heapq.heappop(heap)
        if gone[place] or distance != distances[place]:
            continue
        gone[place] = True
        removed.append(place)
        for one in {neighbour for chain in chains for neighbour in chain.remove(place)}:
            if math.isfinite(distances[one]):
                distances[one] = sum(chain.room(one) for chain in chains)
                heapq.heappush(heap, (distances[one], one))
    # The ends of the objectives are left.
    rest = [place for place in range(len(members)) if not gone[place]]
    while rest:
        removed.append(rest.pop(int(np.argmin(crowding_distance(values[rest])))))
    return [members[place] for place in removed[::-1]]


class _Chain:
    """Members in the order of one objective, from which some are removed, but not the first or the last."""

    def __init__(self, values: Array) -> None:
        order = np.argsort(values, kind="stable").tolist()
        # Plain lists: single numbers of an array are slow to reach.
        self._values: list[float] = values.tolist()
        self._span = self._values[order[-1]] - self._values[order[0]]
        self._before, self._after = [0] * len(order), [0] * len(order)
        for one, other in pairwise(order):
            self._after[one], self._before[other] = other, one

    def remove(self, place: int) -> tuple[int, int]:
        """Returns the neighbours that it had."""
        before, after = self._before[place], self._after[place]
        self._after[before], self._before[after] = after, before
        return before, after

    def room(self, place: int) -> float:
        """What the objective adds to the crowding distance of a member that is not at an end."""
        if self._span == 0:
            return 0.0
        room: float = (self._values[self._after[place]] - self._values[self._before[place]]) / self._span
        return room


def _pair(size: int, generator: np.random.Generator) -> tuple[int, int]:
    """The places of two different members of a population in which the best has place 0."""
    places = np.arange(size)
    mother = _winner(places, generator)
    return mother, _winner(np.delete(places, mother), generator)


def _winner(places: Indexes, generator: np.random.Generator) -> int:
    return int(generator.choice(places, min(2, len(places)), replace=False).min())
