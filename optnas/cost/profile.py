"""What the networks of a space cost, from random ones: the answer before the first epoch."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from optnas.cost.constraint import Constraint
from optnas.cost.price import Prices
from optnas.cost.table import UnknownBlock
from optnas.errors import UsageError
from optnas.space import Build, Choices, RandomTrial
from optnas.threads import one_thread

__all__ = ["Profile", "profile"]


@dataclass(frozen=True)
class Profile:
    """The costs of random networks of a space."""

    samples: int
    """How many networks were drawn."""
    invalid: int
    """How many of them could not be built or run, or are not known to a latency table."""
    costs: Mapping[str, Sequence[float]]
    """Each cost of the valid networks, in its unit."""
    choices: Sequence[Choices]
    """What the valid networks chose, in the same order."""
    share: float
    """How many of all networks meet the constraints, between 0 and 1."""
    problem: str = ""
    """The traceback of the first network that is invalid."""
    unknown: int = 0
    """How many of the invalid ones work, and hold a block that a latency table does not know."""

    def quantile(self, cost: str, at: float) -> float:
        """The value of a cost below which a share `at` of the networks lies."""
        return float(np.quantile(self.costs[cost], at))


def profile(
    build: Build,
    input_shape: tuple[int, int, int],
    costs: Sequence[str],
    samples: int,
    constraints: Sequence[Constraint] = (),
    seed: int = 0,
    prices: Prices = Prices(),
    on_sample: Callable[[int], None] = lambda done: None,
) -> Profile:
    """Draw random networks, uniform over each choice, and measure what they cost.

    Args:
        build: The space.
        input_shape: (channels, height, width) of one image.
        costs: Which ones to measure.
        samples: How many networks.
        constraints: Budgets; `share` says how many networks meet all of them.
        seed: Of the draws.
        prices: Measures the costs.
        on_sample: Called after each network with how many are done.

    Raises:
        UsageError: If every network fails, with the traceback of the first; if more than half hold blocks that a
            latency table does not know; or what the space itself refuses.
    """
    generator = np.random.default_rng(seed)
    names = list(dict.fromkeys([*costs, *(constraint.cost for constraint in constraints)]))
    table: dict[str, list[float]] = {name: [] for name in names}
    choices: list[Choices] = []
    problem, meeting = "", 0
    reasons: list[str] = []
    unknown: list[str] = []
    for done in range(1, samples + 1):
        trial = RandomTrial(generator)
        try:
            with one_thread():
                measured = _measure(build(trial), input_shape, names, prices)
        except Exception as error:
            if isinstance(error, UnknownBlock):
                unknown.append(str(error))
            elif isinstance(error, UsageError):
                raise
            reasons.append(f"{type(error).__name__}: {error}")
            problem = problem or traceback.format_exc()
        else:
            for name in names:
                table[name].append(measured[name])
            choices.append(trial.params)
            meeting += all(constraint.violation(measured) <= 0 for constraint in constraints)
        on_sample(done)
    if len(unknown) > samples / 2:
        raise UsageError(f"{len(unknown)} of {samples} random networks cannot be foretold; the first: {unknown[0]}")
    if len(reasons) == samples:
        raise UsageError(f"none of {samples} random networks of the space works: {reasons[0]}", problem)
    return Profile(samples, len(reasons), table, choices, meeting / samples, problem, len(unknown))


def _measure(
    module: object, input_shape: tuple[int, int, int], names: Sequence[str], prices: Prices
) -> dict[str, float]:
    if not isinstance(module, nn.Module):
        raise TypeError(f"the space must return a torch.nn.Module, got {type(module).__name__}")
    measured: dict[str, float] = {}
    for name in names:
        measured |= prices(name, module, input_shape)
    return measured
