"""The picture of a front before and after deployment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from optnas.cost import COSTS, format_cost
from optnas.objective import ERROR
from optnas.report.front import axis_label
from optnas.report.picture import write_picture

__all__ = ["draw_deployed", "save_deployed"]

_GREY = "#8a8a8a"
#: Of deployed fronts, in this order; they differ in brightness too.
_COLOURS = ("#0b5fa5", "#d98b2b", "#2f7d4f", "#b5452c", "#7a5aa6", "#3aa6a6")
_MARKERS = "Ds^vPX"


def draw_deployed(fronts: Mapping[str, Sequence[tuple[float, float]]], x: str, y: str, axes: Axes) -> None:
    """Draw fronts over each other, the first one in grey behind the others.

    Args:
        fronts: By its name, the (x, y) of each network, both smaller is better; errors in [0, 1].
        x: The name of the cost.
        y: The name of the other objective.
        axes: Where to draw.
    """
    scale = 100 if y == ERROR else 1
    for index, (name, points) in enumerate(fronts.items()):
        colour = _COLOURS[(index - 1) % len(_COLOURS)] if index else _GREY
        marker = _MARKERS[(index - 1) % len(_MARKERS)] if index else "o"
        xs, ys = [px for px, _ in points], [py * scale for _, py in points]
        axes.step(xs, ys, where="post", color=colour, linewidth=1.2, alpha=0.7)
        axes.scatter(xs, ys, s=36, c=colour, marker=marker, zorder=2 + bool(index), label=f"{name} ({len(points)})")
    if any(px > 0 for points in fronts.values() for px, _ in points):
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    places = sorted({px for points in fronts.values() for px, _ in points})
    if x in COSTS and places:
        axes.set_xticks(_spread(places))
        axes.xaxis.set_major_formatter(lambda value, position: format_cost(x, value))
    axes.set_xlabel(f"{axis_label(x)}, smaller is better")
    axes.set_ylabel(f"{axis_label(y)}, smaller is better")
    axes.grid(True, which="major", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)


def save_deployed(fronts: Mapping[str, Sequence[tuple[float, float]]], x: str, y: str, title: str, path: Path) -> None:
    """Write that picture; the ending of the path names the format.

    Raises:
        UsageError: If the file cannot be written.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    draw_deployed(fronts, x, y, axes)
    axes.set_title(title, fontsize=11, loc="left", parse_math=False)
    write_picture(figure, path)


def _spread(places: Sequence[float], ticks: int = 5) -> list[float]:
    """A few places from the least to the largest, an equal factor apart: a front may span less than a decade."""
    least, largest = places[0], places[-1]
    if least <= 0 or least == largest:
        return [least]
    return [least * (largest / least) ** (step / (ticks - 1)) for step in range(ticks)]
