"""Learning curves with known ends, for replaying pruners without training."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from optnas.errors import UsageError

__all__ = ["Curves", "load_curves"]


#: What is unpacked of a file at most.
_MOST_BYTES = 1 << 32


@dataclass(frozen=True)
class Curves:
    """Networks that were all trained to the end."""

    error: NDArray[np.float64]
    """(networks, epochs) Validation error or loss after each epoch, to be minimised; NaN where it diverged."""
    costs: Mapping[str, NDArray[np.float64]]
    """(networks,) each: what was known before training, smaller is better."""

    def cost_table(self, names: Sequence[str]) -> NDArray[np.float64]:
        """(networks, names) The costs of these names.

        Raises:
            UsageError: If a cost is unknown or none is named.
        """
        known = ", ".join(self.costs) or "none"
        if not names:
            raise UsageError(f"costs: expected some of {known}, got none")
        for name in names:
            if name not in self.costs:
                raise UsageError(f"costs: expected some of {known}, got {name!r}")
        return np.column_stack([self.costs[name] for name in names])


def load_curves(path: str | PathLike[str]) -> Curves:
    """Read curves from an npz file: `error` is (network, epoch), every other one-dimensional array a cost.

    Raises:
        UsageError: If the file cannot be read or does not hold that.
    """
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"curves: expected an npz file, got {file}, which is not there")
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(one.file_size for one in archive.infolist())
        if unpacked > _MOST_BYTES:  # a few kilobytes may claim to be any number
            raise ValueError(f"expected at most {_MOST_BYTES:,} bytes unpacked, got {unpacked:,}")
        with np.load(file, allow_pickle=False) as arrays:
            table = {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, EOFError, TypeError, MemoryError, OverflowError, zipfile.BadZipFile) as problem:
        raise UsageError(f"curves: expected an npz file of plain arrays, got {file}: {problem}") from problem
    if "error" not in table or table["error"].ndim != 2 or 0 in table["error"].shape:
        shape = table["error"].shape if "error" in table else "none"
        raise UsageError(f"curves: expected an array `error` (network, epoch) in {file}, got {shape}")
    error = _numbers(table.pop("error"), "error", file)
    costs = {name: _numbers(array, name, file) for name, array in table.items() if array.ndim == 1}
    for name, cost in costs.items():
        if len(cost) != len(error):
            raise UsageError(f"curves: expected {len(error)} values of {name} in {file}, got {len(cost)}")
        if not np.isfinite(cost).all():
            raise UsageError(f"curves: expected finite values of {name} in {file}, got some that are not")
    return Curves(error, costs)


def _numbers(array: NDArray[np.generic], name: str, file: Path) -> NDArray[np.float64]:
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool) or np.iscomplexobj(array):
        raise UsageError(f"curves: expected numbers in {name} of {file}, got {array.dtype}")
    return array.astype(float)
