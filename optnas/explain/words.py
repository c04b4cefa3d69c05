"""Costs, changes and uncertainty as people write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor, log10
from typing import Any

from optnas.cost import COSTS, format_cost, parse_constraint
from optnas.explain.prices import CostChange
from optnas.explain.surface import Effect
from optnas.objective import ERROR

__all__ = ["amount", "cost_change", "effect", "effect_range", "limits", "listed", "rise", "steps"]

_PREFIXES = {1e9: "G", 1e6: "M", 1e3: "k", 1.0: ""}
#: What is counted, where the unit does not say it.
_NOUNS = {"macs": "MACs", "params": "parameters", "size_bytes": "size", "peak_memory_bytes": "peak memory"}


def amount(name: str, value: float) -> str:
    """A cost or an objective: "1.67 % error", "598 k MACs", "0.12 ms"."""
    if name == ERROR:
        return f"{value:.2%} error"
    if name not in COSTS:
        return f"{name} {value:.4g}"
    return f"{format_cost(name, value)} {_NOUNS.get(name, '')}".rstrip()


def rise(name: str, change: float) -> str:
    """A change of a cost with its sign, without its noun: "+118 k"."""
    sign = "-" if change < 0 else "+"
    return sign + (format_cost(name, abs(change)) if name in COSTS else f"{abs(change):.3g}")


def cost_change(name: str, change: CostChange) -> str:
    """ "+118 k MACs (+90 k to +160 k)", "about" before what is estimated."""
    noun = _NOUNS.get(name, "" if name in COSTS else name)
    text = f"{rise(name, change.mean)} {noun}".rstrip()
    if rise(name, change.low) != rise(name, change.high):
        text += f" ({rise(name, change.low)} to {rise(name, change.high)})"
    return text if change.exact else f"about {text}"


def effect(name: str, change: Effect) -> str:
    """ "error -0.4 ± 0.3 points", in the objective's own unit elsewhere."""
    return f"{name} {effect_range(name, change)}" + (" points" if name == ERROR else "")


def effect_range(name: str, change: Effect) -> str:
    """ "-0.4 ± 0.3": of an error in points, else in the objective's own unit."""
    scale = 100 if name == ERROR else 1
    mean, std = scale * change.mean, scale * change.std
    # Two figures of the uncertainty, and no more of the mean; a hundredth of a point is one image of ten thousand.
    decimals = 2 if std <= 0 else min(max(1 - floor(log10(float(f"{std:.2g}"))), 0), 2 if name == ERROR else 6)
    return f"{mean:+.{decimals}f} ± {std:.{decimals}f}"


def limits(texts: Sequence[str]) -> str:
    """Constraints as a person would type them: "macs<=300k and latency_ms<=2"."""
    shown = []
    for one in map(parse_constraint, texts):
        power = next(power for power in _PREFIXES if power == 1 or (one.limit and one.limit % power == 0))
        shown.append(f"{one.cost}{one.op}{one.limit / power:.10g}{_PREFIXES[power]}")
    return listed(shown)


def steps(changed: Mapping[str, tuple[Any, Any]]) -> str:
    """ "stem.width 24 -> 8 and head.width 64 -> 32"."""
    return listed([f"{choice} {before} -> {after}" for choice, (before, after) in changed.items()])


def listed(parts: Sequence[str]) -> str:
    """ "a, b and c"."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
