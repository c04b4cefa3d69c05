"""The picture of which weights of a fitness pick which network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from matplotlib.ticker import MultipleLocator
from numpy.typing import NDArray
from optuna import Study

from optnas.facts.fitness import Fitness
from optnas.facts.summary import format_value
from optnas.facts.weights import Region, WeightMap
from optnas.front import objective_names
from optnas.objective import ERROR
from optnas.report.front import draw_front
from optnas.report.labels import name_points
from optnas.report.picture import write_picture
from optnas.report.style import INK, MUTED, PALETTE, dress, headline, nothing, plain

__all__ = ["draw_weights", "save_choice"]

#: Rows of bars, the largest regions; and networks that are named in the front.
_ROWS, _NAMED = 14, 8
#: A region is labelled from this share of the triangle on.
_LABELLED = 0.03
#: Where the corners of the triangle are, one for each term: left, right, above.
_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(0.75)]])


def draw_weights(weights: WeightMap, fitness: Fitness, axes: Axes) -> None:
    """Draw who wins under which mixture of the terms, and where the fitness itself stands.

    Of two terms each network has a bar from the one to the other end of its interval, with the weight at its end; of
    three terms a part of the triangle whose corners are the terms alone; of one or more than three a bar for its share.

    Args:
        weights: The map.
        fitness: Whose map it is.
        axes: Where to draw.
    """
    if not weights.regions or weights.winner is None:
        nothing(axes, "no trained network with these costs")
        return
    if len(weights.terms) == 2:
        _draw_intervals(weights, fitness, axes)
    elif len(weights.terms) == 3:
        _draw_triangle(weights, axes)
    else:
        _draw_shares(weights, axes)
    share = next((region.share for region in weights.regions if region.network is weights.winner), 0.0)
    note = f"weights {', '.join(f'{plain(term)} {weight:g}' for term, weight in fitness.weights.items())}"
    if len(weights.terms) > 1:
        note += "; shares count each term in units of its spread among the trained networks"
    headline(axes, f"These weights pick trial {weights.winner.trial}, as {share:.0%} of all mixtures do", note)


def save_choice(study: Study, weights: WeightMap, fitness: Fitness, path: Path) -> None:
    """Write the front, with the networks that some weights pick, and the map of the weights beside it.

    Raises:
        UsageError: If the file cannot be written.
    """
    figure = Figure(figsize=(11.5, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_front(study, left)
    names = objective_names(study)
    y = ERROR if ERROR in names else names[0]
    x = next((name for name in names if name != y), None)
    largest = sorted(zip(weights.regions, _colours(weights), strict=True), key=lambda one: -one[0].share)
    named = [(region.network, colour) for region, colour in largest[:_NAMED] if x is not None]
    places = []
    for network, colour in named:
        at = network.values[x or y], network.values[y]
        left.scatter(*at, s=130, facecolors="none", edgecolors=colour, linewidths=2, zorder=7)
        places.append((f"trial {network.trial}", at))
    draw_weights(weights, fitness, right)
    name_points(left, places)
    write_picture(figure, path)


def _draw_intervals(weights: WeightMap, fitness: Fitness, axes: Axes) -> None:
    first = fitness.weights[weights.terms[0]] or 1.0
    rows = range(len(weights.regions), 0, -1)
    for row, region, colour in zip(rows, weights.regions, _colours(weights), strict=True):
        low, high = (corner[1] for corner in region.corners)
        axes.barh(row, high - low, left=low, height=0.7, color=colour)
        end = weights.weights(region.corners[1], first)[1]
        if np.isfinite(end):
            # Beside the bar where there is room, else in its end.
            at_left, within = high > 0.75, high > 0.75 and low < 0.15
            axes.annotate(
                f"{end:.3g}", (low if at_left and not within else high, row), (-5 if at_left else 5, 0),
                textcoords="offset points", ha="right" if at_left else "left", va="center", fontsize=8.5,
                color="white" if within else INK,
            )  # fmt: skip
    _name_rows(weights.regions, axes)
    axes.axvline(weights.given[1], color=INK, linewidth=1, linestyle="--")
    axes.annotate(
        "yours", (weights.given[1], 0), (3, 3), xycoords=("data", "axes fraction"), textcoords="offset points",
        fontsize=8.5, color=INK,
    )  # fmt: skip
    axes.set_xlim(0, 1)
    axes.set_xlabel(
        f"share of {plain(weights.terms[1])}, the rest is {plain(weights.terms[0])} (%)\n"
        f"beside bars: the weight of {plain(weights.terms[1])} where they end, with {plain(weights.terms[0])}={first:g}"
    )
    axes.xaxis.set_major_locator(MultipleLocator(0.25))
    axes.xaxis.set_major_formatter(lambda share, position: f"{100 * share:.0f}")
    dress(axes, "x")
    axes.tick_params(axis="y", length=0)


def _draw_triangle(weights: WeightMap, axes: Axes) -> None:
    for region, colour in zip(weights.regions, _colours(weights), strict=True):
        corners = np.array(region.corners) @ _CORNERS
        axes.add_patch(Polygon(corners, facecolor=colour, edgecolor="white", linewidth=1.2, alpha=0.85))
        if region.share >= _LABELLED:
            axes.text(
                *_middle(corners), f"trial {region.network.trial}\n{region.share:.0%}", ha="center", va="center",
                fontsize=8.5, color="black",
                bbox={"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
            )  # fmt: skip
    axes.add_patch(Polygon(_CORNERS, fill=False, edgecolor=MUTED, linewidth=0.8))
    here = np.array(weights.given) @ _CORNERS
    axes.scatter(here[0], here[1], s=60, marker="*", c="white", edgecolors="black", zorder=5)
    axes.annotate(
        "yours", here, (0, -7), textcoords="offset points", fontsize=8.5, color="black", zorder=6, ha="center",
        va="top", bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
    )  # fmt: skip
    for (x, y), term, down in zip(_CORNERS, weights.terms, (True, True, False), strict=True):
        axes.annotate(
            f"only {plain(term)}", (x, y), (0, -6 if down else 6), textcoords="offset points", ha="center",
            va="top" if down else "bottom", fontsize=9.5, color=INK, parse_math=False,
        )  # fmt: skip
    axes.set(xlim=(-0.12, 1.12), ylim=(-0.1, 0.98), aspect="equal")
    axes.set_axis_off()


def _draw_shares(weights: WeightMap, axes: Axes) -> None:
    regions = weights.regions[:_ROWS]
    axes.barh(
        range(len(regions), 0, -1),
        [region.share for region in regions],
        height=0.7,
        color=_colours(weights)[: len(regions)],
    )
    _name_rows(regions, axes)
    axes.set_xlabel(f"share of {'all' if weights.exact else '20 000 drawn'} mixtures that pick it (%)")
    axes.xaxis.set_major_formatter(lambda share, position: f"{100 * share:.0f}")
    dress(axes, "x")
    axes.tick_params(axis="y", length=0)


def _name_rows(regions: tuple[Region, ...], axes: Axes) -> None:
    names = []
    for region in regions:
        values = region.network.values
        told = ", ".join(format_value(name, value) for name, value in list(values.items())[:2])
        names.append(f"trial {region.network.trial}\n{told}")
    axes.set_yticks(range(len(regions), 0, -1), names, parse_math=False)
    axes.set_ylim(0.4, len(regions) + 0.6)


def _colours(weights: WeightMap) -> list[str]:
    return [PALETTE[index % len(PALETTE)] for index in range(len(weights.regions))]


def _middle(polygon: NDArray[np.float64]) -> tuple[float, float]:
    """The centre of mass of a polygon (p, 2)."""
    x, y = polygon.T
    cross = x * np.roll(y, -1) - np.roll(x, -1) * y
    weight = 3 * cross.sum()
    return float(((x + np.roll(x, -1)) * cross).sum() / weight), float(((y + np.roll(y, -1)) * cross).sum() / weight)
