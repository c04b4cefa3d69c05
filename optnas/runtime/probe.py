"""What a measure feeds to a network, and the copy that it feeds it to."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from itertools import chain

import torch
from torch import nn

from optnas.errors import UsageError


def eval_copy(module: nn.Module, device: str = "cpu") -> nn.Module:
    """A copy in eval mode on `device`, so that nothing a measure does reaches the caller's module.

    A module on `meta` has no values to copy: its copy is all zeros.
    """
    copy = deepcopy(module).eval()
    if not any(tensor.is_meta for tensor in chain(copy.parameters(), copy.buffers())):
        return copy.to(device)
    copy.to_empty(device=device)
    with torch.no_grad():
        for tensor in chain(copy.parameters(), copy.buffers()):
            tensor.zero_()
    return copy


def float_copy(module: nn.Module, input_shape: Sequence[int]) -> tuple[nn.Module, torch.Tensor]:
    """What is exported, in 32-bit floats whatever the module's own, and an input for it; raises as `one_input`."""
    return eval_copy(module).float(), one_input(module, input_shape).float()


def one_input(module: nn.Module, input_shape: Sequence[int], device: str = "cpu") -> torch.Tensor:
    """A fixed random batch of one in the module's own floating type, drawn without the global generator.

    Random, not zero: a kernel may be faster on zeros.

    Raises:
        UsageError: `input_shape` is no sequence of positive integers.
    """
    sizes = tuple(input_shape) if isinstance(input_shape, Sequence) else ()
    if not sizes or not all(type(size) is int and size > 0 for size in sizes):
        raise UsageError(
            "input_shape: expected positive integers, the shape of one input without the batch, "
            f"such as (3, 224, 224), got {input_shape!r}"
        )
    dtypes = (p.dtype for p in module.parameters() if p.is_floating_point())
    values = torch.randn((1, *sizes), generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    return values.to(device=device, dtype=next(dtypes, torch.float32))
