"""A copy of a SQLite file as it was at one moment, taken without a trace in it, also while a search writes."""

from __future__ import annotations

import errno
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optnas.errors import UsageError
from optnas.study.schema import copy_database

__all__ = ["snapshot"]

_TRIES = 3
#: Where SQLite keeps what has not come into the file itself: the log ahead of it, or the journal behind it.
_ALONG = ("-wal", "-journal")


@contextmanager
def snapshot(path: Path) -> Iterator[Path]:
    """A copy of a SQLite file in a temporary folder, which goes with it.

    A file that nobody writes is copied with its log, whatever state both are in, so that one that is damaged can be
    looked at. To open the file itself, even for reading, would leave files of SQLite beside it.

    Raises:
        UsageError: If the file cannot be read, or there is no room for the copy.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="optnas-")
    except OSError as error:
        raise UsageError(f"storage {path}: cannot be copied to a temporary folder: {error.strerror or error}") from None
    with folder as name:
        copied, real = Path(name) / path.name, path.resolve()  # a link's log lies beside the file itself
        try:
            if not _copy_at_rest(real, copied):
                _copy_in_use(real, copied)
        except (OSError, sqlite3.Error) as error:
            if _is_full(error):
                reason = f"no room for a copy of it in {copied.parent.parent}: the variable TMPDIR names another folder"
            else:
                reason = f"cannot be read: {getattr(error, 'strerror', None) or error}"
            raise UsageError(f"storage {path}: {reason}") from None
        yield copied


def _is_full(error: OSError | sqlite3.Error) -> bool:
    """Whether there is no room where the copy is written; nothing else is written."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _copy_at_rest(path: Path, copied: Path) -> bool:
    """Copy the file and its log; False if they changed meanwhile."""
    for _ in range(_TRIES):
        before = _state(path)
        shutil.copyfile(path, copied)
        for ending in _ALONG:
            beside, there = (Path(f"{one}{ending}") for one in (path, copied))
            there.unlink(missing_ok=True)
            if beside.exists():
                shutil.copyfile(beside, there)
        if _state(path) == before:
            return True
    return False


def _copy_in_use(path: Path, copied: Path) -> None:
    for ending in ("", *_ALONG):
        Path(f"{copied}{ending}").unlink(missing_ok=True)
    copy_database(path, copied)


def _state(path: Path) -> list[tuple[int, int] | None]:
    found: list[tuple[int, int] | None] = []
    for ending in ("", *_ALONG):
        try:
            facts = Path(f"{path}{ending}").stat()
        except FileNotFoundError:
            found.append(None)
        else:
            found.append((facts.st_mtime_ns, facts.st_size))
    return found
