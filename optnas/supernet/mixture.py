"""All options of a choice at once, under weights that are learned: how a space is built for a search by gradients.

A network of a `MixtureTrial` has a `Mixture` where `choose` stands. Its weights come from logits by the Gumbel
softmax (Jang et al. 2017, arXiv:1611.01144), so that the loss of a network has a gradient in the logits. What a
space suggests otherwise, a width, say, is used up by its Python code: it is drawn, and learned by the score function
(Williams 1992).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution
from torch import Tensor, nn

from optnas.cost.options import BlockPrices
from optnas.errors import UsageError
from optnas.space import CHOSEN
from optnas.supernet.architecture import Architecture, AsideTrial

__all__ = ["Drawn", "Mixture", "MixtureTrial"]


class Mixture(nn.Module):
    """Some options of a choice, run on the same input; returns the weighted sum of their outputs.

    Args:
        name: The choice.
        options: The modules that run.
        weights: One for each, (n,), or None for the plain output of a single one.
        on_input: Called with this module and the shape of one input before it runs.
    """

    def __init__(
        self,
        name: str,
        options: Sequence[nn.Module],
        weights: Tensor | None = None,
        on_input: Callable[[Mixture, tuple[int, ...]], None] | None = None,
    ) -> None:
        super().__init__()
        self.choice, self.options, self.runs = name, nn.ModuleList(options), 0
        self._weights, self._on_input = weights, on_input

    def forward(self, x: Tensor) -> Tensor:
        if self._on_input is not None:
            self._on_input(self, tuple(x.shape[1:]))
        self.runs += 1
        outputs = [option(x) for option in self.options]
        if self._weights is None:
            return outputs[0]  # type: ignore[no-any-return]
        for output in outputs[1:]:
            check_alike(self.choice, outputs[0].shape[1:], output.shape[1:])
        weighted = [weight * output for weight, output in zip(self._weights, outputs, strict=True)]
        mixed: Tensor = sum(weighted[1:], weighted[0])
        return mixed

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            raise _LookedInto(
                f"expected a space that uses the module of choose({self.__dict__.get('choice')!r}) as it is, "
                f"got one that reads its {name!r}, which a mixture of options does not have"
            ) from None


class _LookedInto(UsageError, AttributeError):
    """Both, so that `hasattr` says no."""


def check_alike(name: str, first: Sequence[int], other: Sequence[int]) -> None:
    """Raises `UsageError` unless the outputs of two options have one shape."""
    if tuple(first) != tuple(other):
        raise UsageError(
            f"expected options of choose({name!r}) whose outputs can be mixed, got the shapes {tuple(first)} and "
            f"{tuple(other)}"
        )


@dataclass(frozen=True)
class Drawn:
    """A choice that was drawn, and of which the outputs of the network tell no gradient."""

    name: str
    in_mixture: bool
    """Whether a mixture bears its cost, which then has a gradient of its own."""
    log_probability: Tensor
    """Of the value that was drawn; differentiable in the logits."""
    inside: tuple[str, ...]
    """The choices of modules within whose options it was made, from the outside in."""


class MixtureTrial(AsideTrial):
    """Draws the choices of a network by their logits, and builds a `Mixture` for each `choose`.

    With `paths` 1 one option is built, and its output is multiplied by a factor whose value is 1 and whose gradient
    is that of the option's Gumbel-softmax weight: a network costs no more than on its own (GDAS, Dong & Yang 2019,
    arXiv:1910.04465). With more, the options with the largest perturbed logits are built and mixed under weights
    that sum to 1: two compare two (ProxylessNAS, Cai et al. 2019, arXiv:1812.00332), all of them are the soft
    relaxation (DARTS, Liu et al. 2019, arXiv:1806.09055; FBNet, Wu et al. 2019, arXiv:1812.03443). A `choose`
    within an option of another one runs a single path always.

    Args:
        architecture: The logits; choices that are new to it are added.
        generator: Of all draws.
        paths: The most options of a choice that run.
        straight_through: Whether a single path has that factor; if not, it is in `drawn`, for the score function.
        temperature: Of the softmax; towards 0 the weights become 0 and 1, and their gradient noisier.
        prices: If given, mixtures find out what they are expected to cost while the network runs.
        learns: Whether the outputs have a gradient in the logits.

    Attributes:
        drawn: The choices for the score function, in the order in which they were made.
        mixtures: In the order in which they were built.
        excess: By choice how much more its mixtures are expected to cost than the options that were drawn.
        drawn_cost: Of the options that were drawn; `excess` and this are filled in while the network runs.
    """

    def __init__(
        self,
        architecture: Architecture,
        generator: torch.Generator,
        *,
        paths: int = 1,
        straight_through: bool = True,
        temperature: float = 1.0,
        prices: BlockPrices | None = None,
        learns: bool = True,
    ) -> None:
        super().__init__()
        self._architecture, self._generator = architecture, generator
        self._paths, self._straight_through = paths, straight_through
        self._temperature, self._prices, self._learns = temperature, prices, learns
        self.drawn: list[Drawn] = []
        self.mixtures: list[Mixture] = []
        self.excess: dict[str, Tensor] = {}
        self.drawn_cost = 0.0
        self._perturbed: dict[str, Tensor] = {}
        self._mixed: set[str] = set()
        self._inside: tuple[str, ...] = ()
        self._share = 1.0

    def decide(self, name: str, distribution: BaseDistribution) -> Any:
        logits = self._architecture.logits(name, distribution)
        # The largest of logits under Gumbel noise is a draw by their softmax.
        perturbed = logits - torch.empty_like(logits).exponential_(generator=self._generator).log()
        index = int(perturbed.argmax())
        if not self.is_aside:
            self._perturbed[name] = perturbed
            in_mixture = name in self._mixed
            if not in_mixture or (self._paths_of(logits) == 1 and not self._straight_through):
                self.drawn.append(Drawn(name, in_mixture, logits.log_softmax(0)[index], self._inside))
        return self._architecture.values(name)[index]

    def choose(self, name: str, options: Mapping[str, Callable[[], nn.Module]]) -> nn.Module:
        if self.is_aside:
            return super().choose(name, options)
        self._mixed.add(name)
        self._suggest(name, CategoricalDistribution(list(options)))
        running, weights = self._weigh(self._perturbed[name] / self._temperature)
        names = list(options)
        call = self._calls[name] = self._calls.get(name, 0) + 1
        built = []
        for index, share in zip(running.tolist(), weights.tolist(), strict=True):
            built.append(self._build(name, options[names[index]], share))
            # A single path trains the weights that options share; those that run at once have their own.
            built[-1].__dict__[CHOSEN] = f"{name}#{call}" + ("" if len(running) == 1 else f"={names[index]}")
        if len(built) == 1 and not (self._learns and self._straight_through):
            used = None
        else:
            used = weights if self._learns else weights.detach()
        on_input = (
            None if self._prices is None else partial(self._bill, list(options.values()), self._inside, self._share)
        )
        self.mixtures.append(Mixture(name, built, used, on_input))
        return self.mixtures[-1]

    def _paths_of(self, logits: Tensor) -> int:
        return 1 if self._inside else min(self._paths, len(logits))

    def _weigh(self, perturbed: Tensor) -> tuple[Tensor, Tensor]:
        """The positions of the options that run and their weights, both (paths,), the option drawn first."""
        paths = self._paths_of(perturbed)
        running = perturbed.topk(paths).indices
        if paths > 1:
            return running, perturbed[running].softmax(0)
        weight = perturbed.softmax(0)[running]
        return running, weight - weight.detach() + 1

    def _build(self, name: str, builder: Callable[[], nn.Module], share: float) -> nn.Module:
        outside = self._inside, self._share
        self._inside, self._share = (*self._inside, name), self._share * share
        try:
            return self.build_option(builder)
        finally:
            self._inside, self._share = outside

    def _bill(
        self,
        builders: Sequence[Callable[[], nn.Module]],
        inside: tuple[str, ...],
        share: float,
        mixture: Mixture,
        input_shape: tuple[int, ...],
    ) -> None:
        """Add to `excess` what a mixture is expected to cost beyond its option that was drawn.

        Args:
            builders: Of all options.
            inside: The choices within whose options the mixture is.
            share: The weight under which the mixture itself runs within others.
        """
        assert self._prices is not None
        if mixture.runs and not self._prices.by_run:
            return
        with self.aside():
            priced = [self._prices.option(builder, input_shape) for builder in builders]
        for _, shape in priced[1:]:
            check_alike(mixture.choice, priced[0][1], shape)
        name, costs = mixture.choice, torch.tensor([cost for cost, _ in priced])
        probabilities = self._architecture.logits(name, self._distributions[name]).softmax(0)
        drawn = costs[self._architecture.values(name).index(self._params[name])]
        self.excess[name] = self.excess.get(name, 0) + share * (probabilities @ costs - drawn)
        if not inside:
            self.drawn_cost += float(drawn)
