"""How many numbers a network learns."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torch.nn.parameter import UninitializedParameter

from optnas.errors import UsageError

__all__ = ["params"]


def params(module: nn.Module, input_shape: Sequence[int] | None = None) -> int:
    """Number of parameters, frozen ones included, one that is used twice counted once; no buffers.

    Args:
        module: The network.
        input_shape: Not needed; accepted so that every cost is called alike.

    Raises:
        UsageError: A lazy module has not seen an input yet.
    """
    for name, parameter in module.named_parameters():
        if isinstance(parameter, UninitializedParameter):
            raise UsageError(f"expected parameters of known shape, got the lazy {name!r}: run the network once first")
    return sum(parameter.numel() for parameter in module.parameters())
