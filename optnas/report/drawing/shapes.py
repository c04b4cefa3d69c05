"""Rectangles, lines and words on a sheet, which know nothing of what draws them; in points, y downwards."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BASELINE", "INK", "SIZE", "Box", "Drawing", "Group", "Line", "Words", "plain", "text_width"]

#: The colour of text: black on light pages, white on dark ones.
INK = "currentColor"
#: Of most letters.
SIZE = 7.5
#: From the middle of letters down to the line that they stand on, over their size.
BASELINE = 0.35


@dataclass(frozen=True)
class Box:
    """A rectangle; x and y of its upper left corner."""

    x: float
    y: float
    width: float
    height: float
    fill: str = "none"
    line: str = ""
    """The colour of its edge; none if empty."""
    thick: float = 0.8
    dashed: bool = False
    round: float = 0.0
    """The radius of its corners."""


@dataclass(frozen=True)
class Line:
    """A straight line."""

    x1: float
    y1: float
    x2: float
    y2: float
    colour: str = INK
    thick: float = 0.8
    faint: bool = False


@dataclass(frozen=True)
class Words:
    """One line of text; y of the middle of its letters."""

    x: float
    y: float
    text: str
    size: float = SIZE
    anchor: str = "middle"
    """Where x is: "start", "middle" or "end"."""
    colour: str = INK
    bold: bool = False
    faint: bool = False


@dataclass(frozen=True)
class Group:
    """What belongs together, with what a pointer over it shows."""

    tip: tuple[str, ...]
    """Its lines."""
    marks: tuple[Box | Line | Words, ...]


@dataclass(frozen=True)
class Drawing:
    """Marks on a sheet, in points of 1/72 inch."""

    width: float
    height: float
    marks: tuple[Box | Line | Words | Group, ...]
    label: str = ""
    """What is drawn, for those who cannot see it."""
    legend_top: float | None = None
    """Where the legend begins, which ends the drawing; None without one."""


def plain(text: object) -> str:
    """Text in which every sign is one that is seen: no control signs, no change of direction, no halves of signs."""
    return "".join(sign if sign.isprintable() else " " for sign in str(text))


def text_width(text: str, size: float, bold: bool = False) -> float:
    """About the width of a text in points, in the usual fonts without serifs."""
    return len(text) * size * (0.62 if bold else 0.54)
