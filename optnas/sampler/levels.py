"""The finite options of any choice: those it has, or, of a long range, equal parts of it."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

__all__ = ["Intervals", "Levels", "Options", "levels_of"]

#: A number with more values than this is cut into so many parts, unless fewer are asked for.
_PARTS = 8


class Options:
    """The options of a categorical choice."""

    def __init__(self, distribution: CategoricalDistribution) -> None:
        self._distribution = distribution
        self.keys = [repr(option) for option in distribution.choices]
        """Names of what can be picked: equal for equal options of another distribution."""

    def place(self, value: Any) -> int:
        """Which of them a value is."""
        return int(self._distribution.to_internal_repr(value))

    def value(self, place: int, generator: np.random.Generator) -> Any:
        """The option at a place."""
        return self._distribution.choices[place]


class Intervals:
    """A range of numbers in parts: one for each value if it has 8 at most, else 8 (or `parts`) of equal width.

    The width is that of the logarithm where the distribution says so; within a part a value is drawn uniformly on
    the same scale.
    """

    def __init__(self, distribution: IntDistribution | FloatDistribution, parts: int = _PARTS) -> None:
        self._range = distribution
        step = distribution.step
        count = _PARTS if step is None else int((distribution.high - distribution.low) / step + 1e-8) + 1
        self._short = step is not None and count <= _PARTS
        if self._short and step is not None:
            self.keys = [f"{distribution.low + place * step:.6g}" for place in range(count)]
            """Names of what can be picked: equal for equal parts of another distribution."""
            return
        # Steps own the half steps about them, as in Optuna's own sampling.
        half = 0.5 * (step or 0.0)
        self._low, high = self._scaled(distribution.low - half), self._scaled(distribution.high + half)
        self._width = (high - self._low) / parts
        edges = [f"{self._unscaled(self._low + part * self._width):.6g}" for part in range(parts + 1)]
        self.keys = [f"{low}..{high}" for low, high in pairwise(edges)]

    def place(self, value: float) -> int:
        """Which of them a value is or lies in."""
        if self._short and self._range.step is not None:
            place = round((value - self._range.low) / self._range.step)
        elif self._width > 0:
            place = int((self._scaled(value) - self._low) / self._width)
        else:
            place = 0
        return min(max(place, 0), len(self.keys) - 1)

    def value(self, place: int, generator: np.random.Generator) -> float:
        """The value at a place, or a random one of the part there."""
        low, high, step = self._range.low, self._range.high, self._range.step
        if self._short and step is not None:
            drawn = low + place * step
        else:
            drawn = self._unscaled(self._low + (place + generator.random()) * self._width)
            if step is not None:
                drawn = low + round((drawn - low) / step) * step
            drawn = min(max(drawn, low), high)
        return int(drawn) if isinstance(self._range, IntDistribution) else float(drawn)

    def _scaled(self, value: float) -> float:
        return math.log(value) if self._range.log else float(value)

    def _unscaled(self, value: float) -> float:
        return math.exp(value) if self._range.log else value


Levels = Options | Intervals


def levels_of(distribution: BaseDistribution, parts: int = _PARTS) -> Levels:
    """What can be picked for a choice of this distribution; a number of more than 8 values is cut into `parts`."""
    if isinstance(distribution, CategoricalDistribution):
        return Options(distribution)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return Intervals(distribution, parts)
