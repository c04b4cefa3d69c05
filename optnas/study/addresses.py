"""Addresses of storages, and the files that some of them name."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from urllib.parse import quote, unquote

from optnas.credentials import check_address, shown_address
from optnas.errors import UsageError

__all__ = [
    "check_place",
    "check_storage",
    "journal_path",
    "shown_storage",
    "sqlite_address",
    "sqlite_path",
    "storage_file",
]

#: What has a meaning of its own in an address of SQLAlchemy, and the braces that Optuna fills in.
_MEANINGFUL = re.compile(r"[%?{}]")
_JOURNAL = "journal:///"

#: File systems take 255; what is kept beside a file is called after it, with more behind.
_MOST_NAME_BYTES = 200


def sqlite_path(storage: str) -> Path | None:
    """The file of a SQLite address, the same that SQLAlchemy takes; None for any other address.

    Raises:
        UsageError: If the address is one of SQLite and names no file, or more than a file: what stands behind a `?`
            would be another address of the same file, with a lock of its own.
    """
    scheme, separator, rest = storage.partition("://")
    kind, _, driver = scheme.partition("+")
    if kind != "sqlite" or not separator:
        return None
    if "?" in rest:
        raise UsageError(
            f"storage: expected sqlite:///FILE and nothing behind a ?, got {shown_storage(storage)!r}: "
            "in the name of a file it is written %3F"
        )
    file = unquote(rest.removeprefix("/"))
    if driver not in ("", "pysqlite") or not rest.startswith("/") or file in ("", ":memory:"):
        raise UsageError(
            f"storage: expected memory or a file such as sqlite:///optnas.db, got {shown_storage(storage)!r}"
        )
    return Path(file)


def sqlite_address(path: Path | str) -> str:
    """The address of a SQLite file, whatever signs are in its name."""
    return "sqlite:///" + _MEANINGFUL.sub(lambda sign: quote(sign[0]), str(path))


def journal_path(storage: str) -> Path | None:
    """The file of a `journal:///` address, or None for any other address."""
    return Path(storage.removeprefix(_JOURNAL)) if storage.startswith(_JOURNAL) else None


def storage_file(storage: str) -> Path | None:
    """The file of an address, beside which the rest of a study is kept: a SQLite file or a journal; None for others."""
    return sqlite_path(storage) or journal_path(storage)


def shown_storage(storage: str) -> str:
    """An address as it may stand in a report: without the password that it may hold."""
    return shown_address(storage)


def check_storage(storage: str) -> None:
    """Refuse what is no address of a storage, or of one that cannot be trusted.

    Raises:
        UsageError: In these cases.
    """
    scheme, separator, _ = storage.partition("://")
    shown = shown_storage(storage)
    if not separator:
        raise UsageError(f"storage: expected an address such as sqlite:///optnas.db, got {shown!r}")
    if scheme == "journal":
        raise UsageError(f"storage: expected journal:///FILE, got {shown!r}")
    if scheme in ("redis", "rediss"):
        raise UsageError(
            f"storage: expected sqlite:///FILE, journal:///FILE or the address of a database, got {shown!r}: what "
            "Optuna keeps in Redis are pickles, and to read one runs whatever code is in it"
        )
    wrong = check_address(storage)
    if wrong:
        raise UsageError(f"storage: {wrong}, got {shown!r}")


def check_place(path: Path, create: bool, expected: str, *, write: bool = True) -> bool:
    """Whether there is a file of a storage.

    Args:
        path: The file.
        create: Whether one is made that is not there.
        expected: What it should be, for the message.
        write: Whether it will be written.

    Raises:
        UsageError: If it, or the folder that it would come into, cannot be written, or is not there.
    """
    try:
        exists = path.exists()
    except OSError as error:  # such as a name that is too long
        raise UsageError(f"storage {path}: {error.strerror or error}") from None
    if not exists:
        if not create:
            raise UsageError(f"storage {path}: there is no such file")
        if len(os.fsencode(path.name)) > _MOST_NAME_BYTES:
            raise UsageError(
                f"storage {path}: expected a name of at most {_MOST_NAME_BYTES} bytes, since files beside it add to it"
            )
        if not path.parent.is_dir():
            raise UsageError(f"storage {path}: the folder {path.parent} does not exist")
        if not os.access(path.parent, os.W_OK):
            raise UsageError(f"storage {path}: the folder {path.parent} cannot be written")
        return False
    if path.is_dir():
        raise UsageError(f"storage {path}: expected {expected}, got a folder")
    if not write:
        return True
    mode = path.stat().st_mode
    if not mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) or not os.access(path, os.W_OK):
        raise UsageError(f"storage {path}: the file is read-only")
    return True
