"""A study taken out of its storage whole, and put into another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

import optuna
from optuna import Study
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from optnas.errors import UsageError
from optnas.keeping.bulk import Checks, engine_of, insert_study
from optnas.keeping.pictures import Picture, picture_attributes, pictures_in
from optnas.objective import ATTRIBUTE
from optnas.report.dashboard.attributes import NOTE, OURS, note_key, text_pieces
from optnas.study import study_names

__all__ = [
    "METRIC_NAMES",
    "Note",
    "StudyRecord",
    "half_studies",
    "make_trial",
    "notes_in",
    "own_attributes",
    "read_record",
    "uploaded_in",
    "write_record",
]

_DASHBOARD = "dashboard:"
#: Where Optuna keeps the objectives' names, which have functions of their own.
METRIC_NAMES = "study:metric_names"
#: A genetic sampler of Optuna keeps here which trials it bred from, by numbers of the storage; it finds them again.
_PARENTS = ":parent:"
#: Written last: a study that lacks it is not gone on with, see `optnas.study.open_study`.
_LAST = ATTRIBUTE + "settings"
#: The mark of a study that is not whole yet.
_RESTORING = ATTRIBUTE + "restoring"


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
    pictures: Sequence[Picture] = ()
    """Files that a person gave to trials in the dashboard, without their contents; of those that a trial tells of
    itself its attributes know."""


def read_record(study: Study) -> StudyRecord:
    """A study as it is now; its trials are not copied and must not be changed."""
    trials = study.get_trials(deepcopy=False)
    attributes = study._storage.get_study_system_attrs(study._study_id)
    ids = {trial.number: trial._trial_id for trial in trials}
    return StudyRecord(
        study.study_name,
        [direction.name.lower() for direction in study.directions],
        study.metric_names,
        study.user_attrs,
        own_attributes(attributes),
        trials,
        notes_in(attributes, ids),
        uploaded_in(attributes, ids),
    )


def own_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Of the system attributes of a study those that a record has: see `StudyRecord.system_attrs`."""
    return {
        key: value
        for key, value in attributes.items()
        if not key.startswith(_DASHBOARD) and key not in (METRIC_NAMES, _RESTORING) and _PARENTS not in key
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


def uploaded_in(attributes: Mapping[str, Any], ids: Mapping[int, int]) -> list[Picture]:
    """See `StudyRecord.pictures`; the arguments are those of `notes_in`."""
    return [picture for picture in pictures_in(attributes, ids) if not picture.drawn]


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

    A database gets all of it at once, or nothing. Elsewhere the study is marked as long as it is not whole; one that
    was left half by a kill is known by that mark, and makes room.

    Args:
        record: The study.
        storage: Where to.
        name: Another name for it.

    Raises:
        UsageError: If the storage has a study of that name, or a trial is none.
    """
    name = name or record.name
    if name in half_studies(storage):
        optuna.delete_study(study_name=name, storage=storage)
    elif name in study_names(storage):
        raise UsageError(f"study {name!r} exists already in the storage: give it another name")
    directions = [StudyDirection[direction.upper()] for direction in record.directions]
    checks, engine = Checks(name, len(directions), record.trials), engine_of(storage)
    if engine is None:
        _write_marked(record, storage, name, directions)
    else:
        system_attrs = partial(_system_attrs, record)
        insert_study(engine, name, directions, record.trials, record.user_attrs, system_attrs, checks)
    return optuna.load_study(study_name=name, storage=storage)


def half_studies(storage: BaseStorage) -> list[str]:
    """The names of those that `write_record` was killed in, or writes just now."""
    return [study.study_name for study in storage.get_all_studies() if study.system_attrs.get(_RESTORING)]


def _write_marked(record: StudyRecord, storage: BaseStorage, name: str, directions: Sequence[StudyDirection]) -> None:
    study = optuna.create_study(storage=storage, study_name=name, directions=directions)
    try:
        storage.set_study_system_attr(study._study_id, _RESTORING, True)
        study.add_trials(record.trials)
        ids = [trial._trial_id for trial in study.get_trials(deepcopy=False)]
        for key, value in _system_attrs(record, ids).items():
            storage.set_study_system_attr(study._study_id, key, value)
        for key in sorted(record.user_attrs, key=lambda key: key == _LAST):
            study.set_user_attr(key, record.user_attrs[key])
        storage.set_study_system_attr(study._study_id, _RESTORING, False)  # Optuna takes no attribute away
    except BaseException:
        with suppress(Exception):  # what stopped us may stop this too
            optuna.delete_study(study_name=name, storage=storage)
        raise


def _system_attrs(record: StudyRecord, ids: Sequence[int]) -> dict[str, Any]:
    """All that a storage keeps in the system attributes of a study; `ids` are what it calls its trials."""
    places = dict(enumerate(ids))
    found = dict(record.system_attrs)
    if record.metric_names is not None:
        found[METRIC_NAMES] = list(record.metric_names)
    for number, note in record.notes.items():
        key = NOTE if number is None else note_key(places[number])
        found |= {f"{key}_ver": note.version, **dict(text_pieces(f"{key}_str", note.text))}
    return found | picture_attributes(record.pictures, places)


def _note(attributes: Mapping[str, Any], key: str) -> Note:
    # Optuna's dashboard ends a text at the first piece that is missing or empty.
    pieces: list[str] = []
    while piece := attributes.get(f"{key}_str:{len(pieces)}"):
        pieces.append(piece)
    return Note(int(attributes[f"{key}_ver"]), "".join(pieces))
