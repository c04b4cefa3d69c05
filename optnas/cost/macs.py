"""Multiply-adds of one forward pass, counted on a trace by fvcore with a stricter table of operators."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from optnas.cost._operators import HANDLES, Handle, shape
from optnas.runtime.probe import eval_copy, one_input

__all__ = ["UncountedOperator", "count_operator", "macs", "macs_by_module"]

Shapes = list[list[int] | None]


class UncountedOperator(ValueError):
    """The network calls an operator whose multiply-adds nobody has said: zero would be a guess."""

    def __init__(self, operator: str, where: str) -> None:
        super().__init__(operator, where)
        self.operator = operator
        self.where = where

    def __str__(self) -> str:
        where = f"module {self.where!r}" if self.where else "the network's own forward"
        return (
            f"cannot count the multiply-adds of operator {self.operator!r} in {where}; tell optnas with "
            f"optnas.cost.count_operator({self.operator!r}, lambda inputs, outputs: ...), which is given the "
            "shapes of its arguments and results"
        )


def macs(module: nn.Module, input_shape: Sequence[int]) -> int:
    """Multiply-adds of a forward pass of one input in eval mode.

    Counted: convolutions, matrix products, attention, recurrent layers, one for each product of two numbers.
    Zero, as in the papers: biases, normalisation, pooling, resampling, activations, element-wise work.
    Counted is what a trace on this input runs: of a branch in Python that depends on data, the side taken.

    Args:
        module: The network, on any device. A copy is traced on the CPU; module and random state stay
            as they are.
        input_shape: One input without the batch, such as (3, 224, 224).

    Raises:
        UncountedOperator: An operator is neither counted nor known to be free; see `count_operator`.
        UsageError: `input_shape` is no sequence of positive integers.
        Whatever the module's forward raises, for example for a shape that does not fit.
    """
    return macs_by_module(module, input_shape)[""]


def macs_by_module(module: nn.Module, input_shape: Sequence[int]) -> dict[str, int]:
    """Multiply-adds by the name of the submodule, its children included; "" is the whole. See `macs`.

    A submodule that is called through its forward, not by calling it, counts for the module that did so.
    """
    batch = one_input(module, input_shape)
    with warnings.catch_warnings(), torch.no_grad(), torch.random.fork_rng(devices=[]), _unfused_attention():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, and a trace warns of branches on a shape
        from fvcore.nn import FlopCountAnalysis  # warns when it is imported

        network = eval_copy(module)
        network.register_forward_hook(_without_names)
        analysis = FlopCountAnalysis(network, (batch,))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        analysis.set_op_handle(**HANDLES)
        counts = {name: int(count) for name, count in analysis.by_module().items()}
    # An operator is listed under every module around it: the longest name is where it is called.
    for where in sorted(counts, key=lambda name: name.count(".") + bool(name), reverse=True):
        for operator in analysis.unsupported_ops(where):
            raise UncountedOperator(operator, where)
    return counts


def count_operator(operator: str, count: Callable[[Shapes, Shapes], int]) -> None:
    """Say how many multiply-adds an operator costs, in this process and from now on.

    Args:
        operator: Its name in a trace, as `UncountedOperator` gives it, such as "aten::fft_fft2".
        count: From the shapes of its arguments and of its results (None for one that is no tensor) to the
            number of multiply-adds; `lambda inputs, outputs: 0` for an operator that is free.
    """

    def handle(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
        return count([shape(value) for value in inputs], [shape(value) for value in outputs])

    known: Handle = handle
    HANDLES[operator] = known


def _without_names(module: nn.Module, inputs: object, output: Any) -> Any:
    """A trace refuses a dictionary as its result, which networks with several heads return."""
    return tuple(output.values()) if isinstance(output, dict) else output


@contextmanager
def _unfused_attention() -> Iterator[None]:
    """In eval mode attention and encoder layers are one fused operator that shows nothing of its inside."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
