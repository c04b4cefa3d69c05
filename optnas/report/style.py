"""How every picture looks: its colours, its frame, its headline. No other module names a colour."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from math import ceil
from typing import TypeVar

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure, SubFigure
from matplotlib.text import Text

__all__ = [
    "COLOURS",
    "CROWDED",
    "INK",
    "LINE_MARKERS",
    "MARKERS",
    "MUTED",
    "PALETTE",
    "PAPER",
    "TURNED",
    "dress",
    "headline",
    "name_lines",
    "nothing",
    "plain",
    "ramp",
    "spaced",
    "thinned",
    "top_headline",
    "wrapped",
]

INK, MUTED = "#1c1e21", "#6b7077"
"""Of text, axes and grid, and of what is drawn in plain ink. A page in dark mode puts its own colours in their place,
so nothing that is to keep its colour may have these."""
PAPER = "#fdfdfe"
"""Behind words that lie over lines; a page puts its own in its place too."""

#: Okabe and Ito (2008): told apart by the colour-blind. Their yellow is too pale for lines on white, and their black
#: would vanish in dark mode.
_BLUE, _VERMILLION, _GREEN, _PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
_ORANGE, _SKY, _GREY = "#e69f00", "#56b4e9", "#989898"

COLOURS: Mapping[str, str] = {
    "front": _BLUE,
    "beaten": _GREY,
    "infeasible": _VERMILLION,
    "pruned": _ORANGE,
    "refused": _PURPLE,
    "repeat": _SKY,
    "failed": INK,
    "running": _GREEN,
}
"""By what a trial is (`optnas.facts.trials.STATES`); failures are written in ink."""
MARKERS: Mapping[str, str] = {
    "front": "D",
    "beaten": "o",
    "infeasible": "^",
    "pruned": "x",
    "refused": "|",
}
"""Beside the colours, for print in grey."""
PALETTE = (_BLUE, _VERMILLION, _GREEN, _PURPLE, _ORANGE, _SKY, _GREY)
"""For things of one kind, such as samplers, in this order."""
LINE_MARKERS = "osD^vPX<>*"
"""Of their points."""

CROWDED = 250
"""So many points or lines of one kind are kept as pixels in a picture that is drawn in lines (SVG, PDF): a file of
each of a thousand would be slow to open."""

_RAMP, _ENDS = colormaps["viridis"], (0.26, 0.77)
_FIRST, _LAST = (int(end * _RAMP.N) for end in _ENDS)
TURNED: Mapping[str, str] = {
    to_hex(_RAMP(place)): to_hex(_RAMP(_FIRST + _LAST - place)) for place in range(_FIRST, _LAST + 1)
}
"""By each colour of a `ramp` the one as far from its other end: what comes first is then lightest."""

_TITLE, _SMALL = 11.0, 8.5
#: Mean width of a letter in ems.
_LETTER = 0.54
#: The share of its place in a figure that matplotlib gives to axes before a layout knows what stands beside them.
_INSIDE = 0.775

T = TypeVar("T")


def ramp(count: int) -> list[str]:
    """Colours for things in an order, from dark to light; each is seen on white and on black.

    On white the first stands out, on black the last: a page in dark mode turns them round, see `TURNED`.
    """
    return [to_hex(colour) for colour in _RAMP(np.linspace(*_ENDS, count))]


def thinned(things: Sequence[T], most: int) -> list[T]:
    """At most so many of them, evenly from the first to the last."""
    if len(things) <= most:
        return list(things)
    return [things[index] for index in np.linspace(0, len(things) - 1, most).round().astype(int)]


def plain(text: object, most: int = 60) -> str:
    """A name that someone else gave, as one line of printable signs; of a long one the middle is left out."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in str(text)).split())
    return line if len(line) <= most else f"{line[: most // 2]}…{line[-(most - most // 2 - 1) :]}"


def dress(axes: Axes, grid: str = "both") -> None:
    """Give axes their frame and grid; called when all is drawn and labelled.

    Args:
        axes: What to dress.
        grid: "x", "y", "both" or "none".
    """
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=MUTED, linewidth=0.8)
    axes.tick_params(which="both", color=MUTED, labelcolor=INK, labelsize=_SMALL)
    if grid in ("x", "y", "both"):
        axes.grid(True, which="major", axis=grid, color=MUTED, alpha=0.22, linewidth=0.6)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=INK, fontsize=9.5, parse_math=False)


