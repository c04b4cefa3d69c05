"""A trained network in one file: its tensors, and as plain JSON the facts that say what it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import nn

from optnas.errors import UsageError, first_line
from optnas.space import SPACES, ReplayTrial, Space, bind_space, fingerprint, load_space
from optnas.space.graph import fixed_seed
from optnas.study import versions
from optnas.task.weights import fill, read_notes, save_weights

__all__ = ["Facts", "load_checkpoint", "rebuild", "save_checkpoint"]

#: A file from elsewhere may not ask for a network of images larger than any photograph, 4096 x 4096 in three channels.
_MOST_PIXELS = 3 * 4096**2


@dataclass(frozen=True)
class Facts:
    """What is known of a trained network; plain values."""

    study: str
    """The name of the study that found it."""
    trial: int
    """Its number there."""
    choices: Mapping[str, Any]
    """The trial's params: those of the network and those of its training."""
    space: str
    """The space that builds it: `mobile`, `cell`, or the module and the name of a person's own function."""
    fingerprint: str
    """Of the network, see `optnas.space.fingerprint`."""
    input_shape: tuple[int, int, int]
    """(channels, height, width) of one image."""
    classes: tuple[str, ...]
    """Their names, in the order of the logits."""
    mean: tuple[float, ...]
    """Of each channel over the training images, pixels scaled to [0, 1]."""
    std: tuple[float, ...]
    """The deviations in the same way."""
    data: Mapping[str, Any]
    """The images and the training of these weights: `Task.describe`."""
    costs: Mapping[str, float]
    """Every cost that the search measured, in its unit."""
    search_error: float
    """Validation error of the search's own training, in [0, 1]."""
    seed: int
    """With which these weights were trained."""
    error: float
    """Validation error of these weights, in [0, 1]."""
    retrained: bool = False
    """Whether these weights are of `retrain`; if not, they are those of the search."""
    seeds: tuple[int, ...] = ()
    """Of all trainings of `retrain`."""
    errors: tuple[float, ...] = ()
    """Their validation errors."""
    test_errors: tuple[float, ...] = ()
    """Their errors on the test split, which is read once; empty if it was not read."""
    looks: tuple[str, ...] = ()
    """When the study's test split was read, in UTC: each time, for whichever weights."""
    versions: Mapping[str, str] = field(default_factory=versions)
    """Of the software that trained them."""
    date: str = ""
    """When, in UTC: "2026-11-24 17:05"."""

    @property
    def test_error(self) -> float | None:
        """Of these weights on the test split; None if that was not read."""
        return dict(zip(self.seeds, self.test_errors, strict=False)).get(self.seed)


def save_checkpoint(network: nn.Module, facts: Facts, path: Path) -> None:
    """Write a network and its facts; who reads the file meanwhile sees the old one or the new one.

    Raises:
        UsageError: If it cannot be written there.
    """
    try:
        save_weights(network, path, asdict(facts))
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise UsageError(f"network {path}: cannot be written: {reason}") from None


def load_checkpoint(path: Path, space: str | Space | None = None) -> tuple[nn.Module, Facts]:
    """The network of a file in eval mode, and its facts. Only a space that is given runs code from outside optnas.

    Args:
        path: The file.
        space: What builds the network if it is not of a space of optnas: the function, or its name.

    Raises:
        UsageError: If it is no such file, the space is needed and not given, or does not build this network.
    """
    facts = _facts(path, read_notes(path))
    if space is None and facts.space not in SPACES:
        raise UsageError(
            f"network {path}: expected its space {facts.space!r} as space=, since a file alone runs no code"
        )
    space = facts.space if space is None else space
    network = rebuild(load_space(space) if isinstance(space, str) else space, facts, str(path))
    fill(network, path)
    return network.eval(), facts


def rebuild(space: Space, facts: Facts, where: str) -> nn.Module:
    """The network that the choices build, with initial weights.

    Raises:
        UsageError: If it is not the one that the facts are of.
    """
    try:
        with fixed_seed():
            network = bind_space(space, facts.input_shape, len(facts.classes))(ReplayTrial(facts.choices))
        found = fingerprint(network, facts.input_shape)
    except Exception as error:
        raise UsageError(f"network {where}: its space no longer builds it: {first_line(error)}") from error
    if found != facts.fingerprint:
        made = ", ".join(f"{name} {number}" for name, number in facts.versions.items() if name in ("optnas", "torch"))
        raise UsageError(
            f"network {where}: expected the network {facts.fingerprint} (made with {made}), "
            f"but its choices build {found} here"
        )
    return network


def _facts(path: Path, notes: Mapping[str, Any]) -> Facts:
    known = {one.name for one in fields(Facts)}
    if not known >= set(notes):
        raise UsageError(f"network {path}: expected a file of Model.save, got one with {sorted(set(notes) - known)}")
    try:
        facts = Facts(**{name: _tuple(value) for name, value in notes.items()})
    except TypeError as error:
        raise UsageError(f"network {path}: expected a file of Model.save, got one without facts: {error}") from None
    wrong = _wrong(facts)
    if wrong:
        raise UsageError(f"network {path}: expected a file of Model.save, got one with a strange {wrong}")
    if len(facts.input_shape) != 3 or not len(facts.mean) == len(facts.std) == facts.input_shape[0]:
        raise UsageError(f"network {path}: expected a mean and std for each of {facts.input_shape[:1]} channels")
    return facts


def _wrong(facts: Facts) -> str:
    """The name of the first field that is not what `Facts` says; empty if there is none."""
    checks: dict[str, Callable[[Any], bool]] = {
        **dict.fromkeys(("study", "space", "fingerprint", "date"), lambda value: isinstance(value, str)),
        **dict.fromkeys(("trial", "seed"), _is_whole),
        **dict.fromkeys(("choices", "data", "costs", "versions"), lambda value: isinstance(value, Mapping)),
        **dict.fromkeys(("search_error", "error"), _is_finite),
        **dict.fromkeys(("mean", "errors", "test_errors"), lambda value: _all(value, _is_finite)),
        "input_shape": lambda value: (
            _all(value, lambda one: _is_whole(one) and one > 0) and math.prod(value) <= _MOST_PIXELS
        ),
        "classes": lambda value: _all(value, lambda one: isinstance(one, str)),
        "std": lambda value: _all(value, lambda one: _is_finite(one) and one > 0),
        "looks": lambda value: _all(value, lambda one: isinstance(one, str)),
        "seeds": lambda value: _all(value, _is_whole),
        "retrained": lambda value: isinstance(value, bool),
    }
    return next((name for name, is_right in checks.items() if not is_right(getattr(facts, name))), "")


def _all(values: Any, is_right: Callable[[Any], bool]) -> bool:
    return isinstance(values, tuple) and all(map(is_right, values))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
