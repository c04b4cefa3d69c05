"""What is wrong with a storage: looked at without touching it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, RDBStorage

from optnas.errors import UsageError
from optnas.keeping.beside import searched_now
from optnas.keeping.check_files import check_beside, check_files
from optnas.keeping.check_journal import check_journal, check_journal_kind
from optnas.keeping.check_trials import check_study, check_trials
from optnas.keeping.draft import let_go
from optnas.keeping.findings import SEVERITIES, Finding
from optnas.keeping.record import half_studies
from optnas.keeping.salvage import is_short
from optnas.study import open_storage, shown_storage, sqlite_path, study_names
from optnas.study.addresses import check_place, journal_path, sqlite_address
from optnas.study.journal import is_journal, open_journal
from optnas.study.schema import tables_of
from optnas.study.snapshot import snapshot

__all__ = ["CHECKED", "Examined", "check_kind", "copy_opened", "examine", "examine_studies"]

#: Complaints of SQLite that are shown.
_SHOWN = 3
CHECKED = (
    "the file and its tables, trials that nobody runs, what trained networks keep, values against costs and curves, "
    "repeats, versions, weights, checkpoints, pictures and locks"
)


@dataclass(frozen=True)
class Examined:
    """What was found in a storage."""

    storage: str
    """Its address, without a password."""
    studies: tuple[str, ...]
    trials: int
    findings: tuple[Finding, ...]
    """The gravest first."""
    damaged: bool = False
    """Whether the file itself is, so that it takes a rescue."""

    @property
    def well(self) -> bool:
        """Whether nothing is lost and nothing waits to be mended."""
        return all(finding.severity == "worth knowing" for finding in self.findings)


def examine(storage: str, study: str | None = None) -> Examined:
    """Look at a storage without changing it; a search may run in it.

    A SQLite file is copied and the copy is looked at.

    Args:
        storage: Its address.
        study: Only this one.

    Raises:
        UsageError: If there is no such storage or study, or the file is of something else than Optuna.
    """
    journal, path = journal_path(storage), sqlite_path(storage)
    if journal is not None:
        return _examine_journal(journal, storage, study)
    if path is None:
        server = open_storage(storage, create=False)
        try:
            return examine_studies(server, storage, study)
        finally:
            let_go(server)
    check_kind(path)
    if not path.stat().st_size:
        return Examined(shown_storage(storage), (), 0, ())
    with snapshot(path) as copied:
        damage = _damage(copied, path)
        try:
            with copy_opened(copied) as (opened, of_tables):
                found = examine_studies(opened, storage, study) if opened is not None else None
        except Exception as error:
            if not damage or isinstance(error, UsageError):
                raise
            found, of_tables = None, []
    if found is None:
        return Examined(shown_storage(storage), (), 0, _sorted([*damage, *of_tables]), bool(damage))
    findings = _sorted([*damage, *of_tables, *found.findings])
    return Examined(found.storage, found.studies, found.trials, findings, bool(damage))


def examine_studies(opened: BaseStorage, storage: str, study: str | None = None) -> Examined:
    """Look at the studies of an open storage.

    Args:
        opened: It, or a copy.
        storage: The address of the storage itself, beside which its files lie.
        study: Only this one.

    Raises:
        UsageError: If there is no such study.
    """
    names = study_names(opened)[::-1]
    if study is not None and study not in names:
        raise UsageError(
            f"storage {shown_storage(storage)}: there is no study {study!r}, only {', '.join(names) or 'none'}"
        )
    findings = [] if study is not None else check_beside(names, storage)
    trials, chosen, half = 0, names if study is None else [study], half_studies(opened)
    for name in chosen:
        one = optuna.load_study(study_name=name, storage=opened)
        trials += len(one.get_trials(deepcopy=False))
        searched = searched_now(storage, name)
        if name in half:
            findings.append(_half(name, searched))
            continue
        findings += [*check_study(one), *check_trials(one, searched), *check_files(one, storage, searched)]
    return Examined(shown_storage(storage), tuple(chosen), trials, _sorted(findings))


def check_kind(path: Path) -> None:
    """Refuse a file that Optuna cannot have made.

    Raises:
        UsageError: If there is none, or it is of another kind.
    """
    check_place(path, False, "a SQLite file", write=False)
    try:
        with path.open("rb") as file:
            header = file.read(16)
    except OSError as error:
        raise UsageError(f"storage {path}: cannot be read: {error.strerror or error}") from None
    if header and header != b"SQLite format 3\0":
        which = "another kind of file; if it was one, optnas doctor --rescue-into NEW.db reads what is left"
        if is_journal(path):
            which = f"a journal, whose address is journal:///{path}"
        raise UsageError(f"storage {path}: expected a SQLite database of Optuna, got {which}")


@contextmanager
def copy_opened(copied: Path) -> Iterator[tuple[BaseStorage | None, list[Finding]]]:
    """The storage in a copy, with what its tables say; None if they are not those of the installed Optuna."""
    opened = RDBStorage(sqlite_address(copied), skip_compatibility_check=True)
    try:
        tables = tables_of(opened)
        if tables.age == "same":
            yield opened, []
        elif tables.age == "older":
            advice = "nothing can be read until they are upgraded, which the next search does too"
            yield None, [Finding("next search", str(tables), advice, upgrade=True)]
        else:
            advice = "install that Optuna; nothing in the file is wrong"
            yield None, [Finding("lost", str(tables), advice)]
    finally:
        let_go(opened)


def _examine_journal(path: Path, storage: str, study: str | None) -> Examined:
    check_journal_kind(path)
    findings, readable = check_journal(path, storage)
    if not readable:
        return Examined(shown_storage(storage), (), 0, _sorted(findings), damaged=True)
    found = examine_studies(open_journal(path), storage, study)
    return Examined(found.storage, found.studies, found.trials, _sorted([*findings, *found.findings]))


def _damage(copied: Path, path: Path) -> list[Finding]:
    """What SQLite says of the file itself."""
    advice = "optnas doctor --rescue-into NEW.db writes what can still be read into a new file"
    if is_short(copied):
        return [Finding("lost", f"the file {path.name} ends too early: its last pages are missing", advice)]
    try:
        with closing(sqlite3.connect(copied)) as connection:
            told = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    except sqlite3.DatabaseError as error:
        told, tables = [str(error)], {"studies"}
    if told == ["ok"]:
        if tables and "studies" not in tables:
            shown = ", ".join(sorted(tables)[:3])
            raise UsageError(f"storage {path}: the database belongs to something else (its tables: {shown})")
        return []
    lines = [line for text in told for line in text.splitlines() if not line.startswith("***")]
    more = f" and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return [Finding("lost", f"the file {path.name} is damaged: {'; '.join(lines[:_SHOWN])}{more}", advice)]


def _half(name: str, held: bool | None) -> Finding:
    if held:
        return Finding("worth knowing", "is being restored from an archive", study=name)
    what = "was left half by a restore that was killed"
    return Finding("lost", what, "restore it once more, and the half makes room", name, delete=True)


def _sorted(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    order = list(SEVERITIES)
    return tuple(sorted(findings, key=lambda finding: order.index(finding.severity)))
