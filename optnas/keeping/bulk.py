"""A study with all of its trials, put into a database by one transaction: all of it is there, or nothing.

Optuna adds a trial by forty statements and commits each trial by itself: 17 s for a thousand of them, and half a study
if the process is killed meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, check_distribution_compatibility, distribution_to_json
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from sqlalchemy import Connection, Engine, Table, insert, select
from sqlalchemy.exc import IntegrityError

from optnas.errors import UsageError
from optnas.study.tables import (
    DIRECTIONS,
    PARAMS,
    PARTS,
    STEPS,
    STUDIES,
    STUDY_SYSTEM,
    STUDY_USER,
    SYSTEM,
    TRIALS,
    USER,
    VALUES,
    attribute_rows,
    param_rows,
    step_rows,
    stored_moment,
    value_rows,
)

__all__ = ["Checks", "engine_of", "insert_study"]

#: Trials whose rows are in memory at once.
_AT_ONCE = 1000


class Checks:
    """What Optuna demands of the trials of a study before it adds them, each alone and together.

    Args:
        study: Its name, for messages.
        objectives: How many it has.
        trials: By number.

    Raises:
        UsageError: If a trial is none, or none of this study.
    """

    def __init__(self, study: str, objectives: int, trials: Sequence[FrozenTrial]) -> None:
        self._objectives = objectives
        self._first: dict[str, BaseDistribution] = {}
        self._texts: dict[int, tuple[BaseDistribution, str]] = {}
        self._seen: set[tuple[str, str]] = set()
        for number, trial in enumerate(trials):
            try:
                self._check(trial)
            except ValueError as error:
                raise UsageError(f"study {study!r}: trial {number} is none of Optuna: {error}") from None

    def _check(self, trial: FrozenTrial) -> None:
        trial._validate()
        if trial.values is not None and len(trial.values) != self._objectives:
            raise ValueError(f"it has {len(trial.values)} values, and the study {self._objectives} objectives")
        for name, distribution in trial.distributions.items():
            known = (name, self.text(distribution))
            if known not in self._seen:
                check_distribution_compatibility(self._first.setdefault(name, distribution), distribution)
                self._seen.add(known)

    def text(self, distribution: BaseDistribution) -> str:
        """A distribution as it is stored; most trials have the same ones."""
        if id(distribution) not in self._texts:
            # Kept beside its text: what is let go of may give its id to another.
            self._texts[id(distribution)] = distribution, distribution_to_json(distribution)
        return self._texts[id(distribution)][1]


def engine_of(storage: BaseStorage) -> Engine | None:
    """The database behind a storage; None if it is none."""
    backend = getattr(storage, "_backend", storage)  # behind a cache, Optuna's or ours
    return backend.engine if isinstance(backend, RDBStorage) else None


def insert_study(
    engine: Engine,
    name: str,
    directions: Sequence[StudyDirection],
    trials: Sequence[FrozenTrial],
    user_attrs: Mapping[str, Any],
    system_attrs: Callable[[Sequence[int]], Mapping[str, Any]],
    checks: Checks,
) -> None:
    """Make a study.

    Args:
        engine: The database, with the tables of Optuna.
        name: Of the study.
        directions: For each objective.
        trials: By number; the number is the place.
        user_attrs: Of the study.
        system_attrs: Gives those of the study from the ids of its trials in the database, by number.
        checks: Those that the trials have passed.

    Raises:
        UsageError: If there is a study of that name.
    """
    with engine.begin() as connection:
        study_id = _insert_name(connection, name)
        told = [{"study_id": study_id, "objective": place, "direction": one} for place, one in enumerate(directions)]
        _insert(connection, DIRECTIONS, told)
        _insert(connection, TRIALS, [_trial(trial, study_id, number) for number, trial in enumerate(trials)])
        ids = _ids(connection, study_id)
        for start in range(0, len(trials), _AT_ONCE):
            some = range(start, min(start + _AT_ONCE, len(trials)))
            for table, rows in _parts([(ids[number], trials[number]) for number in some], checks).items():
                _insert(connection, table, rows)
        for table, attributes in ((STUDY_USER, user_attrs), (STUDY_SYSTEM, system_attrs(ids))):
            texts = _texts(attributes)
            _insert(connection, table, [{"study_id": study_id, "key": key, "value_json": texts[key]} for key in texts])


def _insert_name(connection: Connection, name: str) -> int:
    try:
        made = connection.execute(insert(STUDIES).values(study_name=name)).inserted_primary_key
    except IntegrityError:
        raise UsageError(f"study {name!r} exists already in the storage: give it another name") from None
    assert made is not None
    return int(made[0])


def _ids(connection: Connection, study_id: int) -> list[int]:
    wanted = select(TRIALS.c.trial_id).where(TRIALS.c.study_id == study_id).order_by(TRIALS.c.number)
    return list(connection.scalars(wanted))


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)


def _trial(trial: FrozenTrial, study_id: int, number: int) -> dict[str, Any]:
    return {
        "study_id": study_id,
        "number": number,
        "state": trial.state,
        "datetime_start": stored_moment(trial.datetime_start),
        "datetime_complete": stored_moment(trial.datetime_complete),
    }


def _parts(trials: Sequence[tuple[int, FrozenTrial]], checks: Checks) -> dict[Table, list[dict[str, Any]]]:
    """What belongs to some trials, each given with its id, in the tables where it is kept."""
    rows: dict[Table, list[dict[str, Any]]] = {table: [] for table, *_ in PARTS}
    for one, trial in trials:
        chosen = {name: (trial.distributions[name], value) for name, value in trial.params.items()}
        params = {name: (kind.to_internal_repr(value), checks.text(kind)) for name, (kind, value) in chosen.items()}
        rows[VALUES] += value_rows(one, trial.values or ())
        rows[PARAMS] += param_rows(one, params)
        rows[USER] += attribute_rows(one, _texts(trial.user_attrs))
        rows[SYSTEM] += attribute_rows(one, _texts(trial.system_attrs))
        rows[STEPS] += step_rows(one, trial.intermediate_values)
    return rows


def _texts(attributes: Mapping[str, Any]) -> dict[str, str]:
    return {key: json.dumps(value) for key, value in attributes.items()}
