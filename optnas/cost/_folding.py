"""Which batch norms of a network are gone once it is deployed."""

from __future__ import annotations

from collections import Counter
from typing import Any

from optnas.space.graph import Graph, Value

__all__ = ["folded_norms", "is_batch_norm", "is_plain_convolution"]


def folded_norms(graph: Graph) -> dict[int, int]:
    """By the place of each batch norm that is folded into a convolution, the place of that convolution.

    A batch norm with statistics of its own scales and shifts each channel, which the convolution before it can do
    with its weights. Not where another operator reads the convolution's output too, nor after a linear or
    a transposed convolution: the exporter to ONNX leaves these as they are.
    """
    made: dict[tuple[int, int], int] = {}
    folded: dict[int, int] = {}
    weights = {value.identity for value in graph.weights}
    readers = Counter(_place(value) for operator in graph.operators for value in operator.reads)
    readers.update(map(_place, graph.results))
    for index, operator in enumerate(graph.operators):
        if is_plain_convolution(operator.name, operator.arguments):
            if operator.arguments[1].identity in weights:  # one that is computed cannot be scaled beforehand
                made[_place(operator.outputs[0])] = index
        elif is_batch_norm(operator.name) and isinstance(operator.arguments[3], Value):
            source = _place(operator.arguments[0])
            if source in made and readers[source] == 1:
                folded[index] = made[_place(operator.outputs[0])] = made[source]
    return folded


def is_batch_norm(name: str) -> bool:
    """Of an ATen operator; its arguments begin with images, weight, bias, mean and variance."""
    return "batch_norm" in name


def is_plain_convolution(name: str, arguments: tuple[Any, ...]) -> bool:
    """Not transposed; its arguments begin with images, weight and bias."""
    return name.startswith("aten.convolution") and not arguments[6]


def _place(value: Value) -> tuple[int, int]:
    return value.storage, value.version