def headline(axes: Axes, finding: str, note: str = "") -> None:
    """Write above axes, from top to bottom: what they show, in one sentence; a small note; the legend.

    Args:
        axes: Whose labelled artists make the legend.
        finding: With numbers of the study, never what would stand above any study.
        note: Of what: the study, how many, under which conditions.
    """
    width = _width(axes)
    handles, labels = axes.get_legend_handles_labels()
    above = 4.0
    if handles:
        columns = _columns([_LETTER * _SMALL * len(label) + 34 for label in labels], width)
        legend = axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, frameon=False, fontsize=_SMALL, labelcolor=INK,
            borderpad=0, borderaxespad=0.6, handlelength=1.7, handletextpad=0.5, columnspacing=1.6,
            scatteryoffsets=[0.5],
        )  # fmt: skip
        for text in legend.get_texts():
            text.set_parse_math(False)
        above = 7 + 1.52 * _SMALL * ceil(len(labels) / columns)
    if note:
        axes.annotate(
            _wrapped(note, width, _SMALL), (0, 1), (0, above), xycoords="axes fraction", textcoords="offset points",
            fontsize=_SMALL, color=MUTED, va="bottom", parse_math=False, annotation_clip=False,
        )  # fmt: skip
        above += 1.3 * _SMALL * len(_wrapped(note, width, _SMALL).splitlines()) + 2
    wrapped = _wrapped(finding, width, _TITLE)
    axes.set_title(wrapped, fontsize=_TITLE, color=INK, loc="left", pad=above, parse_math=False)


def name_lines(axes: Axes, lines: Sequence[tuple[str, float, float, str]]) -> None:
    """Write names beside the ends of lines, right of the axes, in the order of the ends and without overlap.

    Args:
        axes: With their final limits and scales.
        lines: Of each its name, the place of its end (x, y), and its colour.
    """
    places = axes.transAxes.inverted().transform(axes.transData.transform([(x, y) for _, x, y, _ in lines] or [(0, 0)]))
    ordered = sorted(zip(places[:, 1].tolist(), lines, strict=False), key=lambda item: item[0])
    gap = 1.35 * _SMALL / (axes.bbox.height * 72 / axes.figure.dpi)
    heights = spaced([height for height, _ in ordered], gap)
    for height, (_, (name, x, y, colour)) in zip(heights, ordered, strict=True):
        axes.annotate(
            name, (x, y), (1.04, height), textcoords="axes fraction", fontsize=_SMALL, va="center", color=INK,
            parse_math=False, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.9, "relpos": (0, 0.5), "shrinkA": 2,
                        "shrinkB": 4},
        )  # fmt: skip


def spaced(heights: Sequence[float], gap: float) -> list[float]:
    """Ascending heights, moved as little as pushing up and sinking back take, until they are `gap` apart.

    Those that would lie above the axes sink, so that labels end at the top of the axes if there is room below.
    """
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, placed[-1] + gap) if placed else height)
    ceiling = 0.98
    for index in reversed(range(len(placed))):
        placed[index] = min(placed[index], ceiling)
        ceiling = placed[index] - gap
    return placed


def top_headline(figure: Figure | SubFigure, finding: str, note: str = "") -> None:
    """The same for a figure of several axes: the finding above them all, the note below."""
    width = figure.bbox.width * 72 / figure.dpi - 20
    texts: list[Text] = [
        figure.suptitle(_wrapped(finding, width, _TITLE), x=0.01, ha="left", fontsize=_TITLE, color=INK)
    ]
    if note:
        wrapped = _wrapped(note, width, _SMALL)
        texts.append(figure.supxlabel(wrapped, x=0.01, ha="left", fontsize=_SMALL, color=MUTED))
    for text in texts:
        text.set_parse_math(False)


def nothing(axes: Axes, sentence: str) -> None:
    """Where there is nothing to draw: say so."""
    axes.set_axis_off()
    axes.text(
        0.5, 0.5, sentence, transform=axes.transAxes, ha="center", va="center", fontsize=_TITLE, color=MUTED,
        parse_math=False,
    )  # fmt: skip


def _columns(widths: Sequence[float], most: float) -> int:
    """How many columns of a legend fit: its entries go down the columns."""
    for rows in range(1, len(widths)):
        columns = [widths[first : first + rows] for first in range(0, len(widths), rows)]
        if sum(map(max, columns)) <= most:
            return len(columns)
    return 1


def _width(axes: Axes) -> float:
    """Points from the left of axes to the end of their place in the figure, as far as is known before a layout."""
    if axes.figure.get_layout_engine() is None:
        return axes.bbox.width * 72 / axes.figure.dpi
    beside = max((len(label.get_text()) for label in axes.get_yticklabels()), default=0) * _LETTER * _SMALL
    label = 18 if axes.get_ylabel() else 0
    return axes.bbox.width * 72 / axes.figure.dpi / _INSIDE - beside - label - 12


def wrapped(text: str, letters: int) -> list[str]:
    """In as few lines of so many letters as fit, which are about equally long: no unit stands alone in the last."""
    lines = textwrap.wrap(text, letters, break_on_hyphens=False)
    for narrower in range(letters - 1, letters // 2, -1):
        closer = textwrap.wrap(text, narrower, break_on_hyphens=False)
        if len(closer) > len(lines):
            break
        lines = closer
    return lines


def _wrapped(text: str, width: float, size: float) -> str:
    """Lines of so many points, in letters of a size."""
    return "\n".join(wrapped(text, max(24, int(width / (_LETTER * size)))))
