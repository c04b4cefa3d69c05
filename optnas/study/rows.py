"""The statements by which trials are read from Optuna's tables and written into them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import (
    BindParameter,
    Column,
    Connection,
    Row,
    Table,
    bindparam,
    func,
    insert,
    inspect,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

__all__ = [
    "OWNER",
    "Gathered",
    "TrialLost",
    "begin_waiting",
    "changed_trials",
    "end_trial",
    "hold_study",
    "new_trial",
    "own_trial",
    "owner_of",
    "read_trials",
    "study_of",
    "write_trial",
]

#: The system attribute of a trial that holds the name of its coordinator, where several search a study.
OWNER = "optnas:owner"
#: More of them in one statement would be too many for some databases.
_MOST_IDS = 1000


class TrialLost(UpdateFinishedTrialError):
    """Another coordinator has taken a trial over: what this one found of it is not wanted any more."""


_STUDIES: Table = models.StudyModel.__table__
_TRIALS: Table = models.TrialModel.__table__
_VALUES: Table = models.TrialValueModel.__table__
_PARAMS: Table = models.TrialParamModel.__table__
_USER: Table = models.TrialUserAttributeModel.__table__
_SYSTEM: Table = models.TrialSystemAttributeModel.__table__
_STEPS: Table = models.TrialIntermediateValueModel.__table__
_START = inspect(models.TrialModel).get_property_by_column(_TRIALS.c.datetime_start)
_COMPLETE = inspect(models.TrialModel).get_property_by_column(_TRIALS.c.datetime_complete)
_UNFINISHED = [state for state in TrialState if not state.is_finished()]

# SQLite locks by a write alone, and a transaction that has read first may be too late to write.
_HOLD_STUDY = update(_STUDIES).where(_STUDIES.c.study_id == bindparam("id")).values(study_name=_STUDIES.c.study_name)
_HOLD_STUDY_ROW = (
    select(_STUDIES.c.study_id).where(_STUDIES.c.study_id == bindparam("id")).with_for_update(key_share=True)
)
_HOLD_TRIAL = (
    update(_TRIALS)
    .where(_TRIALS.c.trial_id == bindparam("id"), _TRIALS.c.state.in_(_UNFINISHED))
    .values(state=_TRIALS.c.state)
)
_END_TRIAL = (
    update(_TRIALS)
    .where(_TRIALS.c.trial_id == bindparam("id"), _TRIALS.c.state.in_(_UNFINISHED))
    .values(state=bindparam("new"), datetime_complete=bindparam("ended"))
)


_BEGIN_TRIAL = (
    update(_TRIALS)
    .where(_TRIALS.c.trial_id == bindparam("id"), _TRIALS.c.state == TrialState.WAITING)
    .values(state=TrialState.RUNNING, datetime_start=bindparam("started"))
)
_OWNER_OF = select(_SYSTEM.c.value_json).where(_SYSTEM.c.trial_id == bindparam("id"), _SYSTEM.c.key == OWNER)
#: What belongs to a trial: the table, its columns, and their order; in the order of the arguments of `_trial`.
_PARTS: list[tuple[Table, Sequence[Column[Any]], Column[Any]]] = [
    (_VALUES, [_VALUES.c.value, _VALUES.c.value_type], _VALUES.c.objective),
    (_PARAMS, [_PARAMS.c.param_name, _PARAMS.c.param_value, _PARAMS.c.distribution_json], _PARAMS.c.param_id),
    (_USER, [_USER.c.key, _USER.c.value_json], _USER.c.trial_user_attribute_id),
    (_SYSTEM, [_SYSTEM.c.key, _SYSTEM.c.value_json], _SYSTEM.c.trial_system_attribute_id),
    (_STEPS, [_STEPS.c.step, _STEPS.c.intermediate_value, _STEPS.c.intermediate_value_type], _STEPS.c.step),
]
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_READ_TRIALS = select(_TRIALS).where(_TRIALS.c.trial_id.in_(_IDS)).order_by(_TRIALS.c.trial_id)
_READ_PARTS = [
    select(table.c.trial_id, *columns).where(table.c.trial_id.in_(_IDS)).order_by(order)
    for table, columns, order in _PARTS
]
#: All of it by one statement, for a server far away.
_READ_AT_ONCE = _READ_TRIALS.add_columns(
    *(
        select(func.json_agg(postgresql.aggregate_order_by(func.json_build_array(*columns), order)))
        .where(table.c.trial_id == _TRIALS.c.trial_id)
        .scalar_subquery()
        for table, columns, order in _PARTS
    )
)


@dataclass
class Gathered:
    """What a trial was given since it was last written; attributes as JSON."""

    params: dict[str, tuple[float, BaseDistribution]] = field(default_factory=dict)
    user_attrs: dict[str, str] = field(default_factory=dict)
    system_attrs: dict[str, str] = field(default_factory=dict)
    intermediate_values: dict[int, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.params or self.user_attrs or self.system_attrs or self.intermediate_values)

    def clear(self) -> None:
        """All is written."""
        self.__init__()  # type: ignore[misc]


def new_trial(connection: Connection, study_id: int, owner: str | None = None) -> FrozenTrial:
    """A new running trial, of a coordinator if there are several; nobody else makes one until the transaction ends.

    Raises:
        KeyError: If there is no such study.
    """
    hold_study(connection, study_id)
    started = datetime.now()
    number = select(func.count()).where(_TRIALS.c.study_id == study_id).scalar_subquery()
    row = connection.execute(
        insert(_TRIALS)
        .values(study_id=study_id, number=number, state=TrialState.RUNNING, datetime_start=_stored(started))
        .returning(_TRIALS.c.trial_id, _TRIALS.c.number)
    ).one()
    if owner is not None:
        own_trial(connection, row.trial_id, owner)
    return FrozenTrial(
        number=row.number,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=started,
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={} if owner is None else {OWNER: owner},
        intermediate_values={},
        trial_id=row.trial_id,
    )


def hold_study(connection: Connection, study_id: int) -> None:
    """Let nobody else make a trial of this study until the transaction ends.

    Raises:
        KeyError: If there is no such study.
    """
    if connection.dialect.name == "postgresql":
        found = connection.execute(_HOLD_STUDY_ROW, {"id": study_id}).first() is not None
    else:
        found = bool(connection.execute(_HOLD_STUDY, {"id": study_id}).rowcount)
    if not found:
        raise KeyError(f"there is no study of the id {study_id}")


def read_trials(connection: Connection, trial_ids: Iterable[int]) -> list[FrozenTrial]:
    """Trials as they are stored, in the order of their ids; those that are gone are left out."""
    ids, trials = sorted(trial_ids), []
    for start in range(0, len(ids), _MOST_IDS):
        some = {"ids": ids[start : start + _MOST_IDS]}
        if connection.dialect.name == "postgresql":
            found = connection.execute(_READ_AT_ONCE, some)
            trials += [_trial(row, *(part or () for part in row[-len(_PARTS) :])) for row in found]
            continue
        rows, parts = connection.execute(_READ_TRIALS, some).all(), []
        for statement in _READ_PARTS:
            by_trial: dict[int, list[Sequence[Any]]] = defaultdict(list)
            for trial_id, *part in connection.execute(statement, some):
                by_trial[trial_id].append(part)
            parts.append(by_trial)
        trials += [_trial(row, *(part[row.trial_id] for part in parts)) for row in rows]
    return trials


def changed_trials(
    connection: Connection, study_id: int, last_id: int, unfinished: Iterable[int]
) -> list[tuple[int, TrialState]]:
    """The id and state of the trials of a study beyond `last_id`, and of some others.

    Raises:
        KeyError: If there is no such study.
    """
    news = or_(_TRIALS.c.trial_id > last_id, _TRIALS.c.trial_id.in_(list(unfinished)))
    wanted = select(_TRIALS.c.trial_id, _TRIALS.c.state).where(_TRIALS.c.study_id == study_id, news)
    rows = [(row.trial_id, row.state) for row in connection.execute(wanted)]
    if last_id < 0 and not rows:
        _check_study(connection, study_id)
    return rows


def study_of(connection: Connection, trial_id: int) -> int:
    """The study of a trial.

    Raises:
        KeyError: If there is no such trial.
    """
    study_id: int | None = connection.scalar(select(_TRIALS.c.study_id).where(_TRIALS.c.trial_id == trial_id))
    if study_id is None:
        raise KeyError(f"there is no trial of the id {trial_id}")
    return study_id


def owner_of(trial: FrozenTrial) -> str | None:
    """The coordinator that runs a trial, or did."""
    return trial.system_attrs.get(OWNER)


def own_trial(connection: Connection, trial_id: int, owner: str) -> bool:
    """Make a coordinator the owner of an unfinished trial; False if it has ended.

    Whoever ends or writes the trial meanwhile has done so before, or finds the new owner.
    """
    if not connection.execute(_HOLD_TRIAL, {"id": trial_id}).rowcount:
        return False
    rows = [{"trial_id": trial_id, "key": OWNER, "value_json": json.dumps(owner)}]
    _upsert(connection, models.TrialSystemAttributeModel, ("trial_id", "key"), rows)
    return True


def begin_waiting(connection: Connection, trial_id: int) -> bool:
    """Let a trial run that waits; False if it does no longer."""
    started = {"id": trial_id, "started": _stored(datetime.now())}
    return bool(connection.execute(_BEGIN_TRIAL, started).rowcount)


def write_trial(connection: Connection, trial_id: int, gathered: Gathered, owner: str | None = None) -> None:
    """Write what was gathered of a trial that has not ended.

    Raises:
        TrialLost: If its owner is another one than the one given.
        UpdateFinishedTrialError: If it has ended, or is gone.
    """
    if not connection.execute(_HOLD_TRIAL, {"id": trial_id}).rowcount:
        raise UpdateFinishedTrialError(f"the trial of the id {trial_id} has ended, or is gone")
    _check_owner(connection, trial_id, owner)
    _put(connection, trial_id, gathered)


def end_trial(
    connection: Connection,
    trial_id: int,
    gathered: Gathered,
    state: TrialState,
    values: Sequence[float] | None,
    ended: datetime | None,
    owner: str | None = None,
) -> None:
    """As `write_trial`, with the state and values."""
    change = {"id": trial_id, "new": state, "ended": None if ended is None else _stored(ended)}
    if not connection.execute(_END_TRIAL, change).rowcount:
        raise UpdateFinishedTrialError(f"the trial of the id {trial_id} has ended, or is gone")
    _check_owner(connection, trial_id, owner)
    _put(connection, trial_id, gathered)
    stored = [models.TrialValueModel.value_to_stored_repr(value) for value in values or ()]
    rows = [
        {"trial_id": trial_id, "objective": objective, "value": value, "value_type": kind}
        for objective, (value, kind) in enumerate(stored)
    ]
    _upsert(connection, models.TrialValueModel, ("trial_id", "objective"), rows)


def _check_study(connection: Connection, study_id: int) -> None:
    if connection.scalar(select(_STUDIES.c.study_id).where(_STUDIES.c.study_id == study_id)) is None:
        raise KeyError(f"there is no study of the id {study_id}")


def _check_owner(connection: Connection, trial_id: int, owner: str | None) -> None:
    # A statement of its own, once the trial is held: a condition of the one that has waited for it would be judged
    # by what was there before the wait.
    if owner is not None and connection.scalar(_OWNER_OF, {"id": trial_id}) != json.dumps(owner):
        raise TrialLost(f"the trial of the id {trial_id} was taken over by another coordinator")


def _put(connection: Connection, trial_id: int, gathered: Gathered) -> None:
    rows: list[dict[str, Any]] = [
        {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": value,
            "distribution_json": distribution_to_json(distribution),
        }
        for name, (value, distribution) in gathered.params.items()
    ]
    _upsert(connection, models.TrialParamModel, ("trial_id", "param_name"), rows)
    for table, attributes in (
        (models.TrialUserAttributeModel, gathered.user_attrs),
        (models.TrialSystemAttributeModel, gathered.system_attrs),
    ):
        rows = [{"trial_id": trial_id, "key": key, "value_json": text} for key, text in attributes.items()]
        _upsert(connection, table, ("trial_id", "key"), rows)
    rows = []
    for step, value in gathered.intermediate_values.items():
        stored, kind = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(value)
        rows.append({"trial_id": trial_id, "step": step, "intermediate_value": stored, "intermediate_value_type": kind})
    _upsert(connection, models.TrialIntermediateValueModel, ("trial_id", "step"), rows)


def _upsert(connection: Connection, model: Any, key: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    """Write rows over those of the same key."""
    if not rows:
        return
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(model.__table__)
    values = {name: statement.excluded[name] for name in rows[0] if name not in key}
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=values), rows)


def _stored(moment: datetime) -> Any:
    """A moment as Optuna's version stores it, which has changed its mind on time zones."""
    trial = models.TrialModel(datetime_start=moment)
    return getattr(trial, _START.key)


