"""A study back from an archive, which may come from anywhere, into a storage."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

from optuna.storages import BaseStorage

from optnas.errors import UsageError
from optnas.keeping.packed import read_archive, weights_name
from optnas.keeping.pictures import put_files
from optnas.keeping.record import StudyRecord, half_studies, write_record
from optnas.keeping.trouble import in_a_sentence
from optnas.objective import ATTRIBUTE
from optnas.study import artifacts_folder, coordinate, study_names, weights_folder
from optnas.study.files import weights_path
from optnas.whole import whole_file

__all__ = ["Restored", "restore_study"]


@dataclass(frozen=True)
class Restored:
    """What came of an archive."""

    study: str
    trials: int
    weights: int
    """Networks whose weights lie beside the storage again."""
    weights_left: int
    """Networks whose weights have no place, since the storage is no file."""
    pictures: int


def restore_study(path: Path, opened: BaseStorage, storage: str, name: str | None = None) -> Restored:
    """Put the study of an archive into a storage.

    Args:
        path: The archive.
        opened: The storage.
        storage: Its address, beside which weights and pictures are put.
        name: Another name for the study.

    Raises:
        UsageError: If the file is no archive of optnas, of a newer format, damaged or dangerous, the storage has a
            study of that name, or nothing can be written beside it.
    """
    contents = read_archive(path)
    record = contents.record if name is None else _renamed(contents.record, name)
    if record.name in {*study_names(opened)} - {*half_studies(opened)}:
        raise UsageError(f"study {record.name!r} exists already in the storage: give another name with --as")
    folder, shown = weights_folder(storage, record.name), artifacts_folder(storage)
    # `optnas dashboard` draws the others again.
    wanted = {name: picture for name, picture in contents.pictures.items() if shown and not picture.drawn}
    # Held, since a study that is left half by a kill makes room, and one that is written just now looks the same.
    with in_a_sentence(f"archive {path}: cannot be restored"), coordinate(storage, record.name):
        with zipfile.ZipFile(path) as file:
            if folder is not None:
                for number in contents.weights:
                    _extract(file, weights_name(number), weights_path(folder, number))
            if shown is not None:
                for name, picture in wanted.items():
                    put_files([replace(picture, content=file.read(name))], shown)
        told = [picture for picture in wanted.values() if not picture.in_trial]
        write_record(replace(record, pictures=told), opened)
    placed = len(contents.weights) if folder is not None else 0
    return Restored(record.name, len(record.trials), placed, len(contents.weights) - placed, len(wanted))


def _renamed(record: StudyRecord, name: str) -> StudyRecord:
    """Under another name, which what the search was told has to say too."""
    request = record.user_attrs.get(ATTRIBUTE + "request")
    changed = {ATTRIBUTE + "request": {**request, "study": name}} if isinstance(request, dict) else {}
    return replace(record, name=name, user_attrs={**record.user_attrs, **changed})


def _extract(file: zipfile.ZipFile, name: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as beside, file.open(name) as content, beside.open("wb") as out:
        shutil.copyfileobj(content, out)
