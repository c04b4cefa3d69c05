"""The picture of choices and costs side by side, a line for each network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import NDArray
from optuna import Study

from optnas.facts.options import ABSENT, distances, levels, option_shares
from optnas.facts.trials import TrialFacts, read_trials
from optnas.front import front, objective_names
from optnas.printable import counted
from optnas.report.style import COLOURS, INK, MUTED, PAPER, headline, nothing, plain, ramp, thinned
from optnas.report.units import amount, is_logarithmic, measures, short_label

__all__ = ["Coordinate", "coordinates", "draw_parallel"]

#: Axes that fit beside each other, how many of them may be costs, and lines that are not of the front.
_AXES, _COSTS, _LINES = 12, 4, 200
#: The part of an option's room that its lines take; its name stands above them.
_SPREAD = 0.5

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Coordinate:
    """One axis of the picture."""

    name: str
    ticks: dict[float, str]
    """What is written beside it, by height, 0 to 1."""
    heights: Array
    """(trials,) Where each trial crosses it; NaN where that is not known."""
    room: float = 0.0
    """Of an option of a choice, as a share of the height; 0 for a cost."""


def coordinates(study: Study, trials: Sequence[TrialFacts]) -> list[Coordinate]:
    """The axes: choices, first those in which the front is most unlike all trained networks, then objectives and costs.

    A network that does not have a choice crosses its axis at `optnas.facts.options.ABSENT`. Choices that all networks
    made alike are left out, and those beyond twelve axes.

    Args:
        study: Any study.
        trials: Those of it that are to be drawn.
    """
    costs = [_cost(name, trials) for name in measures(study, trials, _COSTS)]
    chosen = [_choice(name, trials) for name in distances(option_shares(study))]
    return [one for one in chosen if len(one.ticks) > 1][: max(0, _AXES - len(costs))] + costs


def draw_parallel(study: Study, axes: Axes) -> None:
    """Draw a line for each network trained to the end across its choices and costs, those of the front on top.

    Members of the front are coloured in its order, the best by the first objective darkest (in a page in dark mode
    lightest) and thickest. Of more than 200 other networks an even sample is drawn.

    Args:
        study: Any study.
        axes: Where to draw; nine inches hold the names of twelve axes.
    """
    trials = [trial for trial in read_trials(study) if trial.state in ("front", "beaten", "infeasible")]
    of_number = {trial.trial: trial for trial in trials}
    members = [of_number[network.trial] for network in front(study)]
    if not members:
        nothing(axes, "no front yet")
        return
    rest = [trial for trial in trials if trial.state != "front"]
    others = thinned(rest, _LINES)
    across = coordinates(study, [*others, *members])
    lines = np.column_stack([_bundled(one, len(others)) for one in across])
    places = np.arange(len(across))
    grey = LineCollection(
        [np.column_stack([places, line]) for line in lines[: len(others)]], colors=COLOURS["beaten"],
        linewidths=0.6, alpha=0.25 if len(others) > 100 else 0.4, zorder=2,
    )  # fmt: skip
    axes.add_collection(grey)
    best = f"front ({len(members)}), thickest: best {plain(objective_names(study)[0])}"
    widths = np.linspace(*((2.6, 1.2) if len(members) < 20 else (1.8, 0.7)), len(members))
    for place, (line, colour, width) in enumerate(
        zip(lines[len(others) :], ramp(len(members)), widths.tolist(), strict=True)
    ):
        label = best if place == len(members) // 2 else None
        axes.plot(places, line, color=colour, linewidth=width, zorder=3 + width / 10, label=label)
    axes.plot([], [], color=COLOURS["beaten"], linewidth=1, label=f"other networks trained to the end ({len(rest)})")
    _draw_axes(axes, across)
    note = f"study {plain(study.study_name)}; choices in which front and trained networks differ most come first"
    headline(axes, _finding(members, trials), note)


def _choice(name: str, trials: Sequence[TrialFacts]) -> Coordinate:
    words, found = levels([trial.choices.get(name, ABSENT) for trial in trials])
    room = 1 / max(1, len(words))
    ticks = {(place + 0.5) * room: plain(word, 20) for place, word in enumerate(words)}
    return Coordinate(name, ticks, np.asarray((found + 0.5) * room, dtype=float), room)


def _cost(name: str, trials: Sequence[TrialFacts]) -> Coordinate:
    values = np.array([trial.known.get(name, np.nan) for trial in trials], dtype=float)
    values[~np.isfinite(values)] = np.nan
    known = values[np.isfinite(values)]
    if not len(known):
        return Coordinate(name, {}, values)
    scaled = is_logarithmic(known.tolist()) and known.min() > 0
    low, high = known.min(), known.max()
    middle = np.sqrt(low * high) if scaled else (low + high) / 2
    ticks = {0.0: low, 0.5: middle, 1.0: high} if high > low else {0.5: low}
    turned = np.log if scaled else np.asarray
    span = turned(high) - turned(low)
    heights = (turned(values) - turned(low)) / span if span else np.where(np.isnan(values), np.nan, 0.5)
    return Coordinate(name, {height: amount(name, value, noun=False) for height, value in ticks.items()}, heights)


def _bundled(one: Coordinate, others: int) -> Array:
    """The heights of lines, apart from each other where networks chose alike: others at random, those of the front in
    their order."""
    if not one.room:
        return one.heights
    scattered = np.random.default_rng(0).uniform(-0.5, 0.5, others)
    ordered = np.linspace(0.5, -0.5, len(one.heights) - others + 2)[1:-1]
    return one.heights + _SPREAD * one.room * np.concatenate([scattered, ordered])


def _draw_axes(axes: Axes, across: Sequence[Coordinate]) -> None:
    for place, one in enumerate(across):
        axes.plot([place, place], [0, 1], color=MUTED, linewidth=1, zorder=4)
        for height, word in one.ticks.items():
            above = height + 0.5 * _SPREAD * one.room
            axes.annotate(
                word, (place, above), (3, 1), textcoords="offset points", fontsize=7.5, color=INK, zorder=5,
                parse_math=False, annotation_clip=False,
                bbox={"boxstyle": "square,pad=0.05", "facecolor": PAPER, "edgecolor": "none", "alpha": 0.8},
            )  # fmt: skip
    axes.set(xlim=(-0.1, len(across) - 0.4), ylim=(-0.02, 1.06))
    names = [plain(one.name if one.room else short_label(one.name), 40) for one in across]
    names = [name.replace(".", "\n").replace(" ", "\n") for name in names]
    axes.set_xticks(range(len(across)), names, fontsize=8.5, parse_math=False)
    axes.tick_params(axis="x", length=0, labelcolor=INK)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _finding(members: Sequence[TrialFacts], trials: Sequence[TrialFacts]) -> str:
    """What all members of the front share that not all networks do."""
    choices = dict.fromkeys(name for trial in trials for name in trial.choices)
    options = {name: [trial.choices.get(name, ABSENT) for trial in trials] for name in choices}
    varied = [name for name, values in options.items() if len(set(values)) > 1]
    shared = [name for name in varied if len({trial.choices.get(name, ABSENT) for trial in members}) == 1]
    if len(members) == 1:
        return f"Trial {members[0].trial} alone is on the front of {counted(len(trials), 'network')}"
    agree = (
        f"The {len(members)} networks of the front agree in {len(shared) or 'none'} of {counted(len(varied), 'choice')}"
    )
    if not shared:
        return agree
    told = ", ".join(f"{plain(name)} = {plain(members[0].choices.get(name, ABSENT))}" for name in shared[:3])
    return f"{agree}: {told}" + (f" and {len(shared) - 3} more" if len(shared) > 3 else "")
