"""Where a study is kept: a file that survives a kill, checked before it is trusted."""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy import event

from optnas.credentials import hide_in_logs
from optnas.errors import UsageError, first_line
from optnas.printable import shell_word
from optnas.sampler.warm import silent
from optnas.study.addresses import (
    check_place,
    check_storage,
    journal_path,
    shown_storage,
    sqlite_address,
    sqlite_path,
)
from optnas.study.journal import cut_halves, is_journal, open_journal, read_lines
from optnas.study.locks import coordinate
from optnas.study.postgres import engine_settings, is_postgresql, one_at_a_time, tune
from optnas.study.schema import is_made, names_in, tables_of, upgrade
from optnas.study.snapshot import snapshot
from optnas.study.write_behind import WriteBehindStorage

__all__ = ["closed_if_it_fails", "mend_journal", "open_storage", "upgrade_tables"]


def open_storage(
    storage: str, *, create: bool = True, read_only: bool = False, say: Callable[[str], None] = silent
) -> BaseStorage:
    """An Optuna storage from its address; a SQLite file is set to write-ahead logging.

    What a search writes into a running trial is gathered on SQLite and PostgreSQL, see `WriteBehindStorage`.

    Args:
        storage: "sqlite:///FILE", "journal:///FILE", another address that Optuna knows, or "memory" for none.
        create: Whether a file that does not exist is made, and a SQLite file of an older Optuna upgraded.
        read_only: For who writes nothing, and need not be allowed to: of a SQLite file a copy is opened, with the
            studies as they are now, and the file stays as it is. The copy goes with the storage.
        say: Told of an upgrade.

    Raises:
        UsageError: If the file is of another kind, cannot be written, belongs to something else or to another Optuna.
    """
    if storage == "memory":
        return optuna.storages.InMemoryStorage()
    journal, path = journal_path(storage), sqlite_path(storage)
    if journal is not None:
        check_place(journal, create and not read_only, "a journal of Optuna", write=not read_only)
        return open_journal(journal)
    if path is None:
        check_storage(storage)
        hide_in_logs()
        return _open_postgresql(storage) if is_postgresql(storage) else _open(storage, {"pool_pre_ping": True})
    if read_only:
        return _open_copy(path)
    opened = _open_sqlite(path, create)
    tables = tables_of(opened)
    if tables.age == "older" and create:
        opened.engine.dispose()
        say(upgrade_tables(storage))
        opened = _open_sqlite(path, create)
    elif tables.age != "same":
        opened.engine.dispose()
        helps = {
            "older": f"optnas doctor --storage {shell_word(storage)} --mend upgrades them and keeps a copy",
            "newer": "install that Optuna",
        }
        raise UsageError(f"storage {path}: {tables}: {helps[tables.age]}")
    event.listen(opened.engine, "connect", _tune)
    opened.engine.dispose()
    return WriteBehindStorage(opened)


def _open_copy(path: Path) -> BaseStorage:
    """A copy of a SQLite file, of which an older Optuna's is upgraded."""
    check_place(path, False, "a SQLite file", write=False)
    _check_header(path)
    with ExitStack() as stack:
        copied = stack.enter_context(snapshot(path))
        try:
            opened = open_storage(sqlite_address(copied))
        except UsageError as error:
            raise UsageError(str(error).replace(str(copied), str(path))) from None
        assert isinstance(opened, WriteBehindStorage)
        stack.callback(opened.engine.dispose)
        weakref.finalize(opened, stack.pop_all().close)
    return opened


def upgrade_tables(storage: str) -> str:
    """Bring a SQLite file of an older Optuna to the tables of the installed one, see `upgrade`.

    Raises:
        UsageError: If it cannot be upgraded, or a search holds one of its studies.
    """
    path = sqlite_path(storage)
    assert path is not None
    with ExitStack() as held:
        for name in names_in(path):
            held.enter_context(coordinate(storage, name))
        return upgrade(path)


