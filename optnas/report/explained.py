"""The pictures of an explanation: which choices decide, and what changes cost and bring."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from optnas.cost import COSTS
from optnas.explain import Explanation, Price
from optnas.explain.words import listed, rise
from optnas.objective import ERROR
from optnas.printable import counted
from optnas.report.picture import write_picture
from optnas.report.style import COLOURS, INK, MUTED, dress, headline, nothing, plain
from optnas.report.units import axis_label

__all__ = ["draw_importance", "draw_price_list", "save_explained"]

#: Bars, and names in the price list.
_BARS, _NAMED = 14, 6
_SMALL = 8.5


def draw_importance(explanation: Explanation, axes: Axes) -> None:
    """Draw the share of each choice as a bar with its interval; hatched where it may be chance.

    Args:
        explanation: With or without importances; without, the reason is written.
        axes: Where to draw.
    """
    found = explanation.importances
    shown = found.choices[:_BARS]
    if not shown:
        nothing(axes, f"what decides cannot be told:\n{found.why}")
        return
    for place, one in enumerate(shown):
        axes.barh(
            place, 100 * one.share, height=0.62, linewidth=0.8, color=COLOURS["front"] if one.told else "none",
            edgecolor=COLOURS["front" if one.told else "beaten"], hatch="" if one.told else "////",
        )  # fmt: skip
        bars = [[100 * (one.share - one.low)], [100 * (one.high - one.share)]]
        axes.errorbar([100 * one.share], [place], xerr=bars, color=INK, capsize=2.5, linewidth=0.9)
    axes.set_yticks(range(len(shown)), [plain(one.choice, 32) for one in shown], parse_math=False)
    axes.invert_yaxis()
    axes.set_xlim(0, min(100.0, 105 * max(one.high for one in shown) + 1))
    axes.set_xlabel("share of the importance beyond chance (%), with 90 % intervals")
    dress(axes, "x")
    told = [plain(one.choice, 32) for one in shown if one.told]
    best = f"Being among the best {found.best} of {found.trials} in {plain(explanation.learned)} goes with"
    notes = ["hatched: may be chance"] if len(told) < len(shown) else []
    if len(found.choices) > len(shown):
        notes.append(f"{counted(len(found.choices) - len(shown), 'choice')} of less importance left out")
    note = "; ".join([f"study {plain(explanation.study)}: {counted(len(found.choices), 'choice')}", *notes])
    headline(axes, f"{best} {listed(told[:3]) or 'no choice beyond chance'}", note)


def draw_price_list(explanation: Explanation, axes: Axes, cost: str | None = None) -> None:
    """Draw each single change: what it adds to a cost against what it does to what is learned, ± one deviation.

    Changes that move what is learned by two standard deviations or more stand out; the largest of six choices have
    names.

    Args:
        explanation: With or without prices; without, that is written.
        axes: Where to draw.
        cost: Which cost; None for the first that matters in the study.
    """
    name = cost or next(iter(explanation.objective_costs), None)
    learned = plain(explanation.learned)
    prices = [one for one in explanation.prices if one.learned is not None and name in one.costs]
    if not prices or name is None:
        nothing(axes, f"what changes bring cannot be told from {counted(explanation.trained, 'trained network')}")
        return
    scale = 100 if explanation.learned == ERROR else 1
    told = [one for one in prices if one.learned is not None and one.learned.told]
    ranked: dict[str, Price] = {}
    for price in sorted(told, key=lambda one: -abs(_mean(one))):
        ranked.setdefault(price.choice, price)
    for price in prices:
        assert price.learned is not None
        strong = price.learned.told
        axes.errorbar(
            [price.costs[name].mean], [scale * price.learned.mean], yerr=[scale * price.learned.std],
            color=COLOURS["front" if strong else "beaten"], marker="D" if strong else "o",
            markersize=5 if strong else 3.5, alpha=1.0 if strong else 0.55, elinewidth=1.1 if strong else 0.6,
            zorder=3 if strong else 2,
        )  # fmt: skip
    axes.axhline(0, color=MUTED, linewidth=0.8, zorder=1)
    axes.axvline(0, color=MUTED, linewidth=0.8, zorder=1)
    axes.margins(x=0.12, y=0.12)
    _names(axes, list(ranked.values())[:_NAMED], name, scale)
    bottom = explanation.direction == "minimize"
    axes.text(
        0.01, 0.02 if bottom else 0.98, "cheaper and better", transform=axes.transAxes, color=MUTED, fontsize=_SMALL,
        va="bottom" if bottom else "top", ha="left", style="italic",
    )  # fmt: skip
    estimated = ", estimated" if name in explanation.estimated else ""
    axes.set_xlabel(f"change of {axis_label(name)}{estimated}")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    if name in COSTS:
        axes.xaxis.set_major_formatter(lambda value, position: rise(name, value).replace(".00 ", " ") if value else "0")
    axes.set_ylabel(f"expected change of {learned}{' (points)' if explanation.learned == ERROR else ''}")
    dress(axes)
    which = f"{len(told)} of {counted(len(prices), 'single change')}" if told else f"No single change of {len(prices)}"
    moved = f"{which} {'moves' if len(told) < 2 else 'move'} the {learned}"
    note = (
        f"study {plain(explanation.study)}: {counted(explanation.trained, 'network')} trained; ± 1 standard deviation"
    )
    headline(axes, f"{moved} by two standard deviations or more", note)


def save_explained(explanation: Explanation, path: Path) -> None:
    """Write both pictures side by side; the ending of the path names the format.

    Raises:
        UsageError: If the file cannot be written.
    """
    figure = Figure(figsize=(13, 5.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_importance(explanation, left)
    draw_price_list(explanation, right)
    write_picture(figure, path)


def _names(axes: Axes, prices: list[Price], cost: str, scale: float) -> None:
    """Name points, on the side with more room, from the top down and moved down until their lines are apart."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    height = high
    for price in sorted(prices, key=lambda one: -_mean(one)):
        x, y = price.costs[cost].mean, scale * _mean(price)
        side: Literal["left", "right"] = "right" if x > (left + right) / 2 else "left"
        height = min(y, height - (high - low) * 0.05)
        beside = x + (right - left) * (-0.02 if side == "right" else 0.02)
        axes.annotate(
            f"{plain(price.choice, 24)} {plain(price.usual, 12)} → {plain(price.option, 12)}", (x, y), (beside, height),
            fontsize=8, va="center", ha=side, parse_math=False, annotation_clip=False, zorder=4, color=INK,
            arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.5},
        )  # fmt: skip


def _mean(price: Price) -> float:
    return 0.0 if price.learned is None else price.learned.mean
