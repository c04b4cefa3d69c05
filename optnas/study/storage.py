"""Where a study is kept: a SQLite file that survives a kill, checked before it is trusted."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy import event

from optnas.credentials import check_address, hide_in_logs, shown_address
from optnas.errors import UsageError
from optnas.study.write_behind import WriteBehindStorage

__all__ = [
    "artifacts_folder",
    "checkpoints_folder",
    "coordinate",
    "open_storage",
    "shown_storage",
    "sqlite_path",
    "weights_folder",
]

_SQLITE = "sqlite:///"


def sqlite_path(storage: str) -> Path | None:
    """The file of a `sqlite:///` address, or None for any other address."""
    return Path(storage.removeprefix(_SQLITE)) if storage.startswith(_SQLITE) else None


def shown_storage(storage: str) -> str:
    """An address as it may stand in a report: without the password that it may hold."""
    return shown_address(storage)


def open_storage(storage: str, *, create: bool = True) -> BaseStorage:
    """An Optuna storage from its address; a SQLite file is set to write-ahead logging.

    What a search writes into a running trial is gathered on SQLite and PostgreSQL, see `WriteBehindStorage`.

    Args:
        storage: "sqlite:///FILE", another address that Optuna knows, or "memory" for none.
        create: Whether a file that does not exist is made.

    Raises:
        UsageError: If the file is no SQLite database, cannot be written, or belongs to something else.
    """
    if storage == "memory":
        return optuna.storages.InMemoryStorage()
    path = sqlite_path(storage)
    if path is None:
        if "://" not in storage:
            shown = shown_storage(storage)
            raise UsageError(f"storage: expected an address such as sqlite:///optnas.db, got {shown!r}")
        wrong = check_address(storage)
        if wrong:
            raise UsageError(f"storage: {wrong}, got {shown_storage(storage)!r}")
        hide_in_logs()
        opened = _open(storage, {"pool_pre_ping": True})  # a server may be started anew while networks train
        return WriteBehindStorage(opened) if opened.engine.name == "postgresql" else opened
    _check_file(path, create)
    opened = _open(storage, {"connect_args": {"timeout": 60}})
    event.listen(opened.engine, "connect", _tune)
    opened.engine.dispose()
    return WriteBehindStorage(opened)


def _open(storage: str, engine_kwargs: dict[str, Any]) -> RDBStorage:
    try:
        return RDBStorage(storage, engine_kwargs=engine_kwargs)
    except Exception as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise UsageError(f"storage {shown_storage(storage)}: cannot be opened: {reason}") from None


def _tune(connection: sqlite3.Connection, record: object) -> None:
    # With write-ahead logging a commit survives a killed process without waiting for the disk; readers, the
    # dashboard among them, do not block the search.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _check_file(path: Path, create: bool) -> None:
    if not path.exists():
        if not create:
            raise UsageError(f"storage {path}: there is no such file")
        if not path.parent.is_dir():
            raise UsageError(f"storage {path}: the folder {path.parent} does not exist")
        if not os.access(path.parent, os.W_OK):
            raise UsageError(f"storage {path}: the folder {path.parent} cannot be written")
        return
    if path.is_dir():
        raise UsageError(f"storage {path}: expected a SQLite file, got a folder")
    mode = path.stat().st_mode
    if not mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) or not os.access(path, os.W_OK):
        raise UsageError(f"storage {path}: the file is read-only")
    with path.open("rb") as file:
        header = file.read(16)
    if header and not header.startswith(b"SQLite format 3"):
        raise UsageError(f"storage {path}: expected a SQLite database of Optuna, got another kind of file")
    if header:
        try:
            with closing(sqlite3.connect(path)) as connection:
                rows = connection.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall()
        except sqlite3.DatabaseError as error:
            raise UsageError(f"storage {path}: the database cannot be read: {error}") from None
        tables = {row[0] for row in rows}
        if tables and not {"studies", "trials", "version_info"} <= tables:
            shown = ", ".join(sorted(tables)[:3])
            raise UsageError(f"storage {path}: the database belongs to something else (its tables: {shown})")


def weights_folder(storage: str, study_name: str) -> Path | None:
    """Where the trained weights of a study are kept, beside its SQLite file; None for another storage.

    Studies never share a folder, whatever signs are in their names and even where file names ignore case.
    """
    return _beside(storage, "weights", study_name)


def checkpoints_folder(storage: str, study_name: str) -> Path | None:
    """Where a study's running trainings leave their checkpoints if nothing else is said; as `weights_folder`."""
    return _beside(storage, "checkpoints", study_name)


def _beside(storage: str, what: str, study_name: str) -> Path | None:
    path = sqlite_path(storage)
    if path is None:
        return None
    path = path.resolve()  # one file may have several names
    return path.with_name(f"{path.name}-{what}") / safe_name(study_name)


def artifacts_folder(storage: str) -> Path | None:
    """Where optuna-dashboard finds the pictures of a storage's trials: beside a SQLite file, in the working folder for
    another storage, and nowhere for one in memory."""
    if storage == "memory":
        return None
    path = sqlite_path(storage)
    if path is None:
        return Path("optnas-artifacts")
    path = path.resolve()  # one file may have several names
    return path.with_name(f"{path.name}-artifacts")


def safe_name(name: str) -> str:
    """A name for a file, another one for each name."""
    safe = re.sub(r"[^a-z0-9_-]+", "_", name.lower())[:60]
    return safe if safe == name != "" else f"{safe}-{hashlib.blake2b(name.encode(), digest_size=6).hexdigest()}"


def lock_path(storage: str, study_name: str) -> Path | None:
    """The file by which a search holds a study, see `coordinate`; None where there is none."""
    path = sqlite_path(storage)
    if path is None:
        return None
    path = path.resolve()  # one file may have several names
    digest = hashlib.blake2b(study_name.encode(), digest_size=6).hexdigest()
    return path.with_name(f"{path.name}.{digest}.lock")


@contextmanager
def coordinate(storage: str, study_name: str) -> Iterator[None]:
    """Hold a study for one coordinator: two on one SQLite file would run the same trials.

    The lock goes with the process, however it ends.

    Raises:
        UsageError: If another process holds the study.
    """
    path, held_by = sqlite_path(storage), lock_path(storage, study_name)
    if path is None or held_by is None:
        yield
        return
    lock = FileLock(held_by, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UsageError(
            f"study {study_name!r} in {path.resolve()} is being searched by another process on {socket.gethostname()}: "
            "wait for it, or give --study another name"
        ) from None
    try:
        yield
    finally:
        held_by.unlink(missing_ok=True)
        lock.release()
