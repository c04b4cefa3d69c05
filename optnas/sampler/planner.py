"""The steps of one proposal: open the catalogue, read the history, spread or judge, climb."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.study import Study, StudyDirection
from optuna.trial import BaseTrial, FrozenTrial

from optnas.errors import UsageError
from optnas.sampler.candidates import Array, Catalogue, Explorer, Key, Rows, key_of
from optnas.sampler.history import History, read_history
from optnas.sampler.judge import Judge
from optnas.sampler.seeded import derive_seed
from optnas.space import Choices

__all__ = ["CostOf", "Excess", "NothingToPropose", "Planner"]

CostOf = Callable[[Choices], Mapping[str, float] | None]
Excess = Callable[[Mapping[str, float]], float]

#: Where limits are tight, mutants of the networks nearest to them follow until so many meet them ...
_ENOUGH = 64
#: ... or so often ...
_APPROACHES = 24
#: ... of so many networks, so many more of each.
_NEAREST, _STEPS = 16, 8
#: Random networks are drawn from a stream of numbers; those up to here are for other uses.
_STREAMS = 16
#: Rounds of climbing, the candidates it starts from, and the mutants of each.
_ROUNDS, _STARTS, _MUTANTS = 2, 4, 12
#: Finished trials that the model needs.
_INFORMED = 4


class NothingToPropose(UsageError):
    """No network of the space can be proposed."""


class Planner:
    """Plans networks for the trials of one study. Its fields and errors are those of `CostAwareSampler`.

    Args:
        space: A build function, or the params of all networks.
        names: Of the study's values.
    """

    def __init__(
        self,
        cost_of: CostOf,
        space: Callable[[BaseTrial], object] | Sequence[Choices],
        names: Sequence[str],
        excess: Excess | None,
        seed: int,
        startup: int,
        candidates: int,
    ) -> None:
        self._cost_of, self._excess = cost_of, excess
        self._seed, self._startup, self._candidates = seed, startup, candidates
        self._explorer = Explorer(space, seed) if callable(space) else None
        first = list(space) if not callable(space) else self._draw(candidates // 2)
        self._cost_names = self._name_costs(first, names)
        self._known = {names.index(name): i for i, name in enumerate(self._cost_names) if name in names}
        self._catalogue = self._open(first)

    def plan(self, study: Study, trial: FrozenTrial, plans: Mapping[int, Choices]) -> Choices:
        """The network for a trial; `plans` are those of trials that run in this process."""
        history = read_history(study, trial.number, plans)
        seed = derive_seed(self._seed, trial.number)
        rows = self._fresh(self._pool(history, seed), history, trial)
        if not len(rows):
            return self._last_resort(history, trial, seed)
        if len(history.tried) < self._startup or len(history.losses) < min(self._startup, _INFORMED):
            return self._catalogue.networks[self._spread(rows, history, seed)]
        signs = np.array([-1.0 if d == StudyDirection.MAXIMIZE else 1.0 for d in study.directions])
        judge = Judge(self._catalogue, history, self._known, signs, self._startup)
        best = judge.best(rows)
        for _ in range(_ROUNDS if self._explorer else 0):
            # In a large space there are better ones beside the best that were drawn.
            near = [child for row in best[:_STARTS] for child in self._mutants(self._catalogue.networks[row], _MUTANTS)]
            best = judge.best(np.union1d(best, self._fresh(near, history, trial)))
        return self._catalogue.networks[judge.choose(best)]

    def _fresh(self, networks: Sequence[Choices], history: History, trial: FrozenTrial) -> Rows:
        """The rows of networks that are within the limits, were not tried and agree with enqueued params."""
        catalogue = self._catalogue
        tried = {catalogue.key(params) for params in history.tried}
        fixed = trial.system_attrs.get("fixed_params", {})
        rows = np.unique(catalogue.rows(networks))
        rows = rows[rows >= 0]
        rows = rows[catalogue.allowed(rows)]
        kept = [
            row
            for row in rows
            if key_of(catalogue.networks[row]) not in tried and _agrees(catalogue.networks[row], fixed)
        ]
        return np.array(kept, dtype=np.int64)

    def _pool(self, history: History, seed: int) -> list[Choices]:
        """Networks to compare: the first ones, mutants of the front's members and their crosses."""
        if self._explorer is not None and self._catalogue.trim():
            self._explorer.forget()
        first = self._catalogue.networks[: len(self._catalogue.first)]
        if self._explorer is None or not len(history.losses):
            return first
        parents = [self._catalogue.networks[row] for row in self._catalogue.rows(history.front()) if row >= 0]
        each = min(16, max(4, self._candidates // (3 * max(1, len(parents)))))
        mutants = [child for parent in parents for child in self._mutants(parent, each)]
        return first + mutants + self._explorer.crosses(parents, self._candidates // 8, seed)

    def _spread(self, rows: Rows, history: History, seed: int) -> int:
        """A random candidate from the part of the costs' range whose turn it is.

        Candidates are ranked by their mean rank over the costs and cut into as many equal parts as there are
        first trainings; the study's seed shuffles the turns.
        """
        costs = self._catalogue.costs(rows)
        ranks = costs.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable").sum(axis=1)
        parts = np.array_split(np.argsort(ranks, kind="stable"), min(self._startup, len(rows)))
        turns = np.random.default_rng([self._seed, 4]).permutation(len(parts))
        part = parts[turns[(len(history.tried) + history.blind) % len(parts)]]
        return int(rows[np.random.default_rng(seed).choice(part)])

    def _last_resort(self, history: History, trial: FrozenTrial, seed: int) -> Choices:
        """A network where the usual candidates are exhausted: a new draw, one that failed, or a repeat."""
        catalogue, generator = self._catalogue, np.random.default_rng(seed)
        if self._explorer is not None and self._explorer.everything is None:
            draws = self._explorer.draws(4 * self._candidates, _STREAMS + trial.number)
            rows = self._fresh(draws, history, trial)
            if len(rows):
                return catalogue.networks[int(generator.choice(rows))]
        allowed = catalogue.first[catalogue.allowed(catalogue.first)]
        if not len(allowed):
            raise NothingToPropose(
                f"cost-aware sampler: expected networks within the limits, got none of {len(catalogue.first)} "
                "that were looked at"
            )
        failed = {catalogue.key(params) for params in history.failed}
        again = [row for row in allowed if key_of(catalogue.networks[row]) in failed]
        return catalogue.networks[int(generator.choice(again or allowed))]

    def _open(self, first: list[Choices]) -> Catalogue:
        distributions = self._explorer.distributions if self._explorer else {}
        if self._excess is not None and self._explorer is not None and self._explorer.everything is None:
            first = self._approach(first, self._excess)
        return Catalogue(first, self._price, len(self._cost_names), distributions)

    def _approach(self, first: list[Choices], excess: Excess) -> list[Choices]:
        """The first networks, and mutants of those nearest to the limits while few are within."""
        beyond: dict[Key, float] = {}
        networks: dict[Key, Choices] = {}
        steps: Counter[Key] = Counter()
        added = first
        for _ in range(_APPROACHES):
            for network in added:
                if key_of(network) not in networks:
                    costs = self._cost_of(network)
                    networks[key_of(network)] = network
                    beyond[key_of(network)] = math.inf if costs is None else excess(costs)
            nearest = sorted(beyond, key=beyond.__getitem__)
            if len(nearest) >= _ENOUGH and beyond[nearest[_ENOUGH - 1]] <= 0:
                break
            steps.update(nearest[:_NEAREST])
            added = [child for key in nearest[:_NEAREST] for child in self._mutants(networks[key], _STEPS * steps[key])]
        return list(networks.values())

    def _draw(self, count: int) -> list[Choices]:
        return self._explorer.draws(count) if self._explorer else []

    def _mutants(self, network: Choices, count: int) -> list[Choices]:
        return self._explorer.children(network, count) if self._explorer else []

    def _name_costs(self, networks: Sequence[Choices], names: Sequence[str]) -> tuple[str, ...]:
        costs = next((costs for network in networks if (costs := self._cost_of(network)) is not None), {})
        shown = ", ".join(names)
        if costs and len(names) > 1 and not set(costs) & set(names):
            raise UsageError(
                f"cost-aware sampler: expected costs among the objectives {shown}, got {', '.join(costs)}; "
                "name the study's values with `objectives` or `set_metric_names`"
            )
        if set(costs) >= set(names):
            raise UsageError(
                f"cost-aware sampler: expected an objective that only training tells, got costs for all of {shown}"
            )
        return tuple(costs)

    def _price(self, network: Choices) -> tuple[Array, bool] | None:
        costs = self._cost_of(network)
        if costs is None:
            return None
        values = np.array([costs[name] for name in self._cost_names], dtype=float)
        return values, self._excess is None or self._excess(costs) <= 0


def _agrees(network: Choices, fixed: Mapping[str, Any]) -> bool:
    return all(network.get(name, value) == value for name, value in fixed.items())
