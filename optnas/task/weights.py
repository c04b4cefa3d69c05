"""Trained weights in a safetensors file, with plain values beside them; nothing in it is executed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from optnas.errors import UsageError
from optnas.whole import remove_halves, whole_file

__all__ = [
    "copy_of",
    "fill",
    "pack_weights",
    "read_notes",
    "remove_leftovers",
    "save_weights",
    "tensors_of",
    "write_weights",
]

_NOTES = "optnas"


def save_weights(module: nn.Module, path: Path, notes: Mapping[str, Any]) -> None:
    """Write the weights of a module; who reads the file meanwhile sees the old one or the new one.

    Args:
        module: Anywhere, in any mode. Weights that several layers share are written once.
        path: The file; its folder is made if there is none.
        notes: Values of JSON.

    Raises:
        OSError, SafetensorError: If the file cannot be written.
    """
    write_weights(path, pack_weights(module, notes))


def pack_weights(module: nn.Module, notes: Mapping[str, Any]) -> bytes:
    """What `save_weights` writes.

    Raises:
        SafetensorError: If it cannot be written so.
    """
    tensors = {name: copy_of(tensor) for name, tensor in tensors_of(module).items()}
    return save(tensors, {_NOTES: json.dumps(notes)})


def write_weights(path: Path, content: bytes) -> None:
    """Write what `pack_weights` made; who reads the file meanwhile sees the old one or the new one.

    Raises:
        OSError: If the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as beside:
        # Not save_file, whose files only their owner may read.
        beside.write_bytes(content)


def remove_leftovers(folder: Path) -> None:
    """Remove the halves of files that a kill left; nobody else may be writing there."""
    for path in {path.with_suffix("") for path in folder.glob("*.safetensors.*")}:
        remove_halves(path)


def read_notes(path: Path) -> dict[str, Any]:
    """The values written beside weights, without reading these.

    Raises:
        UsageError: If it is no such file.
    """
    try:
        with safe_open(path, "pt") as file:
            return dict(json.loads((file.metadata() or {})[_NOTES]))
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise _no_weights(path, error) from None


def fill(module: nn.Module, path: Path) -> None:
    """Give a module, in place, the weights of a file.

    Raises:
        UsageError: If it is no such file, or holds the weights of another network.
    """
    wanted = tensors_of(module)
    try:
        with safe_open(path, "pt") as file:
            held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError) as error:
        raise _no_weights(path, error) from None
    for name in sorted({*wanted, *held}):
        if _shape(held.get(name)) != _shape(wanted.get(name)):
            raise UsageError(
                f"weights {path}: expected {name} to be {_shape(wanted.get(name))}, got {_shape(held.get(name))}"
            )
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(held[name])


def tensors_of(module: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and all buffers by name, those that several layers share once; they are not copied."""
    # Not the state dict: a buffer that is not in it may hold random numbers that the weights were trained with.
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def copy_of(tensor: torch.Tensor) -> torch.Tensor:
    """A copy in the only layout that a safetensors file knows, on the CPU."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _shape(tensor: torch.Tensor | None) -> str:
    return "missing" if tensor is None else f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _no_weights(path: Path, error: Exception) -> UsageError:
    reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
    return UsageError(f"weights {path}: expected a safetensors file that optnas wrote, got {reason}")
