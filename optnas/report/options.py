"""The picture of the options that are commoner, or rarer, on the front than among all trained networks."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator
from optuna import Study

from optnas.facts.options import OptionShare, option_shares
from optnas.printable import counted
from optnas.report.style import COLOURS, MARKERS, dress, headline, nothing, plain

__all__ = ["draw_options"]

#: Options that are drawn, those that differ most.
_ROWS = 20
#: How improbable a difference must be to be told, all options together.
_CLEAR = 0.05


def draw_options(study: Study, axes: Axes) -> None:
    """Draw the share of the front's networks that have an option beside that of all trained networks.

    The twenty options that differ most, from the one that is commoner on the front to the one that is rarer; of a
    choice between two only the commoner.

    Args:
        study: Any study.
        axes: Where to draw.
    """
    shares = option_shares(study)
    rows = _rows(shares)
    if not rows:
        nothing(axes, "the front chose as all networks did" if shares else "no front yet")
        return
    heights = range(len(rows), 0, -1)
    for name, colour, counts, total in (
        ("trained", COLOURS["beaten"], [row.trained / row.n_trained for row in rows], rows[0].n_trained),
        ("front", COLOURS["front"], [row.front / row.n_front for row in rows], rows[0].n_front),
    ):
        marker, label = MARKERS["front" if name == "front" else "beaten"], f"{name} ({total})"
        axes.scatter(counts, heights, s=36, c=colour, marker=marker, label=label, zorder=3, clip_on=False)
    for row, height in zip(rows, heights, strict=True):
        ends = [row.trained / row.n_trained, row.front / row.n_front]
        colour = COLOURS["front" if row.difference > 0 else "beaten"]
        axes.plot(ends, [height, height], color=colour, linewidth=2.2, alpha=0.5, zorder=2, solid_capstyle="butt")
    names = [f"{plain(row.choice, 28)} = {plain(row.option, 24)}" for row in rows]
    axes.set_yticks(list(heights), names, parse_math=False)
    most = max(max(row.trained / row.n_trained, row.front / row.n_front) for row in rows)
    axes.set(xlim=(0, max(0.4, ceil(5 * most) / 5)), xlabel="share of the networks that have it (%)")
    axes.set_ylim(min(0.4, len(rows) - 7.6), len(rows) + 0.6)
    axes.xaxis.set_major_locator(MultipleLocator(0.2 if most > 0.5 else 0.1))
    axes.xaxis.set_major_formatter(lambda share, position: f"{100 * share:.0f}")
    dress(axes, "x")
    axes.tick_params(axis="y", length=0, pad=9)
    kept = f", the {len(rows)} that differ most" if len(shares) > len(rows) else ""
    note = f"study {plain(study.study_name)}: {counted(len(shares), 'option')}{kept}"
    headline(axes, _finding(rows, len(shares)), note)


def _rows(shares: Sequence[OptionShare]) -> list[OptionShare]:
    """Those to draw, in their order from above."""
    of = {share.choice: [other for other in shares if other.choice == share.choice] for share in shares}
    told = [
        share
        for share in shares
        if len(of[share.choice]) > 2 or (len(of[share.choice]) == 2 and share is max(of[share.choice], key=_commoner))
    ]
    most = sorted((share for share in told if share.difference), key=lambda share: -abs(share.difference))[:_ROWS]
    return sorted(most, key=_commoner, reverse=True)


def _commoner(share: OptionShare) -> float:
    return share.difference


def _finding(rows: Sequence[OptionShare], options: int) -> str:
    """The option that is least by chance, if any is beyond it."""
    best = min(rows, key=lambda row: (row.chance, -abs(row.difference)))
    counts = f"{best.front} of {best.n_front} on the front, {best.trained} of {best.n_trained} trained"
    name = f"{plain(best.choice)} = {plain(best.option)}"
    if best.chance * options < _CLEAR:
        return f"{name}: {counts}"
    return f"No option is commoner on the front than by chance; nearest is {name}, {counts}"
