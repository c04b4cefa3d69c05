"""Which networks train the shared weights: every option of every choice as often as any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import BaseTrial
from torch import nn

from optnas.space import Build, Choices, RandomTrial, options_of

__all__ = ["FairPaths", "largest_like"]

#: How often a network over the budget is drawn again. A tight budget is then met more often than without, and
#: drawing never takes longer than the step of training that it is for.
_DRAWS = 8
#: How often one that does not work is.
_MOST_DRAWS = 200


class FairPaths:
    """Draws networks whose options come equally often: strictly fair sampling of one path (FairNAS, Chu et al. 2021,
    arXiv:1907.01845), for spaces with conditional choices too.

    Each choice deals its options from a shuffled pack that is filled again when it is empty. So after any number of
    networks the options of a choice that all networks make differ by one in how often they came, as long as none had
    to be drawn again and none stayed near another.

    Args:
        build: The space, or what makes its choices.
        generator: Of all draws.
        excess: How far a network is over the budget, 0 or less if within, None if it does not work; such networks
            are drawn again, and the options that they used go back.
    """

    def __init__(
        self,
        build: Callable[[BaseTrial], Any],
        generator: np.random.Generator,
        excess: Callable[[Choices], float | None] = lambda choices: 0.0,
    ) -> None:
        self._build, self._generator, self._excess = build, generator, excess
        self._packs: dict[str, list[Any]] = {}

    def draw(self, start: Mapping[str, Any] | None = None, freedom: float = 1.0) -> tuple[Choices, Any]:
        """The choices of the next network, and what `build` made for them: its module with fresh weights.

        Args:
            start: A network to stay near; it should meet the budget.
            freedom: The share of its choices that are drawn; the others are those of `start`, 0 to 1.

        Raises:
            Whatever the space raises, if it raised at every draw.
        """
        best: tuple[float, _FairTrial, Any, dict[str, list[Any]]] | None = None
        trouble: Exception | None = None
        attempt = 0
        for _ in range(_MOST_DRAWS):
            if attempt == _DRAWS:
                break
            # What is left in the packs may be just what the budget forbids: then they are filled again.
            refill = attempt >= _DRAWS // 2
            packs = {} if refill else {name: list(pack) for name, pack in self._packs.items()}
            # Nearer and nearer to a network that meets it.
            share = min(1.0, freedom) * (1 - attempt / _DRAWS if refill else 1.0)
            kept = {name: value for name, value in (start or {}).items() if self._generator.random() >= share}
            trial = _FairTrial(packs, kept, self._generator)
            try:
                module = self._build(trial)
                over = self._excess(trial.params)
            except Exception as error:
                trouble = error
                self._packs = {}
                continue
            if over is None:
                self._packs = {}
                continue
            attempt += 1
            if best is None or over < best[0]:
                best = over, trial, module, packs
            if over <= 0:
                break
        if best is None:
            raise trouble or ValueError(f"none of {_MOST_DRAWS} networks in a row can be priced")
        _, trial, module, self._packs = best
        return trial.params, module


class _FairTrial(RandomTrial):
    def __init__(self, packs: dict[str, list[Any]], kept: Mapping[str, Any], generator: np.random.Generator) -> None:
        super().__init__(generator, kept)
        self._packs = packs

    def decide(self, name: str, distribution: BaseDistribution) -> Any:
        options = options_of(distribution)
        if options is None or name in self._parent:
            return super().decide(name, distribution)
        key = f"{name} {distribution}"
        pack = self._packs.get(key) or options
        value = pack[int(self._generator.integers(len(pack)))]
        self._packs[key] = [option for option in pack if option != value]
        return value


class _LargestTrial(RandomTrial):
    def decide(self, name: str, distribution: BaseDistribution) -> Any:
        if isinstance(distribution, CategoricalDistribution):
            return super().decide(name, distribution)
        return distribution.high  # type: ignore[attr-defined]


def largest_like(build: Build, choices: Mapping[str, Any], generator: np.random.Generator) -> tuple[Choices, nn.Module]:
    """The network with the same categories and the greatest numbers: its weights hold those of narrower ones."""
    trial = _LargestTrial(generator, choices)
    module = build(trial)
    return trial.params, module
