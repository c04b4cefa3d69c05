"""What a doctor found, mended where that loses nothing; whatever began since it was looked at is left alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.storages import BaseStorage

from optnas.errors import UsageError
from optnas.keeping.beside import locks_of, remove_free
from optnas.keeping.check_files import check_files
from optnas.keeping.check_journal import check_journal
from optnas.keeping.doctor import Examined, copy_opened
from optnas.keeping.draft import let_go
from optnas.keeping.findings import Finding
from optnas.keeping.record import half_studies
from optnas.keeping.trouble import in_a_sentence
from optnas.study import coordinate, open_storage, sqlite_path, study_names
from optnas.study.addresses import journal_path
from optnas.study.journal import open_journal
from optnas.study.snapshot import snapshot
from optnas.study.storage import mend_journal, upgrade_tables

__all__ = ["mend"]


def mend(storage: str, examined: Examined) -> list[str]:
    """Do what the findings say that mending does; returns a sentence for each thing that was done or left.

    A study that is being searched is left alone.

    Args:
        storage: The address.
        examined: What `examine` found in it.
    """
    said = []
    for finding in examined.findings:
        if finding.upgrade:
            said.append(upgrade_tables(storage))
        elif finding.cut:
            said.append(mend_journal(storage))
        elif finding.study is None:
            try:
                with in_a_sentence("locks"):
                    said += _removed([lock for lock in finding.remove if _remove_lock(lock, storage)])
            except UsageError as error:
                said.append(str(error))
    for name in dict.fromkeys(one.study for one in examined.findings if one.remove or one.delete):
        if name is not None:
            said += _mend_study(storage, name, [one for one in examined.findings if one.study == name])
    return said


def _remove_lock(lock: Path, storage: str) -> bool:
    """Remove the file of a lock if it is still free: somebody may hold it since it was looked at."""
    journal = journal_path(storage)
    if journal is None or lock in locks_of(storage):
        return remove_free(lock)
    # A journal's own lock is held by being there; one of a writer that lives is young.
    left = lock in {path for finding in check_journal(journal, storage)[0] for path in finding.remove}
    if left:
        lock.unlink(missing_ok=True)
    return left


def _mend_study(storage: str, name: str, findings: Sequence[Finding]) -> list[str]:
    """Mend while no search can begin; what one has changed since it was looked at stays."""
    try:
        with in_a_sentence(f"study {name!r}"), coordinate(storage, name):
            if any(finding.delete for finding in findings):
                return [_delete(storage, name)]
            needless, said = _needless(storage, name), []
            for finding in findings:
                paths = [path for path in finding.remove if path in needless]
                for path in paths:
                    path.unlink(missing_ok=True)
                said += _removed(paths)
            return said
    except UsageError as error:
        return [str(error)]


def _needless(storage: str, name: str) -> set[Path]:
    """The files of a study, which is held, that nobody needs now."""
    journal, path = journal_path(storage), sqlite_path(storage)

    def found(opened: BaseStorage) -> set[Path]:
        study = optuna.load_study(study_name=name, storage=opened)
        return {path for finding in check_files(study, storage, searched=False) for path in finding.remove}

    if journal is not None:
        return found(open_journal(journal))
    if path is None:
        server = open_storage(storage, create=False)
        try:
            return found(server)
        finally:
            let_go(server)
    with snapshot(path) as copied, copy_opened(copied) as (opened, _):
        return set() if opened is None or name not in study_names(opened) else found(opened)


def _delete(storage: str, name: str) -> str:
    opened = open_storage(storage)
    if name not in half_studies(opened):
        return f"study {name!r} is whole by now, and stays"
    optuna.delete_study(study_name=name, storage=opened)
    return f"deleted the half of study {name!r}"


def _removed(paths: Sequence[Path]) -> list[str]:
    return [f"removed {', '.join(path.name for path in paths)}"] if paths else []
