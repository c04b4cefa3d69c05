"""The picture of a comparison of samplers: how much of the hypervolume each has found after how many trainings."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from optnas.report.picture import write_picture

__all__ = ["Course", "draw_courses", "finding", "save_courses"]

#: Okabe and Ito (2008): told apart by the colour-blind; their yellow is too pale for lines on white.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f")
#: Beside the colours, for print in grey.
_MARKERS = "osD^vPX<>*"
#: Sideways distance of two samplers at one checkpoint, as a factor, so that their bars stay apart.
_STEP = 1.018
#: Least distance of two labels, as a share of the height of the axes.
_LINE = 0.062


@dataclass(frozen=True)
class Course:
    """What the runs of one sampler had found at each checkpoint."""

    sampler: str
    runs: int
    trainings: tuple[int, ...]
    """The checkpoints, ascending."""
    mean: tuple[float, ...]
    """Of the share of the hypervolume, 0 to 1, larger is better."""
    spread: tuple[float, ...]
    """The standard deviation over the runs; 0 for a single one."""


def draw_courses(courses: Sequence[Course], axes: Axes, title: str = "") -> None:
    """Draw hypervolume against trainings, a line for each sampler with its name and last value at its end.

    Bars reach one standard deviation up and down, but not over 100 %. Courses without a checkpoint are left out.

    Args:
        courses: Of the same table and objectives.
        axes: Where to draw.
        title: Which these are; the finding is written above it.
    """
    courses = [course for course in courses if course.trainings]
    for index, course in enumerate(courses):
        shift = _STEP ** (index - (len(courses) - 1) / 2)
        upper = [min(spread, 1 - mean) for mean, spread in zip(course.mean, course.spread, strict=True)]
        axes.errorbar(
            [trainings * shift for trainings in course.trainings], course.mean, yerr=(course.spread, upper),
            color=_COLOURS[index % len(_COLOURS)], marker=_MARKERS[index % len(_MARKERS)], markersize=4.5,
            linestyle="-" if index < len(_COLOURS) else "--", linewidth=1.3, elinewidth=0.9, capsize=2, zorder=3,
        )  # fmt: skip
    axes.set_xscale("log")
    checkpoints = sorted({trainings for course in courses for trainings in course.trainings})
    axes.xaxis.set_major_locator(FixedLocator(checkpoints))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.yaxis.set_major_formatter(lambda share, position: f"{100 * share:.4g}%")
    axes.set_xlabel("networks trained")
    axes.set_ylabel("hypervolume found (% of the table's), larger is better")
    axes.grid(True, axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    _label(courses, axes)
    runs = sorted({course.runs for course in courses})
    several = f"mean of {' to '.join(map(str, dict.fromkeys((runs[0], runs[-1]))))} runs" if runs else ""
    small = [title, several, "bars: ± 1 standard deviation"] if runs and runs[-1] > 1 else [title, "one run each"]
    heading = "\n".join(textwrap.wrap(finding(courses), 76))
    axes.set_title(heading, fontsize=11, loc="left", pad=20, parse_math=False)
    axes.text(
        0, 1.025, "; ".join(filter(None, small)), fontsize=8.5, color="#444444", transform=axes.transAxes,
        parse_math=False,
    )  # fmt: skip


def save_courses(courses: Sequence[Course], path: Path, title: str = "") -> None:
    """Write the picture of `draw_courses`; the ending of the path names the format.

    Raises:
        UsageError: If the file cannot be written.
    """
    figure = Figure(figsize=(7.5, 4.8), layout="constrained")
    draw_courses(courses, figure.subplots(), title)
    write_picture(figure, path)


def finding(courses: Sequence[Course]) -> str:
    """The best two samplers at the last checkpoint that all have, and whether they are clearly apart.

    They are if their means differ by more than two standard errors of the difference, which one run alone
    cannot tell.
    """
    courses = [course for course in courses if course.trainings]
    shared = set.intersection(*(set(course.trainings) for course in courses)) if courses else set()
    if not shared:
        return "No number of trainings that all samplers reached"
    last = max(shared)
    ranked = sorted(courses, key=lambda course: -course.mean[course.trainings.index(last)])
    ends = [(course, course.trainings.index(last)) for course in ranked[:2]]
    shown = [f"{course.mean[place]:.1%}" for course, place in ends]
    if len(ends) == 1:
        return f"{ends[0][0].sampler} finds {shown[0]} of the hypervolume in {last} trainings"
    (best, at), (second, there) = ends
    error = math.hypot(*(course.spread[place] / math.sqrt(course.runs) for course, place in ends))
    if best.mean[at] - second.mean[there] > 2 * error and min(best.runs, second.runs) > 1:
        return f"{best.sampler} finds most in {last} trainings: {shown[0]}, {second.sampler} {shown[1]}"
    return f"No clear winner in {last} trainings: {best.sampler} {shown[0]}, {second.sampler} {shown[1]}"


def _label(courses: Sequence[Course], axes: Axes) -> None:
    """Name the lines at the right of the axes, in the order of their ends and without overlap."""
    low, high = axes.get_ylim()
    last = max((course.trainings[-1] for course in courses), default=0)
    ordered = sorted(enumerate(courses), key=lambda item: item[1].mean[-1])
    heights = spaced([(course.mean[-1] - low) / (high - low) for _, course in ordered], _LINE)
    for (index, course), height in zip(ordered, heights, strict=True):
        shift = _STEP ** (index - (len(courses) - 1) / 2)
        axes.annotate(
            f"{course.sampler} {course.mean[-1]:.1%}"
            + (f" at {course.trainings[-1]}" if course.trainings[-1] < last else ""),
            xy=(course.trainings[-1] * shift, course.mean[-1]), xytext=(1.05, height), textcoords="axes fraction",
            fontsize=9, va="center", parse_math=False, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": _COLOURS[index % len(_COLOURS)], "linewidth": 0.9,
                        "relpos": (0, 0.5), "shrinkA": 2, "shrinkB": 4},
        )  # fmt: skip


def spaced(heights: Sequence[float], gap: float) -> list[float]:
    """Ascending heights, moved as little as pushing up and sinking back take, until they are `gap` apart.

    Those that would lie above the axes sink, so that labels end at the top of the axes if there is room below.
    """
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, placed[-1] + gap) if placed else height)
    ceiling = 0.98
    for index in reversed(range(len(placed))):
        placed[index] = min(placed[index], ceiling)
        ceiling = placed[index] - gap
    return placed
