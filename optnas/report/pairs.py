"""The picture of every pair of things that a study weighs against each other."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from math import isfinite
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray
from optuna import Study
from scipy.stats import kendalltau

from optnas.facts.trials import read_trials
from optnas.printable import counted
from optnas.report.front import places, scatter
from optnas.report.style import INK, MUTED, dress, nothing, plain, top_headline
from optnas.report.units import cost_axis, measures, short_label, sign

__all__ = ["draw_pairs"]

#: What is drawn of a study of fewer objectives: they and its other costs.
_AT_LEAST = 3
_STATES = ("beaten", "infeasible", "front")


def draw_pairs(study: Study, figure: Figure | SubFigure) -> None:
    """Draw networks trained to the end by every pair of objectives, with those of the front of all objectives marked.

    Each pair has Kendall's tau of the two: 1 if they order networks alike, -1 if what is good for one is bad for the
    other. A study of one or two objectives is drawn with other costs that it measured, up to three in all.

    Args:
        study: Any study.
        figure: An empty one, with a layout of its own ("constrained").
    """
    trials = [trial for trial in read_trials(study) if trial.state in _STATES]
    names = measures(study, trials, _AT_LEAST)
    if not trials or len(names) < 2:
        nothing(figure.subplots(), "no trained network yet" if not trials else "one objective and no cost: no pairs")
        return
    size = len(names) - 1
    grid: Any = figure.subplots(size, size, squeeze=False, sharex="col", sharey="row")
    found = {pair: {state: places(trials, state, *pair) for state in _STATES} for pair in combinations(names, 2)}
    taus = {pair: _tau(study, pair, np.concatenate(list(points.values()))) for pair, points in found.items()}
    for row, column in np.ndindex(size, size):
        axes: Axes = grid[row, column]
        pair = names[column], names[row + 1]
        if column > row:
            axes.set_axis_off()
            continue
        for state, points in found[pair].items():
            scatter(axes, points, state, f"{state} ({len(points)})", scale=0.6)
        for axis, name in zip((axes.xaxis, axes.yaxis), pair, strict=True):
            cost_axis(axis, name, [trial.known.get(name, float("nan")) for trial in trials])
        dress(axes)
        axes.label_outer()
        agreement = f"tau {taus[pair]:.2f}" if isfinite(taus[pair]) else "tau unknown"
        axes.set_title(agreement, loc="right", fontsize=8.5, color=MUTED, pad=3)
    _legend(grid[0, -1] if size > 1 else grid[0, 0], grid[0, 0])
    trained = f"study {plain(study.study_name)}: {counted(len(trials), 'network')} trained to the end"
    top_headline(figure, _finding(taus), f"{trained}; tau: Kendall's, of the two orders")


def _tau(study: Study, pair: tuple[str, str], points: NDArray[np.float64]) -> float:
    """Kendall's tau of two things to be minimised; NaN where one of them is the same for all."""
    if any(len(set(column)) < 2 for column in points.T):
        return float("nan")
    return float(kendalltau(points[:, 0], points[:, 1]).statistic) * sign(study, pair[0]) * sign(study, pair[1])


def _finding(taus: Mapping[tuple[str, str], float]) -> str:
    known = {" and ".join(map(short_label, pair)): tau for pair, tau in taus.items() if isfinite(tau)}
    if not known:
        return "Too few different networks to say which objectives are at odds"
    odds, alike = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
    told = [f"{odds} are most at odds (tau {known[odds]:.2f})"] if known[odds] < 0 else ["No two are at odds"]
    told += [f"{alike} order networks most alike ({known[alike]:.2f})"] if known[alike] > 0 else []
    finding = "; ".join(told)
    return finding[0].upper() + finding[1:]


def _legend(where: Axes, of: Axes) -> None:
    handles, labels = of.get_legend_handles_labels()
    legend = where.legend(handles, labels, frameon=False, fontsize=8.5, labelcolor=INK, scatteryoffsets=[0.5])
    legend.set_loc("upper right" if where is of else "upper left")
