"""Names beside the points that they name, over nothing else that is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cbook import STEP_LOOKUP_MAP
from numpy.typing import NDArray

from optnas.report.style import INK, MUTED, PAPER

__all__ = ["name_points"]

Array = NDArray[np.float64]
#: Left, bottom, right and top in pixels.
Box = tuple[float, float, float, float]

_SIZE = 8.5
#: Points between a mark and its name, and where there is no room so near; a name farther off has a line to its mark.
_NEAR, _FAR = 3.0, (14.0, 26.0, 40.0, 56.0, 76.0)
#: Directions in which a place is sought, right of the point first.
_NEAR_ANGLES = (0, 180, 90, 270, 45, 315, 135, 225)
_FAR_ANGLES = tuple(range(0, 360, 30))


def name_points(axes: Axes, named: Sequence[tuple[str, tuple[float, float]]]) -> None:
    """Write a name beside each of some points of finished axes, within their frame.

    A place is taken where the name covers no mark, no line and no other name. If there is none beside the point the
    name goes farther off, with a line to its mark; if there is none at all, where it covers least.

    Args:
        axes: With all else drawn; their figure is laid out here.
        named: Of each its name and its place (x, y) in data.
    """
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    unit = axes.figure.dpi / 72
    frame = axes.bbox
    inside: Box = (frame.x0 + 2 * unit, frame.y0 + 2 * unit, frame.x1, frame.y1)
    taken = _marks(axes, unit)
    for name, at in named:
        text = axes.annotate(
            name, at, (0, 0), textcoords="offset points", fontsize=_SIZE, color=INK, ha="center", va="center", zorder=8,
            bbox={"boxstyle": "square,pad=0.05", "facecolor": PAPER, "edgecolor": "none", "alpha": 0.8},
            arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 6},
        )  # fmt: skip
        text.set_in_layout(False)
        extent = text.get_window_extent()
        here = np.asarray(axes.transData.transform(at), dtype=float)
        best, least = (np.zeros(2), False), np.inf
        for centre, has_line in _places(here, extent.width / 2, extent.height / 2, unit):
            x, y = centre
            box = (x - extent.width / 2, y - extent.height / 2, x + extent.width / 2, y + extent.height / 2)
            covered = _beyond(box, inside) + _covered(box, taken)
            if has_line:
                covered += _crossed(here, centre, taken)
            if covered < least:
                best, least = (centre, has_line), covered
            if covered == 0:
                break
        centre, has_line = best
        text.set_position(tuple((centre - here) / unit))
        if not has_line and text.arrow_patch is not None:
            text.arrow_patch.set_visible(False)
        half = np.array([extent.width / 2, extent.height / 2])
        taken = np.vstack([taken, np.concatenate([centre - half, centre + half])])


def _marks(axes: Axes, unit: float) -> Array:
    """(n, 4) the boxes of all marks, and of the parts of lines, which run along the axes."""
    boxes = [np.empty((0, 4))]
    for collection in axes.collections:
        offsets = np.asarray(collection.get_offset_transform().transform(collection.get_offsets()), dtype=float)
        sizes = collection.get_sizes() if hasattr(collection, "get_sizes") else np.zeros(1)
        radius = (np.sqrt(max(sizes, default=0.0)) / 2 + 1) * unit
        boxes.append(np.column_stack([offsets - radius, offsets + radius]))
    for line in axes.lines:
        step = STEP_LOOKUP_MAP[line.get_drawstyle()](*np.asarray(line.get_data(), dtype=float))
        corners = np.asarray(line.get_transform().transform(np.column_stack(step)), dtype=float)
        ends = np.stack([corners[:-1], corners[1:]])
        boxes.append(np.column_stack([ends.min(axis=0) - unit, ends.max(axis=0) + unit]))
    return np.concatenate(boxes)


def _places(here: Array, half_width: float, half_height: float, unit: float) -> Iterator[tuple[Array, bool]]:
    """Centres of a name about a point, the best first, and whether a line has to lead to it."""
    ring = 8 * unit
    for gap, angles in ((_NEAR, _NEAR_ANGLES), *((far, _FAR_ANGLES) for far in _FAR)):
        for angle in angles:
            turn = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))]).round(9)
            step = ring + gap * unit
            aside = np.array([half_width, half_height]) * np.sign(turn)
            yield here + turn * step + aside, gap != _NEAR


def _beyond(box: Box, frame: Box) -> float:
    """The area by which a box leaves a frame, and much more than what it may cover within."""
    left, bottom, right, top = box
    width = max(0.0, min(right, frame[2]) - max(left, frame[0]))
    height = max(0.0, min(top, frame[3]) - max(bottom, frame[1]))
    return 100 * max(0.0, (right - left) * (top - bottom) - width * height - 1e-6)


def _covered(box: Box, taken: Array) -> float:
    """The area of boxes (n, 4) that a box covers."""
    width = np.minimum(box[2], taken[:, 2]) - np.maximum(box[0], taken[:, 0])
    height = np.minimum(box[3], taken[:, 3]) - np.maximum(box[1], taken[:, 1])
    return float((np.clip(width, 0, None) * np.clip(height, 0, None)).sum())


def _crossed(here: Array, there: Array, taken: Array) -> float:
    """How much of the line from a point to its name runs over boxes (n, 4) that are not the point's own."""
    others = taken[~((taken[:, :2] <= here) & (here <= taken[:, 2:])).all(axis=1)]
    along = here + np.linspace(0, 1, 25)[:, None] * (there - here)
    over = ((along[:, None] >= others[:, :2]) & (along[:, None] <= others[:, 2:])).all(axis=2)
    return float(over.sum())
