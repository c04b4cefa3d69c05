"""What the options of a choice cost, each where it stands in a network, remembered."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import nn

from optnas.cost.blocks import _BLOCK, BLOCKWISE, _Memory
from optnas.cost.latency import measure_latency

__all__ = ["BlockPrices"]


class BlockPrices:
    """The cost of one block at the shape of its input, counted or timed once for all equal blocks.

    Args:
        cost: One of `BLOCKWISE`, or "latency_ms": then a block is timed on its own, on one image.
        device: Where latency is timed.
        seconds: How long a block is timed.
    """

    def __init__(self, cost: str, device: str = "cpu", seconds: float = 0.05) -> None:
        self._cost, self._device, self._seconds = cost, device, seconds
        self._memory = _Memory()
        self._known: dict[Hashable, tuple[float, torch.Size]] = {}

    @property
    def by_run(self) -> bool:
        """Whether a block that runs twice costs twice."""
        return self._cost in ("macs", "latency_ms")

    def __len__(self) -> int:
        """How many different blocks were priced."""
        return len(self._known)

    def option(self, builder: Callable[[], nn.Module], input_shape: tuple[int, ...]) -> tuple[float, torch.Size]:
        """The cost of what `builder` builds, and the shape of its output, without the batch too.

        Args:
            builder: An option of `choose`.
            input_shape: Without the batch.

        Raises:
            Whatever the block raises.
        """
        return self._price(self._memory.build(builder), builder, input_shape)

    def block(self, module: nn.Module, input_shape: tuple[int, ...]) -> tuple[float, torch.Size]:
        """The same for a module, which is left as it is."""
        return self._price(copy.deepcopy(module).to("meta"), lambda: module, input_shape)

    def _price(
        self, twin: nn.Module, real: Callable[[], nn.Module], input_shape: tuple[int, ...]
    ) -> tuple[float, torch.Size]:
        known = twin.__dict__.get(_BLOCK) or self._memory._describe(twin, {})
        key = known.name, input_shape
        if known.name is not None and key in self._known:
            return self._known[key]
        counter = self._memory._counter
        counter.macs = counter.folded_bytes = 0
        with torch.no_grad(), counter:
            output: Any = twin(torch.empty(1, *input_shape, device="meta"))
        counted = dict(
            zip(BLOCKWISE, (known.params, counter.macs, known.size_bytes - counter.folded_bytes), strict=True)
        )
        cost = counted[self._cost] if self._cost in counted else self._time(real(), input_shape)
        priced = float(cost), output.shape[1:]
        if known.name is not None:
            self._known[key] = priced
        return priced

    def _time(self, module: nn.Module, input_shape: tuple[int, ...]) -> float:
        return measure_latency(module, input_shape, device=self._device, seconds=self._seconds).latency_ms
