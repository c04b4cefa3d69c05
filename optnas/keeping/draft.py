"""A SQLite storage that appears when it is whole, with the folders beside it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optuna.storages import BaseStorage, RDBStorage

from optnas.errors import UsageError
from optnas.keeping.beside import FOLDERS
from optnas.keeping.trouble import in_a_sentence
from optnas.study.write_behind import WriteBehindStorage

__all__ = ["appearing", "check_target", "drafts_of", "let_go"]

_MARK = ".draft-"


def check_target(path: Path, what: str) -> None:
    """Refuse a place where something is, or that is in no folder.

    Args:
        path: The place.
        what: What a person asked for, for the message.

    Raises:
        UsageError: In these cases.
    """
    with in_a_sentence(f"{what} {path}"):
        if path.is_dir():
            raise UsageError(f"{what} {path}: expected a file, got a folder")
        for one in (path, *(path.with_name(path.name + ending) for ending in (*FOLDERS, "-wal", "-shm"))):
            if one.exists():
                raise UsageError(f"{what} {path}: expected a file that does not exist, and {one} does")
        if not path.parent.is_dir():
            raise UsageError(f"{what} {path}: expected a folder that exists, got {path.parent}")


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A place to write a SQLite file and the folders beside it, which appear at `path` when all is done.

    Whoever was killed leaves a folder `FILE.draft-PROCESS-*`. Let go of the file before the end.

    Raises:
        UsageError: If it cannot be written there, or somebody else has come first.
    """
    with (
        in_a_sentence(f"storage {path}"),
        tempfile.TemporaryDirectory(prefix=f"{path.name}{_MARK}{os.getpid()}-", dir=path.parent) as folder,
    ):
        draft = Path(folder) / path.name
        yield draft
        check_target(path, "storage")
        for ending in FOLDERS:
            beside = draft.with_name(f"{draft.name}{ending}")
            if beside.exists():
                beside.replace(path.with_name(beside.name))
        draft.replace(path)  # last: who finds it, finds all of it


def drafts_of(path: Path) -> dict[Path, int]:
    """Folders of drafts of a file, each with the number of the process that writes or wrote it."""
    found = {}
    for one in sorted(path.parent.glob("*")):
        process = one.name.removeprefix(f"{path.name}{_MARK}").partition("-")[0]
        if one.name.startswith(f"{path.name}{_MARK}") and process.isdigit() and one.is_dir():
            found[one] = int(process)
    return found


def let_go(storage: BaseStorage) -> None:
    """Close a file; the last one to do so brings the log into it."""
    if isinstance(storage, RDBStorage | WriteBehindStorage):
        storage.remove_session()
        storage.engine.dispose()
