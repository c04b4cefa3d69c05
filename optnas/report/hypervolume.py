"""The picture of a study's course: how much its front covered after how many trainings, epochs and seconds."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator
from optuna import Study

from optnas.errors import UsageError
from optnas.facts.course import Box, Moment, box_of, course
from optnas.printable import counted
from optnas.report.style import COLOURS, INK, MUTED, dress, headline, nothing, plain, top_headline
from optnas.report.units import amount, duration, sign, time_unit

__all__ = ["AGAINST", "draw_course", "draw_hypervolume"]

AGAINST = ("trainings", "epochs", "seconds")
"""What a hypervolume can be drawn against."""

#: The share of the final hypervolume that the headline tells of, and how long a study must have gained nothing, as a
#: share of its trainings, to be told of.
_MOST, _IDLE = 0.9, 0.1


def draw_hypervolume(study: Study, axes: Axes, against: str = "trainings") -> None:
    """Draw how much of its box a study's front covered after each training.

    Args:
        study: Any study.
        axes: Where to draw.
        against: One of `AGAINST`; seconds are those at work, pauses left out.

    Raises:
        UsageError: If `against` is none of them.
    """
    if against not in AGAINST:
        raise UsageError(f"hypervolume against: expected one of {', '.join(AGAINST)}, got {against!r}")
    moments, box = course(study), box_of(study)
    if box is None or not moments:
        nothing(axes, "no feasible trained network yet")
        return
    _draw_volume(axes, moments, against)
    axes.set_ylabel("hypervolume (% of the box), larger is better")
    dress(axes)
    headline(axes, _finding(moments, against), _note(study, box))


def draw_course(study: Study, figure: Figure | SubFigure) -> None:
    """Draw the hypervolume and the number of networks on the front against trainings, epochs and seconds.

    Args:
        study: Any study.
        figure: An empty one, with a layout of its own ("constrained").
    """
    moments, box = course(study), box_of(study)
    if box is None or not moments:
        nothing(figure.subplots(), "no feasible trained network yet")
        return
    grid = figure.subplots(2, len(AGAINST), sharex="col", sharey="row", height_ratios=(3, 1))
    for column, against in enumerate(AGAINST):
        volume, members = grid[:, column]
        _draw_volume(volume, moments, against, named=not column)
        places, label = _places(moments, against)
        members.step([0, *places], [0, *(moment.front for moment in moments)], where="post", color=INK, linewidth=1.1)
        members.set_ylim(bottom=0)
        members.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        members.set_xlabel(label)
        volume.set_xlabel("")
        dress(volume)
        dress(members)
    grid[0, 0].set_ylabel("hypervolume (% of the box)")
    grid[1, 0].set_ylabel("networks\non the front")
    top_headline(figure, _finding(moments, "trainings"), _note(study, box))


def _draw_volume(axes: Axes, moments: Sequence[Moment], against: str, named: bool = True) -> None:
    places, label = _places(moments, against)
    volumes = [moment.hypervolume for moment in moments]
    # The first network covers much of any box: what is of interest is above it.
    first, last = next(filter(None, volumes), 0.0), volumes[-1]
    bottom = max(0.0, min(first, _MOST * last) - 0.12 * (last - first))
    axes.step([0, *places], [0, *volumes], where="post", color=COLOURS["front"], linewidth=1.6, zorder=3)
    if last > 0:
        at = places[_reached(moments)]
        axes.axhline(_MOST * last, color=MUTED, linestyle=":", linewidth=1)
        axes.plot([at, at], [bottom, _MOST * last], color=MUTED, linestyle=":", linewidth=1)
    if last > 0 and named:
        # Above the line until the curve has reached it, below it afterwards: where the curve is not.
        x, shift, ha, va = (0, 3, "left", "bottom") if at > places[-1] / 2 else (1, -3, "right", "top")
        axes.annotate(
            f"{_MOST:.0%} of the final", (x, _MOST * last), (shift, shift), xycoords=axes.get_yaxis_transform(),
            textcoords="offset points", ha=ha, va=va, fontsize=8.5, color=MUTED,
        )  # fmt: skip
    axes.yaxis.set_major_formatter(lambda share, position: f"{100 * share:.6g}")
    axes.set(xlabel=label, xlim=(0, places[-1] or 1), ylim=(bottom, last + 0.06 * (last - bottom) or 1))
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=against != "seconds"))


def _places(moments: Sequence[Moment], against: str) -> tuple[list[float], str]:
    """Where moments lie along their axis, and its label."""
    if against == "seconds":
        divisor, unit = time_unit(moments[-1].seconds)
        return [moment.seconds / divisor for moment in moments], f"time at work ({unit})"
    label = {"trainings": "networks trained", "epochs": "epochs trained"}[against]
    return [float(getattr(moment, against)) for moment in moments], label


def _reached(moments: Sequence[Moment]) -> int:
    """The first moment with most of the final hypervolume."""
    return next(i for i, moment in enumerate(moments) if moment.hypervolume >= _MOST * moments[-1].hypervolume)


def _finding(moments: Sequence[Moment], against: str) -> str:
    last, most = moments[-1], moments[_reached(moments)]
    if last.hypervolume == 0:
        return f"Nothing of the box is covered after {counted(last.trainings, 'training')}"
    if against == "seconds":
        spent = f"{duration(most.seconds)} of {duration(last.seconds)} at work"
    else:
        spent = f"{getattr(most, against)} of {counted(getattr(last, against), against.removesuffix('s'))}"
    idle = last.trainings - next(m.trainings for m in moments if m.hypervolume == last.hypervolume)
    stopped = f", nothing gained in the last {idle}" if idle > max(1, _IDLE * last.trainings) else ""
    trainings = " trainings" if stopped and against != "trainings" else ""
    return f"{_MOST:.0%} of the final hypervolume after {spent}{stopped}{trainings}"


def _note(study: Study, box: Box) -> str:
    """What a hundred per cent would be."""
    ends = "ends at" if box.fixed else "holds all values so far, up to"
    worst = [amount(name, sign(study, name) * value) for name, value in zip(box.names, box.worst, strict=True)]
    return f"study {plain(study.study_name)}; the box {ends} {', '.join(worst)}"
