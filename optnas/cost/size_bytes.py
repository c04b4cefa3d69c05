"""What the weights of a network occupy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from optnas.cost.params import params

__all__ = ["size_bytes"]


def size_bytes(module: nn.Module, input_shape: Sequence[int] | None = None) -> int:
    """Bytes of the tensors of the module's state: parameters and the buffers that are saved with it.

    Each in its own type, one that is shared counted once. The header and the names of a file are not counted,
    nor does it foresee a quantisation that is still to come.

    Args:
        module: The network.
        input_shape: Not needed; accepted so that every cost is called alike.

    Raises:
        UsageError: A lazy module has not seen an input yet.
    """
    params(module)  # refuses a lazy module
    state = module.state_dict(keep_vars=True).values()
    tensors = {id(tensor): tensor for tensor in state if isinstance(tensor, torch.Tensor)}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