@lru_cache(maxsize=4096)
def _distribution(text: str) -> BaseDistribution:
    return json_to_distribution(text)


def _trial(
    row: Row[Any],
    values: Iterable[Sequence[Any]],
    params: Iterable[Sequence[Any]],
    user_attrs: Iterable[Sequence[Any]],
    system_attrs: Iterable[Sequence[Any]],
    steps: Iterable[Sequence[Any]],
) -> FrozenTrial:
    times = models.TrialModel(**{_START.key: row.datetime_start, _COMPLETE.key: row.datetime_complete})
    distributions = {name: _distribution(text) for name, _, text in params}
    return FrozenTrial(
        number=row.number,
        state=row.state,
        value=None,
        values=[_value(value, kind) for value, kind in values] or None,
        datetime_start=times.datetime_start,
        datetime_complete=times.datetime_complete,
        params={name: distributions[name].to_external_repr(value) for name, value, _ in params},
        distributions=distributions,
        user_attrs={key: json.loads(text) for key, text in user_attrs},
        system_attrs={key: json.loads(text) for key, text in system_attrs},
        intermediate_values={step: _step(value, kind) for step, value, kind in steps},
        trial_id=row.trial_id,
    )


def _value(value: float | None, kind: Any) -> float:
    kinds = models.TrialValueModel.TrialValueType
    return models.TrialValueModel.stored_repr_to_value(value, kind if isinstance(kind, kinds) else kinds[kind])


def _step(value: float | None, kind: Any) -> float:
    kinds = models.TrialIntermediateValueModel.TrialIntermediateValueType
    stored = kind if isinstance(kind, kinds) else kinds[kind]
    return models.TrialIntermediateValueModel.stored_repr_to_intermediate_value(value, stored)
