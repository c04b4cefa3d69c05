"""A table of what blocks take on a device: the latency of a network is foretold as their sum.

In the manner of the lookup tables of ProxylessNAS (Cai et al. 2019, arXiv:1812.00332) and once-for-all (Cai et al.
2020, arXiv:1908.09791). It is a file of JSON, which can be made on one machine and used on another.
"""

from __future__ import annotations

import hashlib
import json
import re
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
from optnas.whole import whole_file

__all__ = [
    "Features",
    "LatencyTable",
    "TableError",
    "TimedBlock",
    "UnknownBlock",
    "load_table",
    "timed_block",
    "within_reach",
]

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

    def check_study(self, space: str, input_shape: Sequence[int], classes: int) -> None:
        """Refuse another space, images of another shape, or another number of classes.

        A space is known by its module and function, wherever the module is; a table without a name takes any.

        Raises:
            UsageError: That says which of them differ.
        """
        pairs = [
            (f"space {self.space}", f"space {space}", not self.space or _short(space) == _short(self.space)),
            (
                f"images of {_by(self.input_shape)}",
                f"images of {_by(input_shape)}",
                tuple(input_shape) == self.input_shape,
            ),
            (f"{self.classes} classes", f"{classes} classes", classes == self.classes),
        ]
        differing = [(then, now) for then, now, same in pairs if not same]
        if differing:
            then, now = (", ".join(words) for words in zip(*differing, strict=True))
            raise UsageError(f"latency table: expected {then}, for which it was made, got {now}")

    @cached_property
    def digest(self) -> str:
        """A name of 16 hexadecimal digits for its content."""
        return hashlib.blake2b(self._text().encode(), digest_size=8).hexdigest()

    def save(self, path: str | Path) -> None:
        """Write the file."""
        with whole_file(Path(path)) as beside:
            beside.write_text(self._text() + "\n")

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
        if not within_reach([features], [block.features for block in self._blocks]):
            return None
        logs, weights, residuals = self._fitted
        here = np.log1p(np.array(features, dtype=float))
        distances = np.abs(logs - here).sum(axis=1)
        near = np.argsort(distances, kind="stable")[:_FEWEST]
        shares = 1 / (distances[near] + 0.1)
        correction = float(shares @ residuals[near] / shares.sum())
        return round(float(np.exp(here @ weights[:-1] + weights[-1] + correction)))


def within_reach(others: Sequence[Features], timed: Sequence[Features]) -> bool:
    """Whether all the others can be estimated from timed blocks of their kind: enough of them, and not too far."""
    if not others:
        return True
    if len(timed) < _FEWEST:
        return False
    logs, here = np.log1p(np.array(timed, dtype=float)), np.log1p(np.array(others, dtype=float))
    slack = np.log(_BEYOND)
    return not ((here < logs.min(axis=0) - slack).any() or (here > logs.max(axis=0) + slack).any())


def load_table(path: str | Path) -> LatencyTable:
    """A table from its file.

    Raises:
        UsageError: If there is no such file, or it is no table, or one by which all networks take the same.
    """
    try:
        facts = json.loads(Path(path).read_text())
        if facts.pop("format") != _FORMAT:
            raise ValueError
        channels, height, width = facts.pop("input_shape")
        blocks = {name: timed_block(block) for name, block in facts.pop("blocks").items()}
        error = TableError(**facts.pop("error"))
        if not facts["scale"] > 0:
            raise UsageError(f"latency table {path}: expected a scale above 0, got {facts['scale']:g}; build it anew")
        return LatencyTable(input_shape=(channels, height, width), blocks=blocks, error=error, **facts)
    except OSError as error:
        raise UsageError(f"latency table {path}: cannot be read ({error.strerror})") from None
    except UsageError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise UsageError(
            f"latency table {path}: expected a file of optnas latency-table build, got something else"
        ) from None


def timed_block(facts: Mapping[str, Any]) -> TimedBlock:
    """A block from plain values, as `dataclasses.asdict` gives them; more of them do no harm.

    Raises:
        KeyError, TypeError, ValueError: If they are not those of a block.
    """
    macs, params, inputs, outputs = facts["features"]
    return TimedBlock(facts["kind"], tuple(facts["input_shape"]), (macs, params, inputs, outputs), facts["time_ns"])


def _short(space: str) -> str:
    """The last part of its module and its function: a file by its path and a module by its name are one space."""
    module, colon, function = space.partition(":")
    return f"{re.split(r'[/.]', module.removesuffix('.py'))[-1]}{colon}{function}"


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
