"""What the plots for optuna-dashboard have in common, in the words of Plotly's JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from math import isfinite
from typing import Any

from optnas.cost import COSTS
from optnas.objective import ERROR
from optnas.report.dashboard.curve import log_ticks
from optnas.report.style import COLOURS, wrapped
from optnas.report.units import amount, axis_label

__all__ = ["LETTERS", "SHOWN", "Figure", "axis", "layout", "marks", "nothing", "rounded", "scaled"]

#: A trace, a layout, or both.
Figure = dict[str, Any]

#: Read on white and on black: the dashboard gives plots of others no colours of its dark mode.
_INK, _GRID = "#7d838b", "rgba(125,131,139,0.25)"
#: Values that lie so many times apart are drawn on a logarithmic axis.
_LOGARITHMIC = 4
_SYMBOLS = {
    "front": "diamond",
    "beaten": "circle",
    "infeasible": "triangle-up-open",
    "pruned": "x-thin",
    "refused": "line-ns",
}
LETTERS = 66
"""Of a line of the title: a plot is 560 pixels wide in a window of 1280."""
SHOWN = tuple(_SYMBOLS)
"""What a trial in a plot can be (`optnas.facts.trials.STATES`); the first is drawn last."""


def layout(title: str) -> Figure:
    """A figure's frame under a title of up to two lines; one that has a line break in it is broken there."""
    lines = [line for part in title.split("\n") for line in wrapped(part, LETTERS)]
    shown = {"gridcolor": _GRID, "linecolor": _INK, "zeroline": False, "automargin": True}
    return {
        "title": {
            "text": "<br>".join(lines), "font": {"size": 14},
            "x": 0.02, "xanchor": "left", "y": 0.96, "yanchor": "top",
        },
        "font": {"color": _INK, "size": 12},
        "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 60, "r": 20, "t": 62, "b": 80},
        "legend": {"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top", "traceorder": "reversed"},
        "xaxis": dict(shown), "yaxis": dict(shown), "hovermode": "closest",
    }  # fmt: skip


def nothing(sentence: str) -> Figure:
    """A figure without a mark, which says why."""
    frame = layout(sentence)
    return {"data": [], "layout": frame | {"xaxis": {"visible": False}, "yaxis": {"visible": False}}}


def axis(name: str, values: Sequence[float], note: str) -> Figure:
    """An axis for values of an objective or cost, errors in per cent: its words and unit, and its scale."""
    words = axis_label(name).removesuffix(" (%)")
    found: Figure = {"title": {"text": escape(f"{words}, {note}" if note else words)}}
    if name == ERROR:
        found["ticksuffix"] = "%"
    elif name in COSTS:
        found["tickformat"] = "~s"
    finite = [value for value in values if isfinite(value)]
    if finite and min(finite) > 0 and max(finite) >= _LOGARITHMIC * min(finite):
        ticks = log_ticks(min(finite), max(finite))
        found |= {"type": "log", "tickvals": ticks, "ticktext": [_tick(name, tick) for tick in ticks]}
    return found


def _tick(name: str, value: float) -> str:
    if name not in COSTS:
        return f"{value:g}" + "%" * (name == ERROR)
    number, _, unit = amount(name, value, noun=False).partition(" ")
    return f"{float(number):g} {unit}".strip()


def marks(state: str, count: int) -> Figure:
    """How trials of a state are marked, with a legend that counts them."""
    marker: Figure = {"color": COLOURS[state], "symbol": _SYMBOLS[state], "size": 10 if state == "front" else 7}
    if state in ("infeasible", "pruned", "refused"):
        marker["line"] = {"color": COLOURS[state], "width": 1.5}
    else:
        marker["opacity"] = 1.0 if state == "front" else 0.6
    return {"mode": "markers", "name": f"{state} ({count})", "legendgroup": state, "marker": marker}


def scaled(name: str, value: float) -> float:
    """As it stands on an axis."""
    return 100 * value if name == ERROR else value


def rounded(values: Iterable[float]) -> list[float | None]:
    """Four figures are more than a screen shows; None leaves a gap."""
    return [float(f"{value:.4g}") if isfinite(value) else None for value in values]
