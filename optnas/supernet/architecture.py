"""What a search by gradients learns: logits of the values of every choice."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from torch import Tensor, nn

from optnas.errors import UsageError
from optnas.space import StubTrial, options_of

__all__ = ["Architecture", "AsideTrial", "MostProbable"]

#: The most values of a number that have logits; a longer range is represented by so many of it, evenly spread.
_MOST_VALUES = 16


class Architecture:
    """Logits by the names of choices, 0 when a choice is first seen.

    Args:
        lr: Of Adam, which takes the steps; its averages forget as fast as those of DARTS.
    """

    def __init__(self, lr: float = 0.01) -> None:
        self._distributions: dict[str, BaseDistribution] = {}
        self._values: dict[str, list[Any]] = {}
        self._logits: dict[str, Tensor] = {}
        self._adam = torch.optim.Adam([torch.zeros(0)], lr=lr, betas=(0.5, 0.999))

    def logits(self, name: str, distribution: BaseDistribution) -> Tensor:
        """Of the values of a choice, (values,), a leaf that requires a gradient.

        Raises:
            UsageError: If the choice was asked with another distribution before.
        """
        if self._distributions.setdefault(name, distribution) != distribution:
            raise UsageError(
                f"expected the choice {name!r} to have the same values in all networks, as gradients need it, got "
                f"{self._distributions[name]} and {distribution}"
            )
        if name not in self._logits:
            self._values[name] = _values(distribution)
            self._logits[name] = torch.zeros(len(self._values[name]), requires_grad=True)
            self._adam.add_param_group({"params": [self._logits[name]]})
        return self._logits[name]

    def values(self, name: str) -> list[Any]:
        """What the logits of a choice that was seen stand for."""
        return self._values[name]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self._adam.zero_grad()

    def step(self) -> None:
        """Change the logits that have a gradient."""
        self._adam.step()

    def probabilities(self) -> dict[str, dict[Any, float]]:
        """Of each value of each choice that was seen."""
        return {
            name: dict(zip(self._values[name], logits.detach().softmax(0).tolist(), strict=True))
            for name, logits in self._logits.items()
        }

    def log_probability(self, choices: Mapping[str, Any]) -> float:
        """Of a network with these choices, as far as they were seen."""
        known = self.probabilities()
        return sum(math.log(max(known[name][value], 1e-30)) for name, value in choices.items() if name in known)

    def entropy(self) -> float:
        """How undecided the choices are: 1 where all values are equally probable, 0 where one is certain.

        The mean over the choices, each as a share of the entropy of equal probabilities.
        """
        shares = []
        for logits in self._logits.values():
            if len(logits) > 1:
                log_probabilities = logits.detach().log_softmax(0)
                shares.append(-float((log_probabilities.exp() * log_probabilities).sum()) / math.log(len(logits)))
        return sum(shares) / len(shares) if shares else 0.0


def _values(distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, IntDistribution):
        count = (distribution.high - distribution.low) // distribution.step + 1
        if count <= _MOST_VALUES:
            return list(range(distribution.low, distribution.high + 1, distribution.step))
        steps = (_spread(distribution) - distribution.low) / distribution.step
        return [distribution.low + distribution.step * int(step) for step in np.unique(steps.round())]
    if isinstance(distribution, FloatDistribution):
        if distribution.step is None:
            return [float(value) for value in np.unique(_spread(distribution))]
        count = round((distribution.high - distribution.low) / distribution.step) + 1
        steps = np.unique(np.linspace(0, count - 1, min(count, _MOST_VALUES)).round())
        # The last one may be rounded beyond the end.
        return [min(distribution.low + distribution.step * int(step), distribution.high) for step in steps]
    return options_of(distribution) or []


def _spread(distribution: IntDistribution | FloatDistribution) -> np.ndarray[Any, np.dtype[np.float64]]:
    space = np.geomspace if distribution.log else np.linspace
    return np.clip(space(distribution.low, distribution.high, _MOST_VALUES), distribution.low, distribution.high)


class AsideTrial(StubTrial):
    """A trial that can build options which are no part of its network."""

    def __init__(self) -> None:
        super().__init__()
        self.is_aside = False

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What is suggested until this is left is forgotten then."""
        kept = dict(self._params), dict(self._distributions)
        self.is_aside = True
        try:
            yield
        finally:
            self.is_aside = False
            self._params, self._distributions = kept


class MostProbable(AsideTrial):
    """Takes the most probable value of every choice that is not given; of one that was never seen the first.

    Attributes:
        ended_free: By choice of a module: whether its option is one without parameters. Choices that offer none
            such are left out.
    """

    def __init__(self, architecture: Architecture, given: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._architecture, self._given = architecture, dict(given or {})
        self.ended_free: dict[str, bool] = {}

    def decide(self, name: str, distribution: BaseDistribution) -> Any:
        if name in self._given:
            return self._given[name]
        logits = self._architecture.logits(name, distribution)
        return self._architecture.values(name)[int(logits.argmax())]

    def choose(self, name: str, options: Mapping[str, Callable[[], nn.Module]]) -> nn.Module:
        chosen = super().choose(name, options)
        if not self.is_aside and name not in self.ended_free:
            with self.aside():
                free = {option for option, builder in options.items() if next(builder().parameters(), None) is None}
            if free:
                self.ended_free[name] = self.params[name] in free
        return chosen
