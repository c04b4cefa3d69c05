"""`optnas studies`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from math import isfinite
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from optnas.cli.command import STORAGE, add_command
from optnas.keeping.merge import as_address
from optnas.keeping.overview import StudyRow, overview, storage_bytes
from optnas.printable import printable
from optnas.study import open_storage, shown_storage

__all__ = ["add"]

_COUNTS = ("trained", "pruned", "refused", "failed", "running")
#: Columns of a line that is not on a terminal.
_ROOM = 250
#: Of a study's name in the table.
_MOST_SIGNS, _LEAST_SIGNS = 40, 12
#: Columns whose cells may take several lines, broken between words.
_WRAPPED = ("study", "objectives")
#: Columns that make room on a narrow terminal, the first first.
_LEAST_TOLD = ("checkpoints", "weights", "data", "refused", "failed", "running", "hypervolume", "pruned")
_ALWAYS = ("study", "data", "objectives", "trained", "error", "activity")


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "studies", _studies, "all studies of a storage, and how far each is")
    parser.add_argument("--storage", default=STORAGE, help="a SQLite file or an address (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="an object on standard output")


def _studies(given: argparse.Namespace) -> int:
    storage = as_address(given.storage)
    rows = overview(open_storage(storage, read_only=True), storage)
    size_bytes = storage_bytes(storage)
    if given.json:
        found = {"storage": shown_storage(storage), "size_bytes": size_bytes, "studies": [_plain(row) for row in rows]}
        print(json.dumps(found, indent=2))
        return 0
    console = Console(highlight=False, markup=False)
    where = printable(shown_storage(storage))
    if not rows:
        console.print(f"{where}: there is no study in it yet", soft_wrap=True)
        return 0
    size = "" if size_bytes is None else f" ({_size(size_bytes)})"
    plural = "study" if len(rows) == 1 else "studies"
    console.print(f"{where}{size}: {len(rows)} {plural}", soft_wrap=True)
    # What is no terminal, such as a file, has room for all.
    width = console.width if console.is_terminal else max(console.width, _ROOM)
    table, without = _table(rows, datetime.now(), width)
    console.print(table, width=width, crop=False)
    if without:
        console.print(f"no room for {', '.join(without)}: a wider terminal or --json shows them")
    return 0


def _table(rows: Sequence[StudyRow], now: datetime, width: int) -> tuple[Table, Sequence[str]]:
    """A row each, and the columns that have no room; one that says nothing of any study is left out and not told."""
    cells = [_cells(row, now) for row in rows]
    shown = [name for name in cells[0] if name in _ALWAYS or any(row[name] not in ("0", "-") for row in cells)]
    texts = [{name: printable(row[name]) for name in shown} for row in cells]
    for row in texts:
        row["study"] = _shortened(row["study"])
    kept = list(shown)
    for name in _LEAST_TOLD:
        if _width(kept, texts) > width and name in kept:
            kept.remove(name)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in kept:
        is_number = name not in ("study", "data", "objectives")
        table.add_column(
            name, justify="right" if is_number else "left", overflow="fold", no_wrap=name not in _WRAPPED,
            min_width=_needed(name, texts),
        )  # fmt: skip
    for row in texts:
        # As Text: brackets in a name are no markup.
        table.add_row(*(Text(row[name]) for name in kept))
    return table, [name for name in shown if name not in kept]


def _width(names: Sequence[str], texts: Sequence[Mapping[str, str]]) -> int:
    """Signs that columns take at least, with two between them."""
    return sum(_needed(name, texts) + 2 for name in names) - 2


def _needed(name: str, texts: Sequence[Mapping[str, str]]) -> int:
    """Signs that a column takes without breaking a word; a study's name may break."""
    if name == "study":
        return min(max(cell_len(row[name]) for row in texts), _LEAST_SIGNS)
    cells = [row[name].split() if name in _WRAPPED else [row[name]] for row in texts]
    return max(cell_len(word) for words in (*cells, [name]) for word in words or [""])


def _shortened(text: str) -> str:
    """A long name leaves the other columns their place; --json has all of it."""
    return text if len(text) <= _MOST_SIGNS else f"{text[: _MOST_SIGNS - 1]}\N{HORIZONTAL ELLIPSIS}"


def _cells(row: StudyRow, now: datetime) -> dict[str, str]:
    kept = {
        name: f"{count}, {_size(size)}" if count else "-"
        for name, count, size in (
            ("weights", row.weights, row.weights_bytes),
            ("checkpoints", row.checkpoints, row.checkpoints_bytes),
        )
    }
    return {
        "study": row.name,
        "data": row.data or "-",
        "objectives": ", ".join(row.objectives),
        **{name: str(getattr(row, name)) for name in _COUNTS},
        "front": str(row.front),
        "error": "-" if row.least_error is None else f"{row.least_error:.2%}",
        "hypervolume": "-" if row.hypervolume is None else f"{row.hypervolume:.3f}",
        **kept,
        "activity": "searched now" if row.searched else _age(row.last_activity, now),
    }


def _plain(row: StudyRow) -> dict[str, Any]:
    last, error = row.last_activity, row.least_error
    return {
        **asdict(row),
        "last_activity": None if last is None else last.astimezone().isoformat(),
        "least_error": error if error is not None and isfinite(error) else None,
    }


def _age(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return "-"
    seconds = max(0.0, (now - moment).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length or (unit == "min" and seconds >= length):
            return f"{seconds / length:.0f} {unit} ago"
    return "just now"


def _size(size_bytes: int) -> str:
    for unit, length in (("GB", 1e9), ("MB", 1e6)):
        if size_bytes >= length:
            return f"{size_bytes / length:.1f} {unit}"
    return f"{size_bytes / 1e3:.0f} kB"
