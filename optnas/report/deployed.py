"""The picture of a front before and after deployment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optnas.report.picture import write_picture
from optnas.report.style import COLOURS, LINE_MARKERS, PALETTE, dress, headline
from optnas.report.units import cost_axis

__all__ = ["draw_deployed", "save_deployed"]


def draw_deployed(
    fronts: Mapping[str, Sequence[tuple[float, float]]], x: str, y: str, axes: Axes, title: str = ""
) -> None:
    """Draw fronts over each other, the first one in grey behind the others.

    Args:
        fronts: By its name, the (x, y) of each network, both smaller is better; errors in [0, 1].
        x: The name of the cost.
        y: The name of the other objective.
        axes: Where to draw.
        title: What they are fronts of.
    """
    for index, (name, points) in enumerate(fronts.items()):
        colour = PALETTE[(index - 1) % len(PALETTE)] if index else COLOURS["beaten"]
        marker = LINE_MARKERS[index % len(LINE_MARKERS)]
        xs, ys = [px for px, _ in points], [py for _, py in points]
        axes.step(xs, ys, where="post", color=colour, linewidth=1.2, alpha=0.7)
        axes.scatter(xs, ys, s=36, c=colour, marker=marker, zorder=2 + bool(index), label=f"{name} ({len(points)})")
    cost_axis(axes.xaxis, x, [px for points in fronts.values() for px, _ in points], "smaller is better")
    cost_axis(axes.yaxis, y, [py for points in fronts.values() for _, py in points], "smaller is better")
    dress(axes)
    headline(axes, title)


def save_deployed(fronts: Mapping[str, Sequence[tuple[float, float]]], x: str, y: str, title: str, path: Path) -> None:
    """Write that picture; the ending of the path names the format.

    Raises:
        UsageError: If the file cannot be written.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    draw_deployed(fronts, x, y, figure.subplots(), title)
    write_picture(figure, path)
