"""What networks of a study's space cost and learn, known or expected, without training one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.trial import BaseTrial

from optnas.cost import COSTS, Constraint
from optnas.errors import UsageError
from optnas.explain.surface import Effect, Surface
from optnas.explain.trained import Trained
from optnas.sampler.candidates import Explorer, Key, build_of, key_of
from optnas.sampler.encoding import Encoding, Features
from optnas.space import Choices

__all__ = ["LEAST", "Foresight", "Pricer"]

Array = NDArray[np.float64]

#: Networks that a model of the error, or of a cost, needs.
LEAST = 10
#: Networks that a model sees at most; the time is cubic in them.
_MODELLED = 1000
#: Random networks that are looked at for bases, and how many of them have to be within the constraints.
_LOOKED_AT, _WITHIN = 120, 40
#: Networks that are compared with one at once: their covariance is 2 MB.
_CHUNK = 500


class Pricer(Protocol):
    """What is needed of a space: an `optnas.Objective` has it."""

    def explore(self, trial: BaseTrial) -> object:
        """Make all choices of a network on a trial."""

    def foresee(self, choices: Choices, also: Sequence[str] = ()) -> Mapping[str, float] | None:
        """Costs of a network, those in `also` among them as far as they can be counted; None if it does not work."""


class Foresight:
    """Prices networks of a space and expects what they learn.

    Costs are counted where the space can count them by blocks, and then exact. Others (a measured latency, peak
    memory, or all where there is no pricer) are estimated from what the trials measured, as errors are.

    Args:
        trained: The study's networks.
        pricer: The study's objective; None if its space is not at hand: it is then what the trials recorded, which does
            for a space without conditional choices.
        wanted: Names of the costs that matter; `macs` and `params` are counted wherever they can be.
        seed: Of what is drawn.

    Raises:
        UsageError: If no network of the space can be priced.
        Whatever the space raises while it makes its choices.
    """

    def __init__(self, trained: Trained, pricer: Pricer | None, wanted: Sequence[str] = (), seed: int = 0) -> None:
        self.trained = trained
        self._pricer, self._wanted, self._seed = pricer, tuple(wanted), seed
        self._explorer = Explorer(build_of(trained.distributions) if pricer is None else pricer.explore, seed)
        self.distributions: dict[str, BaseDistribution] = {**trained.distributions, **self._explorer.distributions}
        self._counts: dict[Key, Mapping[str, float] | None] = {}
        self._priced = 0
        drawn = self._drawn(_LOOKED_AT)
        counted = next((costs for network in drawn if (costs := self._count(network)) is not None), {})
        if pricer is not None and not counted:
            raise UsageError(f"study {trained.study!r}: expected networks that can be priced, got none of {len(drawn)}")
        self.exact: tuple[str, ...] = tuple(name for name in COSTS if name in counted)
        """The costs that are counted of any network."""
        trials: list[tuple[Choices, Mapping[str, float]]] = []
        trials += [(dict(one.choices), {**one.costs, **one.values}) for one in trained.networks]
        trials += [(choices, costs) for choices, costs, _ in trained.stopped]
        for choices, costs in trials:
            if counted and all(name in costs for name in self.exact):
                self._counts[key_of(choices)] = costs
        scale = [network for network in (*(choices for choices, _ in trials), *drawn) if self.works(network)]
        self._encoding = Encoding(scale, self.counted(scale), self.distributions)
        losses = [*trained.losses, *(loss for _, _, loss in trained.stopped)]
        self.errors: Surface | None = self._surface([choices for choices, _ in trials], losses, False)
        """Of what is learned, smaller is better; None if too few networks were trained."""
        self.estimated: dict[str, Surface] = {}
        """Of the costs that matter and are not counted, as far as enough trials measured them."""
        trials += trained.refused
        for name in (one for one in self._wanted if one not in self.exact):
            known = [(choices, costs[name]) for choices, costs in trials if name in costs]
            surface = self._surface([choices for choices, _ in known], [cost for _, cost in known], True)
            if surface is not None:
                self.estimated[name] = surface

    @property
    def priced(self) -> int:
        """How many networks were counted so far without a training."""
        return self._priced

    @property
    def costs(self) -> tuple[str, ...]:
        """All costs of which something can be said: those that are counted, then those that are estimated."""
        return (*self.exact, *self.estimated)

    def works(self, network: Choices) -> bool:
        """Whether a network can be built, as far as that can be known."""
        return self._pricer is None or self._count(network) is not None

    def counted(self, networks: Sequence[Choices]) -> Array:
        """(m, exact costs) of m networks that work."""
        rows = [self._count(network) or {} for network in networks]
        return np.array([[row[name] for name in self.exact] for row in rows], dtype=float).reshape(
            len(rows), len(self.exact)
        )

    def features(self, networks: Sequence[Choices]) -> Features:
        """Of m networks that work, for the surfaces."""
        return self._encoding(networks, self.counted(networks))

    def changed(self, network: Choices, changes: Mapping[str, Any]) -> Choices | None:
        """A network with some choices made otherwise, see `Explorer.changed`; None if there is none or it fails."""
        with suppress(Exception):  # a space may refuse what it was not asked for before
            child = self._explorer.changed(network, changes)
            return child if child is not None and self.works(child) else None
        return None

    def bases(self) -> list[Choices]:
        """Networks to try changes on: those of the front and random ones within the constraints, by turns.

        Where few random ones are within the constraints, mutants of trained networks take their place.
        """
        members = [dict(self.trained.networks[row].choices) for row in self.trained.front]
        drawn = [network for network in self._drawn(_LOOKED_AT) if self.works(network)]
        within = [network for network, beyond in zip(drawn, self.excess(drawn), strict=True) if beyond <= 0]
        if len(within) < _WITHIN:
            parents = [dict(one.choices) for one in self.trained.networks if one.feasible]
            kin = [child for one in parents for child in self._explorer.children(one, 1 + _LOOKED_AT // len(parents))]
            kin = [child for child in kin[:_LOOKED_AT] if self.works(child)]
            within += [child for child, beyond in zip(kin, self.excess(kin), strict=True) if beyond <= 0]
        turns = [one for pair in zip(members, within, strict=False) for one in pair]
        return turns + members[len(within) :] + within[len(members) :]

    def excess(self, networks: Sequence[Choices], budget: Sequence[Constraint] = ()) -> Array:
        """(m,) how far networks are beyond the study's constraints and a budget, as a share; 0 or less if within.

        A cost that is estimated counts with what is expected; one that is not known at all is left out.
        """
        limits = [one for one in (*self.trained.constraints, *budget) if one.cost in self.costs]
        costs = self.expected(networks, {one.cost for one in limits})
        beyond = [[one.violation({one.cost: float(value)}) for value in costs[one.cost]] for one in limits]
        return np.max(beyond, axis=0) if beyond else np.zeros(len(networks))

    def expected(self, networks: Sequence[Choices], names: Sequence[str] | set[str] | None = None) -> dict[str, Array]:
        """(m,) of each cost, counted or estimated."""
        counted = dict(zip(self.exact, self.counted(networks).T, strict=True))
        found = {name: counted[name] for name in self.exact if names is None or name in names}
        for name, surface in self.estimated.items():
            if names is None or name in names:
                parts = [surface.joint(self.features(part))[0] for part in _chunks(networks)]
                found[name] = np.concatenate([*parts, np.empty(0)])
        return found

    def compared(self, network: Choices, others: Sequence[Choices]) -> list[Effect]:
        """By how much m networks are expected to learn better or worse than one; below 0 is better.

        Empty if too few networks were trained.
        """
        if self.errors is None:
            return []
        effects = []
        for part in _chunks(others):
            weights = np.column_stack([np.full(len(part), -1.0), np.eye(len(part))])
            effects += self.errors.combined(self.features([network, *part]), weights)
        return effects

    def _drawn(self, count: int) -> list[Choices]:
        """The same random networks each time."""
        drawn = self._explorer.draws(count)
        order = np.random.default_rng([self._seed, 5]).permutation(len(drawn))
        return [drawn[index] for index in order[:count]]

    def _count(self, network: Choices) -> Mapping[str, float] | None:
        if self._pricer is None:
            return {}
        key = key_of(network)
        if key not in self._counts:
            self._counts[key] = self._pricer.foresee(network, self._wanted)
            self._priced += 1
        return self._counts[key]

    def _surface(self, networks: Sequence[Choices], values: Sequence[float], positive: bool) -> Surface | None:
        rows = [row for row, network in enumerate(networks) if np.isfinite(values[row]) and self.works(network)]
        rows = [
            rows[place] for place in np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _MODELLED)).astype(int))
        ]
        if len(rows) < LEAST:
            return None
        return Surface(self.features([networks[row] for row in rows]), np.array(values)[rows], positive)


def _chunks(networks: Sequence[Choices]) -> list[Sequence[Choices]]:
    return [networks[start : start + _CHUNK] for start in range(0, len(networks), _CHUNK)]
