"""The pictures of learning curves: of a whole study, and of one trial with the bounds of its pruner."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from math import isfinite
from statistics import median_low

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna import Study

from optnas.facts.reasons import audit_phrase
from optnas.facts.trials import TrialFacts, read_trials
from optnas.front import front
from optnas.objective import ERROR
from optnas.printable import counted
from optnas.report.picture import picture_bytes
from optnas.report.style import (
    COLOURS,
    MARKERS,
    MUTED,
    dress,
    headline,
    name_lines,
    nothing,
    plain,
    ramp,
    thinned,
)
from optnas.report.units import amount, cost_axis

__all__ = ["curve_picture", "draw_curve", "draw_curves"]

#: Curves of one kind that are drawn, more make a fog, and points of each.
_DRAWN, _POINTS = 60, 50
#: Members of the front that are named at the ends of their lines; of more the first and the last are.
_NAMED = 8


def draw_curves(study: Study, axes: Axes) -> None:
    """Draw the validation error of trained networks after each epoch.

    Members of the front are coloured in its order, the best by the first objective darkest; those that were beaten are
    grey; those that were pruned end in a cross. A shade shows where the bounds of the pruner lay, if they were kept. Of
    more than 60 curves of a kind an even sample is drawn.

    Args:
        study: Any study; one that optnas did not make has no curves.
        axes: Where to draw.
    """
    trials = [trial for trial in read_trials(study) if any(map(isfinite, trial.curve))]
    kinds = {state: [t for t in trials if t.state == state] for state in ("front", "beaten", "infeasible", "pruned")}
    trained = [trial for kind in kinds.values() for trial in kind]
    if not trained:
        nothing(axes, "no learning curve was kept")
        return
    of_number = {trial.trial: trial for trial in kinds.pop("front")}
    members = [of_number[network.trial] for network in front(study) if network.trial in of_number]
    sample = {state: thinned(kind, _DRAWN) for state, kind in kinds.items()}
    _draw_members(axes, members)
    for state, kind in sample.items():
        if kind:
            _draw_many(axes, kind, state, f"{state} ({len(kinds[state])})")
    drawn = [*members, *chain.from_iterable(sample.values())]
    cost_axis(axes.yaxis, ERROR, [error for trial in drawn for error in trial.curve], "smaller is better")
    _epoch_axis(axes, max(len(trial.curve) for trial in trained))
    _draw_bounds(axes, trained)
    dress(axes)
    _name_members(axes, members)
    left = len(trained) - len(drawn)
    some = f"; {left} of those not on the front are not drawn" if left else ""
    note = f"study {plain(study.study_name)}: {counted(len(trained), 'curve')}{some}"
    headline(axes, _finding(members, trained), note)


def draw_curve(trial: TrialFacts, axes: Axes) -> None:
    """Draw the validation error of one trial after each epoch, and the errors above which it would have been stopped.

    Args:
        trial: From `read_trials`.
        axes: Where to draw; a small one will do.
    """
    if not any(map(isfinite, trial.curve)):
        nothing(axes, f"Trial {trial.trial}, {trial.state}: no learning curve")
        return
    epochs = range(1, len(trial.curve) + 1)
    colour = COLOURS.get(trial.state, MUTED)
    axes.plot(epochs, trial.curve, color=colour, linewidth=1.6, marker=".", markersize=5, zorder=3)
    bounds = [float("nan") if bound is None else bound for bound in trial.bounds]
    told = sum(map(isfinite, bounds))
    if told:
        axes.plot(
            range(1, len(bounds) + 1), bounds, color=MUTED, linestyle="--", linewidth=1, marker="_" * (told == 1),
            label="stopped if its lowest error so far is above",
        )  # fmt: skip
    if trial.state == "pruned":
        axes.plot(
            len(trial.curve), trial.curve[-1], color=colour, marker="x", markersize=9, markeredgewidth=2, zorder=4
        )
    cost_axis(axes.yaxis, ERROR, [*trial.curve, *bounds])
    _epoch_axis(axes, max(len(trial.curve), len(bounds)))
    dress(axes)
    headline(axes, _end(trial))


def curve_picture(trial: TrialFacts, kind: str = "svg") -> bytes:
    """The file of a small picture of `draw_curve`, in about 40 ms: a layout would take as long again.

    Args:
        trial: From `read_trials`.
        kind: "svg", "png" or another format of matplotlib.
    """
    figure = Figure(figsize=(5.0, 3.0))
    draw_curve(trial, figure.add_axes((0.12, 0.16, 0.85, 0.54)))
    return picture_bytes(figure, kind)


def _epoch_axis(axes: Axes, epochs: int) -> None:
    margin = 0.02 * epochs + 0.02
    axes.set(xlabel="epochs trained", xlim=(1 - margin, epochs + margin))
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True))


def _draw_members(axes: Axes, members: Sequence[TrialFacts]) -> None:
    width = 1.5 if len(members) <= _NAMED else 0.9
    for place, (trial, colour) in enumerate(zip(members, ramp(len(members)), strict=True)):
        axes.plot(
            range(1, len(trial.curve) + 1), trial.curve, color=colour, linewidth=width, marker=MARKERS["front"],
            markersize=4.5, markevery=[len(trial.curve) - 1], zorder=5,
            label=f"front ({len(members)})" if place == len(members) // 2 else None,
        )  # fmt: skip


def _name_members(axes: Axes, members: Sequence[TrialFacts]) -> None:
    ends = [
        (f"trial {trial.trial}", float(len(trial.curve)), trial.curve[-1], colour)
        for trial, colour in zip(members, ramp(len(members)), strict=True)
        if isfinite(trial.curve[-1])
    ]
    name_lines(axes, ends if len(ends) <= _NAMED else [ends[0], ends[-1]])


def _draw_many(axes: Axes, trials: Sequence[TrialFacts], state: str, label: str) -> None:
    """Thin lines; their ends are marked if training was stopped."""
    lines = [np.array(thinned(list(enumerate(trial.curve, 1)), _POINTS)) for trial in trials]
    colour = COLOURS[state]
    alpha = 0.4 if len(trials) >= _DRAWN // 2 else 0.55
    axes.add_collection(LineCollection(lines, colors=colour, linewidths=0.7, alpha=alpha, zorder=2))
    ends = np.array([line[-1] for line in lines if state == "pruned" or len(line) == 1]).reshape(-1, 2)
    if len(ends):
        axes.scatter(ends[:, 0], ends[:, 1], s=18, c=colour, marker=MARKERS[state], linewidths=1, zorder=4)
    marker = MARKERS[state] if state == "pruned" else ""
    axes.plot([], [], color=colour, linewidth=1, marker=marker, markersize=4.5, label=label)


def _draw_bounds(axes: Axes, trials: Sequence[TrialFacts]) -> None:
    """Where most bounds lay: each trial has its own, for they depend on its costs."""
    length = max(len(trial.bounds) for trial in trials)
    rows = [[np.nan if bound is None else bound for bound in trial.bounds] for trial in trials]
    table = np.array([row + [np.nan] * (length - len(row)) for row in rows], dtype=float).reshape(len(rows), length)
    epochs = np.flatnonzero(np.isfinite(table).any(axis=0))
    if len(epochs):
        low, high = np.nanquantile(table[:, epochs], (0.1, 0.9), axis=0)
        axes.fill_between(
            epochs + 1, low, high, color=COLOURS["pruned"], alpha=0.15, linewidth=0, zorder=1,
            label="bounds of the pruner, the middle 80%",
        )  # fmt: skip


def _finding(members: Sequence[TrialFacts], trained: Sequence[TrialFacts]) -> str:
    stops = [len(trial.curve) for trial in trained if trial.state == "pruned"]
    finite = [trial for trial in members if isfinite(trial.curve[-1])]
    best = _after(min(finite, key=lambda trial: trial.curve[-1])) if finite else "No curve of the front"
    if not stops:
        return f"{best}; none of {counted(len(trained), 'training')} was pruned"
    return f"{best}; {len(stops)} of {len(trained)} pruned, half of them by epoch {median_low(stops)}"


def _after(trial: TrialFacts) -> str:
    return f"{amount(ERROR, trial.curve[-1])} after {counted(len(trial.curve), 'epoch')}"


def _end(trial: TrialFacts) -> str:
    end = f"Trial {trial.trial}, {trial.state}: {_after(trial)}"
    if trial.state == "pruned" and trial.stop_epoch:
        bound = trial.bounds[trial.stop_epoch - 1] if trial.stop_epoch <= len(trial.bounds) else None
        return end + (f", at most {bound:.2%} was allowed" if bound is not None else "")
    return end + (f"; {audit_phrase(trial.stop_epoch)}" if trial.stop_epoch else "")
