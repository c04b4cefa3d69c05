"""The picture of samplers with many workers: how much faster they are, and what each finds in how many hours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from optnas.printable import counted
from optnas.report.picture import write_picture
from optnas.report.style import LINE_MARKERS, MUTED, PALETTE, dress, name_lines, top_headline

__all__ = ["Scaling", "save_scaling", "scaling_finding"]


@dataclass(frozen=True)
class Scaling:
    """One sampler with one number of workers: means over its runs, with standard deviations (0 for a single run).

    Shares are of the hypervolume of the whole table, 0 to 1.
    """

    sampler: str
    workers: int
    runs: int
    level: float
    """The share that hours and speed-up are of."""
    trainings: tuple[int, ...]
    """Checkpoints, ascending; the last is where the shortest run ended."""
    hypervolume: tuple[float, ...]
    """After so many trainings."""
    hypervolume_spread: tuple[float, ...]
    loss: tuple[float, ...] | None
    """By how much the same seeds with one worker had found more by then; None if there are none."""
    loss_spread: tuple[float, ...] | None
    reached: int
    """Runs that came to the level."""
    hours: float | None
    """Virtual hours to the level; None unless all runs came to it."""
    hours_spread: float | None
    speedup: float | None
    """Hours of the same seed with one worker, divided by those; None unless all runs of both came to the level."""
    speedup_spread: float | None
    repeats: float
    """Share of proposals that were in training or trained."""
    seconds_per_proposal: float
    """Wall time."""
    checkpoints: bool | None
    """Whether trainings went on from their last epoch when a worker died; None if none did."""
    deaths: float
    failed: float
    """Trainings given up, a run."""
    lost: float
    """Share of the hours that workers worked which was for nothing."""
    course_hours: tuple[float, ...]
    """Of the course: virtual hours, ascending."""
    course: tuple[float, ...]
    """Share of the hypervolume by then."""


def save_scaling(scalings: Sequence[Scaling], path: Path, title: str = "") -> None:
    """Draw two panels and write them; the ending of the path names the format.

    Left the speed-up against workers, with all that workers could bring as a dashed line; right what is found in how
    many hours, with the most workers and, dotted, with one. Runs whose workers die are left out.

    Args:
        scalings: Of one table and one level.
        path: Of the file.
        title: Which table and objectives.

    Raises:
        UsageError: If the file cannot be written.
    """
    living = [one for one in scalings if one.checkpoints is None]
    figure = Figure(figsize=(11.0, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    samplers = list(dict.fromkeys(one.sampler for one in living))
    _draw_speedups(living, samplers, left)
    _draw_courses(living, samplers, right)
    runs = sorted({one.runs for one in living}) or [0]
    fewest = f"{runs[0]} to " if runs[0] < runs[-1] else ""
    note = [
        title,
        f"mean of {fewest}{counted(runs[-1], 'run')}",
        "hours are virtual: a training of mean cost takes one",
    ]
    top_headline(figure, scaling_finding(living), "; ".join(filter(None, note)))
    write_picture(figure, path)


def scaling_finding(scalings: Sequence[Scaling]) -> str:
    """Who comes to the level first with the most workers, and what these bring."""
    most = max((one.workers for one in scalings), default=0)
    level = f"{scalings[0].level:.4g}" if scalings else "?"
    there = sorted(
        (one for one in scalings if one.workers == most and one.hours is not None), key=lambda one: one.hours or 0.0
    )
    if not there:
        return f"No sampler finds {level} of the hypervolume in all runs with {counted(most, 'worker')}"
    first = there[0]
    text = f"With {counted(most, 'worker')} {first.sampler} is first to find {level} of the hypervolume: "
    text += f"in {first.hours:.2g} hours"
    if first.speedup is not None and most > 1:
        text += f", {first.speedup:.0f} times as fast as with one"
    if len(there) > 1:
        other = there[1]
        text += f"; {other.sampler} takes {other.hours:.2g}"
        if other.speedup is not None and most > 1:
            text += f", {other.speedup:.0f} times as fast"
    return text


def _draw_speedups(scalings: Sequence[Scaling], samplers: Sequence[str], axes: Axes) -> None:
    counts = sorted({one.workers for one in scalings})
    lines = []
    for index, name in enumerate(samplers):
        own = sorted(
            (one for one in scalings if one.sampler == name and one.speedup is not None), key=lambda one: one.workers
        )
        if not own:
            continue
        colour = PALETTE[index % len(PALETTE)]
        axes.errorbar(
            [one.workers for one in own], [one.speedup or 1.0 for one in own],
            yerr=[one.speedup_spread or 0.0 for one in own], color=colour, linewidth=1.3, elinewidth=0.9, capsize=2,
            marker=LINE_MARKERS[index % len(LINE_MARKERS)], markersize=4.5, zorder=3,
        )  # fmt: skip
        lines.append((f"{name} {own[-1].speedup:.0f}", own[-1].workers, own[-1].speedup or 1.0, colour))
    axes.plot(counts, counts, color=MUTED, linestyle="--", linewidth=0.9)
    if counts:
        lines.append(("as many as workers", counts[-1], counts[-1], MUTED))
    if counts:
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.yaxis.set_major_formatter("{x:.4g}")
    axes.set_xlabel("workers")
    level = f"{scalings[0].level:.4g}" if scalings else "?"
    axes.set_ylabel(f"speed-up to {level} of the hypervolume, larger is better")
    dress(axes)
    name_lines(axes, lines)


def _draw_courses(scalings: Sequence[Scaling], samplers: Sequence[str], axes: Axes) -> None:
    most = max((one.workers for one in scalings), default=0)
    lines = []
    for index, name in enumerate(samplers):
        colour = PALETTE[index % len(PALETTE)]
        for one in scalings:
            if one.sampler == name and one.workers in (1, most):
                style = "-" if one.workers == most else ":"
                axes.plot(one.course_hours, one.course, color=colour, linestyle=style, linewidth=1.3, zorder=3)
                if one.workers == most:
                    lines.append((f"{name} {one.course[-1]:.1%}", one.course_hours[-1], one.course[-1], colour))
    if lines:
        axes.set_xscale("log")
    axes.set_ylim(bottom=max(0.0, min((0.7, *(one.course[-1] - 0.1 for one in scalings)))), top=1.005)
    axes.xaxis.set_major_formatter("{x:.4g}")
    axes.yaxis.set_major_formatter(lambda share, position: f"{100 * share:.4g}%")
    axes.set_xlabel(f"virtual hours; with {counted(most, 'worker')}" + (", dotted: with one" if most > 1 else ""))
    axes.set_ylabel("hypervolume found (% of the table's)")
    dress(axes)
    name_lines(axes, lines)
