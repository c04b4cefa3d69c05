"""Names of blocks that are equal in another process and on another machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from optnas.space import CHOSEN

__all__ = ["digest_of", "kind_of"]

_PLAIN = (int, float, complex, str, bytes, type(None), torch.dtype, torch.device)
#: What every module keeps for its own workings, and what is put into one so that it is remembered.
_MACHINERY = frozenset(vars(nn.Module())) | {"forward", "_optnas_block", CHOSEN}


def digest_of(module: nn.Module, input_shape: Sequence[int]) -> str:
    """A name of 16 hexadecimal digits that blocks share which do the same on an input of this shape.

    Made of classes, settings, the shapes of tensors and children. The code of a class is not looked at, nor are
    settings that are neither plain values, functions nor classes.

    Args:
        module: The block; on any device, in any mode.
        input_shape: One input without the batch.
    """
    text = f"{_describe(module)} at {tuple(input_shape)}"
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def kind_of(module: nn.Module) -> str:
    """The classes that a block is made of, such as "Sequential(Conv2d,ReLU)": what differs in sizes is of one kind."""
    children = ",".join(kind_of(child) for child in module.children())
    return type(module).__qualname__ + (f"({children})" if children else "")


def _describe(module: nn.Module) -> str:
    tensors = [*module._parameters.items(), *module._buffers.items()]
    shapes = [(key, None if tensor is None else (tuple(tensor.shape), str(tensor.dtype))) for key, tensor in tensors]
    settings = [(key, _plain(value)) for key, value in sorted(vars(module).items()) if key not in _MACHINERY]
    children = [(key, _describe(child)) for key, child in module._modules.items() if child is not None]
    return f"{_name(type(module))}{shapes}{settings}{children}"


def _plain(value: Any) -> str:
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"[{','.join(map(_plain, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{_plain(key)}:{_plain(item)}' for key, item in value.items())}}}"
    if isinstance(value, partial):
        return f"{_plain(value.func)}({_plain(value.args)},{_plain(value.keywords)})"
    return _name(value if hasattr(value, "__qualname__") else type(value))


def _name(thing: Any) -> str:
    return f"{getattr(thing, '__module__', '')}.{thing.__qualname__}"
