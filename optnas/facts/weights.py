"""Which weights of a fitness pick which network: a map of all mixtures of its terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from optuna import Study

from optnas.cost import Constraint
from optnas.facts.fitness import Fitness, parts_of
from optnas.front import Network, candidates, front
from optnas.sampler.fitness import draw_weights, spreads

__all__ = ["Region", "WeightMap", "regions", "weight_map"]

Array = NDArray[np.float64]
#: A corner of a map: the shares of all terms, which add up to 1.
Corner = tuple[float, ...]

#: Mixtures of four and more terms that are drawn: shares are then right within 1 %.
_DRAWS = 20_000
#: A corner this near to a border is on it.
_NEAR = 1e-12


@dataclass(frozen=True)
class Region:
    """The weights that pick one network."""

    network: Network
    share: float
    """Of all mixtures of the terms; those of all regions add up to 1."""
    corners: tuple[Corner, ...]
    """Of two terms the ends of the interval, of three the corners of the polygon in turn, of more nothing."""


@dataclass(frozen=True)
class WeightMap:
    """Who wins under which mixture of the terms.

    A mixture is a share for each term, and the shares add up to 1. A share of 0.5 means half of a fitness that varies
    by 1: each term is divided by its spread among the study's networks, as in the search
    (`optnas.sampler.fitness`). Without that nearly all mixtures would be decided by the costs, which vary by
    factors where accuracies vary by a few hundredths.
    """

    terms: tuple[str, ...]
    scales: tuple[float, ...]
    """The spread of each term."""
    given: Corner
    """The mixture that the fitness itself is."""
    winner: Network | None
    """The fittest by it; None if no network counts."""
    regions: tuple[Region, ...]
    """Of two terms from the first one's end to the second's, else the largest first; networks that no weights pick
    have none."""
    exact: bool
    """Whether shares are computed; those of four and more terms are counted among drawn mixtures."""

    def weights(self, corner: Corner, first: float) -> tuple[float, ...]:
        """The weights of a mixture as one writes them into a fitness, if the first term weighs `first`.

        Infinite where the first term has no share.
        """
        units = [share / scale for share, scale in zip(corner, self.scales, strict=True)]
        return tuple(first * unit / units[0] if units[0] else np.inf * unit if unit else 0.0 for unit in units)


def weight_map(study: Study, fitness: Fitness, budget: Sequence[Constraint] = ()) -> WeightMap:
    """The map of a fitness: its terms count, its weights are only where it stands on the map.

    Of two terms the fittest network is found by the upper envelope of lines, of three by cutting the triangle of
    mixtures with half planes: both exact. Of networks of which all terms are equal one of the front has the region, or
    else the first trial.

    Raises:
        UsageError: As `optnas.facts.fitness.rank`.
    """
    found, parts = parts_of(study, fitness)
    scales = spreads(parts) if found else np.ones(parts.shape[1])
    within = {network.trial for network in candidates(study, budget)}
    members = {network.trial for network in front(study, budget)}
    rows = [row for row, network in enumerate(found) if network.trial in within]
    rows.sort(key=lambda row: found[row].trial not in members)
    networks, points = [found[row] for row in rows], parts[rows] / scales
    mixture = np.array(list(fitness.weights.values())) * scales
    given = mixture / mixture.sum()
    return WeightMap(
        tuple(fitness.weights),
        tuple(scales.tolist()),
        tuple(given.tolist()),
        networks[int((points @ given).argmax())] if networks else None,
        tuple(regions(networks, points)) if networks else (),
        parts.shape[1] <= 3,
    )


def regions(networks: Sequence[Network], points: Array) -> list[Region]:
    """Who wins under which mixture of terms, in the order of `WeightMap.regions`.

    Args:
        networks: At least one.
        points: (n, k) their terms, larger is better, each in units of its spread.
    """
    terms = points.shape[1]
    if terms == 1:
        return [Region(networks[int(points[:, 0].argmax())], 1.0, ((1.0,),))]
    if terms == 2:
        return [
            Region(networks[row], high - low, ((1 - low, low), (1 - high, high)))
            for row, low, high in _envelope(points)
        ]
    if terms == 3:
        regions = [Region(networks[row], share, corners) for row, share, corners in _polygons(points)]
    else:
        mixtures = draw_weights(np.random.default_rng(0), terms, _DRAWS)
        wins = np.bincount((mixtures @ points.T).argmax(axis=1), minlength=len(points)) / _DRAWS
        regions = [Region(networks[row], float(wins[row]), ()) for row in np.flatnonzero(wins).tolist()]
    return sorted(regions, key=lambda region: -region.share)


def _envelope(points: Array) -> list[tuple[int, float, float]]:
    """Rows of (n, 2) and the intervals of w in which (1 - w) * first + w * second of each is largest, in order."""
    first, second = points.T
    row = int(np.lexsort((-second, -first))[0])
    winners, borders = [row], [0.0]
    while True:
        steeper = np.flatnonzero(second > second[row])
        if not len(steeper):
            break
        lost, won = first[row] - first[steeper], second[steeper] - second[row]
        crossings = lost / (lost + won)
        # Of several lines through one crossing the steepest is on top beyond it.
        row = int(steeper[np.lexsort((-second[steeper], crossings))[0]])
        winners.append(row)
        borders.append(float(crossings.min()))
    return [(row, low, high) for row, (low, high) in zip(winners, pairwise([*borders, 1.0]), strict=True) if high > low]


def _polygons(points: Array) -> list[tuple[int, float, tuple[Corner, ...]]]:
    """Rows of (n, 3), the shares of the triangle of mixtures in which each is largest, and the polygons."""
    _, firsts = np.unique(points, axis=0, return_index=True)
    # One that is nowhere larger than another one wins nowhere; sorted, so that few are compared with many.
    rows = [row for row in np.sort(firsts) if not _beaten(points[row], points[firsts])]
    found = []
    for row in rows:
        polygon = np.eye(3)
        for other in rows:
            if len(polygon) and other != row:
                polygon = _clip(polygon, points[row] - points[other])
        area = _area(polygon)
        if area > 0:
            found.append((int(row), area, tuple(tuple(corner) for corner in polygon.tolist())))
    return found


def _beaten(point: Array, others: Array) -> bool:
    return bool(((others >= point).all(axis=1) & (others > point).any(axis=1)).any())


def _clip(polygon: Array, normal: Array) -> Array:
    """The part of a convex polygon (p, 3) where corners times normal is not below 0 (Sutherland and Hodgman 1974)."""
    heights = polygon @ normal
    heights[np.abs(heights) < _NEAR] = 0.0
    if heights.min() >= 0:
        return polygon
    kept = []
    for index in range(len(polygon)):
        here, there = heights[index - 1], heights[index]
        if here * there < 0:
            kept.append(polygon[index - 1] + here / (here - there) * (polygon[index] - polygon[index - 1]))
        if there >= 0:
            kept.append(polygon[index])
    return np.array(kept).reshape(-1, 3)


def _area(polygon: Array) -> float:
    """Of a polygon of mixtures, as a share of the whole triangle: twice its area in the first two shares."""
    x, y = polygon[:, 0], polygon[:, 1]
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)))
