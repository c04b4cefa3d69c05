"""The costs that are known before training, and how they are written for people."""

from __future__ import annotations

from difflib import get_close_matches
from math import floor, isfinite, log10

from optnas.errors import UsageError

__all__ = ["COSTS", "check_cost", "format_cost"]

COSTS = ("params", "macs", "size_bytes", "peak_memory_bytes", "energy_mj", "latency_ms")
"""In the order in which they are shown and stored."""

_PREFIXES = ("", "k", "M", "G", "T")
_UNITS = {"size_bytes": "B", "peak_memory_bytes": "B"}
_FRACTIONS = {"latency_ms": "ms", "energy_mj": "mJ"}


def check_cost(name: str, where: str) -> None:
    """Refuse a name that is not in `COSTS`, with the one that was probably meant.

    Raises:
        UsageError: With `where` as the place the name was given.
    """
    if name in COSTS:
        return
    if name in ("error", "accuracy"):
        hint = f"{name} is known only after training, so it can be an objective but not be constrained"
    else:
        near = get_close_matches(name, COSTS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else "no other cost is known before training"
    raise UsageError(f"{where}: expected one of {', '.join(COSTS)}, got {name!r}; {hint}")


def format_cost(name: str, value: float) -> str:
    """A cost in three figures with its unit, prefixes in powers of 1000: "1.23 M", "412 kB", "1.31 ms";
    "inf" and "nan" stay what they are.

    Raises:
        UsageError: `name` is not in `COSTS`.
    """
    check_cost(name, "format_cost")
    if not isfinite(value):
        return str(value)
    if name in _FRACTIONS:
        return f"{_three_figures(value)} {_FRACTIONS[name]}"
    power = 0
    while power < len(_PREFIXES) - 1 and float(f"{value:.3g}") >= 1000:
        value, power = value / 1000, power + 1
    number = _three_figures(value) if power else f"{value:.0f}"
    return f"{number} {_PREFIXES[power]}{_UNITS.get(name, '')}".rstrip()


def _three_figures(value: float) -> str:
    rounded = float(f"{value:.3g}")
    decimals = 2 - floor(log10(abs(rounded))) if rounded else 2
    return f"{rounded:.{max(decimals, 0)}f}"
