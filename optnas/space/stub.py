"""Exploring a space without a study: stub trials that run a build function and record its choices.

A search space is a plain function of a trial, so it has no list of its choices. A stub trial stands in for
Optuna's: it decides each choice by a rule (draw, replay, follow a parent) and keeps what was asked. Random
draws, mutation, crossover and enumeration follow from that, conditional choices included.
"""

from __future__ import annotations

import datetime
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import BaseTrial
from torch import nn

from optnas.errors import UsageError

__all__ = [
    "CHOSEN",
    "Choices",
    "Grid",
    "RandomTrial",
    "ReplayTrial",
    "StubTrial",
    "crossover",
    "enumerate_space",
    "mutate",
    "options_of",
    "sample",
]

Choices = dict[str, Any]
#: Under this attribute a module that `choose` built tells for which choice, and for which call of it: "block1.op#1".
CHOSEN = "_optnas_chosen"
Build = Callable[[BaseTrial], object]


class StubTrial(BaseTrial):
    """A trial without a study: records `params` and `distributions` in the order in which they were asked.

    A subclass decides each choice in `decide`. A name that is asked again gets the same value; asked with
    another distribution it is refused, as Optuna does.
    """

    def __init__(self) -> None:
        self._params: Choices = {}
        self._distributions: dict[str, BaseDistribution] = {}
        self._user_attrs: dict[str, Any] = {}
        self._constraints: dict[str, float] = {}
        self._calls: dict[str, int] = {}
        self._started = datetime.datetime.now()

    @abstractmethod
    def decide(self, name: str, distribution: BaseDistribution) -> Any:
        """The value of a choice that was not asked before; must lie in the distribution."""

    def choose(self, name: str, options: Mapping[str, Callable[[], nn.Module]]) -> nn.Module:
        """What `optnas.choose` does with this trial: suggest an option and build it."""
        module = self.build_option(options[self.suggest_categorical(name, list(options))])
        self._calls[name] = self._calls.get(name, 0) + 1
        if isinstance(module, nn.Module):
            module.__dict__[CHOSEN] = f"{name}#{self._calls[name]}"
        return module

    @staticmethod
    def build_option(builder: Callable[[], nn.Module]) -> nn.Module:
        """The module of an option; who knows the module already sets another function in its place."""
        return builder()

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return float(self._suggest(name, FloatDistribution(low, high, log=log, step=step)))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return int(self._suggest(name, IntDistribution(low, high, log=log, step=step)))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._suggest(name, CategoricalDistribution(choices))

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if name in self._distributions:
            if self._distributions[name] != distribution:
                raise ValueError(
                    f"the choice {name!r} was asked with {self._distributions[name]} and again with {distribution}"
                )
            return self._params[name]
        value = self.decide(name, distribution)
        self._distributions[name] = distribution
        self._params[name] = value
        return value

    def suggest_uniform(self, name: str, low: float, high: float) -> float:
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name: str, low: float, high: float) -> float:
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> float:
        return self.suggest_float(name, low, high, step=q)

    def report(self, value: float, step: int) -> None:
        pass

    def should_prune(self) -> bool:
        return False

    def set_user_attr(self, key: str, value: Any) -> None:
        self._user_attrs[key] = value

    def set_system_attr(self, key: str, value: Any) -> None:
        pass

    def set_constraint(self, key: str, value: float) -> None:
        self._constraints.setdefault(key, float(value))

    @property
    def params(self) -> Choices:
        return dict(self._params)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        return dict(self._distributions)

    @property
    def user_attrs(self) -> dict[str, Any]:
        return dict(self._user_attrs)

    @property
    def system_attrs(self) -> dict[str, Any]:
        return {}

    @property
    def constraints(self) -> dict[str, float]:
        return dict(self._constraints)

    @property
    def datetime_start(self) -> datetime.datetime | None:
        return self._started

    @property
    def number(self) -> int:
        return 0


