"""Plots of a study for optuna-dashboard, as the JSON that Plotly draws in the browser.

The dashboard's own front shows trials beyond a constraint like any others, it hides learning curves where there are
several objectives, and it knows no hypervolume.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isfinite

from optuna import Study

from optnas.facts.course import Moment, box_of, course
from optnas.facts.trials import TrialFacts
from optnas.objective import ERROR
from optnas.printable import counted
from optnas.report.dashboard.figure import Figure, axis, layout, nothing, rounded
from optnas.report.dashboard.front_plot import front_plot
from optnas.report.style import COLOURS, thinned

__all__ = ["PLOTS", "study_plots"]

PLOTS = ("optnas-front", "optnas-hypervolume", "optnas-curves")
"""The names under which the dashboard keeps them."""

#: What is drawn at most, so that each plot stays below 20 kB: steps, curves of one kind, and epochs of a curve.
_STEPS, _CURVES, _EPOCHS = 300, 25, 40


def study_plots(study: Study, trials: Sequence[TrialFacts]) -> dict[str, str]:
    """By their names the front, the hypervolume and the learning curves of a study; one with nothing to draw says so.

    Args:
        study: Any study.
        trials: All of its trials.
    """
    figures = (front_plot(study, trials), _hypervolume(study), _curves(trials))
    # Plotly's reader knows no NaN.
    return {
        name: json.dumps(figure, separators=(",", ":"), allow_nan=False)
        for name, figure in zip(PLOTS, figures, strict=True)
    }


def _hypervolume(study: Study) -> Figure:
    moments, box = course(study), box_of(study)
    if box is None or not moments:
        return nothing("Hypervolume: no feasible trained network yet")
    kept = [*_growth(moments), moments[-1]]
    trace = {
        "x": [0, *(moment.trainings for moment in kept)],
        "y": [0, *rounded(100 * moment.hypervolume for moment in kept)],
        "mode": "lines", "line": {"color": COLOURS["front"], "width": 2, "shape": "hv"},
        "fill": "tozeroy", "fillcolor": "rgba(0,114,178,0.12)",
        "hovertemplate": "%{y:.1f}% after %{x} trainings<extra></extra>",
    }  # fmt: skip
    last, most = moments[-1], next(m for m in moments if m.hypervolume >= 0.9 * moments[-1].hypervolume)
    finding = f"The front covers {last.hypervolume:.1%} of " + (
        "its box" if box.fixed else "the box of the values seen so far"
    )
    if last.hypervolume > 0:
        finding += f"; 90% of that after {most.trainings} of {counted(last.trainings, 'training')}"
    frame = layout(finding) | {"showlegend": False}
    frame["xaxis"] |= {"title": {"text": "networks trained"}, "rangemode": "tozero"}
    frame["yaxis"] |= {"title": {"text": "hypervolume, larger is better"}, "ticksuffix": "%", "rangemode": "tozero"}
    return {"data": [trace], "layout": frame}


def _growth(moments: Sequence[Moment]) -> list[Moment]:
    """Those at which the hypervolume grew, as many as are told apart."""
    before = [0.0, *(moment.hypervolume for moment in moments)]
    return thinned([now for then, now in zip(before, moments, strict=False) if now.hypervolume > then], _STEPS)


def _curves(trials: Sequence[TrialFacts]) -> Figure:
    learned = [trial for trial in trials if any(map(isfinite, trial.curve))]
    kinds = {state: [t for t in learned if t.state == state] for state in ("pruned", "beaten", "infeasible", "front")}
    trained = [trial for kind in kinds.values() for trial in kind]
    if not trained:
        return nothing("Learning curves: none was kept")
    longest = max(len(trial.curve) for trial in trained)
    pruned = f"{len(kinds['pruned'])} of them pruned" if kinds["pruned"] else "none pruned"
    frame = layout(f"Learning curves of {counted(len(trained), 'training')} over {counted(longest, 'epoch')}, {pruned}")
    margin = 0.03 * longest
    frame["xaxis"] |= {"title": {"text": "epochs trained"}, "range": [1 - margin, longest + margin]}
    frame["xaxis"] |= {"dtick": 1} if longest <= 12 else {}
    drawn = [100 * error for trial in trained for error in trial.curve]
    frame["yaxis"] |= axis(ERROR, drawn, "smaller is better")
    return {"data": [_lines(kind, state) for state, kind in kinds.items() if kind], "layout": frame}


def _lines(trials: Sequence[TrialFacts], state: str) -> Figure:
    """All curves of a kind in one trace, parted by gaps; those that were stopped end in a cross."""
    x: list[float | None] = []
    y: list[float | None] = []
    for trial in thinned(trials, _CURVES):
        shown = thinned(list(enumerate(trial.curve, 1)), _EPOCHS)
        x += [*(epoch for epoch, _ in shown), None]
        y += [*rounded(100 * error for _, error in shown), None]
    trace: Figure = {
        "x": x, "y": y, "mode": "lines", "name": f"{state} ({len(trials)})", "hoverinfo": "y+name",
        "line": {"color": COLOURS[state], "width": 2 if state == "front" else 1},
        "opacity": 1.0 if state == "front" else 0.55,
    }  # fmt: skip
    if state == "pruned" or max(len(trial.curve) for trial in trials) == 1:
        sizes = [8 if after is None else 0 for after in x[1:]] + [0]
        line = {"color": COLOURS[state], "width": 1.5}
        trace |= {"mode": "lines+markers", "marker": {"symbol": "x-thin", "line": line, "size": sizes}}
    return trace
