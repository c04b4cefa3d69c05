"""A training that survives its process: where it stands, in a file from which nothing is executed."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from optnas.errors import UsageError, first_line
from optnas.task.snapshot import restore, take
from optnas.task.weights import copy_of
from optnas.whole import remove_halves, whole_file

__all__ = ["Checkpoint", "Saved", "read_checkpoint", "remove_checkpoint"]

_NOTES, _CHECKSUM = "optnas-checkpoint", "crc32"
_FORMAT = 1
_OWN = "own/"
#: Seconds that a write takes until one was timed: a training shorter than a second writes none.
_FIRST_GUESS = 0.02
_UNREADABLE = (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError)


@dataclass(frozen=True)
class Saved:
    """Where a training stood. Module, optimizer and torch's generators are restored by `Checkpoint.load` itself."""

    curve: tuple[float, ...]
    """Validation error after each whole epoch."""
    seconds: float
    """Wall time of the training until then; what was lost after it does not count."""
    tensors: Mapping[str, Tensor]
    """What the training loop gave beside them."""
    values: Mapping[str, Any]
    """The same, of JSON."""


@dataclass
class Checkpoint:
    """The file of one training. It never fails a training: what goes wrong with it is said in `warning`.

    A training loop uses it like this:

        saved = checkpoint.load(module, optimizer)
        curve = [] if saved is None else list(saved.curve)
        for epoch, error in enumerate(curve, 1):
            on_epoch(epoch, error)  # told again: the caller was not there
        for epoch in range(len(curve) + 1, epochs + 1):
            ...  # train an epoch
            curve.append(error)
            on_epoch(epoch, error)
            if checkpoint.due():
                checkpoint.save(module, optimizer, curve)

    Kept are the parameters and all buffers of the module, the state of the optimizer and the plain values of its
    groups (learning rates, for one), torch's generators of the CPU and of the module's CUDA device, the curve, and
    the `tensors` and `values` that the loop adds: the state of its own `torch.Generator`, for one. A scheduler's state
    is such a value too. Attributes of a module that are no buffers are not kept; a module that has an extra state
    (`get_extra_state`) gets no checkpoints.

    Another version of torch goes on from a file if it knows the states of the generators in it.
    """

    path: Path
    """Named `*.safetensors`; its folder is made if there is none. It is left there when the training ends."""
    identity: Mapping[str, Any] = field(default_factory=dict)
    """Values of JSON that say which training it is: the file of another is never taken up."""
    most_bytes: int | None = None
    """A larger file is not written."""
    most_share: float = 0.02
    """Of the time that writing may take: after a write the next waits until its own time is this share."""
    most_seconds: float = 60.0
    """After which a write is due all the same, and within an epoch too."""
    resumed: Saved | None = field(default=None, init=False)
    """What `load` took up."""
    warning: str = field(default="", init=False)
    """A sentence if a file was refused or none can be written; empty if all is well."""

    def __post_init__(self) -> None:
        self._began = self._saved_at = time.perf_counter()
        self._write_seconds = _FIRST_GUESS
        self._too_large = self._failed = False

    def load(self, module: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> Saved | None:
        """Put a training back to where it stood; None, with nothing changed, if there is no file or it is not of it.

        Args:
            module: On its device and in its memory format, both of which stay.
            optimizer: Made for the parameters of the module; its state is laid out as torch would.
        """
        with suppress(OSError):
            remove_halves(self.path)
        try:
            if not self.path.exists():
                return None
            tensors, notes = _read(self.path)
            if _canonical(notes["identity"]) != _canonical(self.identity):
                raise ValueError("it is of another training")
            own = {name.removeprefix(_OWN): tensor for name, tensor in tensors.items() if name.startswith(_OWN)}
            saved = Saved(tuple(map(float, notes["curve"])), float(notes["seconds"]), own, dict(notes["values"]))
            restore(module, optimizer, tensors, notes["state"])
        except _UNREADABLE as error:
            self._warn(f"{_reason(error)}; training began anew")
            return None
        self.resumed, self._saved_at = saved, time.perf_counter()
        return saved

    def due(self, *, mid_epoch: bool = False) -> bool:
        """Whether to save now. After an epoch mostly yes, and at least once a minute; within one once a minute.

        Where epochs are short and a write is slow, it waits so long that writing takes 2 % of the time.
        """
        wait = self.most_seconds if mid_epoch else min(self.most_seconds, self._write_seconds / self.most_share)
        return not self._too_large and time.perf_counter() - self._saved_at >= wait

    def save(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer | None,
        curve: Sequence[float],
        *,
        tensors: Mapping[str, Tensor] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> None:
        """Write where the training stands; the file of before is replaced when all of it is on the disk.

        Args:
            module: In any mode.
            optimizer: None without one.
            curve: Validation error after each whole epoch so far.
            tensors: What the loop needs besides, by name, on any device.
            values: The same, of JSON.
        """
        began = time.perf_counter()
        try:
            held, state = take(module, optimizer)
            held |= {_OWN + name: tensor for name, tensor in (tensors or {}).items()}
            notes = {
                "format": _FORMAT, "torch": torch.__version__, "identity": self.identity, "curve": list(curve),
                "seconds": self.seconds, "values": values or {}, "state": state,
            }  # fmt: skip
            data = _packed({name: copy_of(tensor) for name, tensor in held.items()}, json.dumps(notes))
            if self.most_bytes is not None and len(data) > self.most_bytes:
                self._too_large = True
                raise ValueError(f"it takes {len(data)} bytes, and may take {self.most_bytes}")
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(self.path) as beside:
                beside.write_bytes(data)
        except (OSError, MemoryError, RuntimeError, SafetensorError, ValueError, TypeError) as error:
            if not self._failed:  # the first of many alike is enough, and tells the cause
                self._warn(f"cannot be written: {_reason(error)}; training went on without it")
            self._failed = True
        self._saved_at = time.perf_counter()
        self._write_seconds = self._saved_at - began

    @property
    def seconds(self) -> float:
        """Wall time of the training so far, that before an interruption with it."""
        before = 0.0 if self.resumed is None else self.resumed.seconds
        return before + time.perf_counter() - self._began

    def _warn(self, what: str) -> None:
        self.warning = f"{self.warning}; {what}" if self.warning else f"checkpoint {self.path}: {what}"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a file says of its training: `identity`, `curve`, `seconds`, and the version of `torch` that it ran on.

    Raises:
        UsageError: If it is no such file, or damaged.
    """
    try:
        notes = _read(path)[1]
        return {name: notes[name] for name in ("identity", "curve", "seconds", "torch")}
    except _UNREADABLE as error:
        raise UsageError(f"checkpoint {path}: {_reason(error)}") from None


def remove_checkpoint(path: Path) -> None:
    """Remove the file of a training whose outcome is kept, and halves that a kill left; what cannot be stays."""
    with suppress(OSError):
        remove_halves(path)
        path.unlink(missing_ok=True)


def _packed(tensors: Mapping[str, Tensor], notes: str) -> bytes:
    return save(dict(tensors), {_NOTES: notes, _CHECKSUM: _checksum(tensors, notes)})


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Raises ValueError, with a reason, and whatever a file may raise that is none of ours."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        if _NOTES not in metadata:
            raise ValueError("it was not written by optnas")
        text = metadata[_NOTES]
        notes = dict(json.loads(text))
        if notes["format"] != _FORMAT:
            raise ValueError(f"it has format {notes['format']}, and this optnas reads {_FORMAT}")
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    if metadata.get(_CHECKSUM) != _checksum(tensors, text):
        raise ValueError("it is damaged, its checksum is wrong")
    return tensors, notes


def _checksum(tensors: Mapping[str, Tensor], notes: str) -> str:
    value = zlib.crc32(notes.encode())
    for name, tensor in sorted(tensors.items()):
        value = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), value)
        value = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, value)
    return f"{value:08x}"


def _canonical(identity: Mapping[str, Any]) -> str:
    return json.dumps(identity, sort_keys=True)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) if type(error) is ValueError else first_line(error)
