"""How a surrogate sees networks: their choices, how often each option occurs, and the logarithms of their costs."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

__all__ = ["Encoding", "Features", "similarities"]

Array = NDArray[np.float64]

#: Stands for a choice that a network does not make; None may be an option.
_ABSENT = object()


@dataclass(frozen=True)
class Features:
    """n networks as the surrogate sees them."""

    choices: Array
    """(n, d): the index of an option, or a number scaled to 0..1; -1 where a network lacks the choice."""
    ordinal: NDArray[np.bool_]
    """(d,): which choices are numbers, nearer the closer they are."""
    counts: Array
    """(n, o): how often an option occurs over all choices that offer the same ones; centred and scaled."""
    costs: Array
    """(n, c): logarithms of the costs, centred and scaled."""

    def __len__(self) -> int:
        return len(self.choices)

    def __getitem__(self, rows: Any) -> Features:
        return Features(self.choices[rows], self.ordinal, self.counts[rows], self.costs[rows])

    def __add__(self, other: Features) -> Features:
        """The networks of both."""
        return Features(
            np.concatenate([self.choices, other.choices]),
            self.ordinal,
            np.concatenate([self.counts, other.counts]),
            np.concatenate([self.costs, other.costs]),
        )


def similarities(one: Features, other: Features) -> Iterator[Array]:
    """How alike the networks of two sets are in each choice, from 0 to 1, as d arrays of (n, m).

    Options are equal or not; numbers (kernel sizes, widths) are alike by their distance. A choice that only
    one of two networks makes has nothing alike; one that neither makes is equal.
    """
    for column, is_number in enumerate(one.ordinal):
        mine, theirs = one.choices[:, column, None], other.choices[None, :, column]
        if not is_number:
            yield (mine == theirs).astype(float)
            continue
        alike = 1.0 - np.abs(mine - theirs)
        if mine.min(initial=0.0) < 0 or theirs.min(initial=0.0) < 0:
            alike = np.where((mine < 0) | (theirs < 0), (mine == theirs).astype(float), alike)
        yield alike


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
        self._ranges = [_range(distributions.get(name)) for name in self._names]
        self._options: list[dict[Hashable, int]] = [{} for _ in self._names]
        groups: dict[Hashable, list[int]] = {}
        for column, name in enumerate(self._names):
            scale = self._ranges[column]
            offered = getattr(distributions.get(name), "choices", None)
            if scale is None:
                values = offered or {network[name] for network in networks if name in network}
                self._options[column] = {option: index for index, option in enumerate(sorted(values, key=repr))}
            groups.setdefault(scale or tuple(self._options[column]), []).append(column)
        self._groups = [columns for columns in groups.values() if len(columns) > 1]
        self._cost_scale = _scale(costs)
        choices = self._choices(networks)
        counted = self._count(choices)
        self._centre, self._spread = counted.mean(axis=0), counted.std(axis=0)
        self._spread[self._spread == 0] = 1.0
        logs = _logs(costs, self._cost_scale)
        self._cost_centre, self._cost_spread = logs.mean(axis=0), logs.std(axis=0)
        self._cost_spread[self._cost_spread == 0] = 1.0

    def __call__(self, networks: Sequence[Mapping[str, Any]], costs: Array) -> Features:
        """The features of n networks with costs (n, c)."""
        choices = self._choices(networks)
        ordinal = np.array([scale is not None for scale in self._ranges], dtype=bool)
        counts = (self._count(choices) - self._centre) / self._spread
        logs = (_logs(costs, self._cost_scale) - self._cost_centre) / self._cost_spread
        return Features(choices, ordinal, counts, logs)

    def _choices(self, networks: Sequence[Mapping[str, Any]]) -> Array:
        columns = []
        for name, scale, options in zip(self._names, self._ranges, self._options, strict=True):
            values = [network.get(name, _ABSENT) for network in networks]
            # An option that the scale has not seen gets an index of its own.
            columns.append([_encode(value, scale, options) for value in values])
        return np.array(columns, dtype=float).reshape(len(self._names), len(networks)).T

    def _count(self, choices: Array) -> Array:
        counted = []
        for columns in self._groups:
            part = choices[:, columns]
            if self._ranges[columns[0]] is not None:
                counted.append(np.maximum(part, 0.0).sum(axis=1))
            else:
                counted += [(part == index).sum(axis=1) for index in range(len(self._options[columns[0]]))]
        return np.array(counted, dtype=float).reshape(len(counted), len(choices)).T


def _encode(value: Any, scale: tuple[float, float, bool] | None, options: dict[Hashable, int]) -> float:
    if value is _ABSENT:
        return -1.0
    if scale is None:
        return float(options.setdefault(value, len(options)))
    low, high, log = scale
    position = (np.log(value) if log else value) - low
    return float(np.clip(position / (high - low), 0.0, 1.0)) if high > low else 0.0


def _range(distribution: BaseDistribution | None) -> tuple[float, float, bool] | None:
    if not isinstance(distribution, IntDistribution | FloatDistribution):
        return None
    low, high = float(distribution.low), float(distribution.high)
    return (float(np.log(low)), float(np.log(high)), True) if distribution.log else (low, high, False)


def _scale(costs: Array) -> Array:
    return np.asarray(np.median(np.abs(costs), axis=0)) if len(costs) else np.ones(costs.shape[1])


def _logs(costs: Array, scale: Array) -> Array:
    # A cost may be 0 (the MACs of nothing but identities): a thousandth of the median is as good as nothing.
    # Signs are kept, so that a cost that is maximised, and turned, has its logarithm as well.
    unit = 1e-3 * np.where(scale > 0, scale, 1.0)
    return np.asarray(np.sign(costs) * np.log1p(np.abs(costs) / unit))