def mend_journal(storage: str) -> str:
    """Take what was half written out of a journal; returns a sentence that says so.

    Raises:
        UsageError: If the journal cannot be written, or a search holds one of its studies.
    """
    path = journal_path(storage)
    assert path is not None
    with ExitStack() as held:
        for name in dict.fromkeys(read_lines(path).studies):
            held.enter_context(coordinate(storage, name))
        kept = cut_halves(path)
    return f"took what was half written out of {path}; the file as it was is {kept}"


def _open_sqlite(path: Path, create: bool) -> RDBStorage:
    """With tables of whatever version."""
    made = _check_file(path, create) and is_made(path)
    return _open(sqlite_address(path), {"connect_args": {"timeout": 60}}, any_tables=True, made=made)


@contextmanager
def closed_if_it_fails(storage: BaseStorage) -> Iterator[None]:
    """Close the connections of a storage where the block raises: nobody is handed a study then."""
    try:
        yield
    except BaseException:
        if isinstance(storage, WriteBehindStorage):
            storage.remove_session()
            storage.engine.dispose()
        raise


def _open_postgresql(storage: str) -> WriteBehindStorage:
    try:
        # Two that make the tables at the same moment would fail on each other's.
        with one_at_a_time(storage, "the tables are made"):
            opened = _open(storage, engine_settings(storage))
    except UsageError:
        raise
    except Exception as error:
        raise _cannot_open(storage, error) from None
    tune(opened.engine)
    opened.remove_session()
    opened.engine.dispose()
    return WriteBehindStorage(opened)


def _open(storage: str, engine_kwargs: dict[str, Any], *, any_tables: bool = False, made: bool = False) -> RDBStorage:
    try:
        return RDBStorage(
            storage, engine_kwargs=engine_kwargs, skip_compatibility_check=any_tables, skip_table_creation=made
        )
    except Exception as error:
        raise _cannot_open(storage, error) from None


def _cannot_open(storage: str, error: Exception) -> UsageError:
    shown = shown_storage(storage)
    if isinstance(error, ImportError) and is_postgresql(storage):
        return UsageError(
            f'storage {shown}: the driver of PostgreSQL is missing: pip install "optnas[postgresql]", and give the '
            "address as postgresql+psycopg://USER@HOST/DATABASE"
        )
    return UsageError(f"storage {shown}: cannot be opened: {first_line(getattr(error, 'orig', None) or error)}")


def _tune(connection: sqlite3.Connection, record: object) -> None:
    # With write-ahead logging a commit survives a killed process without waiting for the disk; readers, the
    # dashboard among them, do not block the search.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    # Views and triggers of a file from elsewhere call no functions but those that do nothing else than compute.
    connection.execute("PRAGMA trusted_schema=OFF")


def _check_file(path: Path, create: bool) -> bool:
    """Whether a SQLite file has tables."""
    if not check_place(path, create, "a SQLite file") or not _check_header(path):
        return False
    try:
        with closing(sqlite3.connect(path)) as connection:
            rows = connection.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall()
    except sqlite3.DatabaseError as error:
        raise UsageError(f"storage {path}: the database cannot be read: {error}") from None
    tables = {row[0] for row in rows}
    if tables and not {"studies", "trials", "version_info"} <= tables:
        shown = ", ".join(sorted(tables)[:3])
        raise UsageError(f"storage {path}: the database belongs to something else (its tables: {shown})")
    return bool(tables)


def _check_header(path: Path) -> bool:
    """Whether there is anything in a SQLite file."""
    try:
        with path.open("rb") as file:
            header = file.read(16)
    except OSError as error:
        raise UsageError(f"storage {path}: cannot be read: {error.strerror or error}") from None
    if header and not header.startswith(b"SQLite format 3"):
        which = f"a journal, whose address is journal:///{path}" if is_journal(path) else "another kind of file"
        raise UsageError(f"storage {path}: expected a SQLite database of Optuna, got {which}")
    return bool(header)
