"""The pruners that have a name on the command line."""

from __future__ import annotations

from difflib import get_close_matches

from optnas.errors import UsageError
from optnas.prune.accuracy import MedianPruner
from optnas.prune.base import NoPruner, Pruner
from optnas.prune.dominance import DominancePruner
from optnas.prune.halving import ParetoHalvingPruner

__all__ = ["PRUNERS", "make_pruner"]

PRUNERS: dict[str, type[Pruner]] = {
    "dominance": DominancePruner,
    "halving": ParetoHalvingPruner,
    "median": MedianPruner,
    "none": NoPruner,
}


def make_pruner(name: str, n_epochs: int | None = None) -> Pruner:
    """The pruner called `dominance`, `halving`, `median` or `none`, with its default settings.

    Raises:
        UsageError: If the name is unknown.
    """
    if name not in PRUNERS:
        close = get_close_matches(name, PRUNERS, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise UsageError(f"unknown pruner {name!r}: expected {', '.join(PRUNERS)}{hint}")
    return PRUNERS[name](n_epochs=n_epochs)
