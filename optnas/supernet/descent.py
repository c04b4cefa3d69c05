"""A search by gradients before and after: plain values that travel to a worker and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optnas.errors import UsageError
from optnas.space import Build, Choices
from optnas.task import ImageTask

__all__ = ["Descended", "Descent"]


@dataclass(frozen=True)
class Descent:
    """One search by gradients, as plain values: what travels to a worker."""

    build: Build
    """The space, bound to the task's input."""
    task: ImageTask
    """The images, and how networks are trained; its validation images are not looked at."""
    before: str
    """The file with the shared weights to begin with."""
    after: str | None = None
    """The file for the shared weights in the end; None drops them."""
    cost: str = "macs"
    """"macs", "params", "size_bytes", or "latency_ms" from a table of blocks that are timed once each."""
    weight: float = 0.1
    """What a cost as large as the reference adds to the cross-entropy."""
    reference: float | None = None
    """In the cost's own unit; None takes the mean cost of networks drawn at random, the same in all searches."""
    steps: int = 1000
    """Of the weights and of the logits, each."""
    paths: int | None = 1
    """The most options of a choice that run in one step; None runs all of them."""
    straight_through: bool = False
    """With one path: whether logits learn from the gradient in the scale of its output, as in GDAS, instead of by the
    score function. Where batch norm follows, the scale means nothing: on the `mobile` space this gradient was a tenth
    of the true one and in the last block 0, so that nothing held out against the cost and all blocks were skipped."""
    temperature: tuple[float, float] = (1.0, 0.5)
    """Of the Gumbel softmax at the first and at the last step, geometric in between."""
    lr: float = 0.03
    """Of the logits."""
    seed: int = 0
    """Of the halves, the order of the images, and all draws."""

    def __post_init__(self) -> None:
        """Raises `UsageError` for the first field that is out of range; the cost is looked at by `descend`."""
        for name, value in (("steps", self.steps), ("paths", 1 if self.paths is None else self.paths)):
            if value < 1:
                raise UsageError(f"expected {name} of a descent to be at least 1, got {value}")
        reference = 1.0 if self.reference is None else self.reference
        positive = {"lr": self.lr, "reference": reference, "temperature": min(self.temperature)}
        for name, number in positive.items():
            if not (math.isfinite(number) and number > 0):
                raise UsageError(f"expected {name} of a descent to be finite and above 0, got {number}")
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise UsageError(f"expected weight of a descent to be finite and at least 0, got {self.weight}")


@dataclass(frozen=True)
class Descended:
    """What a search by gradients found."""

    choices: Choices
    """The network of the most probable value of each choice."""
    probabilities: Mapping[str, Mapping[Any, float]]
    """By choice and value, of all choices that were met."""
    entropy: tuple[float, ...]
    """After each step; 1 where all values of all choices are equally probable, 0 where one of each is certain."""
    expected_cost: tuple[float, ...]
    """Of the networks of each step of the logits, in the cost's own unit."""
    reference: float
    """What the cost was divided by."""
    losses: tuple[float, ...]
    """The cross-entropy of each step of the logits."""
    weight_losses: tuple[float, ...]
    """That of each step of the weights, with smoothed labels."""
    steps_per_second: float
    """A step is one of the weights and one of the logits; by wall time."""
    peak_memory_bytes: int | None
    """As in `optnas.task.Learned`."""
    ended_free: Mapping[str, bool]
    """Whether a choice ended at an option without parameters, of those that offer one."""

    @property
    def free_share(self) -> float:
        """The share of those choices that did; 0 where no choice offers one."""
        return sum(self.ended_free.values()) / max(1, len(self.ended_free))

    @property
    def verdict(self) -> str:
        """One sentence on the collapse to options without parameters (Zela et al. 2020, arXiv:1909.09656)."""
        ended, offered = sum(self.ended_free.values()), len(self.ended_free)
        if not offered:
            return "No choice offers an option without parameters, so none can collapse to it."
        share = f"{ended} of {offered} choices ended at an option without parameters"
        if self.free_share > 0.5:
            return f"{share}: this looks like the collapse of such searches, compare it with random networks."
        return f"{share}: no collapse."
