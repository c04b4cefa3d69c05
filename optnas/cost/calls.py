"""Multiply-adds of a network call by call: what each of some of its modules did, in the order in which they ran.

`macs_by_module` traces a network, which takes tens of milliseconds. Here it runs once and its operators are counted
by torch's own formulas as they come; only a network with an operator that these do not know is traced.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.jit._trace import _get_trace_graph
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from optnas.cost._operators import HANDLES, is_free
from optnas.cost.macs import _unfused_attention, _without_names
from optnas.runtime.probe import one_input
from optnas.space.graph import fixed_seed

__all__ = ["Call", "Run", "run_parts"]

#: Whose products torch may form as element-wise multiplications, which are free otherwise.
_HIDDEN = frozenset(("einsum", "outer", "ger", "kron"))


@dataclass(frozen=True)
class Call:
    """One time that a module was called."""

    module: nn.Module
    inputs: tuple[tuple[int, ...], ...]
    """Shapes of the tensors that it was given, the batch of one included."""
    output: tuple[int, ...] | None = None
    """Shape of the first tensor that it gave on; None without one."""
    within: int | None = None
    """The place of the call that it was part of."""
    follows: bool = False
    """Whether it was given what the call before it, within the same, gave on."""
    macs_before: int = 0
    """Multiply-adds of the network when it began."""


@dataclass(frozen=True)
class Run:
    """The calls of one forward pass, in the order in which they began."""

    calls: tuple[Call, ...]
    macs: int | None
    """Of the whole network, as `macs` counts them; None if an operator is not counted, and then `macs_before` of
    the calls says nothing."""


def run_parts(module: nn.Module, input_shape: Sequence[int], parts: Iterable[nn.Module]) -> Run:
    """Run a network once in eval mode and watch some of its modules.

    Args:
        module: The network, where it is; it and the random state stay as they are.
        input_shape: One input without the batch, (channels, height, width).
        parts: Modules of it; one that is scripted, not called, or only through its forward, gives no call.

    Raises:
        UsageError: `input_shape` is no sequence of positive integers.
        Whatever the module's forward raises.
    """
    parts = [part for part in dict.fromkeys(parts) if not isinstance(part, torch.jit.ScriptModule)]
    tensor = next(chain(module.parameters(), module.buffers()), None)
    batch = one_input(module, input_shape, "cpu" if tensor is None else str(tensor.device))
    modes = {part: part.training for part in module.modules()}
    try:
        module.eval()
        with torch.no_grad(), fixed_seed(), _unfused_attention():
            counter, watch = _Counter(), _Watch()  # type: ignore[no-untyped-call]
            with watch.on(parts, lambda: counter.macs), counter, _Names(counter):
                module(batch)
            if not counter.unsure:
                return Run(tuple(watch.calls), counter.macs)
            traced = _trace(module, batch, parts)
    finally:
        for part, mode in modes.items():
            part.training = mode
    if traced is None:
        return Run(tuple(watch.calls), None)
    befores, total = traced
    calls = [replace(call, macs_before=befores.get(place, total)) for place, call in enumerate(watch.calls)]
    return Run(tuple(calls), total)


class _Watch:
    """Keeps the calls of the modules that it is hooked to."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._open: list[int] = []
        self._given: dict[int | None, torch.Tensor | None] = {}  # what the last call within another gave on

    @contextmanager
    def on(self, parts: Iterable[nn.Module], macs: Callable[[], int]) -> Iterator[None]:
        """Watch these modules, with multiply-adds from a counter."""

        def begin(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            tensors = list(_tensors((args, kwargs)))
            within = self._open[-1] if self._open else None
            before = self._given.get(within)
            follows = before is not None and bool(tensors) and tensors[0] is before
            shapes = tuple(tuple(tensor.shape) for tensor in tensors)
            self._open.append(len(self.calls))
            self.calls.append(Call(module, shapes, None, within, follows, macs()))

        def end(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            place = self._open.pop()
            call, given = self.calls[place], next(_tensors(output), None)
            self.calls[place] = replace(call, output=None if given is None else tuple(given.shape))
            self._given[call.within] = given

        hooks = [part.register_forward_pre_hook(begin, with_kwargs=True) for part in parts]
        hooks += [part.register_forward_hook(end) for part in parts]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up multiply-adds by torch's formulas, which count two operations for each."""

    macs = 0
    unsure = False
    """Whether an operator came that neither has a formula nor is free."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            self.macs += formula(*args, **kwargs, out_val=output) // 2
        elif not is_free(func.overloadpacket._qualified_op_name):
            self.unsure = True
        return output


class _Names(TorchFunctionMode):
    """Tells a counter of functions whose operators it would take for free."""

    def __init__(self, counter: _Counter) -> None:
        super().__init__()
        self._counter = counter

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func.__name__ in _HIDDEN:
            self._counter.unsure = True
        return func(*args, **kwargs or {})


def _trace(module: nn.Module, batch: torch.Tensor, parts: Iterable[nn.Module]) -> tuple[dict[int, int], int] | None:
    """Multiply-adds before each call that has operators, by its place, and those of the network, as `macs` counts.

    None if an operator is not counted, or the network cannot be traced.
    """
    began = 0

    def begin(module: nn.Module, args: object) -> None:
        nonlocal began
        torch._C._get_tracing_state().push_scope(str(began))
        began += 1

    def end(module: nn.Module, args: object, output: object) -> None:
        torch._C._get_tracing_state().pop_scope()

    hooks = [
        hook for part in parts for hook in (part.register_forward_pre_hook(begin), part.register_forward_hook(end))
    ]
    hooks.append(module.register_forward_hook(_without_names))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.jit is deprecated, and a trace warns of branches on a shape
            graph, _ = _get_trace_graph(module, (batch,))  # type: ignore[no-untyped-call]
    except Exception:  # it ran, so the drawing of it goes on without multiply-adds
        return None
    finally:
        for hook in hooks:
            hook.remove()
    befores: dict[int, int] = {}
    total = 0
    for node in graph.nodes():
        for place in filter(None, node.scopeName().split("/")):
            befores.setdefault(int(place), total)
        count = HANDLES.get(node.kind())
        if count is not None:
            total += count(list(node.inputs()), list(node.outputs()))
        elif not node.kind().startswith("prim::") or node.kind() == "prim::PythonOp":
            return None
    for place in reversed(range(began)):  # a call without operators, such as one of Identity
        befores.setdefault(place, befores.get(place + 1, total))
    return befores, total


def _tensors(structure: Any) -> Iterator[torch.Tensor]:
    if isinstance(structure, torch.Tensor):
        yield structure
    elif isinstance(structure, Mapping):
        structure = tuple(structure.values())
    if isinstance(structure, list | tuple):
        for item in structure:
            yield from _tensors(item)
