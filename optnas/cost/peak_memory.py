"""The memory that a network's activations need at once, from the operators it calls."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from optnas.space.graph import Graph, Value, record

__all__ = ["peak_memory_bytes"]


def peak_memory_bytes(module: nn.Module, input_shape: Sequence[int]) -> int:
    """The largest sum of activations alive at one moment of a forward pass in eval mode, in bytes.

    One image, the input counted, weights and buffers not (`size_bytes` counts those), workspace of kernels
    not. A tensor lives from the operator that makes it to the last one that reads it; views cost nothing. An
    operator that writes in place is counted as if it made a new tensor, as the memory planners of
    mobile runtimes do with their functional graphs, so the result is what ExecuTorch reserves.

    Args:
        module: The network; not changed.
        input_shape: One input without the batch, (channels, height, width).

    Raises:
        Whatever the module's forward raises.
    """
    return _peak(record(module, input_shape))


def _peak(graph: Graph) -> int:
    weights = {value.storage for value in graph.weights}
    end = len(graph.operators)
    born: dict[tuple[int, int], int] = {}
    last: dict[tuple[int, int], int] = {}

    def touch(value: Value, moment: int) -> None:
        if value.storage not in weights:
            key = (value.storage, value.version)
            born.setdefault(key, moment)
            last[key] = moment

    for value in graph.inputs:
        touch(value, 0)
    for moment, operator in enumerate(graph.operators):
        for value in (*operator.reads, *operator.outputs):
            touch(value, moment)
    for value in graph.results:
        touch(value, end)

    change = [0] * (end + 2)
    for key, moment in born.items():
        change[moment] += graph.storage_bytes[key[0]]
        change[last[key] + 1] -= graph.storage_bytes[key[0]]
    alive = peak = 0
    for step in change:
        alive += step
        peak = max(peak, alive)
    return peak
