"""The picture of a front."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from optnas.cost import COSTS, format_cost
from optnas.front import Network, front, networks, objective_names
from optnas.objective import ATTRIBUTE, ERROR
from optnas.report.picture import write_picture

__all__ = ["axis_label", "draw_front", "save_front"]

_BLUE, _GREY, _RED = "#0b5fa5", "#8a8a8a", "#b5452c"
_AXES = {
    "params": "parameters",
    "macs": "multiply-adds (MACs)",
    "size_bytes": "size (bytes)",
    "peak_memory_bytes": "peak memory of activations (bytes)",
    "energy_mj": "energy (mJ, an estimate)",
    "latency_ms": "latency (ms)",
    ERROR: "validation error (%)",
}


def draw_front(study: Study, axes: Axes) -> None:
    """Draw all trained networks of a study against its first cost, with the front as a staircase.

    Networks that were refused before training have a known cost and no error: they are ticks on the upper
    edge. With more than two objectives the front is that of all of them, seen from one side.

    Args:
        study: Any study with at least one objective.
        axes: Where to draw.
    """
    names = objective_names(study)
    y = ERROR if ERROR in names else names[0]
    x = next((name for name in names if name != y), None) or "macs"
    members = front(study)
    on_front = {network.trial for network in members}
    scale = 100 if y == ERROR else 1

    def points(chosen: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
        return [px for px, _ in chosen], [py * scale for _, py in chosen]

    def places(chosen: list[Network]) -> list[tuple[float, float]]:
        known = [({**network.costs, **network.values}, network.values[y]) for network in chosen]
        return [(costs[x], value) for costs, value in known if x in costs]

    trained = networks(study)
    others = places([network for network in trained if network.trial not in on_front])
    best = sorted(places(members))
    axes.scatter(*points(others), s=22, c=_GREY, alpha=0.6, linewidths=0, label=f"trained, beaten ({len(others)})")
    if len(names) == 2:
        axes.step(*points(best), where="post", color=_BLUE, linewidth=1.2, alpha=0.7)
    axes.scatter(*points(best), s=44, c=_BLUE, marker="D", zorder=3, label=f"front ({len(best)})")
    refused = [
        trial.user_attrs[ATTRIBUTE + "costs"][x]
        for trial in study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
        if x in trial.user_attrs.get(ATTRIBUTE + "costs", {}) and ATTRIBUTE + "fingerprint" not in trial.user_attrs
    ]
    pruned = [
        (trial.user_attrs[ATTRIBUTE + "costs"][x], trial.user_attrs[ATTRIBUTE + "curve"][-1])
        for trial in study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
        if is_pruned(trial) and y == ERROR and x in trial.user_attrs[ATTRIBUTE + "costs"]
    ]
    if pruned:
        axes.scatter(*points(pruned), s=22, c=_GREY, marker="x", linewidths=0.9, label=f"pruned ({len(pruned)})")
    if refused:
        height = [1.0] * len(refused)
        axes.scatter(
            refused, height, s=40, c=_RED, marker="|", clip_on=False,
            transform=axes.get_xaxis_transform(), label=f"refused untrained ({len(refused)})",
        )  # fmt: skip
    axes.set_xlabel(f"{_AXES.get(x, x)}, smaller is better")
    axes.set_ylabel(f"{_AXES.get(y, y)}, smaller is better")
    if best or others:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    if x in COSTS and (best or others):
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(lambda value, position: format_cost(x, value))
    axes.grid(True, which="major", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    # A study's name is no formula, whatever signs are in it.
    axes.set_title(_finding(study, best, x, y, len(trained)), fontsize=11, loc="left", parse_math=False)


def axis_label(name: str) -> str:
    """The words for an objective or cost on an axis."""
    return _AXES.get(name, name)


def is_pruned(trial: FrozenTrial) -> bool:
    """Whether a trial's training was begun and stopped."""
    return trial.state == TrialState.PRUNED and bool(trial.user_attrs.get(ATTRIBUTE + "curve"))


def save_front(study: Study, path: Path) -> None:
    """Write the picture of a study's front; the ending of the path names the format.

    Raises:
        UsageError: If the file cannot be written.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    draw_front(study, figure.subplots())
    write_picture(figure, path)


def _finding(study: Study, best: list[tuple[float, float]], x: str, y: str, trained: int) -> str:
    if not best:
        return f"{study.study_name}: no feasible network with a known cost among {trained} trained"
    shown = []
    for cost, value in (min(best, key=lambda point: point[1]), min(best)):
        amount = f"{value:.1%}" if y == ERROR else f"{value:g}"
        shown.append(f"{amount} at {format_cost(x, cost) if x in COSTS else f'{cost:g}'}")
    ends = shown[0] if shown[0] == shown[1] else " to ".join(shown)
    return f"{study.study_name}: {y} {ends} {_AXES.get(x, x).split(' (')[0]}"
