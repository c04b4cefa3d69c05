"""The picture of a front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, isfinite
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from optuna import Study

from optnas.facts.course import fronts_after
from optnas.facts.trials import TrialFacts, read_trials
from optnas.front import objective_names
from optnas.printable import counted
from optnas.report.finding import front_finding, front_sides
from optnas.report.picture import save_picture
from optnas.report.style import COLOURS, CROWDED, MARKERS, dress, headline, nothing, plain
from optnas.report.units import better, cost_axis, short_label, sign

__all__ = ["draw_front", "places", "save_front", "scatter"]

#: The area of a mark in square points, and what lies over what.
_MARKS = {"front": (42, 6), "beaten": (20, 3), "infeasible": (26, 5), "pruned": (22, 4)}
#: The lines of the front after a quarter and a half of the trainings.
_EARLIER = (":", "--")
#: Of fewer trained networks all are drawn at their place.
_FEW = 5


def draw_front(study: Study, axes: Axes) -> None:
    """Draw the trained networks of a study, error against its first cost, and how far its front had come on the way.

    Networks on the front, beaten, beyond a constraint and pruned are told apart; a pruned one stands at its last error.
    Those that were refused before training have a known cost and no error: they are ticks on the upper edge, where
    networks also are whose error is so much worse that it would press all others to the ground. Fainter
    steps are the front after a quarter and a half of the trainings. With more than two objectives the front is that
    of all of them, seen from one side, without steps; with one the other axis is a known cost, or else the trial.

    Args:
        study: Any study.
        axes: Where to draw.
    """
    names, trials = objective_names(study), read_trials(study)
    x, y = front_sides(study, trials)
    points = {state: places(trials, state, x, y) for state in _MARKS}
    # What is known of its cost alone, and what lies beyond the frame.
    edge = {state: [_value(t, x) for t in trials if t.state == state and y not in t.known] for state in COLOURS}
    edge = {state: [px for px in edge[state] if isfinite(px)] for state in (*_MARKS, "refused")}
    roof = _roof(points, sign(study, y))
    for state, found in points.items():
        beyond = sign(study, y) * found[:, 1] > roof
        points[state], edge[state] = found[~beyond], [*edge[state], *found[beyond, 0]]
    if not any(map(len, points.values())) and not any(edge.values()):
        nothing(axes, "no trained network yet")
        return
    for state, costs in edge.items():
        found = points.get(state, np.empty((0, 2)))
        label = f"{state} ({len(found) + len(costs)})"
        scatter(axes, found, state, label)
        if costs:
            _scatter_edge(axes, costs, state, "" if len(found) else label, top=sign(study, y) > 0)
    drawn = np.concatenate(list(points.values()))
    cost_axis(axes.xaxis, x, [*drawn[:, 0], *(cost for costs in edge.values() for cost in costs)], better(study, x))
    cost_axis(axes.yaxis, y, drawn[:, 1], better(study, y))
    if len(names) == 2:
        _draw_steps(study, axes, (x, y))
    dress(axes)
    trained = sum(trial.trained for trial in trials)
    note = f"study {plain(study.study_name)}: {counted(trained, 'network')} trained"
    note += f", seen from one side of {len(names)} objectives" if len(names) > 2 else ""
    beyond_frame = sum(map(len, edge.values())) - len(edge["refused"])
    note += f"; {beyond_frame} of worse {short_label(y)} on the edge" if beyond_frame else ""
    headline(axes, front_finding(study, trials), note)


def save_front(study: Study, path: Path) -> None:
    """Write the picture of a study's front; the ending of the path names the format.

    Raises:
        UsageError: If the file cannot be written.
    """
    save_picture(draw_front, study, path)


def places(trials: Sequence[TrialFacts], state: str, x: str, y: str) -> NDArray[np.float64]:
    """(n, 2) Where the trials of a state lie, the least x first; those without both values are left out."""
    found = [(_value(trial, x), _value(trial, y)) for trial in trials if trial.state == state]
    return np.array(sorted(place for place in found if all(map(isfinite, place)))).reshape(-1, 2)


def scatter(axes: Axes, points: NDArray[np.float64], state: str, label: str = "", scale: float = 1.0) -> None:
    """Draw (n, 2) points as trials of a state are drawn; a scale below 1 makes them smaller."""
    if not len(points):
        return
    area, order = _MARKS[state]
    crowd = len(points) > CROWDED
    axes.scatter(
        points[:, 0], points[:, 1], s=area * scale * (0.5 if crowd else 1.0), c=COLOURS[state], marker=MARKERS[state],
        linewidths=1.0 if state == "pruned" else 0.0, alpha=0.6 if state == "beaten" or crowd else 0.9, zorder=order,
        rasterized=crowd, label=label or None,
    )  # fmt: skip


def _roof(points: Mapping[str, NDArray[np.float64]], turn: int) -> float:
    """The loss up to which networks are drawn at their place: a few useless ones would press all others to the ground.

    The front always shows whole, and of the others those up to two and a half times as far from the best as three
    quarters of the trained ones are.

    Args:
        points: (n, 2) places by state.
        turn: 1 where smaller is better, else -1.
    """
    ended = np.sort(turn * np.concatenate([points["front"], points["beaten"]])[:, 1])
    if len(ended) < _FEW:
        return inf
    far = ended[0] + 2.5 * (np.quantile(ended, 0.75) - ended[0])
    return float(max(far, *(turn * points["front"][:, 1])))


def _scatter_edge(axes: Axes, costs: Sequence[float], state: str, label: str, top: bool) -> None:
    """Mark costs on the edge of what is worse."""
    area, order = _MARKS.get(state, (40, 4))
    axes.scatter(
        costs, [1.0 if top else 0.0] * len(costs), s=area, c=COLOURS[state], marker=MARKERS[state], linewidths=1.1,
        clip_on=False, transform=axes.get_xaxis_transform(), zorder=order, label=label or None,
    )  # fmt: skip
    axes.update_datalim([(cost, 0.0) for cost in costs], updatey=False)
    axes.autoscale_view()


def _value(trial: TrialFacts, name: str) -> float:
    return float(trial.trial) if name == "trial" else float(trial.known.get(name, float("nan")))


def _draw_steps(study: Study, axes: Axes, sides: tuple[str, str]) -> None:
    """The edge of what the front covers, drawn up to the frame, and where it was earlier."""
    names = objective_names(study)
    columns = [names.index(name) for name in sides]
    worst = [
        limits[1] if sign(study, name) > 0 else limits[0]
        for name, limits in zip(sides, (axes.get_xlim(), axes.get_ylim()), strict=True)
    ]
    axes.autoscale(False)
    fronts = {count: members[:, columns] for count, members in fronts_after(study).items() if len(members)}
    last = max(fronts, default=0)
    styles = dict(zip((count for count in fronts if count != last), _EARLIER, strict=False))
    for count, members in fronts.items():
        along = members[np.argsort(sign(study, sides[0]) * members[:, 0], kind="stable")]
        xs, ys = [along[0, 0], *along[:, 0], worst[0]], [worst[1], *along[:, 1], along[-1, 1]]
        axes.step(
            xs, ys, where="post", color=COLOURS["front"], linewidth=1.2, zorder=2, linestyle=styles.get(count, "-"),
            alpha=0.6 if count != last else 1.0,
            label=f"front after {counted(count, 'training')}" if count != last else None,
        )  # fmt: skip
