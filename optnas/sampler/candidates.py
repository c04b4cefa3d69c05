"""The networks that a sampler may propose: of a table, or drawn, mutated and crossed from a build function."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import islice
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import BaseTrial

from optnas.errors import UsageError
from optnas.sampler.encoding import Encoding, Features
from optnas.space import Choices, RandomTrial, crossover, enumerate_space, mutate, options_of

__all__ = ["Catalogue", "Explorer", "Key", "NothingToPropose", "build_of", "key_of"]

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
Key = Hashable

#: Random networks that say whether all networks make the same choices, and how many networks there are.
_PROBES = 16
#: Spaces up to this size are listed whole: every network is then a candidate of every proposal.
_LISTED = 4096
#: ... if the build function has to run for each.
_LISTED_SLOW = 512
#: A catalogue forgets what it can make again beyond so many networks; 100 MB with 25 choices.
_REMEMBERED = 30_000


class NothingToPropose(UsageError):
    """No network of the space can be proposed, in this study or with these settings."""


def key_of(params: Mapping[str, Any]) -> Key:
    """What two networks of equal choices have in common."""
    return tuple(sorted(params.items()))


def build_of(distributions: Mapping[str, BaseDistribution]) -> Callable[[BaseTrial], object]:
    """A build function that makes these choices and builds nothing."""

    def build(trial: BaseTrial) -> None:
        for name, distribution in distributions.items():
            if isinstance(distribution, CategoricalDistribution):
                trial.suggest_categorical(name, distribution.choices)
            elif isinstance(distribution, IntDistribution):
                trial.suggest_int(
                    name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
                )
            elif isinstance(distribution, FloatDistribution):
                trial.suggest_float(
                    name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
                )

    return build


class Explorer:
    """Finds networks of a define-by-run space; the same ones for the same seed, in any process.

    A space whose random networks all make the same choices is explored without running its build function,
    which may take longer than everything else. Should it have a rare branch, that is drawn at random.

    Args:
        build: Takes a trial, asks for its choices; what it returns is not read.
        seed: The study's seed.
    """

    def __init__(self, build: Callable[[BaseTrial], object], seed: int) -> None:
        self._seed = seed
        self.distributions: dict[str, BaseDistribution] = {}
        generator = np.random.default_rng([seed, 0])
        probes = [_probe(build, generator) for _ in range(_PROBES)]
        for probe in probes:
            self.distributions |= probe.distributions
        flat = all(probe.distributions == probes[0].distributions for probe in probes)
        self._build = build_of(self.distributions) if flat else build
        self._children: dict[Key, list[Choices]] = {}
        # Knuth's estimate (1975) of the leaves of a tree: the product of the branches along a random path.
        sizes = [prod(_size(distribution) for distribution in probe.distributions.values()) for probe in probes]
        limit = _LISTED if flat else _LISTED_SLOW
        self.everything: list[Choices] | None = None
        if sum(sizes) / len(sizes) <= limit:
            listed = list(islice(enumerate_space(self._build), limit + 1))
            self.everything = listed if len(listed) <= limit else None

    def draws(self, count: int, stream: int = 0) -> list[Choices]:
        """`count` random networks, or all of a small space; another stream has others."""
        if self.everything is not None:
            return self.everything
        generator = np.random.default_rng([self._seed, 1, stream])
        return [self._run(RandomTrial(generator)) for _ in range(count)]

    def children(self, parent: Choices, count: int) -> list[Choices]:
        """The first `count` mutants of a network: by turns one choice changed, two, and one."""
        if self.everything is not None:
            return []
        key = key_of(parent)
        known = self._children.setdefault(key, [])
        for index in range(len(known), count):
            generator = np.random.default_rng([self._seed, 2, zlib.crc32(repr(key).encode()), index])
            known.append(mutate(self._build, parent, generator, 1 + index % 2))
        return known[:count]

    def changed(self, parent: Choices, changes: Mapping[str, Any]) -> Choices | None:
        """A network with some choices made otherwise; the others are kept, and those that thereby come up are drawn.

        None where the space does not allow such a network.
        """
        wanted = {**parent, **changes}
        generator = np.random.default_rng([self._seed, 4, zlib.crc32(repr(key_of(wanted)).encode())])
        child = self._run(RandomTrial(generator, wanted))
        return child if all(name in child and child[name] == value for name, value in changes.items()) else None

    def crosses(self, parents: Sequence[Choices], count: int, stream: int) -> list[Choices]:
        """`count` children of random pairs."""
        if self.everything is not None or len(parents) < 2:
            return []
        generator = np.random.default_rng([self._seed, 3, stream])
        pairs = [generator.choice(len(parents), 2, replace=False) for _ in range(count)]
        return [crossover(self._build, parents[one], parents[other], generator) for one, other in pairs]

    def forget(self) -> None:
        """Free the mutants that were kept."""
        self._children.clear()

    def _run(self, trial: RandomTrial) -> Choices:
        self._build(trial)
        return trial.params


class Catalogue:
    """Networks with their known costs and features, each priced once.

    Args:
        first: The networks that set the scale of features and costs.
        price: The known costs of a network, (c,), and whether they are within the limits; None if it cannot
            be built.
        cost_count: c.
        distributions: Of the choices, as far as they are known.

    Raises:
        NothingToPropose: If none of the first networks can be built.
    """

    def __init__(
        self,
        first: Sequence[Choices],
        price: Callable[[Choices], tuple[Array, bool] | None],
        cost_count: int,
        distributions: Mapping[str, BaseDistribution],
    ) -> None:
        self._price = price
        self.networks: list[Choices] = []
        self._rows: dict[Key, int] = {}
        self._costs = np.empty((0, cost_count))
        self._allowed = np.empty(0, dtype=bool)
        self._features: Features | None = None
        self.names = {name for network in first for name in network} | set(distributions)
        self._add(first)
        if not self.networks:
            raise NothingToPropose(f"cost-aware sampler: expected networks that have costs, got none of {len(first)}")
        self._encoding = Encoding(self.networks, self._costs, distributions)
        self._features = self._encoding(self.networks, self._costs)
        self.first = np.arange(len(self.networks))
        """The rows of the first networks."""

    def key(self, params: Mapping[str, Any]) -> Key:
        """The key of a trial's params, without choices that are not of the network."""
        return key_of(self._own(params))

    def rows(self, networks: Sequence[Mapping[str, Any]]) -> Rows:
        """Where each of m networks stands in the catalogue, (m,); -1 for those that cannot be built."""
        own = [self._own(network) for network in networks]
        self._add(own)
        return np.array([self._rows[key_of(network)] for network in own], dtype=np.int64)

    def costs(self, rows: Rows) -> Array:
        """(m, c) in the costs' own units."""
        return np.asarray(self._costs[rows])

    def allowed(self, rows: Rows) -> NDArray[np.bool_]:
        """(m,) whether the networks are within the limits."""
        return np.asarray(self._allowed[rows])

    def features(self, rows: Rows) -> Features:
        """Of m networks."""
        assert self._features is not None
        return self._features[rows]

    def trim(self) -> bool:
        """Forget all but the first networks if there are too many; says whether it did."""
        kept = len(self.first)
        if len(self.networks) <= _REMEMBERED + kept:
            return False
        self.networks, self._costs, self._allowed = self.networks[:kept], self._costs[:kept], self._allowed[:kept]
        self._features = self.features(self.first)
        self._rows = {key: row for key, row in self._rows.items() if row < kept}
        return True

    def _own(self, params: Mapping[str, Any]) -> Choices:
        return {name: value for name, value in params.items() if name in self.names}

    def _add(self, networks: Sequence[Choices]) -> None:
        added: list[Choices] = []
        costs: list[Array] = []
        allowed: list[bool] = []
        for network in networks:
            key = key_of(network)
            if key in self._rows:
                continue
            priced = self._price(network)
            self._rows[key] = -1 if priced is None else len(self.networks) + len(added)
            if priced is not None:
                added.append(network)
                costs.append(priced[0])
                allowed.append(priced[1])
        if added:
            stacked = np.array(costs, dtype=float).reshape(len(added), -1)
            self.networks = self.networks + added
            self._costs = np.concatenate([self._costs, stacked])
            self._allowed = np.concatenate([self._allowed, np.array(allowed, dtype=bool)])
            if self._features is not None:
                self._features = self._features + self._encoding(added, stacked)


def _probe(build: Callable[[BaseTrial], object], generator: np.random.Generator) -> RandomTrial:
    trial = RandomTrial(generator)
    build(trial)
    return trial


def _size(distribution: BaseDistribution) -> float:
    if isinstance(distribution, IntDistribution):  # may have more options than fit in memory
        return (distribution.high - distribution.low) // distribution.step + 1
    options = options_of(distribution)
    return float("inf") if options is None else len(options)
