"""A table of what blocks take on a device: the latency of a network is foretold as their sum.

In the manner of the lookup tables of ProxylessNAS (Cai et al. 2019, arXiv:1812.00332) and once-for-all (Cai et al.
2020, arXiv:1908.09791). It is a file of JSON, which can be made on one machine and used on another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from optnas.cost.identity import digest_of, kind_of
from optnas.errors import UsageError

__all__ = ["Features", "LatencyTable", "TableError", "TimedBlock", "UnknownBlock", "load_table"]

_FORMAT = "optnas latency table 1"
#: Blocks of a kind that an estimate needs, and how far beyond them a block may be in each feature.
_FEWEST, _BEYOND = 4, 4.0

#: Multiply-adds, parameters, elements of the input and of the output.
Features = tuple[int, int, int, int]


class UnknownBlock(UsageError):
    """A network holds a block that a table neither holds nor can estimate."""


@dataclass(frozen=True)
class TimedBlock:
    """A block that was timed alone."""

    kind: str
    """See `optnas.cost.identity.kind_of`."""
    input_shape: tuple[int, ...]
    """Without the batch."""
    features: Features
    time_ns: int
    """Of one pass beyond that of an empty network. Whole, so that a sum does not depend on its order."""


@dataclass(frozen=True)
class TableError:
    """How far a table is from whole networks that were timed for this alone."""

    networks: int
    median: float
    """Of the relative errors, without sign."""
    p90: float
    """What nine of ten relative errors are below."""
    kendall_tau: float
    """Between foretold and timed; 1 for the same order."""


@dataclass(frozen=True)
class LatencyTable:
    """What the blocks of a space take at one shape of the images, on one device with one runtime."""

    space: str
    input_shape: tuple[int, int, int]
    classes: int
    runtime: str
    device: Mapping[str, Any]
    """Its fingerprint, as `Prices.fingerprint` gives it."""
    reference_ms: float
    """What the reference network takes there."""
    offset_ms: float
    """What a network takes beyond its blocks; like `scale` from whole networks other than those of `error`."""
    scale: float
    """What a block takes within a network, as a share of what it takes alone."""
    blocks: Mapping[str, TimedBlock]
    """By `optnas.cost.identity.digest_of`."""
    untimed: int
    """Blocks that were found and not timed: they are estimated from those of their kind."""
    error: TableError

    def latency_ms(self, time_ns: int) -> float:
        """Milliseconds of a network from the sum over its blocks."""
        return self.offset_ms + self.scale * time_ns * 1e-6

    def is_block(self, module: nn.Module) -> bool:
        """Whether a module is looked up as a whole, rather than its children."""
        return kind_of(module) in self._models

    def time_ns(self, module: nn.Module, input_shape: Sequence[int], features: Features) -> int:
        """The time of a block, or the estimate from others of its kind.

        Args:
            module: The block.
            input_shape: Without the batch.
            features: Of the block at this shape.

        Raises:
            UnknownBlock: If it is not known and too few of its kind are, or it is too far from those, or a setting
                of it cannot be compared.
        """
        kind, name = kind_of(module), digest_of(module, input_shape)
        if name is None:
            raise UnknownBlock(f"latency table: expected blocks whose settings can be compared, got {kind}")
        known = self.blocks.get(name)
        if known is not None:
            return known.time_ns
        model = self._models.get(kind)
        estimate = None if model is None else model(features)
        if estimate is None:
            where = "x".join(map(str, input_shape))
            raise UnknownBlock(
                f"latency table: expected blocks of {self.space} at {_by(self.input_shape)}, or like them, "
                f"got {kind} at {where}"
            )
        return estimate

    def check(self, input_shape: Sequence[int]) -> None:
        """Refuse images of another shape; raises `UsageError`."""
        if tuple(input_shape) != self.input_shape:
            raise UsageError(
                f"latency table: expected images of {_by(self.input_shape)}, for which it was made, "
                f"got {_by(input_shape)}"
            )

    @cached_property
    def digest(self) -> str:
        """A name of 16 hexadecimal digits for its content."""
        return hashlib.blake2b(self._text().encode(), digest_size=8).hexdigest()

    def save(self, path: str | Path) -> None:
        """Write the file."""
        Path(path).write_text(self._text() + "\n")

    def _text(self) -> str:
        return json.dumps({"format": _FORMAT, **asdict(self)}, sort_keys=True)

    @cached_property
    def _models(self) -> dict[str, _Estimate]:
        kinds: dict[str, list[TimedBlock]] = {}
        for block in self.blocks.values():
            kinds.setdefault(block.kind, []).append(block)
        return {kind: _Estimate(blocks) for kind, blocks in kinds.items()}


class _Estimate:
    """The time of a block from others of its kind: a power law in its features, corrected by the nearest ones."""

    def __init__(self, blocks: Sequence[TimedBlock]) -> None:
        self._blocks = blocks

    @cached_property
    def _fitted(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        logs = np.log1p(np.array([block.features for block in self._blocks], dtype=float))
        times = np.log(np.array([max(block.time_ns, 1) for block in self._blocks], dtype=float))
        design = np.column_stack([logs, np.ones(len(logs))])
        # A small ridge: features of one kind are often multiples of each other.
        weights = np.linalg.solve(design.T @ design + 1e-3 * np.eye(design.shape[1]), design.T @ times)
        return logs, weights, times - design @ weights

    def __call__(self, features: Features) -> int | None:
        """Nanoseconds; None where too little is known."""
        if len(self._blocks) < _FEWEST:
            return None
        logs, weights, residuals = self._fitted
        here = np.log1p(np.array(features, dtype=float))
        slack = np.log(_BEYOND)
        if (here < logs.min(axis=0) - slack).any() or (here > logs.max(axis=0) + slack).any():
            return None
        distances = np.abs(logs - here).sum(axis=1)
        near = np.argsort(distances, kind="stable")[:_FEWEST]
        shares = 1 / (distances[near] + 0.1)
        correction = float(shares @ residuals[near] / shares.sum())
        return round(float(np.exp(here @ weights[:-1] + weights[-1] + correction)))


def load_table(path: str | Path) -> LatencyTable:
    """A table from its file.

    Raises:
        UsageError: If there is no such file, or it is no table.
    """
    try:
        facts = json.loads(Path(path).read_text())
        if facts.pop("format") != _FORMAT:
            raise ValueError
        channels, height, width = facts.pop("input_shape")
        blocks = {name: _block(block) for name, block in facts.pop("blocks").items()}
        error = TableError(**facts.pop("error"))
        return LatencyTable(input_shape=(channels, height, width), blocks=blocks, error=error, **facts)
    except OSError as error:
        raise UsageError(f"latency table {path}: cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UsageError(
            f"latency table {path}: expected a file of optnas latency-table build, got something else"
        ) from None


def _block(facts: Mapping[str, Any]) -> TimedBlock:
    macs, params, inputs, outputs = facts["features"]
    return TimedBlock(facts["kind"], tuple(facts["input_shape"]), (macs, params, inputs, outputs), facts["time_ns"])


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
