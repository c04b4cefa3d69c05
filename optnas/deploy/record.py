"""What a study remembers of retraining: which files hold the weights, and each look at the test split."""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from optuna import Study

from optnas.errors import UsageError
from optnas.objective import ATTRIBUTE
from optnas.study import attribute, weights_folder
from optnas.study.folders import safe_name
from optnas.study.reopen import Reopened

__all__ = [
    "Reading",
    "Recorded",
    "Tested",
    "Training",
    "date_of",
    "keep_made",
    "keep_retrained",
    "keep_test",
    "known_test_errors",
    "made_of",
    "readings_of",
    "retrained_of",
    "retraining_folder",
]

_temporary: weakref.WeakKeyDictionary[Study, Path] = weakref.WeakKeyDictionary()
_RETRAINED, _TESTS, _MADE = "retrained", "tests", "trained_with"


@dataclass(frozen=True)
class Training:
    """One finished retraining."""

    seed: int
    error: float
    """Validation error, in [0, 1]."""
    file: str
    """In the folder of retrainings; it has the same name whenever network, data, settings and seed are the same."""


@dataclass(frozen=True)
class Recorded:
    """The last retraining of a network."""

    trainings: tuple[Training, ...]
    data: Mapping[str, Any]
    """The images and the settings: `Task.describe`."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    versions: Mapping[str, str]
    date: str

    @property
    def best(self) -> Training:
        """That of the least validation error."""
        return min(self.trainings, key=lambda training: training.error)


@dataclass(frozen=True)
class Tested:
    """Weights whose error on the test split is known."""

    file: str
    error: float
    """Validation error, in [0, 1]: weights trained again on another machine may be others of the same name."""
    test_error: float


@dataclass(frozen=True)
class Reading:
    """One look at the test split."""

    date: str
    tested: tuple[Tested, ...]
    trials: tuple[int, ...]
    settings: Mapping[str, Any]
    """How they were retrained."""
    again: bool
    """Whether the split had been read before."""
    asked: tuple[str, ...]
    """The files of all trainings that it was read for, those that failed with them."""
    complete: bool = True
    """Whether it ended: one that was begun counts as well, since the images may have been seen."""


def date_of(moment: datetime | None) -> str:
    """To the minute, in UTC; empty for None."""
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def retraining_folder(reopened: Reopened) -> Path:
    """Where retrained weights are kept: beside the storage's file, in the working folder for one without.

    Those of a study in memory go with it.
    """
    study = reopened.study
    beside = weights_folder(reopened.storage, study.study_name)
    if beside is None and reopened.storage == "memory":
        if study not in _temporary:
            _temporary[study] = Path(tempfile.mkdtemp(prefix="optnas-"))
            weakref.finalize(study, shutil.rmtree, _temporary[study], ignore_errors=True)
        beside = _temporary[study]
    return (beside or Path("optnas-weights") / safe_name(study.study_name)) / "retrained"


def retrained_of(study: Study, trial: int) -> Recorded | None:
    """The last retraining of a trial; None if there was none.

    Raises:
        UsageError: If its weights are said to lie outside of their folder.
    """
    kept = (attribute(study, _RETRAINED) or {}).get(str(trial))
    if kept is None:
        return None
    trainings = tuple(Training(**training) for training in kept["trainings"])
    for training in trainings:
        # A study from elsewhere may name any file of this machine.
        if Path(training.file).name != training.file or training.file == "..":
            raise UsageError(
                f"study {study.study_name!r}: expected a file in the folder of retrainings, got {training.file!r}"
            )
    return Recorded(**{**kept, "trainings": trainings, "mean": tuple(kept["mean"]), "std": tuple(kept["std"])})


def keep_retrained(study: Study, recorded: Mapping[int, Recorded]) -> None:
    """Remember the retrainings of some trials; those of others stay."""
    kept = {str(trial): asdict(one) for trial, one in recorded.items()}
    study.set_user_attr(ATTRIBUTE + _RETRAINED, {**(attribute(study, _RETRAINED) or {}), **kept})


def keep_made(study: Study, file: str, made: Mapping[str, Any]) -> None:
    """Remember with what versions and when a file of weights was trained."""
    study.set_user_attr(ATTRIBUTE + _MADE, {**(attribute(study, _MADE) or {}), file: made})


def made_of(study: Study, file: str) -> Mapping[str, Any]:
    """What `keep_made` kept; nothing of a file that it never heard of."""
    made: Mapping[str, Any] = (attribute(study, _MADE) or {}).get(file, {})
    return made


def readings_of(study: Study) -> list[Reading]:
    """All looks at the test split, the first one first."""
    readings = []
    for kept in attribute(study, _TESTS) or []:
        tested = tuple(Tested(**one) for one in kept["tested"])
        lists = {"tested": tested, "trials": tuple(kept["trials"]), "asked": tuple(kept["asked"])}
        readings.append(Reading(**{**kept, **lists}))
    return readings


def known_test_errors(study: Study, trainings: Sequence[Training]) -> list[float | None]:
    """The errors of trained weights on the test split; None where it was not read for them."""
    known = {(one.file, one.error): one.test_error for read in readings_of(study) for one in read.tested}
    return [known.get((training.file, training.error)) for training in trainings]


def keep_test(study: Study, read: Reading) -> None:
    """Remember a look at the test split: one that is completed stands where it was begun."""
    kept = list(attribute(study, _TESTS) or [])
    begun = asdict(replace(read, tested=(), complete=False))
    if read.complete and kept and json.dumps(kept[-1]) == json.dumps(begun):
        kept.pop()
    study.set_user_attr(ATTRIBUTE + _TESTS, [*kept, asdict(read)])
