"""Values on axes and in titles: their words, units and scales."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, floor, isfinite, log10

from matplotlib.axis import Axis, XAxis
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator
from optuna import Study
from optuna.study import StudyDirection

from optnas.cost import COSTS, format_cost
from optnas.facts.summary import format_value, words_of
from optnas.facts.trials import TrialFacts
from optnas.front import objective_names
from optnas.objective import ERROR
from optnas.report.style import plain

__all__ = [
    "amount",
    "axis_label",
    "better",
    "cost_axis",
    "duration",
    "is_logarithmic",
    "measures",
    "short_label",
    "sign",
    "time_unit",
]

_AXES = {
    "params": "parameters",
    "macs": "multiply-adds (MACs)",
    "size_bytes": "size (bytes)",
    "peak_memory_bytes": "peak memory of activations (bytes)",
    "energy_mj": "energy (mJ, an estimate)",
    "latency_ms": "latency (ms)",
    ERROR: "validation error (%)",
    "trial": "trial (its number)",
}
#: What follows a number in a sentence where its unit does not say it.
_NOUNS = {ERROR: "error", "params": "parameters", "macs": "MACs", "peak_memory_bytes": "of activations"}
#: Counted in whole ones.
_COUNTS = ("params", "macs", "size_bytes", "peak_memory_bytes", "trial")


def axis_label(name: str) -> str:
    """The words for an objective or cost on an axis, with its unit."""
    return _AXES.get(name) or plain(name)


def short_label(name: str) -> str:
    """One or two words for an objective or cost, without its unit."""
    return plain(words_of(name))


def amount(name: str, value: float, noun: bool = True) -> str:
    """A value in a sentence: "10.00% error", "2.00 M MACs", "1.31 ms", "score 0.5"; without its noun "2.00 M"."""
    text = format_value(name, value)
    if not noun:
        return text
    if name == ERROR or name in COSTS:
        return f"{text} {_NOUNS.get(name, '')}".rstrip()
    return f"{plain(name)} {text}"


def sign(study: Study, name: str) -> int:
    """-1 for an objective to be maximised, 1 for any other and for costs."""
    directions = dict(zip(objective_names(study), study.directions, strict=True))
    return -1 if directions.get(name) == StudyDirection.MAXIMIZE else 1


def better(study: Study, name: str) -> str:
    """Which way an objective or cost is wanted: "smaller is better"; nothing for the number of a trial."""
    if name == "trial" and name not in objective_names(study):
        return ""
    return "smaller is better" if sign(study, name) > 0 else "larger is better"


def measures(study: Study, trials: Sequence[TrialFacts], most: int = 4) -> list[str]:
    """The objectives of a study, and other costs that are known of its trained networks until there are `most`."""
    names = list(objective_names(study))
    known = [name for name in COSTS if name not in names and any(name in trial.costs for trial in trials)]
    return names + known[: max(0, most - len(names))]


def cost_axis(axis: Axis, name: str, values: Iterable[float], note: str = "") -> None:
    """Label an axis of costs or errors with their unit, and scale it.

    The scale is logarithmic if the values span a decade; a zero among them is then set apart at its lower end.

    Args:
        axis: `axes.xaxis` or `axes.yaxis`.
        name: Of the cost or objective.
        values: What is drawn along it.
        note: Follows the label: "smaller is better".
    """
    finite = [value for value in values if isfinite(value)]
    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10], integer=name in _COUNTS))
    if is_logarithmic(finite):
        least, most = min(value for value in finite if value > 0), max(finite)
        scaled = axis.axes.set_xscale if isinstance(axis, XAxis) else axis.axes.set_yscale
        if min(finite) == 0:
            scaled("symlog", linthresh=least, linscale=0.4)
        else:
            scaled("log")
        axis.set_major_locator(FixedLocator(_ticks(least, most, zero=min(finite) == 0)))
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, position: _tick(name, value))
    axis.set_label_text(", ".join(filter(None, (axis_label(name), note))))


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether values, none below zero, span a decade."""
    above = [value for value in values if value > 0]
    return bool(above) and min(values) >= 0 and max(above) >= 10 * min(above)


def duration(seconds: float) -> str:
    """A time in two or three figures: "45 s", "14 min", "3.2 h"."""
    divisor, unit = time_unit(seconds)
    value = seconds / divisor
    return f"{value:.{0 if value >= 10 else 1}f} {unit}"


def time_unit(seconds: float) -> tuple[float, str]:
    """The unit in which a time is read most easily: how many seconds it has, and its sign."""
    for unit, divisor, limit in (("ms", 0.001, 1.0), ("s", 1.0, 120.0), ("min", 60.0, 7200.0), ("h", 3600.0, 172800.0)):
        if seconds < limit:
            return divisor, unit
    return 86400.0, "days"


def _tick(name: str, value: float) -> str:
    """Without the unit, which stands at the axis, and without zeros behind the point."""
    if name == ERROR:
        return f"{100 * value:.6g}"
    if name not in COSTS or value < 0:
        return f"{value:.6g}"
    number, _, prefix = format_cost(name, value).removesuffix("B").removesuffix("ms").removesuffix("mJ").partition(" ")
    return f"{float(number):g} {prefix}".strip()


def _ticks(least: float, most: float, zero: bool) -> list[float]:
    decades = log10(most / least)
    steps = (1, 2, 5) if decades <= 2 else (1, 3) if decades <= 3.5 else (1,)
    powers = range(floor(log10(least)), ceil(log10(most)) + 1)
    ticks = [step * 10.0**power for power in powers for step in steps]
    # Beside a zero, the ticks below the least value would crowd it.
    return [0.0, *(tick for tick in ticks if tick >= least)] if zero else ticks
