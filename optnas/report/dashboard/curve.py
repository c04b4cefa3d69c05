"""The learning curve of one trial as a small SVG, written by hand: a file of a kilobyte in a tenth of a millisecond."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from itertools import pairwise
from math import ceil, floor, isfinite, log10

from optnas.facts.reasons import audit_phrase
from optnas.facts.trials import TrialFacts
from optnas.report.drawing.svg import STYLE
from optnas.report.style import COLOURS

__all__ = ["curve_svg", "log_ticks"]

#: In pixels: about as wide as the drawing of a network.
_WIDTH, _HEIGHT = 640, 290
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, _WIDTH - 20, 76, 242

#: From a value to its place in pixels.
_Scale = Callable[[float], float]


def curve_svg(trial: TrialFacts) -> str | None:
    """The validation error of a trial after each epoch, with the bounds above which its pruner would have stopped it.

    A cross marks where it was stopped. None for a trial that has no curve.
    """
    finite = [error for error in trial.curve if isfinite(error)]
    if not finite:
        return None
    bounds = [bound if bound is not None and isfinite(bound) else None for bound in trial.bounds]
    epochs = max(len(trial.curve), len(bounds))
    ticks, y = _vertical([*finite, *(bound for bound in bounds if bound is not None)])
    x = _linear(0.5, epochs + 0.5, _LEFT, _RIGHT)
    colour = COLOURS["pruned" if trial.state == "pruned" else "front"]
    parts = [
        _text(10, 24, f"trial {trial.trial}", size=14, more=' font-weight="bold"'),
        _text(10, 42, _finding(trial, finite[-1]), more=_FAINT),
    ]
    if any(bound is not None for bound in bounds):
        parts += [
            f'<path d="M{_LEFT},59h28" {_line("currentColor", 1.2)} stroke-dasharray="5 3"/>',
            _text(_LEFT + 36, 63, "stopped if its lowest error so far is above", more=_FAINT),
        ]
    for tick in ticks:
        parts.append(f'<path d="M{_LEFT},{y(tick):.1f}H{_RIGHT}" {_line("currentColor", 0.8)} opacity="0.2"/>')
        parts.append(_text(_LEFT - 8, y(tick) + 4, f"{100 * tick:.4g}%", anchor="end"))
    step = ceil(epochs / 10)
    for epoch in range(step, epochs + 1, step):
        parts.append(_text(x(epoch), _BOTTOM + 18, str(epoch), anchor="middle"))
    parts.append(_text((_LEFT + _RIGHT) / 2, _HEIGHT - 10, "epochs trained", anchor="middle", more=_FAINT))
    parts.append(_text(18, (_TOP + _BOTTOM) / 2, "validation error", anchor="middle", more=_FAINT + _TURNED))
    parts += _bounds(bounds, x, y)
    parts += _curve(trial.curve, x, y, colour)
    if trial.state == "pruned":
        parts.append(_cross(x(len(trial.curve)), y(finite[-1]), colour))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" '
        'font-family="system-ui,Helvetica,Arial,sans-serif" font-size="12" fill="currentColor">'
        f"<style>{STYLE}</style>{''.join(parts)}</svg>\n"
    )


_FAINT = ' opacity="0.7"'
_TURNED = f' transform="rotate(-90 18 {(_TOP + _BOTTOM) / 2})"'


def _finding(trial: TrialFacts, error: float) -> str:
    end = f"{error:.2%} validation error after {len(trial.curve)} epoch{'s' * (len(trial.curve) > 1)}"
    if trial.state == "pruned":
        return end + ", stopped there"
    return end + (f"; {audit_phrase(trial.stop_epoch)}" if trial.stop_epoch else "")


def _vertical(values: Sequence[float]) -> tuple[list[float], _Scale]:
    """Ticks and scale: logarithmic where values lie far apart, for most of a training lies far below its beginning."""
    least, most = min(values), max(values)
    if least > 0 and most >= 3 * least:
        ticks = log_ticks(least, most)
        scale = _linear(log10(ticks[0]), log10(ticks[-1]), _BOTTOM, _TOP)
        return ticks, lambda value: scale(log10(value))
    span = (most - least) or abs(most) or 1.0
    power = 10.0 ** floor(log10(span))
    step = power * (0.2 if span < 1.5 * power else 0.5 if span < 3.5 * power else 1)
    first, last = floor(least / step), max(ceil(most / step), floor(least / step) + 1)
    ticks = [step * place for place in range(first, last + 1)]
    return ticks, _linear(ticks[0], ticks[-1], _BOTTOM, _TOP)


def log_ticks(least: float, most: float) -> list[float]:
    """Round numbers about an equal factor apart, from the last below `least` to the first above `most`, both > 0."""
    steps = (1, 2, 5) if most < 50 * least else (1, 3) if most < 1000 * least else (1,)
    powers = range(floor(log10(least)) - 1, ceil(log10(most)) + 2)
    ticks = [round(step * 10.0**power, 12) for power in powers for step in steps]
    low, high = max(tick for tick in ticks if tick <= least), min(tick for tick in ticks if tick >= most)
    return [tick for tick in ticks if low <= tick <= high]


def _linear(low: float, high: float, start: float, end: float) -> _Scale:
    return lambda value: start + (end - start) * (value - low) / (high - low)


def _bounds(bounds: Sequence[float | None], x: _Scale, y: _Scale) -> list[str]:
    """A step for each epoch that has one."""
    steps = [f"M{x(e - 0.5):.1f},{y(b):.1f}H{x(e + 0.5):.1f}" for e, b in enumerate(bounds, 1) if b is not None]
    return [f'<path d="{"".join(steps)}" {_line("currentColor", 1.2)} stroke-dasharray="5 3"/>'] if steps else []


def _curve(curve: Sequence[float], x: _Scale, y: _Scale, colour: str) -> list[str]:
    """Lines between epochs whose errors are numbers, and a dot for each."""
    places = [(x(epoch), y(error)) if isfinite(error) else None for epoch, error in enumerate(curve, 1)]
    joined = [f"M{a[0]:.1f},{a[1]:.1f}L{b[0]:.1f},{b[1]:.1f}" for a, b in pairwise(places) if a and b]
    line = [f'<path d="{"".join(joined)}" {_line(colour, 2)} stroke-linecap="round"/>'] if joined else []
    radius = 3 if len(curve) <= 40 else 1.5
    dots = [
        f'<circle cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="{radius}" fill="{colour}"/>' for place in places if place
    ]
    return line + dots


def _cross(x: float, y: float, colour: str) -> str:
    return f'<path d="M{x - 7:.1f},{y - 7:.1f}l14,14m0,-14l-14,14" {_line(colour, 3)}/>'


def _line(colour: str, width: float) -> str:
    return f'fill="none" stroke="{colour}" stroke-width="{width}"'


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{more}>{escape(text)}</text>'
