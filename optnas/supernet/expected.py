"""What a network of a `MixtureTrial` is expected to cost, differentiable in the logits of its mixtures."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from optnas.cost import BLOCKWISE, BlockCounter
from optnas.cost.options import BlockPrices
from optnas.errors import UsageError
from optnas.space import Build
from optnas.supernet.mixture import Mixture, MixtureTrial

__all__ = ["ExpectedCost"]


class ExpectedCost:
    """The mean cost of the networks that differ from one in the options of its mixtures, by their probabilities.

    The network that was drawn is counted exactly, and each mixture adds what its options cost on average beyond
    the one that was drawn. For latency the network is the sum of its largest modules without a mixture, each timed
    alone; what it computes between modules is left out.

    Args:
        build: The space.
        input_shape: (channels, height, width) of one image.
        cost: One of `BLOCKWISE`, or "latency_ms".
        device: Where latency is timed.

    Raises:
        UsageError: If the cost is another one.
    """

    def __init__(self, build: Build, input_shape: tuple[int, int, int], cost: str, device: str = "cpu") -> None:
        if cost not in (*BLOCKWISE, "latency_ms"):
            raise UsageError(f"expected one of {', '.join(BLOCKWISE)}, latency_ms as the cost to descend, got {cost!r}")
        self._cost, self.prices = cost, BlockPrices(cost, device)
        self._counter = BlockCounter(build, input_shape)

    def run(self, trial: MixtureTrial, module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        """The output of the network that the trial built, and its expected cost, ().

        Args:
            trial: Made with `prices` of this object.
            module: What it built; not run before.
            x: (images, channels, height, width).

        Raises:
            UsageError: If options of one choice have outputs of several shapes, or the cost cannot be counted.
            Whatever the network raises.
        """
        if self._cost in BLOCKWISE:
            output = module(x)
            counted = self._counter(trial.params)
            if counted is None:
                raise UsageError(f"expected networks whose {self._cost} can be counted, got {trial.params}")
            cost = counted[self._cost]
        else:
            output, cost = self._timed(trial, module, x)
        return output, torch.as_tensor(cost) + sum(trial.excess.values())

    def _timed(self, trial: MixtureTrial, module: nn.Module, x: Tensor) -> tuple[Tensor, float]:
        seen: list[tuple[nn.Module, tuple[int, ...]]] = []
        hooks = [
            part.register_forward_pre_hook(lambda part, inputs: seen.append((part, tuple(inputs[0].shape[1:]))))
            for part in _parts(module)
        ]
        try:
            output = module(x)
        finally:
            for hook in hooks:
                hook.remove()
        return output, trial.drawn_cost + sum(self.prices.block(part, shape)[0] for part, shape in seen)


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    """The largest modules without a mixture that are in none either."""
    if isinstance(module, Mixture):
        return
    if not any(isinstance(part, Mixture) for part in module.modules()):
        yield module
        return
    for child in module.children():
        yield from _parts(child)
