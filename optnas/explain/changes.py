"""What to change in one network: the least that brings it under a budget, and what buys the most accuracy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optnas.cost import Constraint
from optnas.errors import UsageError
from optnas.explain.foresight import Foresight
from optnas.explain.surface import Effect
from optnas.explain.trained import Trained
from optnas.sampler.candidates import key_of
from optnas.sampler.levels import levels_of
from optnas.space import Choices

__all__ = ["Advice", "Change", "advise"]

Array = NDArray[np.float64]
#: Some choices and their new values.
Step = dict[str, Any]

#: Changed networks that are priced for each number of changes: about four seconds.
_PRICED = 2500
#: Networks that a third change, and those after it, start from.
_BEAM = 8
#: A bargain brings at least this share of what the best single change brings: trifles are cheap.
_WORTH = 0.5


@dataclass(frozen=True)
class Change:
    """A network that differs from another one in a few choices."""

    changed: Mapping[str, tuple[Any, Any]]
    """What was changed, by choice: from what to what."""
    follows: tuple[str, ...]
    """Choices that came up or went by that; those that came up were drawn."""
    choices: Mapping[str, Any]
    """Of the changed network."""
    costs: Mapping[str, float]
    """Of the changed network, by name."""
    learned: Effect | None
    """The expected change of what training tells, in its own unit and direction, between a training of either; None
    if too few networks were trained."""
    trial: int | None
    """The trial that has trained the changed network, if one has."""
    value: float | None
    """What it learned there."""


@dataclass(frozen=True)
class Advice:
    """On one network."""

    trial: int
    value: float
    """What it learned."""
    costs: Mapping[str, float]
    """By name; measured where it was, else counted or expected."""
    budget: tuple[str, ...]
    within: bool
    """Whether it is within the budget and the study's constraints."""
    smallest: Change | None
    """The fewest changes that bring it there, of these the least expected error; None if it is there, or none was
    found."""
    searched: str
    """Which changes were looked at for that; empty if none was needed."""
    most: Change | None
    """The single change that is expected to lower the error most and stays within; None if none is expected to lower
    it, or the network is not within."""
    bargain: Change | None
    """The single change that buys the most for what it costs, of those that bring at least half of what `most` does:
    the best that raises no cost of the objectives, else the most for the greatest relative rise of one."""


def advise(foresight: Foresight, trial: int | None = None, budget: Sequence[Constraint] = ()) -> Advice:
    """What to change in a trained network.

    Up to two changes every combination is priced, up to 2500 of them; of more, those whose single changes promise
    most. Further changes are added to the eight networks that come nearest. What a changed network learned counts as
    it is where a trial has trained it.

    Args:
        foresight: Of the study.
        trial: Whose network; None for the member of the front that is nearest to the budget and beyond it, else for
            the one of least error.
        budget: What it should cost, beside the study's constraints.

    Raises:
        UsageError: If the trial did not train a network to the end, or nothing is known of a cost of the budget.
    """
    for constraint in budget:
        if constraint.cost not in foresight.costs:
            choice = f"one of {', '.join(foresight.costs)}" if foresight.costs else "but there is none"
            raise UsageError(f"budget {constraint}: expected a cost that can be counted or estimated here, {choice}")
    trained = foresight.trained
    row = _row(foresight, trial, budget)
    network = trained.networks[row]
    own = dict(network.choices)
    if not foresight.works(own):
        raise UsageError(f"trial {network.trial}: expected a network that its space can still build")
    advisor = _Advisor(foresight, own, float(trained.losses[row]))
    within = bool(foresight.excess([own], budget)[0] <= 0)
    smallest, searched = (None, "") if within else advisor.smallest(budget)
    most, bargain = advisor.bought(budget) if within else (None, None)
    known = {**network.costs, **network.values}
    expected = {name: float(values[0]) for name, values in foresight.expected([own]).items()}
    return Advice(
        network.trial,
        trained.sign * float(trained.losses[row]),
        {name: float(known.get(name, value)) for name, value in expected.items()},
        tuple(map(str, budget)),
        within,
        smallest,
        searched,
        most,
        bargain,
    )


def _row(foresight: Foresight, trial: int | None, budget: Sequence[Constraint]) -> int:
    trained = foresight.trained
    if trial is not None:
        for row, network in enumerate(trained.networks):
            if network.trial == trial:
                return row
        raise UsageError(f"trial {trial}: expected one that trained a network to the end, got another or none")
    if not len(trained.front):
        return int(np.argmin(trained.losses))
    works = [int(row) for row in trained.front if foresight.works(dict(trained.networks[row].choices))]
    if not works:
        return int(trained.front[0])
    beyond = foresight.excess([dict(trained.networks[row].choices) for row in works], budget)
    return min((row for row in zip(beyond, works, strict=True) if row[0] > 0), default=(0, works[0]))[1]


