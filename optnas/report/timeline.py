"""The picture of what each worker did when."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.ticker import MaxNLocator
from optuna import Study

from optnas.facts.workers import Bar, Timeline, timeline
from optnas.printable import counted
from optnas.report.style import COLOURS, CROWDED, INK, MUTED, dress, headline, nothing, plain
from optnas.report.units import duration, time_unit

__all__ = ["draw_timeline"]

#: Beside the colours, for print in grey: members of the front are taller, and what brought no result is hatched.
_TALL, _LOW = 0.84, 0.54
_HATCHES = {"pruned": "////", "infeasible": "\\\\\\\\", "failed": "xxxx"}
#: Workers whose number is written.
_NAMED = 12


def draw_timeline(study: Study, axes: Axes) -> None:
    """Draw each trial as a bar on the line of its worker, coloured by what became of it.

    Times between two runs of a search are folded and marked with how long they were.

    Args:
        study: Any study; trials without a start and an end are left out.
        axes: Where to draw.
    """
    facts = timeline(study)
    if not facts.seconds:
        nothing(axes, "no trial has a start and an end")
        return
    divisor, unit = time_unit(facts.seconds)
    crowd = len(facts.bars) > CROWDED
    for state, colour in COLOURS.items():
        bars = [bar for bar in facts.bars if bar.state == state]
        if bars:
            boxes = PolyCollection(
                [_box(bar, divisor) for bar in bars], facecolors=(colour, 0.8), edgecolors=colour if crowd else INK,
                linewidths=0.2 if crowd else 0.5, hatch=None if crowd else _HATCHES.get(state), rasterized=crowd,
                zorder=4 if state == "front" else 3, label=f"{state} ({len(bars)})",
            )  # fmt: skip
            boxes.set_hatch_linewidth(0.4)
            axes.add_collection(boxes)
    for start, end, seconds in facts.pauses:
        axes.axvspan(start / divisor, end / divisor, color=MUTED, alpha=0.15, linewidth=0)
        axes.annotate(
            f"paused {duration(seconds)}", ((start + end) / 2 / divisor, 0.5), xycoords=axes.get_xaxis_transform(),
            rotation=90, ha="center", va="center", fontsize=8.5, color=INK,
        )  # fmt: skip
    axes.set_yticks(range(1, facts.workers + 1, ceil(facts.workers / _NAMED)))
    axes.set(
        xlabel=f"time at work ({unit}){', pauses folded' if facts.pauses else ''}", ylabel="worker",
        xlim=(0, max(bar.end for bar in facts.bars) / divisor), ylim=(facts.workers + 0.6, 0.4),
    )  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    dress(axes, "x")
    axes.tick_params(axis="y", length=0)
    note = f"study {plain(study.study_name)}: {counted(len(facts.bars), 'trial')} with a start and an end"
    headline(axes, _finding(facts), note)


def _box(bar: Bar, divisor: float) -> list[tuple[float, float]]:
    half = (_TALL if bar.state == "front" else _LOW) / 2
    left, right, low, high = bar.start / divisor, bar.end / divisor, bar.lane + 1 - half, bar.lane + 1 + half
    return [(left, low), (right, low), (right, high), (left, high)]


def _finding(facts: Timeline) -> str:
    workers = f"{facts.workers} workers were" if facts.workers > 1 else "One worker was"
    spent = {state: _seconds(facts.bars, state) for state in ("pruned", "failed")}
    told = [
        f"{seconds / _seconds(facts.bars):.0%} of it on trials that {'were pruned' if state == 'pruned' else 'failed'}"
        for state, seconds in spent.items()
        if seconds >= 0.005 * _seconds(facts.bars) > 0
    ]
    return "; ".join([f"{workers} busy {facts.busy:.0%} of {duration(facts.seconds)}", *told])


def _seconds(bars: Sequence[Bar], state: str = "") -> float:
    return sum(bar.end - bar.start for bar in bars if state in ("", bar.state))
