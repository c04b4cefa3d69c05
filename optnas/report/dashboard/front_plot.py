"""The front of a study as a plot for optuna-dashboard, what is not feasible told apart."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import isfinite

from optuna import Study

from optnas.facts.trials import TrialFacts
from optnas.front import objective_names
from optnas.report.dashboard.figure import LETTERS, SHOWN, Figure, axis, layout, marks, nothing, rounded, scaled
from optnas.report.finding import front_finding, front_sides
from optnas.report.style import COLOURS, thinned
from optnas.report.units import amount, better

__all__ = ["front_plot"]

#: Points of one kind that are drawn at most: the whole stays at 20 kB.
_POINTS = 100


def front_plot(study: Study, trials: Sequence[TrialFacts]) -> Figure:
    """The error against the first cost of every trial for which they are known.

    What has a cost and no error, such as a network that was refused, is marked on the upper edge, and so is a pruned
    trial whose last error would press all others to the ground.
    """
    x, y = front_sides(study, trials)
    kinds = {state: [t for t in trials if t.state == state and isfinite(_value(t, x))] for state in SHOWN}
    members = sorted((t for t in kinds["front"] if isfinite(_value(t, y))), key=lambda trial: _value(trial, x))
    if not any(kinds.values()):
        return nothing("The front: no trained network yet")
    floor, ceiling = _heights(kinds, y)
    traces = [_steps(study, members, x, y)] if len(objective_names(study)) == 2 and members else []
    for state in reversed(SHOWN):
        inside = [trial for trial in kinds[state] if scaled(y, _value(trial, y)) <= ceiling]
        edge = [trial for trial in kinds[state] if not scaled(y, _value(trial, y)) <= ceiling]
        kind = marks(state, len(kinds[state]))
        if inside:
            shown = thinned(inside, _POINTS)
            traces.append(kind | _places(shown, x, y) | {"y": rounded(scaled(y, _value(t, y)) for t in shown)})
        if edge:
            shown = thinned(edge, _POINTS)
            height = {"y": [1] * len(shown), "yaxis": "y2", "cliponaxis": False, "showlegend": not inside}
            traces.append(kind | _places(shown, x, y) | height)
    frame = layout(_title(front_finding(study, trials)))
    costs = [_value(trial, x) for kind in kinds.values() for trial in kind]
    frame["xaxis"] |= axis(x, costs, "" if x == "trial" else better(study, x))
    frame["yaxis"] |= axis(y, [], better(study, y)) | {"range": rounded([floor, ceiling])}
    frame["yaxis2"] = {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}
    return {"data": traces, "layout": frame}


def _heights(kinds: dict[str, list[TrialFacts]], y: str) -> tuple[float, float]:
    """Where the vertical axis ends: with room around what was trained to the end, if there is such."""
    finite = {state: [scaled(y, _value(t, y)) for t in kind if isfinite(_value(t, y))] for state, kind in kinds.items()}
    ended = [*finite["front"], *finite["beaten"], *finite["infeasible"]] or finite["pruned"] or [0.0]
    room = max(ended) - min(ended) or abs(ended[0]) or 1.0
    return min(ended) - 0.08 * room, max(ended) + 0.25 * room


def _steps(study: Study, members: Sequence[TrialFacts], x: str, y: str) -> Figure:
    """The edge of what the front covers."""
    shape = "vh" if better(study, x).startswith("larger") else "hv"
    line = {"color": COLOURS["front"], "width": 1.2, "shape": shape}
    places = {"x": rounded(_value(t, x) for t in members), "y": rounded(scaled(y, _value(t, y)) for t in members)}
    return places | {"mode": "lines", "line": line, "showlegend": False, "hoverinfo": "skip"}


def _places(shown: Sequence[TrialFacts], x: str, y: str) -> Figure:
    texts = [
        f"trial {trial.trial}: " + ", ".join(_told(name, trial) for name in (y, x) if isfinite(_value(trial, name)))
        for trial in shown
    ]
    return {"x": rounded(_value(trial, x) for trial in shown), "text": texts, "hoverinfo": "text"}


def _title(finding: str) -> str:
    """In two lines, the ends of the front one under the other, unless it is short."""
    return escape(finding if len(finding) <= LETTERS else finding.replace(" to ", "\nto ", 1))


def _told(name: str, trial: TrialFacts) -> str:
    return f"trial {trial.trial}" if name == "trial" else escape(amount(name, _value(trial, name)))


def _value(trial: TrialFacts, name: str) -> float:
    return float(trial.trial) if name == "trial" else float(trial.known.get(name, float("nan")))
