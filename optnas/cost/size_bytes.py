"""What the weights of a network occupy where it is deployed."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import nn

from optnas.cost._folding import folded_norms, is_batch_norm
from optnas.cost.params import params
from optnas.space.graph import Graph, Value, record

__all__ = ["size_bytes", "stored_bytes"]


def size_bytes(module: nn.Module, input_shape: Sequence[int]) -> int:
    """Bytes of the weights in the file that is exported, each in the network's own type.

    Counted is what an operator reads in eval mode, a tensor that is shared once. Of a batch norm that directly
    follows a convolution a bias for each channel is left, in a copy of the weights of its own if the convolution is
    used elsewhere too; any other has four numbers for each channel. This equals the initializers of an ONNX file for
    a network in 32-bit floats, which files are written in whatever the network is in.

    The file adds its graph: an ONNX file 175 to 220 bytes for each operator, which was 1 to 8 % of networks of the
    built-in spaces at 28 pixels. Nor does it foresee a quantisation that is still to come.

    Args:
        module: The network; not changed.
        input_shape: One input without the batch, (channels, height, width).

    Raises:
        UsageError: A lazy module has not seen an input yet.
        Whatever the module's forward raises.
    """
    params(module)  # refuses a lazy module
    return stored_bytes(record(module, input_shape))


def stored_bytes(graph: Graph) -> int:
    """The same from a record."""
    size = {value.identity: value.size_bytes for value in graph.weights}
    size |= {value.identity: value.size_bytes for value, _ in graph.constants}
    folded = folded_norms(graph)
    stored: set[int] = set()
    total = 0
    into = set(folded.values())
    for index, operator in enumerate(graph.operators):
        if index in folded:
            continue
        if index in into:
            weight = operator.arguments[1]
            total += weight.size_bytes + weight.size_bytes // prod(weight.shape[1:])  # and a bias
            continue
        stored |= {value.identity for value in operator.reads if value.identity in size}
        if is_batch_norm(operator.name) and isinstance(operator.arguments[3], Value):
            # Without a scale and shift of its own it is given those of ones and zeros.
            total += operator.arguments[3].size_bytes * operator.arguments[1:3].count(None)
    return total + sum(size[identity] for identity in stored)
