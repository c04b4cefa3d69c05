"""The operators that a network runs, recorded in one forward pass.

The fingerprint of a network and what it needs when it is deployed are read off this record.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import chain
from math import prod
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Graph", "Operator", "Value", "record"]


@dataclass(frozen=True)
class Value:
    """A tensor as an operator sees it. `storage` and `version` name its memory: views share a storage, and an
    operator that writes in place makes the next version of it."""

    shape: tuple[int, ...]
    dtype: str
    storage: int
    version: int
    identity: int

    @property
    def size_bytes(self) -> int:
        itemsize: int = getattr(torch, self.dtype.removeprefix("torch.")).itemsize
        return prod(self.shape) * itemsize


@dataclass(frozen=True)
class Operator:
    """One call of an ATen operator. `arguments` holds Values, plain values and sequences of them, in order."""

    name: str
    arguments: tuple[Any, ...]
    outputs: tuple[Value, ...]
    writes: frozenset[int]

    @property
    def reads(self) -> tuple[Value, ...]:
        """The tensors among its arguments, one that is given twice listed twice."""
        return tuple(_values(self.arguments))


@dataclass(frozen=True)
class Graph:
    """All operators in order, with the values that came from outside and those that the network returned.

    `storage_bytes` gives the size of each storage; `weights` are the parameters, then the buffers.
    """

    operators: tuple[Operator, ...]
    inputs: tuple[Value, ...]
    weights: tuple[Value, ...]
    results: tuple[Value, ...]
    storage_bytes: Mapping[int, int]
    constants: tuple[tuple[Value, str], ...] = ()
    """Tensors that came from nowhere else, such as a plain attribute, with a digest of their content."""


@contextmanager
def fixed_seed() -> Iterator[None]:
    """Random numbers of torch and Python are the same each time, and as before once this is left."""
    state = random.getstate()
    try:
        with torch.random.fork_rng(devices=[]):
            # `torch.manual_seed` would note a traceback for each kind of device: a sixth of the time of a price.
            torch.default_generator.manual_seed(0)
            random.seed(0)
            yield
    finally:
        random.setstate(state)


def record(module: nn.Module, input_shape: Sequence[int], *, batch: int = 1, train: bool = False) -> Graph:
    """Run a module once on zeros and keep every operator that it calls.

    It runs where the module is. That is on purpose not always `meta`: there the operators of a small network
    take longer (their shapes are worked out in Python) than the arithmetic takes on a CPU.

    Args:
        module: Any module whose forward takes one batch of images; neither it nor the random state changes.
        input_shape: One input without the batch, (channels, height, width).
        batch: How many of them.
        train: Whether dropout and batch norm are in their training mode.

    Raises:
        Whatever the module's forward raises, for example for a shape that does not fit.
    """
    tensor = next(chain(module.parameters(), module.buffers()), None)
    device, dtype = (None, None) if tensor is None else (tensor.device, tensor.dtype)
    images = torch.zeros(
        (batch, *input_shape), device=device, dtype=dtype if dtype and dtype.is_floating_point else None
    )
    modes = {child: child.training for child in module.modules()}
    # Batch norm writes its running statistics in training mode: it gets copies of them.
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    recorder = _Recorder()
    try:
        module.train(train)
        with torch.no_grad(), fixed_seed():
            entry = recorder.value(images)
            weights = [recorder.value(tensor) for tensor in (*module.parameters(), *buffers.values())]
            with recorder:
                output = functional_call(module, buffers, (images,))
            results = tuple(recorder.value(tensor) for tensor in _tensors(output))
    finally:
        for child, mode in modes.items():
            child.training = mode
    constants = tuple(recorder.constants)
    return Graph(tuple(recorder.operators), (entry,), tuple(weights), results, recorder.storage_bytes, constants)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operators: list[Operator] = []
        self.storage_bytes: dict[int, int] = {}
        self.constants: list[tuple[Value, str]] = []
        self._kept: list[object] = []  # storages and tensors stay alive, so that their addresses stay unique
        self._storages: dict[int, int] = {}
        self._versions: dict[int, int] = {}
        self._tensors: dict[int, int] = {}

    def value(self, tensor: torch.Tensor) -> Value:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._storages:
            self._storages[key] = len(self._storages)
            self.storage_bytes[self._storages[key]] = storage.nbytes()
            self._kept.append(storage)
        if id(tensor) not in self._tensors:
            self._tensors[id(tensor)] = len(self._tensors)
            self._kept.append(tensor)
        number = self._storages[key]
        shape, dtype = tuple(tensor.shape), str(tensor.dtype)
        return Value(shape, dtype, number, self._versions.get(number, 0), self._tensors[id(tensor)])

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        arguments = tuple(self._plain(argument) for argument in args)
        arguments += tuple((name, self._plain(value)) for name, value in sorted(kwargs.items()))
        output = func(*args, **kwargs)
        name, written = _signature(func)
        writes = set()
        for position in written:
            for tensor in _tensors(args[position : position + 1]):
                number = self.value(tensor).storage
                self._versions[number] = self._versions.get(number, 0) + 1
                writes.add(number)
        outputs = tuple(self.value(tensor) for tensor in _tensors(output))
        self.operators.append(Operator(name, arguments, outputs, frozenset(writes)))
        return output

    def _plain(self, argument: Any) -> Any:
        if isinstance(argument, torch.Tensor):
            new = id(argument) not in self._tensors
            value = self.value(argument)
            if new:
                self.constants.append((value, content_digest(argument)))
            return value
        if isinstance(argument, list | tuple):
            return tuple(self._plain(item) for item in argument)
        return argument


def content_digest(tensor: torch.Tensor) -> str:
    """Of the values of a tensor; empty on `meta`, where it has none."""
    if tensor.device.type == "meta":
        return ""
    return hashlib.blake2b(repr(tensor.detach().cpu().flatten().tolist()).encode(), digest_size=16).hexdigest()


@cache
def _signature(func: Any) -> tuple[str, tuple[int, ...]]:
    """The operator's name and the positions of the arguments that it writes to."""
    written = (
        position
        for position, argument in enumerate(func._schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    )
    return str(func), tuple(written)


def _values(arguments: Sequence[Any]) -> Iterator[Value]:
    for argument in arguments:
        if isinstance(argument, Value):
            yield argument
        elif isinstance(argument, tuple):
            yield from _values(argument)


def _tensors(structure: Any) -> Iterator[torch.Tensor]:
    if isinstance(structure, torch.Tensor):
        yield structure
    elif isinstance(structure, Mapping):
        for item in structure.values():
            yield from _tensors(item)
    elif isinstance(structure, list | tuple):
        for item in structure:
            yield from _tensors(item)
