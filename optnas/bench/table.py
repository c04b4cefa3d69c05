"""Tables with known answers: every network of a space, what it costs and what it learned."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TextIO

import moocore
import numpy as np
from numpy.typing import NDArray

from optnas.errors import UsageError

__all__ = ["Answers", "Table", "load_table"]

Array = NDArray[np.float64]

#: Begins the name of a column that is a choice.
_CHOICE = "x_"
#: Characters of a table that are read at most: hundreds of times NAS-Bench-201.
_MOST_SIGNS = 1 << 29
#: The worst error that counts, as a quantile: networks at chance level would stretch the hypervolume.
_WORST_ERROR = 0.9


@dataclass(frozen=True)
class Table:
    """The networks of a table."""

    networks: Sequence[dict[str, str]]
    """Params: the option of each choice, by name."""
    columns: dict[str, Array]
    """Every number, by name: (n,), smaller is better."""

    @cached_property
    def options(self) -> dict[str, list[str]]:
        """The options of each choice that occur, in order."""
        names = self.networks[0]
        return {name: sorted({network[name] for network in self.networks}, key=_order) for name in names}

    def row_of(self, network: Mapping[str, str]) -> int | None:
        """The row of a network of this space, or None if the table holds only others."""
        return self._rows.get(tuple(network[name] for name in self.networks[0]))

    @cached_property
    def _rows(self) -> dict[tuple[str, ...], int]:
        names = list(self.networks[0])
        return {tuple(network[name] for name in names): row for row, network in enumerate(self.networks)}

    def answers(self, objectives: Sequence[str]) -> Answers:
        """What a search for these objectives can find.

        Raises:
            UsageError: If there are fewer than two objectives or one is not a column.
        """
        for name in objectives:
            if name not in self.columns:
                raise UsageError(
                    f"objective {name!r}: expected a column of the table, one of {', '.join(self.columns)}"
                )
        if len(objectives) < 2 or len(set(objectives)) < len(objectives):
            raise UsageError(f"objectives: expected two or more different columns, got {','.join(objectives)!r}")
        return Answers(self, objectives)

    def searched(self, objectives: Sequence[str]) -> Answers:
        """The same, for a search that is measured by the hypervolume it finds.

        Raises:
            UsageError: As `answers`, or if the table has no hypervolume.
        """
        answers = self.answers(objectives)
        if not answers.whole > 0:
            raise UsageError(
                f"objectives {','.join(objectives)}: expected a network below the 90th percentile of "
                f"{answers.learned} and the greatest of each cost, got none in the table, so there is no hypervolume "
                "to find"
            )
        return answers


class Answers:
    """The true front of a table, and how much of it some networks cover.

    The learned objective is `error`, or the first if there is none of this name; the others are costs. Losses
    are scaled so that the least is 0 and that 1 is the 90th percentile of the error and the greatest cost; 1
    is the reference of the hypervolume.
    """

    def __init__(self, table: Table, objectives: Sequence[str]) -> None:
        self.objectives = tuple(objectives)
        self.learned = "error" if "error" in objectives else objectives[0]
        self.values = np.column_stack([table.columns[name] for name in objectives])
        """(n, k) in the table's units."""
        low, high = self.values.min(axis=0), self.values.max(axis=0)
        column = self.objectives.index(self.learned)
        high[column] = np.quantile(self.values[:, column], _WORST_ERROR)
        self._losses = (self.values - low) / np.where(high > low, high - low, 1.0)
        self._reference = np.ones(len(objectives))
        self.whole = self._dominated(self._losses)
        """The scaled hypervolume of all networks, 0 to 1; 0 if none is below the reference in every objective."""
        kept = moocore.is_nondominated(self._losses) if len(self._losses) > 1 else [True]
        self.front = np.unique(self._losses[kept], axis=0)
        """(f, k) the distinct scaled losses of the true front."""

    def hypervolume(self, rows: Sequence[int]) -> float:
        """The share of the table's hypervolume that its networks `rows` cover."""
        return self._dominated(self._losses[list(rows)]) / self.whole if len(rows) else 0.0

    def recall(self, rows: Sequence[int]) -> float:
        """The share of the true front that is among the networks `rows`; those of equal values are one."""
        found = {tuple(losses) for losses in self._losses[list(rows)]}
        return sum(tuple(losses) in found for losses in self.front) / len(self.front)

    def _dominated(self, losses: Array) -> float:
        return float(moocore.hypervolume(losses, ref=self._reference))


def load_table(path: str | Path) -> Table:
    """Read a csv file, gzipped or not: columns that begin with `x_` are choices, all others numbers.

    Raises:
        UsageError: If the file cannot be read, a column or a number is missing, or two rows are one network.
    """
    path = Path(path)
    try:
        with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as file:
            reader = csv.DictReader(_lines(file))
            names, rows = list(reader.fieldnames or ()), list(reader)
    except FileNotFoundError:
        raise UsageError(f"table {path}: expected a csv file, got a path that does not exist") from None
    except (OSError, UnicodeDecodeError, EOFError, zlib.error, csv.Error) as error:
        raise UsageError(f"table {path}: expected a csv file, got {type(error).__name__}: {error}") from None
    choices = [name for name in names if name.startswith(_CHOICE)]
    numbers = [name for name in names if not name.startswith(_CHOICE)]
    if not choices or not numbers or not rows:
        raise UsageError(
            f"table {path}: expected rows with columns {_CHOICE}* and numbers, "
            f"got {len(rows)} rows of {', '.join(names) or 'nothing'}"
        )
    if len(set(names)) < len(names):
        raise UsageError(f"table {path}: expected different names of columns, got {', '.join(names)}")
    seen: dict[tuple[str, ...], int] = {}
    values = np.empty((len(rows), len(numbers)))
    for index, row in enumerate(rows):
        line = index + 2
        if None in row or any(row[name] is None for name in choices):
            raise UsageError(f"table {path}: line {line}: expected {len(names)} columns, got more or fewer")
        network = tuple(row[name] for name in choices)
        if seen.setdefault(network, line) != line:
            raise UsageError(f"table {path}: expected each network once, got lines {seen[network]} and {line}")
        for column, name in enumerate(numbers):
            values[index, column] = _number(row[name], f"table {path}: line {line}, column {name}")
    networks = [{name: row[name] for name in choices} for row in rows]
    return Table(networks, {name: values[:, column] for column, name in enumerate(numbers)})


def _lines(file: TextIO) -> Iterator[str]:
    """The lines, as long as they are those of a table: a few kilobytes of gzip may hold any number."""
    read = 0
    while line := file.readline(_MOST_SIGNS):
        read += len(line)
        if read > _MOST_SIGNS:
            raise csv.Error(f"expected at most {_MOST_SIGNS:,} characters, got more")
        yield line


def _number(text: str | None, where: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise UsageError(f"{where}: expected a finite number, got {text!r}")
    return value


def _order(option: str) -> tuple[float, str]:
    try:
        return float(option), option
    except ValueError:
        return float("inf"), option
