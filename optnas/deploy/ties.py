"""Which networks cannot be told from the best one."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Sequence

__all__ = ["ties_with_best"]

_LEVEL = 0.05


def ties_with_best(errors: Sequence[Sequence[float]], level: float = _LEVEL) -> list[bool]:
    """Whether each network's mean error may be that of the best one, which ties with itself.

    Tukey's test of honest differences compares all networks at once with one spread for all, so that of many equal
    ones none is called worse by chance more often than `level` says (Tukey 1949; Kramer 1956 for unequal numbers).

    Args:
        errors: For each network the errors of its trainings, an independent one each. Those with fewer than two
            say nothing of the noise: such a network ties only with those of an equal mean.
        level: The probability of calling equal networks different.
    """
    means = [statistics.fmean(one) if one else float("inf") for one in errors]
    if not any(errors):
        return [False] * len(errors)
    best = means.index(min(means))
    ties = [bool(one) and mean == means[best] for one, mean in zip(errors, means, strict=True)]
    compared = [index for index, one in enumerate(errors) if len(one) > 1]
    if best not in compared or len(compared) < 2:
        return ties
    if all(len(set(errors[index])) == 1 for index in compared):
        # No spread at all: the test has nothing to divide by.
        return [tie or (index in compared and means[index] == means[best]) for index, tie in enumerate(ties)]
    from scipy.stats import tukey_hsd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        p_values = tukey_hsd(*(errors[index] for index in compared)).pvalue
    row = compared.index(best)
    for column, index in enumerate(compared):
        ties[index] = index == best or bool(p_values[row, column] >= level)
    return ties
