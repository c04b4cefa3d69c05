"""Which options of the choices are commoner on the front than among all networks that were trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna import Study
from scipy.stats import hypergeom

from optnas.facts.trials import read_trials

__all__ = ["ABSENT", "OptionShare", "distances", "levels", "option_shares"]

ABSENT = "(none)"
"""The option of a network that does not have a choice, since another choice decides whether it is there."""

#: A number with more values than this is cut into so many parts.
_VALUES, _PARTS = 8, 4


@dataclass(frozen=True)
class OptionShare:
    """How common one option of one choice is."""

    choice: str
    option: str
    """In words; of a number with more than eight values one of four parts of its range, "8 to 20"."""
    front: int
    """Networks of the front that have it."""
    trained: int
    """Trained networks that have it, members of the front and pruned ones among them."""
    n_front: int
    """Networks of the front."""
    n_trained: int
    """Trained networks."""

    @property
    def difference(self) -> float:
        """Its share of the front less its share of all trained networks, -1 to 1."""
        return self.front / self.n_front - self.trained / self.n_trained

    @property
    def chance(self) -> float:
        """The probability that as many networks, drawn at random from those trained, have it so often or more often, or
        so rarely or more rarely (hypergeometric; twice the smaller tail). Of many options some are rare by chance."""
        drawn = hypergeom(self.n_trained, self.trained, self.n_front)
        return float(min(1.0, 2 * min(drawn.cdf(self.front), drawn.sf(self.front - 1))))


def option_shares(study: Study) -> list[OptionShare]:
    """How often each option occurs on the front and among all trained networks, choice by choice.

    Args:
        study: Any study.

    Returns:
        Choices in the order of their names in the trials, options in that of `levels`; empty without a front.
    """
    trained = [trial for trial in read_trials(study) if trial.trained]
    members = np.array([trial.state == "front" for trial in trained], dtype=bool)
    if not members.any():
        return []
    shares = []
    for choice in dict.fromkeys(name for trial in trained for name in trial.choices):
        words, places = levels([trial.choices.get(choice, ABSENT) for trial in trained])
        for place, word in enumerate(words):
            has = places == place
            front = int((has & members).sum())
            shares.append(OptionShare(choice, word, front, int(has.sum()), int(members.sum()), len(trained)))
    return shares


def distances(shares: Sequence[OptionShare]) -> dict[str, float]:
    """By choice how differently the front and all trained networks choose, the largest first.

    The distance is the total variation: the share of the front's networks that would have to choose otherwise.
    """
    found: dict[str, float] = {}
    for share in shares:
        found[share.choice] = found.get(share.choice, 0.0) + abs(share.difference) / 2
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def levels(values: Sequence[Any]) -> tuple[list[str], np.ndarray[Any, np.dtype[np.int64]]]:
    """The options that occur, in words, and for each value which of them it is.

    Numbers come in their order, then words in that of the alphabet, `ABSENT` last. More than eight numbers are cut into
    four equal parts of their range, of that of their logarithms if they span a decade.
    """
    distinct = set(values)
    numbers = sorted(value for value in distinct if _is_number(value))
    words = sorted((value for value in distinct if not _is_number(value) and value != ABSENT), key=str)
    absent = [ABSENT] * (ABSENT in distinct)
    part = dict(zip(numbers, _parts(numbers), strict=True))
    groups = [[value for value in numbers if part[value] == place] for place in sorted(set(part.values()))]
    place_of = {value: place for place, group in enumerate(groups) for value in group}
    place_of |= {value: len(groups) + place for place, value in enumerate([*words, *absent])}
    named = [" to ".join(dict.fromkeys(map(_number, (group[0], group[-1])))) for group in groups]
    return [*named, *map(str, words), *absent], np.array([place_of[value] for value in values], dtype=np.int64)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def _parts(numbers: Sequence[float]) -> list[int]:
    """For each of ascending numbers the part of their range in which it is."""
    if len(numbers) <= _VALUES:
        return list(range(len(numbers)))
    spaced = np.geomspace if numbers[0] > 0 and numbers[-1] >= 10 * numbers[0] else np.linspace
    inner = spaced(numbers[0], numbers[-1], _PARTS + 1)[1:-1]
    return [int(part) for part in np.searchsorted(inner, numbers, side="right")]
