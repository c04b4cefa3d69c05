"""The tables of a SQLite file against those of the installed Optuna; older ones are upgraded, and a copy is kept."""

from __future__ import annotations

import logging
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from optuna.storages import RDBStorage
from optuna.version import __version__ as optuna_version

from optnas.errors import UsageError, first_line
from optnas.study.addresses import sqlite_address

__all__ = ["Tables", "copy_database", "is_made", "names_in", "set_aside", "tables_of", "upgrade"]

_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Tables:
    """The version of a storage's tables, as Optuna counts them."""

    version: str
    expected: str
    """That of the installed Optuna."""
    age: Literal["same", "older", "newer"]

    def __str__(self) -> str:
        if self.age == "same":
            return f"the tables are those of Optuna {optuna_version}"
        return (
            f"the tables are those of {'an' if self.age == 'older' else 'a'} {self.age} Optuna: expected "
            f"{self.expected} of the installed {optuna_version}, got {self.version}"
        )


def tables_of(opened: RDBStorage) -> Tables:
    """What version the tables of a storage have that was opened without a check of that."""
    version, expected = opened.get_current_version(), opened.get_head_version()
    if version == expected:
        return Tables(version, expected, "same")
    return Tables(version, expected, "older" if version in opened.get_all_versions() else "newer")


def is_made(path: Path) -> bool:
    """Whether a SQLite file has all tables of some Optuna: of an older one, those that are new must not be added.

    Optuna writes its version when the tables are there; a process may have been killed before.

    Raises:
        UsageError: If the file cannot be read.
    """
    return bool(_rows(path, "SELECT schema_version FROM version_info"))


def names_in(path: Path) -> list[str]:
    """The names of the studies in a SQLite file, of whatever Optuna.

    Raises:
        UsageError: If the file cannot be read.
    """
    return [str(row[0]) for row in _rows(path, "SELECT study_name FROM studies")]


def upgrade(path: Path) -> str:
    """Bring a SQLite file to the tables of the installed Optuna; returns a sentence that says so.

    Optuna alters tables one by one, and a kill between two would leave a file that no Optuna reads. So a copy is
    upgraded, and all its pages are brought back in one transaction. The file as it was stays beside it. Nobody else
    may write meanwhile.

    Raises:
        UsageError: If it cannot be upgraded; it is then as before.
    """
    try:
        with (
            tempfile.TemporaryDirectory(prefix=f"{path.name}.upgrade-", dir=path.resolve().parent) as folder,
            closing(sqlite3.connect(path, timeout=_PATIENCE_SECONDS)) as there,
        ):
            before, upgraded = Path(folder) / "before.db", Path(folder) / "upgraded.db"
            seen = _changes(there)
            copy_database(path, before)
            copy_database(before, upgraded)
            old, new = _upgrade_copy(upgraded)
            kept = set_aside(before, path, old)
            if _changes(there) != seen:
                kept.unlink()
                raise UsageError(f"storage {path}: another process writes to it, so that it cannot be upgraded now")
            with closing(sqlite3.connect(upgraded)) as source:
                source.backup(there, progress=_patience())
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"storage {path}: cannot be upgraded ({first_line(error)}); it is as before") from None
    return f"storage {path}: upgraded the tables of an older Optuna from {old} to {new}; the file as it was is {kept}"


def copy_database(source: Path, target: Path) -> None:
    """Copy a SQLite file as it is at one moment, while others may write.

    Raises:
        sqlite3.Error: If it cannot be read, or the copy not be written.
    """
    address = f"{source.resolve().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE_SECONDS)) as opened,
        closing(sqlite3.connect(target)) as copied,
    ):
        opened.backup(copied, progress=_patience())


def set_aside(copied: Path, path: Path, mark: str) -> Path:
    """Move a copy of a file beside it, to a name that nothing has: FILE.backup-MARK, FILE.backup-MARK-2 and so on.

    Args:
        copied: The copy, in the same file system.
        path: The file.
        mark: Says which copy it is.
    """
    number = 1
    while True:
        kept = path.with_name(f"{path.name}.backup-{mark}" + (f"-{number}" if number > 1 else ""))
        with suppress(FileExistsError):
            os.close(os.open(kept, os.O_CREAT | os.O_EXCL | os.O_WRONLY))  # now the name is ours
            os.replace(copied, kept)
            return kept
        number += 1


def _upgrade_copy(path: Path) -> tuple[str, str]:
    opened = RDBStorage(sqlite_address(path), skip_compatibility_check=True, skip_table_creation=True)
    # Where nobody listens to logs, Alembic would set that up for the whole process, and tell a person each step.
    unheard = logging.NullHandler()
    logging.getLogger().addHandler(unheard)
    try:
        old = opened.get_current_version()
        opened.upgrade()
        return old, opened.get_current_version()
    finally:
        logging.getLogger().removeHandler(unheard)
        opened.remove_session()
        opened.engine.dispose()


def _rows(path: Path, query: str) -> list[tuple[object, ...]]:
    try:
        with closing(sqlite3.connect(path, timeout=_PATIENCE_SECONDS)) as connection:
            return connection.execute(query).fetchall()
    except sqlite3.DatabaseError as error:
        raise UsageError(f"storage {path}: the database cannot be read: {error}") from None


def _changes(connection: sqlite3.Connection) -> int:
    """Another number once somebody else has written."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


def _patience() -> Callable[[int, int, int], None]:
    """Ends a copy that waits for a lock, which SQLite would do for ever."""
    deadline = time.monotonic() + _PATIENCE_SECONDS

    def progress(status: int, remaining: int, total: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() > deadline:
            raise sqlite3.OperationalError("database is locked")

    return progress
