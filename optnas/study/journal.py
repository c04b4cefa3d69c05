"""A study in a journal: Optuna's file of a line for each thing that happened, for file systems that SQLite fears."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

from optuna.exceptions import StorageInternalError
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.storages.journal._file import BaseJournalFileLock
from optuna.storages.journal._storage import JournalOperation
from optuna.version import __version__ as optuna_version

from optnas.errors import UsageError, first_line
from optnas.study.schema import set_aside

__all__ = ["Lines", "cut_halves", "is_journal", "open_journal", "read_lines"]

#: How each line begins that Optuna writes.
_BEGIN = b'{"op_code":'
_BLOCK = 65536


@dataclass
class Lines:
    """What the lines of a journal are, numbered from 1."""

    count: int = 0
    """Of whole lines, each with its end."""
    half: int = 0
    """Bytes after the last end of a line: what a writer had written when it was killed, or the disk full."""
    merged: dict[int, bytes] = field(default_factory=dict)
    """Lines that hold half a record and then a whole one, which is given: after a kill, Optuna writes on in the line
    that was being written. Nothing is lost in them but the half, which nobody was told is stored."""
    broken: list[int] = field(default_factory=list)
    """Lines that hold no record."""
    unknown: dict[int, Any] = field(default_factory=dict)
    """Records that the installed Optuna does not know, with their kinds."""
    studies: list[str] = field(default_factory=list)
    """Names of all that were ever created."""

    @property
    def readable(self) -> bool:
        """Whether each whole line is a record."""
        return not (self.merged or self.broken or self.unknown)


def is_journal(path: Path) -> bool:
    """Whether a file begins as a journal does; one without anything may become one."""
    with path.open("rb") as file:
        start = file.read(len(_BEGIN))
    return _BEGIN.startswith(start) if len(start) < len(_BEGIN) else start == _BEGIN


def open_journal(path: Path) -> JournalStorage:
    """The storage in a journal. Nothing is written before something happens.

    Processes that write at the same moment wait for each other by a file that only one can create. Optuna's other
    lock, a symbolic link, is for NFS of version 2; there are file systems without such links, and where its address is
    relative Optuna does not see how old one is that a kill has left.

    Raises:
        UsageError: If the file is no journal, or not all of it can be read.
    """
    if path.exists() and not is_journal(path):
        raise UsageError(f"storage {path}: expected a journal of Optuna, got another kind of file")
    try:
        opened = JournalStorage(_Backend(str(path), JournalFileOpenLock(str(path))))
    except Exception as error:
        lines = read_lines(path)
        reason = _complaint(lines) or (
            "expected a journal of Optuna, got lines that it cannot follow "
            f"({type(error).__name__}: {first_line(error)})"
        )
        raise UsageError(f"storage {path}: {reason}") from None
    if not _ends_well(path):
        raise UsageError(f"storage {path}: {_complaint(read_lines(path))}")
    return opened


def read_lines(path: Path) -> Lines:
    """Look at each line of a journal."""
    found = Lines()
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                found.half = len(line)
                break
            found.count = number
            record = _record(line)
            rest = None if record is not None else _record_at_end(line)
            if record is None and rest is None:
                found.broken.append(number)
            if rest is not None:
                found.merged[number], record = rest, _record(rest)
            if record is not None and record["op_code"] not in JournalOperation._value2member_map_:
                found.unknown[number] = record["op_code"]
            if record is not None and record["op_code"] == JournalOperation.CREATE_STUDY:
                found.studies.append(str(record.get("study_name")))
    return found


def cut_halves(path: Path) -> Path:
    """Take what was half written out of a journal; returns the place of a copy of the file as it was.

    Raises:
        UsageError: If there is no room for it, or the folder cannot be written.
    """
    path = path.resolve()
    try:
        with (
            _held(JournalFileOpenLock(str(path))),
            tempfile.TemporaryDirectory(prefix=f"{path.name}.mend-", dir=path.parent) as folder,
        ):
            before, after = Path(folder) / "before", Path(folder) / "after"
            shutil.copyfile(path, before)
            with before.open("rb") as old, after.open("wb") as new:
                merged = read_lines(before).merged
                new.writelines(merged.get(n, line) for n, line in enumerate(old, 1) if line.endswith(b"\n"))
                new.flush()
                os.fsync(new.fileno())
            shutil.copymode(path, after)
            kept = set_aside(before, path, "halves")
            after.replace(path)
    except OSError as error:
        raise UsageError(f"storage {path}: cannot be mended: {error.strerror or error}") from None
    return kept


class _Backend(JournalFileBackend):
    """Optuna's, but half a line at the end, as a kill or a full disk leaves it, goes before the next is written.

    Optuna reads a journal that ends so, then writes on in that line, and can read no more of it.
    """

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        try:
            with _held(self._lock):
                self._append(text)
        except OSError as error:
            raise StorageInternalError(f"the journal {self._file_path} cannot be written") from error

    def _append(self, text: bytes) -> None:
        # Who stands still for long loses the lock: wherever the end is by then, no line of others is written over.
        with open(self._file_path, "r+b", buffering=0, opener=_appending) as file:
            size = file.seek(0, os.SEEK_END)
            end = _after_newline(file, size)
            if end < size == file.seek(0, os.SEEK_END):
                file.truncate(end)
            written = 0
            try:
                while written < len(text):
                    written += file.write(text[written:])
                os.fsync(file.fileno())
            except OSError:
                if file.seek(0, os.SEEK_END) == end + written:  # nobody else has written
                    file.truncate(end)  # what did not fit as a whole is not there
                raise


@contextmanager
def _held(lock: BaseJournalFileLock) -> Iterator[None]:
    """Hold the lock of a journal.

    Raises:
        OSError: If it was taken away meanwhile, as Optuna does after 30 seconds: its holder might be dead.
    """
    lock.acquire()
    try:
        yield
    finally:
        try:
            lock.release()
        except RuntimeError:
            raise OSError(errno.ENOLCK, "this process stood still, and another one took its lock") from None


def _appending(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_APPEND)


def _complaint(lines: Lines) -> str:
    for number, kind in lines.unknown.items():
        return (
            f"expected records that the installed Optuna {optuna_version} knows, got one of kind {kind} in line "
            f"{number}: install the Optuna that wrote it"
        )
    for number in sorted([*lines.merged, *lines.broken]):
        return f"expected a record in each line, got something else in line {number}: optnas doctor says what helps"
    return ""


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("op_code"), int) else None


def _record_at_end(line: bytes) -> bytes | None:
    """The whole record with which a line ends that begins with half a one."""
    place = line.rfind(_BEGIN)
    return line[place:] if place > 0 and _record(line[place:]) is not None else None


def _ends_well(path: Path) -> bool:
    """Whether the last whole line is a record, which Optuna finds out when it reads one more."""
    if not path.exists():
        return True
    with path.open("rb") as file:
        end = _end_of_lines(file)
        start = _after_newline(file, end - 1)
        file.seek(start)
        return end == 0 or _record(file.read(end - start)) is not None


def _end_of_lines(file: BinaryIO | FileIO) -> int:
    """Where the last whole line ends."""
    return _after_newline(file, file.seek(0, os.SEEK_END))


def _after_newline(file: BinaryIO | FileIO, end: int) -> int:
    """The place after the last end of a line before `end`; 0 if there is none."""
    while end > 0:
        start = max(0, end - _BLOCK)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
