"""Blocks that were timed for a table that is not finished: kept as they come, so that no failure loses them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from optnas.cost.price import Prices
from optnas.cost.table import TimedBlock, timed_block
from optnas.errors import UsageError
from optnas.whole import whole_file

__all__ = ["KeptBlocks"]

_FORMAT = "optnas latency table 1, unfinished"


class KeptBlocks:
    """A file with a line for each timed block, behind one that says where they were timed.

    Args:
        path: The file; None keeps nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path, self._head = path, ""
        self._begun = False
        self.blocks: dict[str, TimedBlock] = {}
        """By digest."""

    def open(self, prices: Prices) -> Prices:
        """Take over what the same device and runtime timed before, and with it the reference time.

        Times are shares of the reference time, so those of two values of it do not belong into one table.

        Args:
            prices: What times blocks.

        Returns:
            The same, calibrated.

        Raises:
            UsageError: If the runtime is not installed.
            DeviceFailed: If the device does not answer.
        """
        where = {"format": _FORMAT, "runtime": prices.runtime, "device": prices.fingerprint()}
        where = json.loads(json.dumps(where))
        head, self.blocks = self._read(where)
        prices = replace(prices, reference_ms=head["reference_ms"]) if head else prices.calibrated()
        self._head = json.dumps({**where, "reference_ms": prices.reference_ms})
        return prices

    def add(self, name: str, block: TimedBlock) -> None:
        """Keep a block by its digest, in the file too; raises `UsageError` if that cannot be written."""
        self.blocks[name] = block
        if self._path is None:
            return
        try:
            if self._begun:
                with self._path.open("a") as file:
                    file.write(_line(name, block))
                return
            # Anew, without a last line that a killed process wrote half of.
            lines = [f"{self._head}\n", *(_line(*pair) for pair in self.blocks.items())]
            with whole_file(self._path) as beside:
                beside.write_text("".join(lines))
            self._begun = True
        except OSError as error:
            raise UsageError(f"latency table: cannot write {self._path} ({error.strerror})") from None

    def remove(self) -> None:
        """Remove the file, once the table is written."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _read(self, where: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, TimedBlock]]:
        """The first line of the file and its blocks; nothing if there is none or it is from elsewhere."""
        head: dict[str, Any] = {}
        blocks: dict[str, TimedBlock] = {}
        with suppress(
            OSError, ValueError, TypeError, KeyError, RecursionError
        ):  # there is none, or from here on it is not whole
            first, *lines = ([] if self._path is None else self._path.read_text().splitlines()) or ["{}"]
            facts = dict(json.loads(first))
            if where != {name: facts.get(name) for name in where}:
                return {}, {}
            head = {"reference_ms": float(facts["reference_ms"])}
            for line in lines:
                block = json.loads(line)
                blocks[block["digest"]] = timed_block(block)
        return head, blocks


def _line(name: str, block: TimedBlock) -> str:
    return json.dumps({"digest": name, **asdict(block)}) + "\n"
