"""The steps of one proposal: open the catalogue, read the history, spread or judge, climb."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.study import Study, StudyDirection
from optuna.trial import BaseTrial, FrozenTrial

from optnas.sampler.candidates import Array, Catalogue, Explorer, Key, NothingToPropose, Rows, key_of
from optnas.sampler.history import History, Surveyed, read_history, surveyed_of
from optnas.sampler.judge import Judge
from optnas.sampler.measured import ERROR, INFORMED, foresight, limits_of, partly_known
from optnas.sampler.seeded import derive_seed
from optnas.sampler.warm import Experience, Forecast, helps, silent
from optnas.space import Choices

__all__ = ["CostOf", "Excess", "Planner"]

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
_TURNS, _SPREAD = 4, 5
#: Rounds of climbing, the candidates it starts from, and the mutants of each.
_ROUNDS, _STARTS, _MUTANTS = 2, 4, 12
#: Networks with this chance to be within limits that only measuring tells are good enough to begin with.
_LIKELY = 0.5


#: A forecast is compared with none first after so many trainings.
_EXAMINED_FIRST = 10


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
        experience: Experience | None = None,
        say: Callable[[str], None] = silent,
    ) -> None:
        self._cost_of, self._excess = cost_of, excess
        self._seed, self._startup, self._candidates = seed, startup, candidates
        self._explorer = Explorer(space, seed) if callable(space) else None
        self._distributions = self._explorer.distributions if self._explorer else {}
        first = list(space) if not callable(space) else self._draw(candidates // 2)
        self._cost_names = self._name_costs(first, names)
        self._names = names
        self.known = {names.index(name): i for i, name in enumerate(self._cost_names) if name in names}
        """Column of the study's values to column of the costs, for those that are known beforehand."""
        self._forecast = None if experience is None else Forecast(experience, self._costs, self._distributions)
        self._experience, self._say = experience, say
        self._examined = 0
        #: The costs of networks that were priced on the way to the limits, until the catalogue has them.
        self._approached: dict[Key, Mapping[str, float] | None] = {}
        self._catalogue = self._open(first)
        #: What the study knows since before its first trial, once it was read.
        self._surveyed: list[Surveyed] | None = None
        self.judge: Judge | None = None
        """The one that chose the last plan; None where none was needed."""

    def plan(self, study: Study, trial: FrozenTrial, plans: Mapping[int, Choices]) -> Choices:
        """The network for a trial; `plans` are those of trials that run in this process."""
        history = read_history(study, trial.number, plans)
        self._examine(history)
        self.judge = None
        seed = derive_seed(self._seed, trial.number)
        rows = self._fresh(self._pool(history, seed), history, trial)
        if not len(rows):
            return self._last_resort(history, trial, seed)
        if self._surveyed is None:
            self._surveyed = surveyed_of(study)
        limits = limits_of(self._catalogue, history, self._surveyed)
        begun = len(history.finished) + len(history.stopped) + len(history.pending)
        informed = (self._catalogue.rows([one.params for one in history.finished]) >= 0).sum()
        if begun < self._spreads or informed < min(self._startup, INFORMED):
            if limits is not None:
                chance = limits.chance(self._catalogue.features(rows))
                rows = rows[chance >= min(_LIKELY, np.quantile(chance, 1 - 1 / _NEAREST))]
            return self._catalogue.networks[self._spread(rows, history, seed)]
        signs = np.array([-1.0 if d == StudyDirection.MAXIMIZE else 1.0 for d in study.directions])
        learned = self._learned(len(signs))
        partly = partly_known(history, self._names, learned, signs, self._surveyed)
        judge = Judge(self._catalogue, history, partly, self.known, signs, learned, self._startup, limits)
        self.judge = judge
        best = judge.best(rows)
        for _ in range(_ROUNDS if self._explorer else 0):
            # In a large space there are better ones beside the best that were drawn.
            near = [child for row in best[:_STARTS] for child in self._mutants(self._catalogue.networks[row], _MUTANTS)]
            best = judge.best(np.union1d(best, self._fresh(self._catalogue.rows(near), history, trial)))
        return self._catalogue.networks[judge.choose(best)]

    def spread(self, count: int) -> list[Choices]:
        """Up to so many networks within the known limits, from all of the costs' range, in random order."""
        rows = self._catalogue.first[self._catalogue.allowed(self._catalogue.first)]
        generator = np.random.default_rng([self._seed, _SPREAD])
        drawn = [generator.choice(part) for part in self._parts(rows, count) if len(part)]
        return [self._catalogue.networks[row] for row in generator.permutation(drawn)]

    @property
    def _spreads(self) -> int:
        """How many trainings are spread over the costs: few where a forecast says already what to expect."""
        return self._startup if self._forecast is None else min(self._startup, INFORMED)

    def foresight(self, study: Study, cost: str) -> float | None:
        """See `CostAwareSampler.foresight`."""
        return foresight(self._catalogue, study, cost)

    def _learned(self, count: int) -> int:
        """The column of the values that training tells: "error", or else the first that is not known."""
        unknown = [column for column in range(count) if column not in self.known]
        return next((column for column in unknown if self._names[column] == ERROR), unknown[0])

    def _fresh(self, rows: Rows, history: History, trial: FrozenTrial) -> Rows:
        """Which networks are within the limits, were not tried and agree with enqueued params; each once."""
        catalogue = self._catalogue
        rows = np.setdiff1d(rows, [-1, *catalogue.rows(history.tried)])
        rows = rows[catalogue.allowed(rows)]
        fixed = trial.system_attrs.get("fixed_params", {})
        return rows[[_agrees(catalogue.networks[row], fixed) for row in rows]] if fixed else rows

    def _pool(self, history: History, seed: int) -> Rows:
        """Networks to compare: the first ones, mutants of the front's members and their crosses."""
        if self._explorer is not None and self._catalogue.trim():
            self._explorer.forget()
        first = self._catalogue.first
        if self._forecast is not None:
            first = np.append(first, self._catalogue.rows(self._forecast.networks))
        if self._explorer is None or not len(history.losses):
            return first
        parents = [self._catalogue.networks[row] for row in self._catalogue.rows(history.front()) if row >= 0]
        each = min(16, max(4, self._candidates // (3 * max(1, len(parents)))))
        mutants = [child for parent in parents for child in self._mutants(parent, each)]
        crosses = self._explorer.crosses(parents, self._candidates // 8, seed)
        return np.append(first, self._catalogue.rows(mutants + crosses))

    def _spread(self, rows: Rows, history: History, seed: int) -> int:
        """A candidate from the part of the costs' range whose turn it is: at random, or the best by the forecast.

        There are as many parts as first trainings; the study's seed shuffles the turns.
        """
        parts = self._parts(rows, self._spreads)
        turns = np.random.default_rng([self._seed, _TURNS]).permutation(len(parts))
        part = parts[turns[(len(history.tried) + history.blind) % len(parts)]]
        if self._forecast is not None:
            return int(min(part, key=lambda row: self._catalogue.costs(row)[-1]))
        return int(np.random.default_rng(seed).choice(part))

    def _parts(self, rows: Rows, count: int) -> list[Rows]:
        """Candidates, ranked by their mean rank over the costs and cut into so many equal parts."""
        costs = self._catalogue.costs(rows)[:, : len(self._cost_names)]
        ranks = costs.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable").sum(axis=1)
        return np.array_split(rows[np.argsort(ranks, kind="stable")], min(count, len(rows)) or 1)

    def _last_resort(self, history: History, trial: FrozenTrial, seed: int) -> Choices:
        """A network where the usual candidates are exhausted: a new draw, one that failed, or a repeat."""
        catalogue, generator = self._catalogue, np.random.default_rng(seed)
        if self._explorer is not None and self._explorer.everything is None:
            draws = self._explorer.draws(4 * self._candidates, _STREAMS + trial.number)
            rows = self._fresh(catalogue.rows(draws), history, trial)
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
        if self._excess is not None and self._explorer is not None and self._explorer.everything is None:
            first = self._approach(first, self._excess)
        width = len(self._cost_names) + (self._forecast is not None)
        return Catalogue(first, self._price, width, self._distributions)

    def _approach(self, first: list[Choices], excess: Excess) -> list[Choices]:
        """The first networks, and mutants of those nearest to the limits while few are within."""
        beyond: dict[Key, float] = {}
        networks: dict[Key, Choices] = {}
        steps: Counter[Key] = Counter()
        added = first
        for _ in range(_APPROACHES):
            for network in added:
                if key_of(network) not in networks:
                    costs = self._approached[key_of(network)] = self._cost_of(network)
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
        if set(costs) >= set(names):
            raise NothingToPropose(
                "cost-aware sampler: expected an objective that only training tells, got costs for all of "
                + ", ".join(names)
            )
        return tuple(costs)

    def _price(self, network: Choices) -> tuple[Array, bool] | None:
        key = key_of(network)
        costs = self._approached.pop(key) if key in self._approached else self._cost_of(network)
        if costs is None:
            return None
        values = np.array([costs[name] for name in self._cost_names], dtype=float)
        if not np.isfinite(values).all():
            return None
        if self._forecast is not None:
            # One more thing that is known beforehand and may tell of the error.
            values = np.append(values, self._forecast(network, values))
        return values, self._excess is None or self._excess(costs) <= 0

    def _costs(self, network: Choices) -> Array | None:
        """Of a network that may be of another space."""
        try:
            costs = self._cost_of(network)
        except KeyError:
            return None
        return None if costs is None else np.array([costs[name] for name in self._cost_names], dtype=float)

    def _examine(self, history: History) -> None:
        """Give the forecast up if it makes the errors of this study harder to predict.

        It is asked after 10 trainings, twice as many and so on, always of the first ones, so that a new process
        comes to the same decision.
        """
        if self._forecast is None:
            return
        learned = self._learned(history.losses.shape[1])
        count = max(_EXAMINED_FIRST, 2 * self._examined)
        ended = [trial.datetime_complete for trial in history.finished]
        # In the order in which they ended: with several workers that is not the order of their numbers.
        order = sorted(range(len(ended)), key=lambda index: (str(ended[index]), index))
        while self._forecast is not None and count <= len(order):
            rows = self._catalogue.rows([history.finished[index].params for index in order[:count]])
            errors, known = history.losses[order[:count], learned], rows >= 0
            if known.sum() >= INFORMED and not helps(self._catalogue.features(rows[known]), errors[known]):
                assert self._experience is not None
                self._say(
                    f"the warm start from study {self._experience.study} ends after {count} trainings: their errors "
                    "are easier to predict without it"
                )
                self._forecast = None
                self._catalogue = self._open(self._catalogue.networks[: len(self._catalogue.first)])
            self._examined, count = count, 2 * count


def _agrees(network: Choices, fixed: Mapping[str, Any]) -> bool:
    return all(network.get(name, value) == value for name, value in fixed.items())
