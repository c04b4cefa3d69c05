"""A study as one zip file for the shelf: plain JSON, the weights of its front, and what it takes to trust them."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from optuna import Study

from optnas.errors import UsageError
from optnas.front import front
from optnas.keeping.beside import kept_in
from optnas.keeping.packed import KIND, MANIFEST, README, STUDY, TRIALS, VERSION, read_archive, weights_name
from optnas.keeping.pictures import pictures_of
from optnas.keeping.plain import FORMAT, plain_study, plain_trial
from optnas.keeping.record import read_record
from optnas.keeping.scrub import choice_names, scrubbed_study, scrubbed_trial
from optnas.keeping.trouble import in_a_sentence
from optnas.printable import printable
from optnas.study import artifacts_folder, versions, weights_folder
from optnas.whole import whole_file

__all__ = ["Archived", "archive_study"]

_README = """\
This is an archive of optnas: the study {name}, with {trials} trials, written on {date} by optnas {version}.
Nothing in it is executed by restoring it:

    optnas restore {file} --storage sqlite:///optnas.db

It holds
{format}
weights/N.safetensors  the trained weights of trial N, for networks on the front that had them
pictures/N/NAME        pictures of trial N, if it was asked for them
manifest.json          format and version, the versions of the packages, and SHA-256 and size of each of the files

Sums of files tell of damage, not of who wrote them. Passwords of storages are not in here, nor checkpoints of
running trainings and shared weights, which are trained again.
"""


@dataclass(frozen=True)
class Archived:
    """What an archive holds."""

    path: Path
    study: str
    trials: int
    weights: int
    """Networks whose weights are in it."""
    front: int
    """Networks on the front."""
    pictures: int
    size_bytes: int


def archive_study(study: Study, storage: str, path: Path, *, pictures: bool = False) -> Archived:
    """Write a study into one file.

    Args:
        study: As it is now; a search of it may run.
        storage: Its address, beside which weights and pictures lie.
        path: The file, which must not exist.
        pictures: Whether the pictures that the dashboard shows go into it too.

    Raises:
        UsageError: If there is such a file or no such folder, or it cannot be written; if the study holds what JSON
            cannot, or what no restore would take back.
    """
    with in_a_sentence(f"archive {path}"):
        return _archived(study, storage, path, pictures)


def _archived(study: Study, storage: str, path: Path, pictures: bool) -> Archived:
    _check_path(path)
    record = read_record(study)
    kept = kept_in(weights_folder(storage, study.study_name)).files
    members = sorted(network.trial for network in front(study))
    weights = {number: content for number in members if (content := _content(kept.get(number))) is not None}
    shown = pictures_of(study, artifacts_folder(storage)) if pictures else []
    made, trials = datetime.now(UTC), record.trials
    choices = choice_names(trials)
    with whole_file(path) as beside:
        with zipfile.ZipFile(beside, "x", zipfile.ZIP_DEFLATED) as file:
            sums = _Sums(file)
            sums.add(README, _readme(record.name, len(trials), made, path).encode())
            sums.add(STUDY, _text(scrubbed_study(plain_study(record), choices), indent=1))
            sums.add(TRIALS, b"".join(_text(scrubbed_trial(plain_trial(trial), choices)) for trial in trials))
            for number, content in weights.items():
                sums.add(weights_name(number), content, compressed=False)
            for picture in shown:
                sums.add(f"pictures/{picture.trial}/{picture.name}", picture.content, **picture.facts())
            manifest = {"format": KIND, "version": VERSION, "made": made.isoformat(), "versions": versions()}
            file.writestr(MANIFEST, json.dumps({**manifest, "files": sums.known}, indent=1))
        _check_comes_back(beside, path)
    size_bytes = path.stat().st_size
    return Archived(path, record.name, len(trials), len(weights), len(members), len(shown), size_bytes)


class _Sums:
    """Adds files to a zip and remembers what they were."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file
        self.known: dict[str, dict[str, Any]] = {}

    def add(self, name: str, content: bytes, *, compressed: bool = True, **facts: Any) -> None:
        # Weights do not shrink; stored as they are, the size that is said of them is the size they have.
        kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
        self._file.writestr(name, content, kind)
        self.known[name] = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content), **facts}


def _check_path(path: Path) -> None:
    if path.is_dir():
        raise UsageError(f"archive {path}: expected a file, got a folder")
    if path.exists():
        raise UsageError(f"archive {path}: exists already: give another name")
    if not path.parent.is_dir():
        raise UsageError(f"archive {path}: expected a folder that exists, got {path.parent}")


def _check_comes_back(written: Path, path: Path) -> None:
    """Refuse an archive that restoring would refuse, while the study is still there."""
    try:
        read_archive(written)
    except UsageError as error:
        reason = str(error).replace(str(written), str(path))
        raise UsageError(f"{reason}; nothing was written, since no restore would take it back") from None


def _text(plain: Any, indent: int | None = None) -> bytes:
    return f"{json.dumps(plain, allow_nan=False, indent=indent)}\n".encode()


def _content(path: Path | None) -> bytes | None:
    """None where the file is gone: a search drops the weights of networks that leave the front."""
    try:
        return None if path is None else path.read_bytes()
    except OSError:
        return None


def _readme(name: str, trials: int, made: datetime, path: Path) -> str:
    return _README.format(
        name=printable(name), trials=trials, date=f"{made:%Y-%m-%d}", file=printable(path.name),
        version=versions()["optnas"], format=FORMAT,
    )  # fmt: skip
