"""The shared weights with what their training needs to go on, in a file from which nothing is executed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from optnas.errors import UsageError
from optnas.supernet.shared import SharedTensors
from optnas.whole import whole_file

__all__ = ["SupernetState", "average", "load_notes", "load_state", "load_weights", "save_state"]


#: What a file holds, and how the names of its tensors begin.
_STORED = ("weight", "mean", "square", "count")


@dataclass
class SupernetState:
    """Shared weights and the averages that AdamW keeps of their gradients."""

    weights: SharedTensors = field(default_factory=SharedTensors)
    means: SharedTensors = field(default_factory=SharedTensors)
    """Of the gradients, by the names of the weights."""
    squares: SharedTensors = field(default_factory=SharedTensors)
    """Of their squares."""
    counts: dict[str, Tensor] = field(default_factory=dict)
    """How many steps each weight took part in."""

    @property
    def size_bytes(self) -> int:
        """With the averages."""
        return self.weights.size_bytes + self.means.size_bytes + self.squares.size_bytes


def save_state(state: SupernetState, path: Path, notes: Mapping[str, object] | None = None) -> None:
    """Write a state, and plain values beside it; who reads the file meanwhile sees the old one or the new one."""
    tensors = {f"weight/{name}": tensor for name, tensor in state.weights.tensors.items()}
    tensors |= {f"mean/{name}": tensor for name, tensor in state.means.tensors.items()}
    tensors |= {f"square/{name}": tensor for name, tensor in state.squares.tensors.items()}
    tensors |= {f"count/{name}": tensor for name, tensor in state.counts.items()}
    with whole_file(path) as beside:
        save_file(tensors, beside, {"notes": json.dumps(notes or {})})


def load_state(path: str | Path, device: torch.device | str = "cpu") -> SupernetState:
    """Read what `save_state` wrote.

    Raises:
        UsageError: If it is no such file.
    """
    kinds = _load(path, device, _STORED)
    weights, means, squares = (SharedTensors(kinds[kind]) for kind in ("weight", "mean", "square"))
    return SupernetState(weights, means, squares, kinds["count"])


def load_weights(path: str | Path, device: torch.device | str = "cpu") -> SharedTensors:
    """The weights of a state alone, a third of its size; raises `UsageError` as `load_state`."""
    return SharedTensors(_load(path, device, ("weight",))["weight"])


def _load(path: str | Path, device: torch.device | str, wanted: Sequence[str]) -> dict[str, dict[str, Tensor]]:
    kinds: dict[str, dict[str, Tensor]] = {kind: {} for kind in wanted}
    try:
        with safe_open(path, "pt", device=str(device)) as file:
            for key in file.keys():  # noqa: SIM118 - no mapping
                kind, _, name = key.partition("/")
                if kind not in _STORED:
                    raise KeyError(key)
                if kind in kinds:
                    kinds[kind][name] = file.get_tensor(key)
    except (OSError, SafetensorError, KeyError) as error:
        raise UsageError(f"expected shared weights in {path}, got {type(error).__name__}: {error}") from None
    return kinds


def load_notes(path: str | Path) -> dict[str, Any]:
    """The plain values that were saved beside a state; raises `UsageError` as `load_state`."""
    try:
        with safe_open(path, "pt") as file:
            return dict(json.loads((file.metadata() or {}).get("notes", "{}")))
    except (OSError, SafetensorError, ValueError) as error:
        raise UsageError(f"expected shared weights in {path}, got {type(error).__name__}: {error}") from None


def average(states: Sequence[SupernetState]) -> SupernetState:
    """The mean of states that several workers reached from one (local SGD: Stich 2019, arXiv:1805.09767)."""
    if len(states) == 1:
        return states[0]
    weights, means, squares = (
        SharedTensors(_mean([getattr(state, kind).tensors for state in states]))
        for kind in ("weights", "means", "squares")
    )
    return SupernetState(weights, means, squares, _mean([state.counts for state in states]))


def _mean(all_tensors: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    names = {name: None for tensors in all_tensors for name in tensors}
    result = {}
    for name in names:
        held = [tensors[name] for tensors in all_tensors if name in tensors]
        largest = max(held, key=Tensor.numel)
        # One that grew in a single worker is that worker's.
        alike = [tensor for tensor in held if tensor.shape == largest.shape]
        result[name] = torch.stack(alike).mean(dim=0)
    return result
