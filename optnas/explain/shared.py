"""What the members of the front have in common that other trained networks do not."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom

from optnas.explain.prices import labels_of
from optnas.explain.trained import Trained

__all__ = ["Shared", "Sharing", "sharing"]

#: How often chance may be taken for something shared, in a study.
_LEVEL = 0.05


@dataclass(frozen=True)
class Shared:
    """An option that members of the front have more often, or less often, than trained networks."""

    choice: str
    option: str
    """Of a number with more than 8 values a third of its range."""
    members: int
    """Members with the option, of `members_of` that make the choice."""
    members_of: int
    trained: int
    """Feasible trained networks with the option, members among them, of `trained_of` that make the choice."""
    trained_of: int
    p_value: float
    """Two-sided, corrected by Holm's method for all options that were looked at."""

    @property
    def often(self) -> bool:
        """Whether members have it more often; else less often."""
        return self.members * self.trained_of > self.trained * self.members_of


@dataclass(frozen=True)
class Sharing:
    """Of a study's front."""

    found: tuple[Shared, ...]
    """What is beyond chance, the surest first."""
    tested: int
    """Options that were looked at."""
    members: int
    trained: int
    """Feasible networks, members among them."""
    tellable: bool
    """Whether so few members, of so few networks, could have told anything of any option."""


def sharing(trained: Trained) -> Sharing:
    """Options whose share on the front differs from that among all feasible trained networks beyond chance.

    If the front were any so many of the trained networks, the number of its members with an option would be
    hypergeometric. The tail beyond what came, doubled, is corrected for all options by Holm (1979): of studies where
    nothing is shared, one in twenty reports anything. Samplers train networks like those of the front, which makes
    what these share harder to see, not easier.
    """
    feasible, on_front = trained.feasible, np.zeros(len(trained.networks), dtype=bool)
    on_front[trained.front] = True
    found: list[Shared] = []
    least: list[float] = []
    for choice in trained.movable():
        levels, names = labels_of(trained.distributions[choice])
        rows = [row for row in np.flatnonzero(feasible) if choice in trained.networks[row].choices]
        places = np.array([levels.place(trained.networks[row].choices[choice]) for row in rows], dtype=int)
        members = on_front[rows]
        common = np.unique(places)
        if len(names) == 2:  # either says all of both
            common = np.array([int(np.mean(places[members]) > np.mean(places))]) if members.any() else common[:1]
        for place in common:
            has = places == place
            if has.all():
                continue
            shared = Shared(
                choice, names[place], int((has & members).sum()), int(members.sum()), int(has.sum()), len(rows), 1.0
            )
            chances = _two_sided(shared)
            found.append(replace(shared, p_value=float(chances[shared.members])))
            least.append(float(chances.min()))
    corrected = _holm(np.array([one.p_value for one in found]))
    found = [replace(one, p_value=float(p)) for one, p in zip(found, corrected, strict=True)]
    told = sorted((one for one in found if one.p_value <= _LEVEL), key=lambda one: one.p_value)
    return Sharing(
        tuple(told),
        len(found),
        len(trained.front),
        int(feasible.sum()),
        bool(found) and min(least) * len(found) <= _LEVEL,
    )


def _two_sided(shared: Shared) -> NDArray[np.float64]:
    """The p-value of each number of members with the option from 0 to all."""
    counts = np.arange(shared.members_of + 1)
    law = hypergeom(shared.trained_of, shared.trained, shared.members_of)
    possible = law.pmf(counts) > 0
    tails = np.minimum(law.cdf(counts), law.sf(counts - 1))
    return np.where(possible, np.minimum(2 * tails, 1.0), 1.0)


def _holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    order = np.argsort(p_values, kind="stable")
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected
