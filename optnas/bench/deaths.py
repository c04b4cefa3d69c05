"""Workers that die in virtual time: what a training loses by it, with and without checkpoints."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from optnas.errors import UsageError

__all__ = ["Deaths", "Occupation", "occupy"]


@dataclass(frozen=True)
class Deaths:
    """How often workers die, and what is left of a training then.

    A worker that died is replaced at once, and the training that it had starts again on the new one.

    Raises:
        UsageError: If a number is too small.
    """

    per_hour: float
    """Deaths of a worker in an hour of work, which come without memory (a Poisson process)."""
    epochs: int = 50
    """Epochs of a training, all equally long."""
    checkpoints: bool = True
    """Whether a training goes on from its last whole epoch; else from nothing."""
    retries: int = 1
    """How often a training is started again; after one more death its trial fails, as the coordinator has it."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.per_hour) and self.per_hour > 0):
            raise UsageError(f"deaths: expected a rate above 0 an hour, got {self.per_hour:g}")
        if self.epochs < 1 or self.retries < 0:
            raise UsageError(f"deaths: expected at least 1 epoch and 0 retries, got {self.epochs} and {self.retries}")


@dataclass(frozen=True)
class Occupation:
    """What a training did to its workers."""

    hours: float
    """How long it kept one busy, with what was lost."""
    lost_hours: float = 0.0
    """Of these, work that was done again or for nothing."""
    deaths: int = 0
    finished: bool = True


def occupy(hours: float, deaths: Deaths | None, generator: np.random.Generator) -> Occupation:
    """A training of so many hours on workers that may die.

    Without limit on retries its expected hours are (exp(r h) - 1) / r at a rate r without checkpoints, and with
    them the same for each epoch (h / epochs), times epochs.
    """
    if deaths is None:
        return Occupation(hours)
    epoch = hours / deaths.epochs
    kept = busy = lost = 0.0
    died = 0
    while True:
        alive = float(generator.exponential(1 / deaths.per_hour))
        if alive >= hours - kept:
            return Occupation(busy + hours - kept, lost, died)
        busy += alive
        died += 1
        reached = kept + alive
        kept = math.floor(reached / epoch) * epoch if deaths.checkpoints else 0.0
        lost += reached - kept
        if died > deaths.retries:
            return Occupation(busy, lost + kept, died, finished=False)
