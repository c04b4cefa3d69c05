"""A figure of matplotlib as markup inside of a page: text as text, ink that follows the page's light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

from optnas.report.style import INK, MUTED, PAPER, TURNED

__all__ = ["inline_figure"]

_SIZE = re.compile(r'(<svg[^>]*?) width="[^"]*"', re.DOTALL)
_HEIGHT = re.compile(r'(<svg[^>]*?) height="[^"]*"', re.DOTALL)
_STROKE = re.compile(r"(stroke|fill): (#[0-9a-f]{6})")
_FONT = re.compile(r"'?DejaVu Sans'?, ?'?[^;\"]*sans-serif|'DejaVu Sans'")


def inline_figure(
    draw: Callable[[Figure], None], name: str, size: tuple[float, float] = (8.0, 4.4), dpi: int = 120
) -> Markup:
    """The markup of a figure.

    Args:
        draw: Draws on an empty figure.
        name: Keeps the names inside of its markup apart from those of other figures of the page.
        size: In inches; the page scales it.
        dpi: Of what is drawn as pixels.
    """
    figure = Figure(figsize=size, layout="constrained")
    draw(figure)
    out = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(out, format="svg", transparent=True, dpi=dpi, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    for pattern in (_SIZE, _HEIGHT):
        text = pattern.sub(r"\1", text, count=1)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for ink, replacement in ((INK, "currentColor"), (MUTED, "var(--muted)"), (PAPER, "var(--paper)")):
        text = text.replace(ink, replacement)
    text = _STROKE.sub(_turned, text)
    return Markup(_FONT.sub("inherit", text))


def _turned(found: re.Match[str]) -> str:
    """A colour of a ramp, and in dark mode the one from its other end; browsers without `light-dark` keep the first."""
    whole, what, colour = found[0], found[1], found[2]
    return f"{whole}; {what}: light-dark({colour}, {TURNED[colour]})" if colour in TURNED else whole
