"""How a surrogate sees networks: their choices, how often each option occurs, and the logarithms of their costs."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from scipy.linalg import block_diag

__all__ = ["Encoding", "Features", "similarities", "similarity"]

Array = NDArray[np.float64]

#: Stands for a choice that a network does not make; None may be an option.
_ABSENT = object()
#: A number with more values than that is rounded to so many.
_LEVELS = 33


@dataclass(frozen=True)
class Features:
    """n networks as the surrogate sees them."""

    choices: NDArray[np.float32]
    """(n, p): some columns for each choice; the inner product of two networks over them is how alike they are
    in that choice, from 0 to 1."""
    owners: NDArray[np.int64]
    """(p,): which of d choices a column belongs to, rising."""
    counts: Array
    """(n, o): how often an option occurs over all choices that offer the same ones; centred and scaled."""
    costs: Array
    """(n, c): logarithms of the costs, centred and scaled."""

    def __len__(self) -> int:
        return len(self.choices)

    def __getitem__(self, rows: Any) -> Features:
        return Features(self.choices[rows], self.owners, self.counts[rows], self.costs[rows])

    def __add__(self, other: Features) -> Features:
        """The networks of both."""
        return Features(
            np.concatenate([self.choices, other.choices]),
            self.owners,
            np.concatenate([self.counts, other.counts]),
            np.concatenate([self.costs, other.costs]),
        )

    @property
    def choice_count(self) -> int:
        """d."""
        return int(self.owners[-1]) + 1 if len(self.owners) else 0


def similarities(one: Features, other: Features) -> Iterator[Array]:
    """How alike the networks of two sets are in each choice, from 0 to 1, as d arrays of (n, m).

    Options are equal or not; numbers (kernel sizes, widths) are alike by their distance. A choice that only
    one of two networks makes has nothing alike; one that neither makes is equal.
    """
    for choice in range(one.choice_count):
        columns = one.owners == choice
        yield np.asarray(one.choices[:, columns].astype(float) @ other.choices[:, columns].T.astype(float))


def similarity(one: Features, other: Features, weights: Array) -> Array:
    """The sum of `similarities`, each times its weight of (d,): (n, m)."""
    return np.asarray((one.choices * weights[one.owners]) @ other.choices.T.astype(float))


class _Choice:
    """One choice as two tables with a row for each value, and a last one for its absence."""

    code: Array
    """(r, p): how alike two values are is the inner product of their rows."""
    amounts: Array
    """(r, a): what is counted of a value over all choices that offer the same."""
    offer: Hashable
    """Equal for choices that offer the same."""

    def __init__(self, distribution: BaseDistribution | None, values: set[Hashable]) -> None:
        self._distribution = distribution
        if isinstance(distribution, IntDistribution | FloatDistribution):
            self.offer = (distribution.low, distribution.high, distribution.log)
            self._levels = _levels(distribution)
            # 1 - |x - y| is min(x, y) + min(1 - x, 1 - y): the steps that both have passed, or neither.
            steps = np.sqrt(np.diff(self._levels))
            passed = self._levels[:, None] > self._levels[:-1]
            code: Array = np.hstack([passed * steps, ~passed * steps])
            amounts: Array = self._levels[:, None]
        else:
            options = sorted(getattr(distribution, "choices", None) or values, key=repr)
            self.offer = tuple(options)
            self._rows = {option: row for row, option in enumerate(options)}
            # One row more is that of options nobody has told of.
            code, amounts = np.eye(len(options) + 1), np.eye(len(options) + 1, len(options))
        self.code = block_diag(code, np.eye(1))
        self.amounts = np.vstack([amounts, np.zeros(amounts.shape[1])])

    def row(self, value: Any) -> int:
        """Which row is that of a value."""
        if value is _ABSENT:
            return len(self.code) - 1
        if isinstance(self._distribution, IntDistribution | FloatDistribution):
            return int(np.abs(self._levels - _position(self._distribution, value)).argmin())
        return self._rows.get(value, len(self._rows))


class Encoding:
    """Turns params and costs into `Features`, on a scale that a set of networks fixes.

    Why counts: in most spaces many choices offer the same operators, and how many convolutions a network has
    says much before anything is known of where they should be.

    Args:
        networks: Params of the networks that fix the scale; together they should make every choice.
        costs: (n, c) what they cost.
        distributions: Of the choices. One that is missing here is taken as categorical, with the options
            that occur.
    """

    def __init__(
        self,
        networks: Sequence[Mapping[str, Any]],
        costs: Array,
        distributions: Mapping[str, BaseDistribution],
    ) -> None:
        self._names = sorted({name for network in networks for name in network} | set(distributions))
        self._choices = [
            _Choice(distributions.get(name), {network[name] for network in networks if name in network})
            for name in self._names
        ]
        groups: dict[Hashable, list[int]] = {}
        for index, choice in enumerate(self._choices):
            groups.setdefault(choice.offer, []).append(index)
        self._groups = [group for group in groups.values() if len(group) > 1]
        self._owners = np.repeat(np.arange(len(self._choices)), [choice.code.shape[1] for choice in self._choices])
        self._cost_scale = _scale(costs)
        counted = self._count(self._rows(networks), len(networks))
        self._centre, self._spread = counted.mean(axis=0), counted.std(axis=0)
        self._spread[self._spread == 0] = 1.0
        logs = _logs(costs, self._cost_scale)
        self._cost_centre, self._cost_spread = logs.mean(axis=0), logs.std(axis=0)
        self._cost_spread[self._cost_spread == 0] = 1.0

    def __call__(self, networks: Sequence[Mapping[str, Any]], costs: Array) -> Features:
        """The features of n networks with costs (n, c)."""
        rows = self._rows(networks)
        choices = np.empty((len(networks), len(self._owners)), dtype=np.float32)
        for index, choice in enumerate(self._choices):
            choices[:, self._owners == index] = choice.code[rows[index]]
        counts = (self._count(rows, len(networks)) - self._centre) / self._spread
        logs = (_logs(costs, self._cost_scale) - self._cost_centre) / self._cost_spread
        return Features(choices, self._owners, counts, logs)

    def _rows(self, networks: Sequence[Mapping[str, Any]]) -> list[list[int]]:
        return [
            [choice.row(network.get(name, _ABSENT)) for network in networks]
            for name, choice in zip(self._names, self._choices, strict=True)
        ]

    def _count(self, rows: list[list[int]], networks: int) -> Array:
        counted = [sum(self._choices[index].amounts[rows[index]] for index in group) for group in self._groups]
        return np.hstack(counted) if counted else np.empty((networks, 0))


def _levels(distribution: IntDistribution | FloatDistribution) -> Array:
    """The positions of a number's values, from 0 to 1, rising."""
    if isinstance(distribution, IntDistribution):
        values = range(distribution.low, distribution.high + 1, distribution.step)
        if 1 < len(values) <= _LEVELS:
            return np.array([_position(distribution, value) for value in values])
    return np.linspace(0.0, 1.0, _LEVELS)


def _position(distribution: IntDistribution | FloatDistribution, value: float) -> float:
    low, high = float(distribution.low), float(distribution.high)
    if distribution.log:
        low, high, value = np.log(low), np.log(high), np.log(value)
    return float((value - low) / (high - low)) if high > low else 0.0


def _scale(costs: Array) -> Array:
    return np.asarray(np.median(np.abs(costs), axis=0)) if len(costs) else np.ones(costs.shape[1])


def _logs(costs: Array, scale: Array) -> Array:
    # A cost may be 0 (the MACs of nothing but identities): a thousandth of the median is as good as nothing.
    # Signs are kept, so that a cost that is maximised, and turned, has its logarithm as well.
    unit = 1e-3 * np.where(scale > 0, scale, 1.0)
    return np.asarray(np.sign(costs) * np.log1p(np.abs(costs) / unit))
