"""What makes two networks the same: the function they compute, not the choices that named it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from optnas.space.graph import Graph, Operator, Value, content_digest, record

__all__ = ["fingerprint"]

_COMMUTATIVE = {"aten.mul.Tensor", "aten.maximum.default", "aten.minimum.default"}
#: Anything times zero; a sum is the same without it.
_ZERO = "zero"
_SUMS = {"aten.add.Tensor", "aten.add_.Tensor"}


def fingerprint(module: nn.Module, input_shape: Sequence[int]) -> str:
    """A name of 16 hexadecimal digits that two networks share if they are the same network.

    The same means: the same operators on the same shapes lead from the input to the output (whatever their
    modules are called, and in whatever order independent branches and the terms of a sum are computed), and
    the modules hold the same kinds of parameters. It is read off the training mode, so that dropout counts;
    the initial values of parameters do not count, those of buffers and constants do. A backward pass of one's
    own (`torch.autograd.Function`) is not seen.

    Args:
        module: The network; not changed.
        input_shape: One input without the batch, (channels, height, width).

    Raises:
        Whatever the module's forward raises.
    """
    graph = record(module, input_shape, batch=2, train=True)
    weights = [_weight(tensor) for tensor in (*module.parameters(), *module.buffers())]
    # Parameters that no operator reads do not change what the network computes but what it weighs.
    return _digest(*_Hasher(graph, weights).results(), *sorted(weights))[:16]


def _weight(tensor: torch.Tensor) -> str:
    content = tensor.requires_grad if isinstance(tensor, nn.Parameter) else content_digest(tensor)
    return _digest("weight", tuple(tensor.shape), str(tensor.dtype), content)


class _Hasher:
    """Names every value by how it was computed (a Merkle tree), so that only what reaches the output counts."""

    def __init__(self, graph: Graph, weights: Sequence[str]) -> None:
        self._graph = graph
        self._names: dict[tuple[int, int], str] = {}
        self._latest: dict[int, str] = {}
        self._written: dict[tuple[int, int], str] = {}
        self._versions: dict[int, int] = {}
        self._terms: dict[str, list[str]] = {}
        for position, value in enumerate(graph.inputs):
            self._set(value, _digest("input", position, value.shape))
        for value, content in graph.constants:
            self._set(value, _digest("constant", value.shape, value.dtype, content))
        reads = _reads(graph)
        shared = 0
        for value, name in sorted(zip(graph.weights, weights, strict=True), key=lambda pair: reads[pair[0].identity]):
            if len(reads[value.identity]) > 1:
                # Which operators share a weight counts, so it is named by when it is first read.
                shared += 1
                name = _digest(name, "shared", shared)
            self._set(value, name)

    def results(self) -> list[str]:
        for operator in self._graph.operators:
            self._add(operator)
        return [self._name(value) for value in self._graph.results]

    def _add(self, operator: Operator) -> None:
        arguments = [self._plain(argument) for argument in operator.arguments]
        name = operator.name
        if name == "aten.mul.Tensor" and operator.arguments[1:] == (0.0,):
            self._set(operator.outputs[0], _ZERO)
            return
        if name in _SUMS and len(arguments) == 2 and _equal_shapes(operator):
            terms = sorted(term for argument in arguments for term in self._terms.get(argument, [argument]))
            terms = [term for term in terms if term != _ZERO] or [_ZERO]
            expression = _digest("sum", *terms) if len(terms) > 1 else terms[0]
            self._terms[expression] = terms
        else:
            if name in _COMMUTATIVE and _equal_shapes(operator):
                arguments.sort()
            # In place or not, relu is relu.
            expression = _digest(name.replace("_.", "."), *arguments)
        for position, value in enumerate(operator.outputs):
            self._set(value, expression if len(operator.outputs) == 1 else _digest(expression, position))
        for storage in operator.writes:
            self._versions[storage] = self._versions.get(storage, 0) + 1
            self._written[storage, self._versions[storage]] = expression

    def _plain(self, argument: Any) -> str:
        if isinstance(argument, Value):
            return self._name(argument)
        if isinstance(argument, tuple):
            return _digest("list", *(self._plain(item) for item in argument))
        return repr(argument)

    def _name(self, value: Value) -> str:
        name = self._names.get((value.identity, value.version))
        if name is None:
            # The memory was written through another tensor since this one was made.
            before = self._latest.get(value.identity, "unknown")
            name = _digest("written", before, self._written.get((value.storage, value.version)))
            self._set(value, name)
        return name

    def _set(self, value: Value, name: str) -> None:
        self._names[value.identity, value.version] = name
        self._latest[value.identity] = name


def _reads(graph: Graph) -> dict[int, list[int]]:
    """The positions of the operators that read each weight, by its identity."""
    reads: dict[int, list[int]] = {value.identity: [] for value in graph.weights}
    for position, operator in enumerate(graph.operators):
        for argument in operator.arguments:
            if isinstance(argument, Value) and argument.identity in reads:
                reads[argument.identity].append(position)
    return reads


def _equal_shapes(operator: Operator) -> bool:
    first, second = operator.arguments[:2]
    return isinstance(first, Value) and isinstance(second, Value) and first.shape == second.shape


def _digest(*parts: Any) -> str:
    return hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=16).hexdigest()
