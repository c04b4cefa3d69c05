"""The knee of a front: the network beyond which each further gain in one objective costs much of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna import Study
from optuna.study import StudyDirection
from scipy.optimize import linprog

from optnas.cost import Constraint
from optnas.facts.summary import words_of
from optnas.front import Network, front, objective_names
from optnas.objective import ERROR

__all__ = ["Knee", "depths", "knee"]

Array = NDArray[np.float64]

#: A front of which no member beats a straight one by this is nearly straight.
_STRAIGHT = 0.05
#: Members that beat it as much as the knee does, but for so much, would do as well.
_ALIKE = 0.025
#: Values that span this factor on the front are compared by their logarithms.
_DECADE = 10.0


@dataclass(frozen=True)
class Knee:
    """The knee of a front, or why there is none."""

    network: Network | None
    """None if the front has no knee."""
    depth: float
    """How pronounced it is, see `depths`: below 0.05 there is no knee, and with two objectives 0.5 is the most. NaN for
    a front of fewer than three."""
    alike: tuple[int, ...]
    """Other members, by trial, that are within 0.025 of that depth."""
    sentence: str
    """The same for a person."""

    def __str__(self) -> str:
        return self.sentence


def knee(study: Study, budget: Sequence[Constraint] = ()) -> Knee:
    """The knee of the front within a budget.

    Between its ends a straight front would offer every mixture of them. The knee is the member that beats such a
    mixture by most in all objectives at once, each scaled from the best (0) to the worst (1) on the front. With two
    objectives that is the one farthest below the straight line through the ends (Das 1999, "On characterizing the
    knee of the Pareto curve"); with more the ends need not make a plane, as when two costs go together. The
    least sum of scaled objectives (Chiu, Yen and Juan 2016) was refused, since it counts such costs twice, and the
    marginal utility of Branke et al. (2004), since a knee with a near twin would have none.

    Scaling makes the knee independent of units. An objective that spans more than a factor of ten on the front counts
    by its logarithm, so that one network at chance level or one giant does not squeeze all others together.

    Args:
        study: With any number of objectives.
        budget: Only networks within it count.

    Raises:
        UsageError: If the budget names a cost that the study did not measure.
    """
    members = front(study, budget)
    names = objective_names(study)
    if len(names) < 2:
        return Knee(None, np.nan, (), "The study has one objective, so its front has no knee.")
    if len(members) < 3:
        count = {0: "no network", 1: "one network", 2: "two networks"}[len(members)]
        return Knee(None, np.nan, (), f"The front has {count}: a knee lies between two others.")
    signs = np.array([-1.0 if direction == StudyDirection.MAXIMIZE else 1.0 for direction in study.directions])
    reached = depths(np.array([list(member.values.values()) for member in members]) * signs)
    place = int(reached.argmax())
    depth, found = float(reached[place]), members[place]
    if depth < _STRAIGHT:
        return Knee(
            None, depth, (),
            "The front has no knee: it is nearly straight, and no network beats a straight front between the ends by "
            f"{_STRAIGHT:.0%} of its range in all objectives (the best by {max(0.0, depth):.0%}).",
        )  # fmt: skip
    near = [row for row in np.flatnonzero(reached >= depth - _ALIKE).tolist() if row != place]
    alike = tuple(members[row].trial for row in near)
    sentence = (
        f"The knee is trial {found.trial}: it beats a straight front between the ends by {depth:.0%} of its range in "
        f"{'both' if len(names) == 2 else f'all {len(names)}'} objectives."
    )
    if len(names) == 2:
        sentence += _both_ways(members, place, names)
    if alike:
        sentence += f" Nearly as good a bargain: trial {', '.join(map(str, alike))}."
    return Knee(found, depth, alike, sentence)


def depths(losses: Array) -> Array:
    """(n,) by how much each member of a front beats the best mixture of the front's ends in all objectives at once, as
    a share of the front's range.

    It is 0 for the ends and all of a straight front, and below 0 where a front bulges outwards. With two objectives the
    ideal has 0.5, and a quarter of a circle 0.21; with k it is (k - 1) / k and less.

    Args:
        losses: (n, k) of a front, smaller is better. An objective in which all are equal is left out.
    """
    scaled = np.column_stack([*_scaled(losses), np.zeros((len(losses), 0))])
    if scaled.shape[1] < 2:
        return np.zeros(len(losses))
    # Of members that are equally good in an objective, the best in all is its end.
    ends = scaled[[np.lexsort((scaled.sum(axis=1), column))[0] for column in scaled.T]]
    return np.array([_below(point, ends) for point in scaled])


def _scaled(losses: Array) -> list[Array]:
    columns = []
    for column in losses.T:
        if column.min() > 0 and column.max() > _DECADE * column.min():
            column = np.log(column)
        width = column.max() - column.min()
        if width > 0:
            columns.append((column - column.min()) / width)
    return columns


def _below(point: Array, ends: Array) -> float:
    """The most by which a point (k,) is less in all objectives than a mixture of the ends (k, k)."""
    count = len(ends)
    # Variables: the shares of the ends, then the amount; linprog minimises.
    found = linprog(
        np.append(np.zeros(count), -1.0),
        A_ub=np.column_stack([-ends.T, np.ones(count)]),
        b_ub=-point,
        A_eq=np.append(np.ones(count), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, None)] * count + [(None, None)],
    )
    return float(found.x[-1])


def _both_ways(members: Sequence[Network], place: int, names: Sequence[str]) -> str:
    """What the members on either side of the knee give and take."""
    here, phrases = members[place], []
    for step, (won, lost) in ((-1, names), (1, (names[1], names[0]))):
        if 0 <= place + step < len(members):
            there = members[place + step]
            gain, price = (_change(name, here.values[name], there.values[name]) for name in (won, lost))
            phrases.append(f"trial {there.trial} has {gain} at {price}")
    text = "; ".join(phrases)
    return f" {text[:1].upper()}{text[1:]}." if text else ""


def _change(name: str, here: float, there: float) -> str:
    """From one value to another: "0.28 points less error", "7.2 times the MACs"."""
    if name == ERROR and 0 <= min(here, there) <= max(here, there) <= 1:
        return f"{100 * abs(there - here):.2f} points {'more' if there > here else 'less'} error"
    words = words_of(name)
    if min(here, there) <= 0:
        return f"a {words} of {there:.4g} instead of {here:.4g}"
    if there >= 2 * here:
        return f"{there / here:.1f} times the {words}"
    return f"{abs(there / here - 1):.0%} {'more' if there > here else 'less'} {words}"
