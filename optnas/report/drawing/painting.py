"""Drawings in axes of matplotlib, and in files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from optnas.errors import UsageError
from optnas.report.drawing.shapes import BASELINE, INK, Box, Drawing, Group, Line, Words, plain
from optnas.report.drawing.svg import svg_text
from optnas.report.picture import check_picture, write_picture
from optnas.whole import whole_file

__all__ = ["axes_width", "paint", "write_drawing"]

#: matplotlib's letters are wider than those of browsers.
_SMALLER = 0.87
_ANCHORS = {"start": "left", "middle": "center", "end": "right"}


def axes_width(axes: Axes) -> float:
    """The width of axes in points, as they are now."""
    return _extent(axes)[0]


def paint(drawing: Drawing, axes: Axes) -> None:
    """Draw into axes of matplotlib, as large as they allow; the axes lose their frame."""
    width, height = _extent(axes)
    scale = min(width / drawing.width, height / drawing.height)
    axes.set_xlim(0, drawing.width)
    axes.set_ylim(drawing.height, 0)
    axes.set_aspect("equal", anchor="NW")
    axes.axis("off")
    for mark in _flat(drawing):
        if isinstance(mark, Box):
            axes.add_patch(_patch(mark, scale))
        elif isinstance(mark, Line):
            axes.plot(
                (mark.x1, mark.x2), (mark.y1, mark.y2), color=_colour(mark.colour), linewidth=mark.thick * scale,
                alpha=0.35 if mark.faint else 1, solid_capstyle="butt",
            )  # fmt: skip
        else:
            # A name is no formula, whatever signs are in it.
            axes.text(
                mark.x, mark.y + BASELINE * mark.size, plain(mark.text), fontsize=mark.size * scale * _SMALLER,
                ha=_ANCHORS[mark.anchor], va="baseline", color=_colour(mark.colour), alpha=0.65 if mark.faint else 1,
                fontweight="bold" if mark.bold else "normal", parse_math=False,
            )  # fmt: skip


def write_drawing(drawing: Drawing, path: Path) -> None:
    """Write a picture; the ending of the path names the format.

    Raises:
        UsageError: If the file cannot be written.
    """
    check_picture(path)
    if path.suffix.lower() != ".svg":
        figure = Figure(figsize=(drawing.width / 72, drawing.height / 72))
        paint(drawing, figure.add_axes((0, 0, 1, 1)))
        write_picture(figure, path)
        return
    try:
        with whole_file(path) as beside:
            beside.write_text(svg_text(drawing), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"picture {path}: cannot be written: {error.strerror}") from None


def _extent(axes: Axes) -> tuple[float, float]:
    """Width and height in points."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    inches = axes.get_window_extent().transformed(figure.dpi_scale_trans.inverted())
    return inches.width * 72, inches.height * 72


def _flat(drawing: Drawing) -> Iterator[Box | Line | Words]:
    for mark in drawing.marks:
        yield from mark.marks if isinstance(mark, Group) else (mark,)


def _patch(box: Box, scale: float) -> FancyBboxPatch:
    rounded = f"round,pad=0,rounding_size={box.round}" if box.round else "square,pad=0"
    return FancyBboxPatch(
        (box.x, box.y), box.width, box.height, boxstyle=rounded, facecolor=_colour(box.fill),
        edgecolor=_colour(box.line or "none"), linewidth=box.thick * scale,
        linestyle=(0, (3 / box.thick, 2 / box.thick)) if box.dashed else "-",
    )  # fmt: skip


def _colour(colour: str) -> str:
    return "#1b1f24" if colour == INK else colour
