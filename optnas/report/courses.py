"""The picture of a comparison of samplers: how much of the hypervolume each has found after how many trainings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from optnas.report.picture import write_picture
from optnas.report.style import LINE_MARKERS, PALETTE, dress, headline, name_lines

__all__ = ["Course", "draw_courses", "finding", "save_courses"]

#: Sideways distance of two samplers at one checkpoint, as a factor, so that their bars stay apart.
_STEP = 1.018


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
            color=PALETTE[index % len(PALETTE)], marker=LINE_MARKERS[index % len(LINE_MARKERS)], markersize=4.5,
            linestyle="-" if index < len(PALETTE) else "--", linewidth=1.3, elinewidth=0.9, capsize=2, zorder=3,
        )  # fmt: skip
    axes.set_xscale("log")
    checkpoints = sorted({trainings for course in courses for trainings in course.trainings})
    axes.xaxis.set_major_locator(FixedLocator(checkpoints))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.yaxis.set_major_formatter(lambda share, position: f"{100 * share:.4g}%")
    axes.set_xlabel("networks trained")
    axes.set_ylabel("hypervolume found (% of the table's), larger is better")
    dress(axes, "y")
    _name(courses, axes)
    runs = sorted({course.runs for course in courses})
    several = f"mean of {' to '.join(map(str, dict.fromkeys((runs[0], runs[-1]))))} runs" if runs else ""
    small = [title, several, "bars: ± 1 standard deviation"] if runs and runs[-1] > 1 else [title, "one run each"]
    headline(axes, finding(courses), "; ".join(filter(None, small)))


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


def _name(courses: Sequence[Course], axes: Axes) -> None:
    """Name the lines at their ends."""
    last = max((course.trainings[-1] for course in courses), default=0)
    lines = []
    for index, course in enumerate(courses):
        end = course.trainings[-1]
        early = f" at {end}" if end < last else ""
        shifted = end * _STEP ** (index - (len(courses) - 1) / 2)
        name = f"{course.sampler} {course.mean[-1]:.1%}{early}"
        lines.append((name, shifted, course.mean[-1], PALETTE[index % len(PALETTE)]))
    name_lines(axes, lines)
