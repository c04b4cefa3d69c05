"""What lies beside a storage in a file: weights, checkpoints, locks, and whether somebody searches."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from optuna import Study

from optnas.study import attribute, checkpoints_folder, storage_file
from optnas.study.locks import is_searched, lock_path
from optnas.study.postgres import is_postgresql

__all__ = [
    "FOLDERS",
    "Kept",
    "checkpoints_of",
    "folders_beside",
    "is_alive",
    "is_held",
    "kept_in",
    "leftovers",
    "locks_of",
    "remove_free",
    "searched_now",
    "size_of",
]

FOLDERS = ("-weights", "-checkpoints", "-artifacts", "-supernets")
"""What the names of the folders that lie beside the file of a storage end with."""
_LOCK = re.compile(r"\.([0-9a-f]{12})\.lock")
_NUMBERED = re.compile(r"(\d+)\.safetensors")


@dataclass(frozen=True)
class Kept:
    """Numbered files of a folder."""

    files: dict[int, Path]
    """By the number of the trial that each belongs to."""

    @property
    def size_bytes(self) -> int:
        """Of all of them; those that go meanwhile count nothing."""
        return sum(map(size_of, self.files.values()))


def folders_beside(path: Path) -> dict[str, Path]:
    """The folders that lie beside the file of a storage, by their endings."""
    found: dict[str, Path] = {}
    for one in (path.resolve(), path):  # one file may have several names
        for ending in FOLDERS:
            folder = one.with_name(f"{one.name}{ending}")
            if folder.is_dir():
                found.setdefault(ending, folder)
    return found


def kept_in(folder: Path | None) -> Kept:
    """The files NUMBER.safetensors of a folder, which need not exist."""
    if folder is None or not folder.is_dir():
        return Kept({})
    found = {path: _NUMBERED.fullmatch(path.name) for path in sorted(folder.iterdir())}
    return Kept({int(match[1]): path for path, match in found.items() if match and path.is_file()})


def checkpoints_of(study: Study, storage: str) -> Path | None:
    """Where the last search of a study left its checkpoints."""
    request = attribute(study, "request")
    given = request.get("checkpoints") if isinstance(request, dict) else None
    return checkpoints_folder(storage, study.study_name, given if isinstance(given, str) else None)


def leftovers(folder: Path | None) -> list[Path]:
    """Halves of files whose writer is dead: they end with the number of a process that no longer runs."""
    if folder is None or not folder.is_dir():
        return []
    halves = [path for path in sorted(folder.glob("*.safetensors.*")) if path.suffix[1:].isdigit()]
    return [path for path in halves if not is_alive(int(path.suffix[1:]))]


def is_alive(process: int) -> bool:
    """Whether a process of this number runs on this machine."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # somebody else's
    return True


def size_of(path: Path) -> int:
    """In bytes; 0 for none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def locks_of(storage: str) -> list[Path]:
    """All files of locks by which studies of a storage in a file are held, or were."""
    path = storage_file(storage)
    if path is None or not path.resolve().parent.is_dir():
        return []
    path = path.resolve()
    return [
        one for one in sorted(path.parent.iterdir())
        if one.name.startswith(path.name) and _LOCK.fullmatch(one.name.removeprefix(path.name))
    ]  # fmt: skip


def is_held(lock: Path) -> bool:
    """Whether a process holds a lock; its file is left as it is."""
    with _tried(lock) as free:
        return not free


def searched_now(storage: str, study_name: str) -> bool | None:
    """Whether a search holds a study; None where that cannot be told: it can in a file and in a PostgreSQL, unless the
    lock is somebody else's and not to be read."""
    if is_postgresql(storage):
        return is_searched(storage, study_name)
    lock = lock_path(storage, study_name)
    return None if lock is None or (lock.exists() and not os.access(lock, os.R_OK)) else is_held(lock)


def remove_free(lock: Path) -> bool:
    """Remove the file of a lock that nobody holds; False if somebody does, or it is gone.

    It is held meanwhile: to remove the file of a lock that is held would let a second search take another one.
    """
    with _tried(lock) as free:
        if not free or not lock.exists():
            return False
        lock.unlink()
        return True


@contextmanager
def _tried(lock: Path) -> Iterator[bool]:
    if not lock.exists():
        yield True
        return
    held = FileLock(lock, timeout=0)
    try:
        held.acquire()
    except Timeout:
        yield False
        return
    except OSError:  # somebody else's, which may be read at best
        with _tried_by_reading(lock) as free:
            yield free
        return
    try:
        yield True
    finally:
        held.release()


@contextmanager
def _tried_by_reading(lock: Path) -> Iterator[bool]:
    """As `_tried`, of a file that may not be written; False as well if it may not be read."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield False
        return
    try:
        file = lock.open("rb")
    except FileNotFoundError:
        yield True
        return
    except OSError:
        yield False
        return
    with file:  # whose end is that of the lock
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