class _Advisor:
    """Changes of one network.

    Args:
        foresight: Of the study.
        network: Its choices.
        loss: What it learned, smaller is better.
    """

    def __init__(self, foresight: Foresight, network: Choices, loss: float) -> None:
        self._foresight, self._network, self._loss = foresight, network, loss
        self._trained = {key_of(one.choices): row for row, one in enumerate(foresight.trained.networks)}
        self._singles = _singles(foresight, network)

    def smallest(self, budget: Sequence[Constraint]) -> tuple[Change | None, str]:
        """The fewest changes that lead within a budget, and what was looked at."""
        start = nearest = float(self._foresight.excess([self._network], budget)[0])
        promise: dict[tuple[str, Any], float] = {}
        beam: list[Step] = [{}]
        said: list[str] = []
        for depth in range(1, len(self._network) + 1):
            every = list(_extended(beam, self._singles))
            steps = _promising(every, promise, start)
            tried = [(step, child) for step in steps if (child := self._foresight.changed(self._network, step))]
            beyond = self._foresight.excess([child for _, child in tried], budget)
            said.append(_searched(depth, len(steps), len(every)))
            within = [pair for pair, one in zip(tried, beyond, strict=True) if one <= 0]
            if within:
                return min(self._changes(within), key=lambda change: self._gain(change) or 0.0), said[-1]
            if not tried or (depth > 2 and beyond.min() >= nearest):
                break
            order = np.argsort(beyond, kind="stable")
            nearest = float(beyond.min())
            if depth == 1:
                for (step, _), one in zip(tried, beyond, strict=True):
                    promise |= dict.fromkeys(step.items(), float(one) - start)
            beam = [tried[index][0] for index in (order if depth == 1 else order[:_BEAM])]
        return None, ", ".join(said)

    def bought(self, budget: Sequence[Constraint]) -> tuple[Change | None, Change | None]:
        """The single change that lowers the error most, and the bargain, within the constraints and a budget."""
        tried = [(step, child) for step in self._singles if (child := self._foresight.changed(self._network, step))]
        if not tried or self._foresight.errors is None:
            return None, None
        beyond = self._foresight.excess([child for _, child in tried], budget)
        changes = self._changes([pair for pair, one in zip(tried, beyond, strict=True) if one <= 0])
        gains = {id(change): gain for change in changes if (gain := self._gain(change)) is not None and gain < 0}
        changes = [change for change in changes if id(change) in gains]
        if not changes:
            return None, None
        most = min(changes, key=lambda change: gains[id(change)])
        worth = [change for change in changes if gains[id(change)] <= _WORTH * gains[id(most)]]
        rises = {id(change): self._rise(change) for change in worth}
        free = [change for change in worth if rises[id(change)] <= 0]
        if free:
            return most, min(free, key=lambda change: gains[id(change)])
        return most, min(worth, key=lambda change: gains[id(change)] / rises[id(change)])

    def _gain(self, change: Change) -> float | None:
        """The change of the loss, below 0 is better: the real one where it is known."""
        sign = self._foresight.trained.sign
        if change.value is not None:
            return sign * change.value - self._loss
        return None if change.learned is None else sign * change.learned.mean

    def _rise(self, change: Change) -> float:
        """The greatest relative rise of a cost that is an objective; of any if none is; 0 without costs."""
        names = [name for name in self._foresight.trained.known if name in self._foresight.costs]
        before = self._foresight.expected([self._network])
        rises = (
            (change.costs[name] / before[name][0] - 1 if before[name][0] else change.costs[name])
            for name in names or self._foresight.costs
        )
        return max(rises, default=0.0)

    def _changes(self, tried: Sequence[tuple[Step, Choices]]) -> list[Change]:
        foresight, own = self._foresight, self._network
        children = [child for _, child in tried]
        costs, effects = foresight.expected(children), foresight.compared(own, children)
        changes = []
        for index, (step, child) in enumerate(tried):
            row = self._trained.get(key_of(child))
            effect = effects[index] if effects else None
            changes.append(
                Change(
                    {name: (own.get(name), value) for name, value in step.items()},
                    tuple(sorted((own.keys() ^ child.keys()) - step.keys())),
                    child,
                    {name: float(values[index]) for name, values in costs.items()},
                    None if effect is None else Effect(foresight.trained.sign * effect.mean, effect.std),
                    None if row is None else foresight.trained.networks[row].trial,
                    None if row is None else _value(foresight.trained, row),
                )
            )
        return changes


def _value(trained: Trained, row: int) -> float:
    return trained.sign * float(trained.losses[row])


def _singles(foresight: Foresight, network: Choices) -> list[Step]:
    """Each choice with each other option; of a number with more than 8 values one of each eighth of its range."""
    generator = np.random.default_rng(7)
    steps = []
    for name, value in network.items():
        distribution = foresight.distributions.get(name)
        if distribution is None or distribution.single():
            continue
        levels = levels_of(distribution)
        others = (place for place in range(len(levels.keys)) if place != levels.place(value))
        steps += [{name: levels.value(place, generator)} for place in others]
    return steps


def _extended(beam: Iterable[Step], singles: Sequence[Step]) -> Iterable[Step]:
    """Each step of the beam with each single change of another choice, once."""
    seen = set()
    for step in beam:
        for single in singles:
            if not step.keys() & single.keys():
                longer = {**step, **single}
                key = frozenset(longer.items())
                if key not in seen:
                    seen.add(key)
                    yield longer


def _promising(steps: list[Step], promise: Mapping[tuple[str, Any], float], start: float) -> list[Step]:
    """If there are too many, those that lead within the limits, or nearest, if each change does what it does alone."""
    if len(steps) <= _PRICED:
        return steps

    def apart(step: Step) -> float:
        return max(0.0, start + sum(promise.get(item, 0.0) for item in step.items()))

    return sorted(steps, key=apart)[:_PRICED]


def _searched(depth: int, priced: int, every: int) -> str:
    changes = {1: "single changes", 2: "pairs of changes"}.get(depth, f"sets of {depth} changes")
    if depth > 2:
        return f"{priced} {changes}, those next to the {_BEAM} nearest networks of fewer changes"
    return f"all {every} {changes}" if priced == every else f"the {priced} most promising of {every} {changes}"