class RandomTrial(StubTrial):
    """Draws every choice uniformly (in the logarithm where the distribution says so).

    With `parent`, a choice that the parent made is followed wherever its value is still allowed, and only the
    others are drawn: what mutation and crossover need in a space with conditional choices.
    """

    def __init__(self, generator: np.random.Generator, parent: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._generator = generator
        self._parent = dict(parent or {})

    def decide(self, name: str, distribution: BaseDistribution) -> Any:
        if name in self._parent and _allows(distribution, self._parent[name]):
            return self._parent[name]
        return _draw(distribution, self._generator)


class ReplayTrial(StubTrial):
    """Builds again the network of given params.

    Raises (when a choice is asked):
        UsageError: If the params lack a choice or hold a value that the space does not offer: they come from
            another space.
    """

    def __init__(self, params: Mapping[str, Any]) -> None:
        super().__init__()
        self._given = dict(params)

    def decide(self, name: str, distribution: BaseDistribution) -> Any:
        if name not in self._given:
            raise UsageError(f"these choices are of another space: it asks for {name!r}, got {sorted(self._given)}")
        if not _allows(distribution, self._given[name]):
            raise UsageError(
                f"these choices are of another space: {name!r} is {self._given[name]!r}, expected {distribution}"
            )
        return self._given[name]


class Grid(StubTrial):
    """Takes the n-th option of each choice: `positions[i]` for the i-th one asked, 0 beyond the end."""

    def __init__(self, positions: Sequence[int]) -> None:
        super().__init__()
        self._positions = positions
        self.sizes: list[int] = []

    def decide(self, name: str, distribution: BaseDistribution) -> Any:
        options = options_of(distribution)
        if options is None:
            raise UsageError(f"the choice {name!r} is continuous ({distribution}): the space cannot be enumerated")
        index = len(self.sizes)
        self.sizes.append(len(options))
        return options[self._positions[index] if index < len(self._positions) else 0]


def sample(build: Build, generator: np.random.Generator) -> Choices:
    """The choices of one random network (uniform over each choice, not over networks)."""
    trial = RandomTrial(generator)
    build(trial)
    return trial.params


def mutate(build: Build, params: Mapping[str, Any], generator: np.random.Generator, changes: int = 1) -> Choices:
    """A child that differs from `params` in `changes` choices, and in what depends on them.

    Choices that become active by the change are drawn at random; those that become inactive are dropped. A
    choice with one option only is never picked; where nothing can change, the params come back as they are.
    """
    trial = RandomTrial(generator, params)
    build(trial)
    movable = [name for name, distribution in trial.distributions.items() if not distribution.single()]
    parent = trial.params
    for index in generator.permutation(len(movable))[:changes]:
        name = movable[index]
        parent[name] = _draw_other(trial.distributions[name], parent[name], generator)
    child = RandomTrial(generator, parent)
    build(child)
    return child.params


def crossover(
    build: Build, mother: Mapping[str, Any], father: Mapping[str, Any], generator: np.random.Generator
) -> Choices:
    """A child that takes each choice from one of two parents (uniform crossover).

    A choice that only one parent made comes from that parent; one that neither made is drawn.
    """
    mixed = dict(mother)
    for name, value in father.items():
        if name not in mixed or generator.random() < 0.5:
            mixed[name] = value
    child = RandomTrial(generator, mixed)
    build(child)
    return child.params


def enumerate_space(build: Build) -> Iterator[Choices]:
    """The choices of every network of a finite space, once each, in lexicographic order of the options.

    Raises:
        UsageError: If a choice is continuous.
    """
    positions: list[int] = []
    while True:
        trial = Grid(positions)
        build(trial)
        yield trial.params
        # An odometer whose number of digits depends on the digits before: conditional choices come and go.
        digits = [positions[i] if i < len(positions) else 0 for i in range(len(trial.sizes))]
        while digits and digits[-1] + 1 == trial.sizes[len(digits) - 1]:
            digits.pop()
        if not digits:
            return
        digits[-1] += 1
        positions = digits


def options_of(distribution: BaseDistribution) -> list[Any] | None:
    """All values of a distribution in order, or None if it is continuous."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution):
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    if isinstance(distribution, FloatDistribution) and distribution.step is not None:
        count = round((distribution.high - distribution.low) / distribution.step) + 1
        # The last one may be rounded beyond the end.
        return [min(distribution.low + index * distribution.step, distribution.high) for index in range(count)]
    return None


def _allows(distribution: BaseDistribution, value: Any) -> bool:
    try:
        internal = distribution.to_internal_repr(value)
    except ValueError:
        return False
    return bool(distribution._contains(internal))


def _draw(distribution: BaseDistribution, generator: np.random.Generator) -> Any:
    options = options_of(distribution)
    log = getattr(distribution, "log", False)
    if options is not None and not log:
        return options[int(generator.integers(len(options)))]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if isinstance(distribution, IntDistribution):
        # Optuna's own rule: uniform in the logarithm over [low - 1/2, high + 1/2], then rounded.
        low, high = np.log(distribution.low - 0.5), np.log(distribution.high + 0.5)
        drawn = round(float(np.exp(generator.uniform(low, high))))
        return int(min(max(drawn, distribution.low), distribution.high))
    if log:
        return float(np.exp(generator.uniform(np.log(distribution.low), np.log(distribution.high))))
    return float(generator.uniform(distribution.low, distribution.high))


def _draw_other(distribution: BaseDistribution, value: Any, generator: np.random.Generator) -> Any:
    options = options_of(distribution)
    if options is None:
        return _draw(distribution, generator)
    others = [option for option in options if option != value]
    return others[int(generator.integers(len(others)))]
