"""Rows of a table of a damaged SQLite file: all that can still be read, and where some could not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optnas.errors import UsageError

__all__ = ["Salvaged", "is_short", "opened_damaged", "salvage"]

#: Where a row cannot be read, the next ones are tried at distances up to this; a page of Optuna's holds more.
_STRIDE = 16
#: Rows of a page of 4096 bytes at most: of how many a table may consist whose last row cannot be found.
_ROWS_OF_A_PAGE = 512
_MAGIC = b"SQLite format 3\0"
_HEADER, _PAGE_SIZE, _PAGES = 100, slice(16, 18), slice(28, 32)


@dataclass
class Salvaged:
    """Of one table."""

    rows: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    """By the number of the row; text as bytes."""
    gaps: list[tuple[int, int]] = field(default_factory=list)
    """Numbers of the first and the last row of stretches that could not be read; some may never have been."""


def is_short(path: Path) -> bool:
    """Whether the end of a SQLite file is missing, by what its beginning says."""
    with path.open("rb") as file:
        return path.stat().st_size < _size_wanted(file.read(_HEADER))


@contextmanager
def opened_damaged(path: Path, pattern: Path | None = None) -> Iterator[sqlite3.Connection]:
    """A connection to a copy of a damaged file, which is changed: a missing end is filled with zeros.

    Args:
        path: The copy.
        pattern: A new file that the same program made. If the list of tables is lost, this one's takes its place: a
            program makes its tables in the same order, so they begin on the same pages.

    Raises:
        UsageError: If the list of tables is lost and cannot be replaced.
    """
    _fill_up(path)
    try:
        connection = _connected(path)
    except sqlite3.DatabaseError as error:
        if pattern is None or not _graft(path, pattern):
            raise UsageError(f"the list of tables in {path.name} is lost ({error}): take a backup") from None
        try:
            connection = _connected(path)
        except sqlite3.DatabaseError:  # the tables of any storage are not in there
            raise UsageError(f"{path.name} holds nothing of Optuna that could be rescued: take a backup") from None
    try:
        yield connection
    finally:
        connection.close()


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.text_factory = bytes  # it may be no text any more
    try:
        connection.execute("PRAGMA cell_size_check=ON")
        connection.execute("SELECT name, rootpage, sql FROM sqlite_master").fetchall()
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


def _fill_up(path: Path) -> None:
    with path.open("r+b") as file:
        header = file.read(_HEADER)
        size, there, wanted = _page_size(header), path.stat().st_size, _size_wanted(header)
        if there < wanted < 1 << 40:
            file.truncate(there - there % size)  # half a page would be read as a whole one
            file.truncate(wanted)  # SQLite opens no file that is too short


def _graft(path: Path, pattern: Path) -> bool:
    """Give a damaged file the list of tables of another; False if they have pages of other sizes."""
    content = pattern.read_bytes()
    size = _page_size(content[:_HEADER])
    with closing(sqlite3.connect(pattern)) as connection:
        roots = {root for (root,) in connection.execute("SELECT rootpage FROM sqlite_master")}
    with path.open("r+b") as file:
        header = file.read(_HEADER)
        if header[:16] != content[:16]:
            pages = (path.stat().st_size // size).to_bytes(4, "big")
            header = content[: _PAGES.start] + pages + content[_PAGES.stop : _HEADER]
        if _page_size(header) != size:
            return False
        file.seek(0)
        file.write(header + content[_HEADER:size])
        for page in {*range(2, len(content) // size + 1)} - roots:
            file.seek((page - 1) * size)
            file.write(content[(page - 1) * size : page * size])
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)  # of pages that are no more
    return True


def salvage(connection: sqlite3.Connection, table: str, columns: list[str]) -> Salvaged:
    """Read the columns of a table row by row, around what cannot be read.

    Args:
        connection: See `opened_damaged`.
        table: One with whole numbers for rows, as all of Optuna's have.
        columns: Their names.
    """
    found = Salvaged()
    quoted = ", ".join(f'"{column}"' for column in columns)
    # Not by an index, which has pages of its own.
    query = f'SELECT rowid, {quoted} FROM "{table}" NOT INDEXED WHERE rowid >= ? ORDER BY rowid'
    place, last = 1, _last(connection, table)
    while True:
        try:
            for number, *row in connection.execute(query, (place,)):
                if number < place:
                    raise sqlite3.DatabaseError("rows out of order")
                found.rows[number] = tuple(row)
                place = number + 1
            if last is not None and place <= last:
                raise sqlite3.DatabaseError("rows are missing at the end")
            return found
        except (sqlite3.DatabaseError, OverflowError):
            after = _next_readable(connection, query, place, last if last is not None else _guess(connection, place))
        if after is None:
            found.gaps.append((place, last if last is not None else place))
            return found
        found.gaps.append((place, after - 1))
        place = after


def _next_readable(connection: sqlite3.Connection, query: str, place: int, last: int) -> int | None:
    """The first number from which rows can be read again, as near as a few; None if there is none."""

    def readable(start: int) -> bool:
        try:
            # Past the end nothing is read, and nothing fails.
            row = connection.execute(f"{query} LIMIT 1", (start,)).fetchone()
            return row is not None and row[0] >= start
        except (sqlite3.DatabaseError, OverflowError):
            return False

    bad, step = place, 1
    while bad <= last:
        good = bad + step
        if readable(good):
            while good - bad > 1:
                middle = (bad + good) // 2
                bad, good = (bad, middle) if readable(middle) else (middle, good)
            return good
        bad, step = good, min(2 * step, _STRIDE)
    return None


def _last(connection: sqlite3.Connection, table: str) -> int | None:
    try:
        found = connection.execute(f'SELECT max(rowid) FROM "{table}"').fetchone()[0]
    except sqlite3.DatabaseError:
        return None
    return int(found or 0)


def _guess(connection: sqlite3.Connection, place: int) -> int:
    pages = int(connection.execute("PRAGMA page_count").fetchone()[0])
    return place + pages * _ROWS_OF_A_PAGE


def _size_wanted(header: bytes) -> int:
    """How many bytes a file has by what its beginning says; 0 if that is lost, and anything may stand there."""
    size = _page_size(header)
    if header[: len(_MAGIC)] != _MAGIC or size < 512 or size & (size - 1):
        return 0
    return size * int.from_bytes(header[_PAGES], "big")


def _page_size(header: bytes) -> int:
    size = int.from_bytes(header[_PAGE_SIZE], "big")
    return 65536 if size == 1 else size
