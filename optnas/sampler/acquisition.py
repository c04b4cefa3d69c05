"""Exact expected improvement of the hypervolume where some objectives are known beforehand.

Notation: n networks, k objectives (smaller is better), b boxes, t thresholds. What one more network adds is the
volume that it dominates and the front does not. With the non-dominated region cut into disjoint boxes
[lower, upper), this is a sum over boxes of a product over objectives of max(0, upper - max(lower, value)). A
known objective enters as that length; an unknown one, independent of the others, as its expectation: the
difference of the expected improvements over upper and over lower. So it is a sum of one-dimensional pieces for
any number of objectives (Emmerich et al. 2011 for all unknown; Loka et al. 2022 for cheap beside expensive).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

__all__ = ["Mixture", "Prediction", "expected_improvement", "nondominated_boxes"]

Array = NDArray[np.float64]

#: Numbers in one array of (networks, boxes): 8 MB.
_CHUNK = 1_000_000


@dataclass(frozen=True)
class Prediction:
    """What a surrogate expects of one unknown objective of n networks.

    The value is normal, or with `origin` it is the origin plus a log-normal one, as suits errors, which are
    bounded below and have a long tail.
    """

    mean: Array
    """(n,) of the value, or of log(value - origin)."""
    std: Array
    """(n,) of the same, above 0."""
    origin: float | None = None
    """What the value exceeds; None if it is normal."""

    def __len__(self) -> int:
        return len(self.mean)

    def __getitem__(self, part: slice | NDArray[np.int64]) -> Prediction:
        return Prediction(self.mean[part], self.std[part], self.origin)

    def below(self, thresholds: Array) -> Array:
        """E[max(0, threshold - value)] for thresholds (t,), -inf allowed: (n, t), rising along a row."""
        mean, std = self.mean[:, None], self.std[:, None]
        if self.origin is None:
            z = np.maximum((thresholds[None, :] - mean) / std, -40.0)
            density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
            return np.asarray(np.maximum(std * (z * ndtr(z) + density), 0.0))
        room = np.maximum(thresholds - self.origin, 1e-300)[None, :]
        z = (np.log(room) - mean) / std
        return np.asarray(np.maximum(room * ndtr(z) - np.exp(mean + std**2 / 2) * ndtr(z - std), 0.0))


@dataclass(frozen=True)
class Mixture:
    """Several predictions of the same networks, equally likely."""

    parts: tuple[Prediction, ...]

    def __len__(self) -> int:
        return len(self.parts[0].mean)

    def __getitem__(self, part: slice | NDArray[np.int64]) -> Mixture:
        return Mixture(tuple(prediction[part] for prediction in self.parts))

    @property
    def median(self) -> Array:
        """(n,) the mean of the medians, in the unit of the value."""
        medians = [p.mean if p.origin is None else p.origin + np.exp(p.mean) for p in self.parts]
        return np.asarray(np.mean(medians, axis=0))

    def below(self, thresholds: Array) -> Array:
        """As that of `Prediction`."""
        return np.asarray(np.mean([prediction.below(thresholds) for prediction in self.parts], axis=0))


def nondominated_boxes(front: Array, reference: Array) -> tuple[Array, Array]:
    """Cut what no point of the front dominates, below the reference, into disjoint boxes.

    Args:
        front: (m, k), smaller is better; dominated points, equal ones and points beyond the reference are
            allowed and change nothing.
        reference: (k,).

    Returns:
        Lower and upper corners, both (b, k). Lower corners are -inf where nothing bounds the box.
    """
    lower = np.full((1, len(reference)), -np.inf)
    upper = np.array([reference], dtype=float)
    # In the order of the first objective, a point cuts only boxes that are open along it: b stays small.
    for point in front[np.lexsort(front.T[::-1])]:
        hit = np.all(point < upper, axis=1)
        if not hit.any():
            continue
        lowers, uppers = [lower[~hit]], [upper[~hit]]
        low, high = lower[hit], upper[hit]
        for axis, value in enumerate(point):
            # What is left of each box, below the point along this axis, is not dominated.
            slab = low[:, axis] < value
            ceiling = high[slab].copy()
            ceiling[:, axis] = value
            lowers.append(low[slab])
            uppers.append(ceiling)
            low = low.copy()
            low[:, axis] = np.maximum(low[:, axis], value)
        lower, upper = np.concatenate(lowers), np.concatenate(uppers)
    return lower, upper


def expected_improvement(
    boxes: tuple[Array, Array], known: Mapping[int, Array], unknown: Mapping[int, Prediction | Mixture]
) -> Array:
    """The hypervolume that each of n networks is expected to add to a front.

    Args:
        boxes: Of `nondominated_boxes`.
        known: (n,) values of the objectives known beforehand, by column.
        unknown: Predictions of all others, by column; at least one.

    Returns:
        (n,), never negative, in the product of the units of the objectives.
    """
    lower, upper = boxes
    count = len(next(iter(unknown.values())))
    step = max(1, _CHUNK // len(lower))
    parts = []
    for start in range(0, count, step):
        part = slice(start, start + step)
        volume = np.ones((len(range(count)[part]), len(lower)))
        for column, values in known.items():
            floor = np.maximum(lower[:, column], values[part, None])
            volume *= np.maximum(upper[:, column] - floor, 0.0)
        for column, prediction in unknown.items():
            # Many boxes share a threshold.
            thresholds, index = np.unique(np.concatenate([lower[:, column], upper[:, column]]), return_inverse=True)
            below = prediction[part].below(thresholds)
            volume *= below[:, index[len(lower) :]] - below[:, index[: len(lower)]]
        parts.append(volume.sum(axis=1))
    return np.concatenate(parts) if parts else np.empty(0)
