"""The exact costs of thousands of networks of one space: what was counted for a block is not counted again.

A sampler compares hundreds of networks for each that it proposes. Tracing each of them (`macs`) would take
longer than some trainings, and almost all of their blocks were seen before.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import torch
from optuna.trial import BaseTrial
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from optnas.cost._folding import is_batch_norm, is_plain_convolution
from optnas.cost._operators import is_free
from optnas.cost.macs import macs
from optnas.cost.params import params
from optnas.cost.size_bytes import size_bytes
from optnas.cost.table import LatencyTable, UnknownBlock
from optnas.space import CHOSEN, Build, Choices, ReplayTrial, StubTrial
from optnas.space.graph import fixed_seed

__all__ = ["BLOCKWISE", "BlockCounter", "foretell_ms"]

#: The costs that a `BlockCounter` knows; with a table of blocks also latency_ms.
BLOCKWISE = ("params", "macs", "size_bytes")

#: Where the output of a convolution that nobody has read yet keeps the bytes of its bias.
_BIAS = "_optnas_bias"
#: True on one that was read by a batch norm, which is folded into the convolution.
_FOLDED = "_optnas_folded"
_LATENCY = "latency_ms"
_PLAIN = (int, float, complex, str, bytes, type(None), torch.dtype, torch.device)
#: Where a module that `choose` made keeps what is known of it.
_BLOCK = "_optnas_block"
#: What every module keeps for its own workings; the rest are its settings.
_MACHINERY = frozenset(vars(nn.Module())) | {_BLOCK, CHOSEN}
_HOOKS = tuple(name for name in _MACHINERY if name.endswith("_hooks"))
#: What comparing values may raise: unknown types, an empty cell of a closure, a function that holds itself.
_UNNAMED = (TypeError, ValueError, RecursionError)


class BlockCounter:
    """Counts networks of one space by their choices.

    A module is known by its class, its settings, the shapes of its tensors and its children. One that was run
    before on an input of the same shape is not run again: its multiply-adds and the shape of its output are
    remembered. Nor is an option of `choose` built again that is made from the same plain values, which takes
    for granted that a builder depends on its arguments, its closure and constants.

    Some networks, ever fewer, are counted by `macs`, `params` and `size_bytes` too. From the first for which these
    differ all are counted so, and so is a network that this way cannot follow.

    Args:
        build: The space.
        input_shape: (channels, height, width) of one image.
        table: What foretells `latency_ms`; None leaves it out.
    """

    def __init__(self, build: Build, input_shape: tuple[int, int, int], table: LatencyTable | None = None) -> None:
        self._build, self._input_shape, self._table = build, input_shape, table
        self._memory = _Memory(table)
        self._counted = 0
        self._trusted = self._walks = True

    def __getstate__(self) -> dict[str, Any]:
        """What is remembered holds code, which cannot be pickled, and is found again."""
        return {**self.__dict__, "_memory": _Memory(self._table)}

    def __call__(self, choices: Choices) -> dict[str, float] | None:
        """`params`, `macs` and `size_bytes` of the network of these choices, and `latency_ms` if there is a table.

        None if it cannot be built or run, or holds a block that the table does not know.
        """
        with fixed_seed():
            short = self._short(choices) if self._trusted else None
            if short is not None and not self._is_checked():
                return short
            whole = self._whole(choices)
        self._trusted = self._trusted and (short is None or short == whole)
        return whole

    def _is_checked(self) -> bool:
        """Whether it is the turn of a check: at 1, 2, 4, 8, 16 ... networks."""
        self._counted += 1
        return self._counted & (self._counted - 1) == 0

    def walk(self, trial: BaseTrial) -> None:
        """Make the choices of a network on a trial; quicker than building one, and the module is of no use.

        A space that looks into its modules while it builds, at what they return, say, is built as usual.

        Raises:
            Whatever the space raises while it builds.
        """
        with fixed_seed():
            if self._walks:
                with suppress(Exception):
                    self._walk(trial)
                    return
                if isinstance(trial, StubTrial):
                    del trial.build_option
            self._build(trial)
            self._walks = False

    def _walk(self, trial: BaseTrial) -> nn.Module:
        if isinstance(trial, StubTrial):
            trial.build_option = self._memory.build  # type: ignore[method-assign]
        return self._build(trial)

    def _short(self, choices: Choices) -> dict[str, float] | None:
        try:
            return self._memory.count(self._walk(ReplayTrial(choices)), self._input_shape)
        except Exception:  # the network does not work, or this way does not work for it: the long way tells
            return None

    def _whole(self, choices: Choices) -> dict[str, float] | None:
        try:
            module = self._build(ReplayTrial(choices))
            shape = self._input_shape
            counted = params(module), macs(module, shape), size_bytes(module, shape)
            latency = {} if self._table is None else {_LATENCY: foretell_ms(self._table, module, shape)}
        except Exception:
            return None
        return {**dict(zip(BLOCKWISE, counted, strict=True)), **latency}


def foretell_ms(table: LatencyTable, module: nn.Module, input_shape: tuple[int, int, int]) -> float:
    """Milliseconds of a network, from a table of its blocks.

    A block is a largest module of a kind that the table holds; what is computed between blocks is part of the
    table's offset and scale.

    Args:
        table: Of networks that take such images.
        module: The network, which is left as it is.
        input_shape: (channels, height, width) of one image.

    Raises:
        UsageError: If the table was made for images of another shape, or does not know a block.
        Whatever the network raises.
    """
    table.check(input_shape)
    return _Memory(table).count(copy.deepcopy(module), input_shape)[_LATENCY]


@dataclass(frozen=True)
class _Block:
    """What is known of a module before it is run."""

    name: int | None
    """Equal for modules that do the same; None for one that cannot be told from others."""
    params: int
    size_bytes: int
    """Before batch norms are folded."""
    shares: bool = False
    """Whether a tensor stands in it twice."""


@dataclass(frozen=True)
class _Ran:
    """What running a block on an input gave."""

    macs: int
    folded_bytes: int
    time_ns: int
    """Of the blocks of a table in it."""
    shape: torch.Size
    dtype: torch.dtype
    bias_bytes: int | None
    """Of the convolution whose output this is; None if it is not one's."""
    folds_input: bool
    """Whether the convolution before it took in a batch norm."""


