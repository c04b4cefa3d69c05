"""A study taken out of its storage whole, and put into another one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import optuna
from optuna import Study
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from optnas.errors import UsageError
from optnas.objective import ATTRIBUTE
from optnas.report.dashboard.attributes import NOTE, OURS, Attributes, note_key
from optnas.study import study_names

__all__ = [
    "METRIC_NAMES",
    "Note",
    "StudyRecord",
    "make_trial",
    "notes_in",
    "own_attributes",
    "read_record",
    "write_record",
]

_DASHBOARD = "dashboard:"
#: Where Optuna keeps the objectives' names, which have functions of their own.
METRIC_NAMES = "study:metric_names"
#: A genetic sampler of Optuna keeps here which trials it bred from, by numbers of the storage; it finds them again.
_PARENTS = ":parent:"
#: Written last: a study that lacks it is not gone on with, see `optnas.study.open_study`.
_LAST = ATTRIBUTE + "settings"


@dataclass(frozen=True)
class Note:
    """What a person wrote in the dashboard."""

    version: int
    """How optuna-dashboard counts edits."""
    text: str
    """Markdown."""


@dataclass(frozen=True)
class StudyRecord:
    """All that a storage holds of a study, apart from what optnas dashboard writes again by itself."""

    name: str
    directions: Sequence[str]
    """"minimize" or "maximize" for each objective."""
    metric_names: Sequence[str] | None
    """Of the objectives; None if the study names none."""
    user_attrs: Mapping[str, Any]
    system_attrs: Mapping[str, Any]
    """Optuna's own, without names of objectives, notes and what holds numbers of the storage."""
    trials: Sequence[FrozenTrial]
    """By number; the number is the place."""
    notes: Mapping[int | None, Note] = field(default_factory=dict)
    """Those that a person wrote or edited, by the number of their trial; None for the one of the study."""


def read_record(study: Study) -> StudyRecord:
    """A study as it is now; its trials are not copied and must not be changed."""
    trials = study.get_trials(deepcopy=False)
    attributes = study._storage.get_study_system_attrs(study._study_id)
    return StudyRecord(
        study.study_name,
        [direction.name.lower() for direction in study.directions],
        study.metric_names,
        study.user_attrs,
        own_attributes(attributes),
        trials,
        notes_in(attributes, {trial.number: trial._trial_id for trial in trials}),
    )


def own_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Of the system attributes of a study those that a record has: see `StudyRecord.system_attrs`."""
    return {
        key: value
        for key, value in attributes.items()
        if not key.startswith(_DASHBOARD) and key != METRIC_NAMES and _PARENTS not in key
    }


def notes_in(attributes: Mapping[str, Any], ids: Mapping[int, int]) -> dict[int | None, Note]:
    """The notes of people in the system attributes of a study.

    Args:
        attributes: See above.
        ids: By number of each trial, what the storage calls it.
    """
    keys: dict[int | None, str] = {None: NOTE, **{number: note_key(one) for number, one in ids.items()}}
    notes = {number: _note(attributes, key) for number, key in keys.items() if f"{key}_ver" in attributes}
    return {number: note for number, note in notes.items() if note.version != OURS}


def make_trial(
    number: int,
    state: TrialState,
    values: Sequence[float] | None,
    started: datetime | None,
    ended: datetime | None,
    **fields: Any,
) -> FrozenTrial:
    """A trial of any state, number and time.

    Args:
        number: Its own.
        state: Its own.
        values: One for each objective; None for none.
        started: In the time of this place, without saying so, as Optuna has it.
        ended: In the same way.
        fields: Other arguments of `optuna.trial.create_trial`.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: If they contradict each other.
    """
    trial = create_trial(state=TrialState.RUNNING, **fields)  # which demands nothing yet
    trial.number, trial.state = number, state
    trial.values = None if values is None else list(values)
    trial.datetime_start, trial.datetime_complete = started, ended
    trial._validate()
    return trial


def write_record(record: StudyRecord, storage: BaseStorage, name: str | None = None) -> Study:
    """Put a study into a storage; its trials keep their numbers, states, times and attributes.

    What optnas knows a study by is written last: one that was left half by a kill is not taken for a whole one.

    Args:
        record: The study.
        storage: Where to.
        name: Another name for it.

    Raises:
        UsageError: If the storage has a study of that name, or a trial is none.
    """
    name = name or record.name
    if name in study_names(storage):
        raise UsageError(f"study {name!r} exists already in the storage: give it another name")
    study = optuna.create_study(
        storage=storage, study_name=name, directions=[StudyDirection[name.upper()] for name in record.directions]
    )
    try:
        _fill(study, record)
    except BaseException:
        with suppress(Exception):  # what stopped us may stop this too
            optuna.delete_study(study_name=name, storage=storage)
        raise
    return study


def _fill(study: Study, record: StudyRecord) -> None:
    if record.metric_names is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names(list(record.metric_names))
    for key, value in record.system_attrs.items():
        study._storage.set_study_system_attr(study._study_id, key, value)
    for trial in record.trials:
        try:
            study.add_trial(trial)
        except ValueError as error:
            raise UsageError(f"study {record.name!r}: trial {trial.number} is none of Optuna: {error}") from None
    _write_notes(study, record.notes)
    for key in sorted(record.user_attrs, key=lambda key: key == _LAST):
        study.set_user_attr(key, record.user_attrs[key])


def _note(attributes: Mapping[str, Any], key: str) -> Note:
    # Optuna's dashboard ends a text at the first piece that is missing or empty.
    pieces: list[str] = []
    while piece := attributes.get(f"{key}_str:{len(pieces)}"):
        pieces.append(piece)
    return Note(int(attributes[f"{key}_ver"]), "".join(pieces))


def _write_notes(study: Study, notes: Mapping[int | None, Note]) -> None:
    if not notes:
        return
    ids = {trial.number: trial._trial_id for trial in study.get_trials(deepcopy=False)}
    keys = {number: NOTE if number is None else note_key(ids[number]) for number in notes}
    Attributes(study).write(
        {f"{keys[number]}_ver": note.version for number, note in notes.items()},
        {f"{keys[number]}_str": note.text for number, note in notes.items()},
    )
