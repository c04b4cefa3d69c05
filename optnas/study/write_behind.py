"""An Optuna database where a trial costs three transactions, not one for each of its values."""

from __future__ import annotations

import copy
import json
import random
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from optuna.distributions import BaseDistribution, check_distribution_compatibility, distribution_to_json
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Engine, Table, bindparam, func, insert, inspect, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError

__all__ = ["WriteBehindStorage", "transact"]

_T = TypeVar("_T")

#: A database that does not answer is asked so often, with twice the pause each time: half a minute in all.
_TRIES = 7
_FIRST_PAUSE = 0.25
#: Whoever holds a study alone looks for what others wrote (a trial that a person enqueued) so many seconds apart.
_PATIENCE = 0.1


class WriteBehindStorage(BaseStorage):
    """An `RDBStorage` that gathers what this process writes into its running trials.

    Optuna commits each parameter and attribute by itself, 29 times for a trial of 20 parameters. Here a trial is
    created by one transaction, `flush` writes what it has gathered by a second, and its end is a third, with its
    values. Reads come from a copy in memory; from the database comes only what others wrote. What was not flushed is
    lost with the process, its trial then is one that has no parameters yet.

    The tables are Optuna's own: any other storage reads what was flushed.

    Args:
        backend: The database.
    """

    def __init__(self, backend: RDBStorage) -> None:
        self._backend = backend
        self._lock = threading.RLock()
        self._copies: dict[int, _Copy] = {}
        self._study_of: dict[int, int] = {}
        self._gathered: dict[int, _Gathered] = {}
        """By trial: what is not written yet of those that this process writes."""
        self._alone: set[int] = set()

    def __getstate__(self) -> dict[str, Any]:
        self.flush()
        return {"backend": self._backend}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["backend"])  # type: ignore[misc]

    @property
    def backend(self) -> RDBStorage:
        """The database itself."""
        return self._backend

    @property
    def engine(self) -> Engine:
        """Its connections."""
        return self._backend.engine

    def hold_alone(self, study_id: int) -> None:
        """Say that no other coordinator works on this study, so that the database need not be asked all the time."""
        self._alone.add(study_id)

    def flush(self, trial_id: int | None = None) -> None:
        """Write what was gathered of a trial, or of all.

        Raises:
            UpdateFinishedTrialError: If somebody else ended the trial meanwhile.
        """
        with self._lock:
            for one in [trial_id] if trial_id is not None else list(self._gathered):
                gathered = self._gathered.get(one)
                if gathered:
                    transact(self._backend, partial(_write, trial_id=one, gathered=gathered))
                    gathered.clear()

    def adopt(self, trial_id: int) -> None:
        """Read a trial again, and take this process for its only writer from now on."""
        with self._lock:
            self._gathered.pop(trial_id, None)
            study_id = self._study(trial_id)
            self._copy(study_id).put(self._backend.get_trial(trial_id))
            self._gathered[trial_id] = _Gathered()

    def take(self, study_id: int, trial: FrozenTrial) -> None:
        """As `adopt`, of a trial that was just made."""
        with self._lock:
            self._study_of[trial._trial_id] = study_id
            self._copy(study_id).put(trial)
            self._gathered[trial._trial_id] = _Gathered()

    def disown(self, trial_id: int) -> None:
        """Forget what was gathered of a trial that somebody else writes now."""
        with self._lock:
            self._gathered.pop(trial_id, None)

    def remove_session(self) -> None:
        """Close the connection of this thread."""
        self._backend.remove_session()

    # Studies: rare, and Optuna's own way.

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        return self._backend.create_new_study(directions, study_name)

    def delete_study(self, study_id: int) -> None:
        with self._lock:
            known = self._copies.pop(study_id, None)
            for trial in known.trials if known else ():
                self._gathered.pop(trial._trial_id, None)
                self._study_of.pop(trial._trial_id, None)
            self._backend.delete_study(study_id)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._backend.set_study_user_attr(study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._backend.set_study_system_attr(study_id, key, value)

    def get_study_id_from_name(self, study_name: str) -> int:
        return self._backend.get_study_id_from_name(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        with self._lock:
            known = self._copy(study_id)
            if known.name is None:
                known.name = self._backend.get_study_name_from_id(study_id)
            return known.name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        with self._lock:
            known = self._copy(study_id)
            if known.directions is None:
                known.directions = self._backend.get_study_directions(study_id)
            return list(known.directions)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._backend.get_study_user_attrs(study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._backend.get_study_system_attrs(study_id)

    def get_all_studies(self) -> list[FrozenStudy]:
        return self._backend.get_all_studies()

    # Trials.

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        with self._lock:
            if template_trial is not None:
                trial_id = self._backend.create_new_trial(study_id, template_trial)
                self._copy(study_id).looked = None
                return trial_id
            trial = transact(self._backend, partial(new_trial, study_id=study_id))
            self.take(study_id, trial)
            return trial._trial_id

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        with self._lock:
            trial, gathered = self._writable(trial_id)
            known = self._copy(self._study(trial_id)).distributions
            if param_name in known:
                check_distribution_compatibility(known[param_name], distribution)
            known.setdefault(param_name, distribution)
            trial.params = {**trial.params, param_name: distribution.to_external_repr(param_value_internal)}
            trial.distributions = {**trial.distributions, param_name: distribution}
            gathered.params[param_name] = (param_value_internal, distribution)
            self._put(trial)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        with self._lock:
            trial, gathered = self._writable(trial_id)
            gathered.user_attrs[key] = text = json.dumps(value)
            trial.user_attrs = {**trial.user_attrs, key: json.loads(text)}
            self._put(trial)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        with self._lock:
            trial, gathered = self._writable(trial_id)
            gathered.system_attrs[key] = text = json.dumps(value)
            trial.system_attrs = {**trial.system_attrs, key: json.loads(text)}
            self._put(trial)

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        with self._lock:
            trial, gathered = self._writable(trial_id)
            gathered.intermediate_values[step] = intermediate_value
            trial.intermediate_values = {**trial.intermediate_values, step: intermediate_value}
            self._put(trial)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        with self._lock:
            if state == TrialState.RUNNING:
                taken = self._backend.set_trial_state_values(trial_id, state, values)
                if taken:
                    self.adopt(trial_id)
                else:
                    self._copy(self._study(trial_id)).looked = None
                return taken
            trial, gathered = self._writable(trial_id)
            ended = datetime.now() if state.is_finished() else None
            transact(self._backend, lambda connection: _end(connection, trial_id, gathered, state, values, ended))
            trial.state, trial.datetime_complete = state, ended
            if values is not None:
                trial.values = list(values)
            self._put(trial)
            if state.is_finished():
                del self._gathered[trial_id]
            else:
                gathered.clear()
            return True

    def get_trial(self, trial_id: int) -> FrozenTrial:
        with self._lock:
            known = self._copy(self._study(trial_id)).get(trial_id)
            if known is not None and (known.state.is_finished() or trial_id in self._gathered):
                return known
            return self._backend.get_trial(trial_id)

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        with self._lock:
            trials = self._copy(study_id).trials
            if trial_number < len(trials) and trials[trial_number].number == trial_number:
                return trials[trial_number]._trial_id
            return self._backend.get_trial_id_from_study_id_trial_number(study_id, trial_number)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        with self._lock:
            known = self._copy(study_id)
            if study_id not in self._alone or known.looked is None or time.monotonic() - known.looked > _PATIENCE:
                self._look(study_id)
            if states is None:
                found = list(known.trials)
            elif any(state in states for state in TrialState if state.is_finished()):
                found = [trial for trial in known.trials if trial.state in states]
            else:  # those that wait are asked for before each trial
                some = (trial for trial in known.unfinished.values() if trial.state in states)
                found = sorted(some, key=lambda trial: trial.number)
            return copy.deepcopy(found) if deepcopy else found

    # The copy in memory.

    def _copy(self, study_id: int) -> _Copy:
        if study_id not in self._copies:
            self._copies[study_id] = _Copy()
        return self._copies[study_id]

    def _study(self, trial_id: int) -> int:
        if trial_id not in self._study_of:
            wanted = select(_TRIALS.c.study_id).where(_TRIALS.c.trial_id == trial_id)
            study_id = transact(self._backend, lambda connection: connection.scalar(wanted))
            if study_id is None:
                raise KeyError(f"there is no trial of the id {trial_id}")
            self._study_of[trial_id] = study_id
        return self._study_of[trial_id]

    def _put(self, trial: FrozenTrial) -> None:
        self._copy(self._study_of[trial._trial_id]).put(trial)

    def _writable(self, trial_id: int) -> tuple[FrozenTrial, _Gathered]:
        """A copy of a trial to change and put back, and what is not yet written of it."""
        known = self._copy(self._study(trial_id)).get(trial_id)
        if known is not None:
            self.check_trial_is_updatable(trial_id, known.state)
        if trial_id not in self._gathered:
            self.adopt(trial_id)
            known = self._copy(self._study(trial_id)).get(trial_id)
            assert known is not None
            if known.state.is_finished():
                del self._gathered[trial_id]
            self.check_trial_is_updatable(trial_id, known.state)
        return copy.copy(known), self._gathered[trial_id]  # type: ignore[return-value]

    def _look(self, study_id: int) -> None:
        """Bring the copy up to date with what others wrote."""
        known = self._copy(study_id)
        if known.looked is None:
            self._backend.get_study_name_from_id(study_id)  # raises KeyError where there is none
        theirs = [one for one in known.unfinished if one not in self._gathered]
        news = or_(_TRIALS.c.trial_id > known.last_id, _TRIALS.c.trial_id.in_(theirs))
        wanted = select(_TRIALS.c.trial_id, _TRIALS.c.state).where(_TRIALS.c.study_id == study_id, news)
        rows = transact(self._backend, lambda connection: connection.execute(wanted).all())
        known.looked = time.monotonic()
        changed = set()
        for trial_id, state in rows:
            before = known.get(trial_id)
            # A trial that runs elsewhere gets its parameters and attributes while it runs.
            if trial_id not in self._gathered and (
                before is None or before.state != state or state == TrialState.RUNNING
            ):
                changed.add(trial_id)
        if changed:
            for trial in self._backend._get_trials(study_id, None, changed, max(changed)):
                self._study_of[trial._trial_id] = study_id
                if trial._trial_id in changed:
                    known.put(trial)
        known.last_id = max([known.last_id, *(trial_id for trial_id, _ in rows)])


_STUDIES: Table = models.StudyModel.__table__
_TRIALS: Table = models.TrialModel.__table__
_START = inspect(models.TrialModel).get_property_by_column(_TRIALS.c.datetime_start)
_UNFINISHED = [state for state in TrialState if not state.is_finished()]

_HOLD_STUDY = update(_STUDIES).where(_STUDIES.c.study_id == bindparam("id")).values(study_name=_STUDIES.c.study_name)
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


@dataclass
class _Gathered:
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


@dataclass
class _Copy:
    """What is known of a study."""

    trials: list[FrozenTrial] = field(default_factory=list)
    """In the order of their numbers."""
    unfinished: dict[int, FrozenTrial] = field(default_factory=dict)
    """By the trial's id."""
    distributions: dict[str, BaseDistribution] = field(default_factory=dict)
    name: str | None = None
    directions: list[StudyDirection] | None = None
    last_id: int = -1
    """The greatest id of a trial that was seen in the database; what this process made may have greater ones."""
    looked: float | None = None
    """When the database was asked, by the monotonic clock; None for: ask at once."""
    _places: dict[int, int] = field(default_factory=dict)

    def get(self, trial_id: int) -> FrozenTrial | None:
        place = self._places.get(trial_id)
        return None if place is None else self.trials[place]

    def put(self, trial: FrozenTrial) -> None:
        """Take a trial, or a newer version of one that is known, in."""
        trial_id = trial._trial_id
        for name, distribution in trial.distributions.items():
            self.distributions.setdefault(name, distribution)
        if trial_id in self._places:
            self.trials[self._places[trial_id]] = trial
        else:
            place = bisect_left(self.trials, trial.number, key=lambda one: one.number)
            self.trials.insert(place, trial)
            for index in range(place, len(self.trials)):
                self._places[self.trials[index]._trial_id] = index
        if trial.state.is_finished():
            self.unfinished.pop(trial_id, None)
        else:
            self.unfinished[trial_id] = trial


def transact(backend: RDBStorage, work: Callable[[Connection], _T]) -> _T:
    """What `work` returns, in a transaction of its own; begun again where a server's connection was lost.

    Raises:
        OperationalError: If the database cannot be written or does not come back.
    """
    pause = _FIRST_PAUSE
    for tried in range(1, _TRIES + 1):
        try:
            with backend.engine.begin() as connection:
                return work(connection)
        except OperationalError:
            # SQLite has waited for others by itself; a full disk is not mended by waiting.
            if backend.engine.name == "sqlite" or tried == _TRIES:
                raise
        time.sleep(pause * random.uniform(0.5, 1))
        pause *= 2
    raise AssertionError("the last try returns or raises")


def new_trial(connection: Connection, study_id: int) -> FrozenTrial:
    """A new running trial; nobody else makes one in this study until the transaction ends.

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
    return FrozenTrial(
        number=row.number,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=started,
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
        trial_id=row.trial_id,
    )


def hold_study(connection: Connection, study_id: int) -> None:
    """Let nobody else make a trial of this study until the transaction ends.

    Raises:
        KeyError: If there is no such study.
    """
    # By a write: SQLite locks by that alone, and a transaction that has read first may be too late to write.
    if not connection.execute(_HOLD_STUDY, {"id": study_id}).rowcount:
        raise KeyError(f"there is no study of the id {study_id}")


def _write(connection: Connection, trial_id: int, gathered: _Gathered) -> None:
    """Write what was gathered of a trial that has not ended."""
    if not connection.execute(_HOLD_TRIAL, {"id": trial_id}).rowcount:
        raise UpdateFinishedTrialError(f"the trial of the id {trial_id} has ended, or is gone")
    _put(connection, trial_id, gathered)


def _end(
    connection: Connection,
    trial_id: int,
    gathered: _Gathered,
    state: TrialState,
    values: Sequence[float] | None,
    ended: datetime | None,
) -> None:
    """As `_write`, with the state and values."""
    change = {"id": trial_id, "new": state, "ended": None if ended is None else _stored(ended)}
    if not connection.execute(_END_TRIAL, change).rowcount:
        raise UpdateFinishedTrialError(f"the trial of the id {trial_id} has ended, or is gone")
    _put(connection, trial_id, gathered)
    stored = [models.TrialValueModel.value_to_stored_repr(value) for value in values or ()]
    rows = [
        {"trial_id": trial_id, "objective": objective, "value": value, "value_type": kind}
        for objective, (value, kind) in enumerate(stored)
    ]
    _upsert(connection, models.TrialValueModel, ("trial_id", "objective"), rows)


def _put(connection: Connection, trial_id: int, gathered: _Gathered) -> None:
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
