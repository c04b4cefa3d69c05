"""The statements by which trials are read from Optuna's tables and written into them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import (
    BindParameter,
    Connection,
    Table,
    bindparam,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from optnas.study.tables import (
    KEYS,
    PARAMS,
    PARTS,
    STEPS,
    STUDIES,
    SYSTEM,
    TRIALS,
    USER,
    VALUES,
    attribute_rows,
    param_rows,
    step_rows,
    stored_moment,
    trial_of,
    value_rows,
)

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


_UNFINISHED = [state for state in TrialState if not state.is_finished()]

# SQLite locks by a write alone, and a transaction that has read first may be too late to write.
_HOLD_STUDY = update(STUDIES).where(STUDIES.c.study_id == bindparam("id")).values(study_name=STUDIES.c.study_name)
_HOLD_STUDY_ROW = (
    select(STUDIES.c.study_id).where(STUDIES.c.study_id == bindparam("id")).with_for_update(key_share=True)
)
_HOLD_TRIAL = (
    update(TRIALS)
    .where(TRIALS.c.trial_id == bindparam("id"), TRIALS.c.state.in_(_UNFINISHED))
    .values(state=TRIALS.c.state)
)
_END_TRIAL = (
    update(TRIALS)
    .where(TRIALS.c.trial_id == bindparam("id"), TRIALS.c.state.in_(_UNFINISHED))
    .values(state=bindparam("new"), datetime_complete=bindparam("ended"))
)


_BEGIN_TRIAL = (
    update(TRIALS)
    .where(TRIALS.c.trial_id == bindparam("id"), TRIALS.c.state == TrialState.WAITING)
    .values(state=TrialState.RUNNING, datetime_start=bindparam("started"))
)
_OWNER_OF = select(SYSTEM.c.value_json).where(SYSTEM.c.trial_id == bindparam("id"), SYSTEM.c.key == OWNER)
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_READ_TRIALS = select(TRIALS).where(TRIALS.c.trial_id.in_(_IDS)).order_by(TRIALS.c.trial_id)
_READ_PARTS = [
    select(table.c.trial_id, *columns).where(table.c.trial_id.in_(_IDS)).order_by(order)
    for table, columns, order in PARTS
]
#: All of it by one statement, for a server far away.
_READ_AT_ONCE = _READ_TRIALS.add_columns(
    *(
        select(func.json_agg(postgresql.aggregate_order_by(func.json_build_array(*columns), order)))
        .where(table.c.trial_id == TRIALS.c.trial_id)
        .scalar_subquery()
        for table, columns, order in PARTS
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
    number = select(func.count()).where(TRIALS.c.study_id == study_id).scalar_subquery()
    row = connection.execute(
        insert(TRIALS)
        .values(study_id=study_id, number=number, state=TrialState.RUNNING, datetime_start=stored_moment(started))
        .returning(TRIALS.c.trial_id, TRIALS.c.number)
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
            trials += [trial_of(row, *(part or () for part in row[-len(PARTS) :])) for row in found]
            continue
        rows, parts = connection.execute(_READ_TRIALS, some).all(), []
        for statement in _READ_PARTS:
            by_trial: dict[int, list[Sequence[Any]]] = defaultdict(list)
            for trial_id, *part in connection.execute(statement, some):
                by_trial[trial_id].append(part)
            parts.append(by_trial)
        trials += [trial_of(row, *(part[row.trial_id] for part in parts)) for row in rows]
    return trials


def changed_trials(
    connection: Connection, study_id: int, last_id: int, unfinished: Iterable[int]
) -> list[tuple[int, TrialState]]:
    """The id and state of the trials of a study beyond `last_id`, and of some others.

    Raises:
        KeyError: If there is no such study.
    """
    news = or_(TRIALS.c.trial_id > last_id, TRIALS.c.trial_id.in_(list(unfinished)))
    wanted = select(TRIALS.c.trial_id, TRIALS.c.state).where(TRIALS.c.study_id == study_id, news)
    rows = [(row.trial_id, row.state) for row in connection.execute(wanted)]
    if last_id < 0 and not rows:
        _check_study(connection, study_id)
    return rows


def study_of(connection: Connection, trial_id: int) -> int:
    """The study of a trial.

    Raises:
        KeyError: If there is no such trial.
    """
    study_id: int | None = connection.scalar(select(TRIALS.c.study_id).where(TRIALS.c.trial_id == trial_id))
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
    _upsert(connection, SYSTEM, attribute_rows(trial_id, {OWNER: json.dumps(owner)}))
    return True


def begin_waiting(connection: Connection, trial_id: int) -> bool:
    """Let a trial run that waits; False if it does no longer."""
    started = {"id": trial_id, "started": stored_moment(datetime.now())}
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
    change = {"id": trial_id, "new": state, "ended": None if ended is None else stored_moment(ended)}
    if not connection.execute(_END_TRIAL, change).rowcount:
        raise UpdateFinishedTrialError(f"the trial of the id {trial_id} has ended, or is gone")
    _check_owner(connection, trial_id, owner)
    _put(connection, trial_id, gathered)
    _upsert(connection, VALUES, value_rows(trial_id, values or ()))


def _check_study(connection: Connection, study_id: int) -> None:
    if connection.scalar(select(STUDIES.c.study_id).where(STUDIES.c.study_id == study_id)) is None:
        raise KeyError(f"there is no study of the id {study_id}")


def _check_owner(connection: Connection, trial_id: int, owner: str | None) -> None:
    # A statement of its own, once the trial is held: a condition of the one that has waited for it would be judged
    # by what was there before the wait.
    if owner is not None and connection.scalar(_OWNER_OF, {"id": trial_id}) != json.dumps(owner):
        raise TrialLost(f"the trial of the id {trial_id} was taken over by another coordinator")


def _put(connection: Connection, trial_id: int, gathered: Gathered) -> None:
    params = {name: (value, distribution_to_json(one)) for name, (value, one) in gathered.params.items()}
    _upsert(connection, PARAMS, param_rows(trial_id, params))
    _upsert(connection, USER, attribute_rows(trial_id, gathered.user_attrs))
    _upsert(connection, SYSTEM, attribute_rows(trial_id, gathered.system_attrs))
    _upsert(connection, STEPS, step_rows(trial_id, gathered.intermediate_values))


def _upsert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Write rows over those of the same key."""
    if not rows:
        return
    dialect, key = sqlite if connection.dialect.name == "sqlite" else postgresql, KEYS[table]
    statement = dialect.insert(table)
    values = {name: statement.excluded[name] for name in rows[0] if name not in key}
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=values), rows)