_NOTHING = _Block(None, 0, 0)


class _Memory:
    """Blocks by how they are built, and what running them gave. All runs are on `meta`: shapes are enough."""

    def __init__(self, table: LatencyTable | None = None) -> None:
        self._table = table
        self._within = False  # a block of the table
        self._names: dict[Hashable, int] = {}
        self._built: dict[Hashable, nn.Module] = {}
        self._runs: dict[Hashable, _Ran] = {}
        self._counter = _Counter()  # type: ignore[no-untyped-call]

    def build(self, builder: Callable[[], nn.Module]) -> nn.Module:
        """What the builder makes, or a twin of what an equal one has made."""
        try:
            key = _key(builder)
            built = self._built.get(key)
        except _UNNAMED:
            return builder()
        if built is None:
            built = builder()
            built.__dict__[_BLOCK] = self._describe(built, {})
            self._built[key] = built.to("meta")
        return copy.copy(built)

    def count(self, module: nn.Module, input_shape: tuple[int, int, int]) -> dict[str, float]:
        """The costs of a network, which is not of use afterwards."""
        block = self._describe(module, {})
        self._counter.macs = self._counter.folded_bytes = self._counter.time_ns = 0
        self._within = False
        with torch.no_grad(), self._counter:
            module(torch.empty(1, *input_shape, device="meta"))
        if block.shares and self._counter.folded_bytes:
            raise NotImplementedError("a batch norm may be folded into one use of a tensor and not into another")
        size = block.size_bytes - self._counter.folded_bytes
        counted = dict(zip(BLOCKWISE, (block.params, self._counter.macs, size), strict=True))
        latency = {} if self._table is None else {_LATENCY: self._table.latency_ms(self._counter.time_ns)}
        return {**counted, **latency}

    def _describe(self, module: nn.Module, seen: dict[int, _Block]) -> _Block:
        """The block of a module. From now on its forward, and those of its children, ask memory first.

        Args:
            seen: By id the modules and tensors that were counted.
        """
        if id(module) in seen:
            known = seen[id(module)]
            return replace(known, params=0, size_bytes=0, shares=known.shares or known.size_bytes > 0)
        block: _Block = module.__dict__.get(_BLOCK) or self._look_at(module, seen)
        seen[id(module)] = block
        return block

    def _look_at(self, module: nn.Module, seen: dict[int, _Block]) -> _Block:
        children = [(key, self._describe(child, seen)) for key, child in module._modules.items() if child is not None]
        numbers = sum(child.params for _, child in children)
        size = sum(child.size_bytes for _, child in children)
        shares = any(child.shares for _, child in children)
        tensors = [(key, tensor) for key, tensor in chain(module._parameters.items(), module._buffers.items())]
        for key, tensor in tensors:
            if tensor is None or key == "num_batches_tracked":  # which is of use in training only
                continue
            if id(tensor) in seen:
                shares = True
                continue
            seen[id(tensor)] = _NOTHING
            numbers += tensor.numel() if key in module._parameters else 0
            size += tensor.numel() * tensor.element_size()
        module.__dict__["training"] = False
        name = None
        if all(child.name is not None for _, child in children) and not any(map(module.__dict__.get, _HOOKS)):
            shapes = [(key, None if tensor is None else (tensor.shape, tensor.dtype)) for key, tensor in tensors]
            names = [(key, child.name) for key, child in children]
            settings = {key: value for key, value in module.__dict__.items() if key not in _MACHINERY}
            with suppress(*_UNNAMED):
                identity = type(module), tuple(names), tuple(shapes), _key(settings)
                name = self._names.setdefault(identity, len(self._names))
        block = _Block(name, numbers, size, shares)
        if name is None:
            _forget_values(module)
        if name is not None or self._table is not None:
            module.__dict__["forward"] = partial(self._run, block, module, module.forward)
        return block

    def _run(self, block: _Block, module: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        counter, x = self._counter, args[0] if len(args) == 1 and not kwargs else None
        if not isinstance(x, torch.Tensor):
            _forget_values(module)
            return forward(*args, **kwargs)
        key = block.name, x.shape, x.dtype, x.__dict__.get(_BIAS), self._within
        known = self._runs.get(key) if block.name is not None else None
        if known is None:
            before = counter.macs, counter.folded_bytes, counter.time_ns
            _forget_values(module)
            output = self._timed(block, module, forward, x)
            if isinstance(output, torch.Tensor) and block.name is not None:
                self._runs[key] = _Ran(
                    counter.macs - before[0],
                    counter.folded_bytes - before[1],
                    counter.time_ns - before[2],
                    output.shape,
                    output.dtype,
                    output.__dict__.get(_BIAS),
                    x.__dict__.get(_FOLDED, False),
                )
            return output
        counter.read(x)
        counter.macs += known.macs
        counter.folded_bytes += known.folded_bytes
        counter.time_ns += known.time_ns
        x.__dict__[_FOLDED] = known.folds_input
        output = torch.empty(known.shape, dtype=known.dtype, device="meta")
        output.__dict__[_BIAS] = known.bias_bytes
        return output

    def _timed(self, block: _Block, module: nn.Module, forward: Callable[..., Any], x: torch.Tensor) -> Any:
        """The output; the time of a largest block of the table is added to the counter."""
        table = self._table
        if table is None or self._within:
            return forward(x)
        if not table.is_block(module):
            if not module._modules:
                raise UnknownBlock(f"latency table: expected blocks of {table.space}, got {type(module).__name__}")
            return forward(x)
        before, self._within = self._counter.macs, True
        try:
            output = forward(x)
        finally:
            self._within = False
        features = self._counter.macs - before, block.params, x.numel(), output.numel()
        self._counter.time_ns += table.time_ns(module, x.shape[1:], features)
        return output


def _forget_values(module: nn.Module) -> None:
    """Move its own tensors, not those of its children, to `meta`."""
    for tensors in (module._parameters, module._buffers):
        for key, tensor in tensors.items():
            if tensor is not None and not tensor.is_meta:
                tensors[key] = tensor.to("meta")  # type: ignore[assignment]


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up multiply-adds by torch's own formulas, which count two operations for each, and what folding saves.

    Raises (in the forward that it watches):
        NotImplementedError: For an operator that torch has no formula for and that is not known to be free.
    """

    macs = folded_bytes = time_ns = 0

    def read(self, tensor: torch.Tensor) -> int | None:
        """The bytes of the bias of the convolution whose output this is, at the first reading."""
        if tensor.__dict__.get(_FOLDED):
            raise NotImplementedError("a batch norm was folded into a convolution whose output is read again")
        bias: int | None = tensor.__dict__.pop(_BIAS, None)
        return bias

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        biases = [self.read(argument) for argument in args if isinstance(argument, torch.Tensor)]
        for argument in chain.from_iterable(argument for argument in args if isinstance(argument, list | tuple)):
            if isinstance(argument, torch.Tensor):
                self.read(argument)
        if is_plain_convolution(str(func), args):
            output.__dict__[_BIAS] = 0 if args[2] is None else args[2].numel() * args[2].element_size()
        elif is_batch_norm(str(func)) and args[3] is not None:
            self._fold(args, biases[0], output[0])
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            self.macs += formula(*args, **kwargs, out_val=output) // 2
        elif not is_free(func.overloadpacket._qualified_op_name):
            raise NotImplementedError(str(func))
        return output

    def _fold(self, args: tuple[Any, ...], bias: int | None, output: torch.Tensor) -> None:
        """A batch norm of four tensors, absent ones counted, leaves a bias where a convolution is before it."""
        one = args[3].numel() * args[3].element_size()
        self.folded_bytes -= one * sum(a is None for a in args[1:3])
        if bias is not None:
            self.folded_bytes += 4 * one + bias - one
            args[0].__dict__[_FOLDED] = True
            output.__dict__[_BIAS] = one


def _key(value: Any) -> Hashable:
    """Equal for values that are the same to a program, as long as nobody changes them.

    Raises:
        One of `_UNNAMED`: For a value that cannot be compared by its content.
    """
    if isinstance(value, _PLAIN):
        return type(value), value
    if isinstance(value, tuple | list):
        return type(value), tuple(map(_key, value))
    if isinstance(value, dict):
        return dict, tuple((_key(key), _key(item)) for key, item in value.items())
    if isinstance(value, partial):
        return partial, _key(value.func), _key(value.args), _key(value.keywords)
    if isinstance(value, FunctionType):
        held = tuple(cell.cell_contents for cell in value.__closure__ or ())
        return value.__code__, id(value.__globals__), _key((held, value.__defaults__, value.__kwdefaults__))
    if isinstance(value, type) or (
        isinstance(value, BuiltinFunctionType) and isinstance(value.__self__, type | ModuleType)
    ):
        return value
    raise TypeError(f"cannot compare {type(value).__name__}")
