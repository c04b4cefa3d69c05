"""Who may search a study: one coordinator, or several where the storage can tell them apart."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from optnas.errors import UsageError
from optnas.study.addresses import shown_storage, storage_file
from optnas.study.folders import digest_of
from optnas.study.patience import Say
from optnas.study.postgres import Lock, is_locked, is_postgresql, locked, one_at_a_time

__all__ = ["can_share", "coordinate", "is_searched", "lock_path", "setting_up"]

#: Who looks whether a study in a file is searched holds it for a moment, see `optnas.keeping.beside`; and a search that
#: ends lets it go a moment later.
_LOCK_S = 0.5


def lock_path(storage: str, study_name: str) -> Path | None:
    """The file by which a search holds a study, see `coordinate`; None where there is none."""
    path = storage_file(storage)
    if path is None:
        return None
    path = path.resolve()  # one file may have several names
    return path.with_name(f"{path.name}.{digest_of(study_name)}.lock")


def can_share(storage: str) -> bool:
    """Whether several coordinators may search one study of a storage."""
    return is_postgresql(storage)


@contextmanager
def setting_up(storage: str, study_name: str, say: Say = lambda text: None) -> Iterator[None]:
    """Make a study, or read how it was made, while nobody else does.

    Args:
        storage: Its address.
        study_name: The name of the study.
        say: Told if it has to wait.
    """
    if not is_postgresql(storage):
        yield  # whoever holds the study is alone
        return
    with one_at_a_time(storage, f"study {study_name!r} is set up", say):
        yield


def is_searched(storage: str, study_name: str) -> bool:
    """Whether a process holds a study of a PostgreSQL, see `coordinate`."""
    return is_locked(storage, _searched(study_name))


def _searched(study_name: str) -> str:
    return f"study {study_name!r} is searched"


@contextmanager
def coordinate(storage: str, study_name: str, *, alone: bool = True) -> Iterator[Callable[[], None]]:
    """Hold a study for one coordinator: two on one file would run the same trials.

    The lock goes with the process, however it ends. In a database that is neither SQLite nor PostgreSQL there is none.
    That of PostgreSQL goes with its connection too, and is taken again where that was lost.

    Args:
        storage: Its address.
        study_name: The name of the study.
        alone: False for one of several coordinators, which PostgreSQL can have.

    Yields:
        What raises a UsageError once another process has taken the study, while the connection was lost.

    Raises:
        UsageError: If another process holds the study.
    """

    def check() -> None:
        if lock is not None and lock.lost:
            raise UsageError(
                f"study {study_name!r} in {shown_storage(storage)} was taken by another process while the server did "
                "not answer: this one ends, what was stored is kept; wait for the other, and the same command goes on"
            )

    lock: Lock | None = None
    if is_postgresql(storage):
        with locked(storage, _searched(study_name), alone=alone, wait_s=_LOCK_S) as lock:
            if lock is None:
                raise UsageError(
                    f"study {study_name!r} in {shown_storage(storage)} is being searched by another process"
                    f"{', which has to be alone' if not alone else ''}: wait for it, or give --study another name"
                )
            yield check
        return
    path, held_by = storage_file(storage), lock_path(storage, study_name)
    if path is None or held_by is None:
        yield check
        return
    file_lock = FileLock(held_by, timeout=_LOCK_S)
    try:
        file_lock.acquire()
    except Timeout:
        raise UsageError(
            f"study {study_name!r} in {path.resolve()} is being searched by another process on {socket.gethostname()}: "
            "wait for it, or give --study another name"
        ) from None
    except OSError as error:
        raise UsageError(
            f"study {study_name!r} in {path.resolve()} cannot be held: its lock {held_by.name}: "
            f"{error.strerror or error}; if it is somebody else's and nobody searches, remove it"
        ) from None
    try:
        yield check
    finally:
        held_by.unlink(missing_ok=True)
        file_lock.release()
