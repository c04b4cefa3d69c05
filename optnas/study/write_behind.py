"""An Optuna database where a trial costs three transactions, not one for each of its values."""

from __future__ import annotations

import copy
import json
import threading
import time
import weakref
from bisect import bisect_left
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Engine

from optnas.study.patience import PATIENCE_S, Say, patiently, transact
from optnas.study.rows import (
    Gathered,
    changed_trials,
    end_trial,
    new_trial,
    owner_of,
    read_trials,
    study_of,
    write_trial,
)

__all__ = ["WriteBehindStorage"]

_T = TypeVar("_T")

#: Whoever need not know at once what others wrote looks for it so many seconds apart.
_LOOK_S = 0.1


class WriteBehindStorage(BaseStorage):
    """An `RDBStorage` that gathers what this process writes into its running trials.

    Optuna commits each parameter and attribute by itself, 29 times for a trial of 20 parameters. Here a trial is
    created by one transaction, `flush` writes what it has gathered by a second, and its end is a third, with its
    values. Reads come from a copy in memory; from the database comes only what others wrote. What was not flushed is
    lost with the process, its trial then is one that has no parameters yet.

    The tables are Optuna's own: any other storage reads what was flushed. A server that does not answer for a moment is
    asked again, see `patiently`.

    Args:
        backend: The database.
    """

    def __init__(self, backend: RDBStorage) -> None:
        self._backend = backend
        weakref.finalize(self, _close, backend)
        self.say: Say = lambda text: None
        """Told when a server does not answer."""
        self._patience_s = PATIENCE_S
        self.check: Callable[[], None] = lambda: None
        """Called before the database is asked; raises where this process has no business there any more."""
        self._lock = threading.RLock()
        self._copies: dict[int, _Copy] = {}
        self._study_of: dict[int, int] = {}
        self._gathered: dict[int, Gathered] = {}
        """By trial: what is not written yet of those that this process writes."""
        self._unhurried: set[int] = set()
        """Studies that are looked at from time to time."""
        self._owners: dict[int, str] = {}
        """By study: who this process is, where it holds trials of its own."""

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
        self._unhurried.add(study_id)

    def hold_shared(self, study_id: int, owner: str) -> None:
        """Say that other coordinators work on this study too, and that `owner` is the name of this one.

        The trials that it makes are its own from the first moment, and it writes into none that another has taken over.
        It looks by itself for what the others wrote, see `look`.
        """
        self._unhurried.add(study_id)
        self._owners[study_id] = owner

    def transact(self, work: Callable[[Connection], _T]) -> _T:
        """What `work` returns, in a transaction of its own; it has to bear being done twice, see `patience.transact`.

        Raises:
            OperationalError: If the database cannot be written or does not come back.
        """
        self.check()
        return transact(self._backend, work, self.say, self._patience_s)

    def flush(self, trial_id: int | None = None, first: Callable[[Connection], None] | None = None) -> None:
        """Write what was gathered of a trial, or of all.

        Args:
            trial_id: Of the trial.
            first: What is done before in the same transaction; it may add to what is gathered.

        Raises:
            TrialLost: If another coordinator has taken the trial over.
            UpdateFinishedTrialError: If somebody else ended the trial meanwhile.
        """
        with self._lock:
            for one in [trial_id] if trial_id is not None else list(self._gathered):
                gathered = self._gathered.get(one)
                if gathered or (gathered is not None and first is not None):
                    self.transact(partial(self._flush, trial_id=one, gathered=gathered, first=first))
                    gathered.clear()

    def _flush(
        self,
        connection: Connection,
        trial_id: int,
        gathered: Gathered,
        first: Callable[[Connection], None] | None,
    ) -> None:
        if first is not None:
            first(connection)
        write_trial(connection, trial_id, gathered, self._owner(trial_id))

    def adopt(self, trial_id: int) -> None:
        """Read a trial again, and take this process for its only writer from now on."""
        with self._lock:
            self._gathered.pop(trial_id, None)
            study_id = self._study(trial_id)
            self._copy(study_id).put(self._ask(self._backend.get_trial, trial_id))
            self._gathered[trial_id] = Gathered()

    def take(self, study_id: int, trial: FrozenTrial) -> None:
        """As `adopt`, of a trial that was just made."""
        with self._lock:
            self._study_of[trial._trial_id] = study_id
            self._copy(study_id).put(trial)
            self._gathered[trial._trial_id] = Gathered()

    def disown(self, trial_id: int) -> None:
        """Forget what was gathered of a trial that somebody else writes now."""
        with self._lock:
            self._gathered.pop(trial_id, None)
            self._copy(self._study(trial_id)).looked = None

    def hurry(self) -> None:
        """Ask a server that does not answer no second time from now on: a person wants to stop."""
        self._patience_s = 0.0

    def remove_session(self) -> None:
        """Close the connection of this thread."""
        self._backend.remove_session()

    # Studies: rare, and Optuna's own way.

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        return self._ask(self._backend.create_new_study, directions, study_name)

    def delete_study(self, study_id: int) -> None:
        with self._lock:
            known = self._copies.pop(study_id, None)
            for trial in known.trials if known else ():
                self._gathered.pop(trial._trial_id, None)
                self._study_of.pop(trial._trial_id, None)
            self._ask(self._backend.delete_study, study_id)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._ask(self._backend.set_study_user_attr, study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._ask(self._backend.set_study_system_attr, study_id, key, value)

    def get_study_id_from_name(self, study_name: str) -> int:
        return self._ask(self._backend.get_study_id_from_name, study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        with self._lock:
            known = self._copy(study_id)
            if known.name is None:
                known.name = self._ask(self._backend.get_study_name_from_id, study_id)
            return known.name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        with self._lock:
            known = self._copy(study_id)
            if known.directions is None:
                known.directions = self._ask(self._backend.get_study_directions, study_id)
            return list(known.directions)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._ask(self._backend.get_study_user_attrs, study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._ask(self._backend.get_study_system_attrs, study_id)

    def get_all_studies(self) -> list[FrozenStudy]:
        return self._ask(self._backend.get_all_studies)

    # Trials.

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        with self._lock:
            if template_trial is not None:
                trial_id = self._ask(self._backend.create_new_trial, study_id, template_trial)
                self._copy(study_id).looked = None
                return trial_id
            trial = self.transact(partial(new_trial, study_id=study_id, owner=self._owners.get(study_id)))
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
                taken = self._ask(self._backend.set_trial_state_values, trial_id, state, values)
                if taken:
                    self.adopt(trial_id)
                else:
                    self._copy(self._study(trial_id)).looked = None
                return taken
            trial, gathered = self._writable(trial_id)
            ended = datetime.now() if state.is_finished() else None
            self._end(trial_id, gathered, state, values, ended)
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
            return self._ask(self._backend.get_trial, trial_id)

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        with self._lock:
            trials = self._copy(study_id).trials
            if trial_number < len(trials) and trials[trial_number].number == trial_number:
                return trials[trial_number]._trial_id
            return self._ask(self._backend.get_trial_id_from_study_id_trial_number, study_id, trial_number)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        with self._lock:
            known = self._copy(study_id)
            if study_id not in self._unhurried or known.looked is None or time.monotonic() - known.looked > _LOOK_S:
                self.transact(partial(self.look, study_id))
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
            self._study_of[trial_id] = self.transact(partial(study_of, trial_id=trial_id))
        return self._study_of[trial_id]

    def _put(self, trial: FrozenTrial) -> None:
        self._copy(self._study_of[trial._trial_id]).put(trial)

    def _writable(self, trial_id: int) -> tuple[FrozenTrial, Gathered]:
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

    def _owner(self, trial_id: int) -> str | None:
        return self._owners.get(self._study(trial_id))

    def _end(
        self,
        trial_id: int,
        gathered: Gathered,
        state: TrialState,
        values: Sequence[float] | None,
        ended: datetime | None,
    ) -> None:
        owner, tries = self._owner(trial_id), 0

        def work(connection: Connection) -> None:
            nonlocal tries
            tries += 1
            try:
                end_trial(connection, trial_id, gathered, state, values, ended, owner)
            except UpdateFinishedTrialError:
                # After a connection was lost while it committed, this may be what it did.
                if tries == 1:
                    raise
                found = read_trials(connection, [trial_id])[0]
                alike = found.state == state and found.values == (None if values is None else list(values))
                if owner_of(found) != owner or (owner is None and not alike):
                    raise

        self.transact(work)

    def _ask(self, ask: Callable[..., _T], *given: Any) -> _T:
        self.check()
        return patiently(self._backend, partial(ask, *given), self.say, self._patience_s)

    def look(self, study_id: int, connection: Connection) -> None:
        """Bring what is known of a study up to date with what others wrote, by this connection.

        Raises:
            KeyError: If there is no such study.
        """
        known = self._copy(study_id)
        theirs = [one for one in known.unfinished if one not in self._gathered]
        rows = changed_trials(connection, study_id, known.last_id, theirs)
        known.looked = time.monotonic()
        changed = set()
        for trial_id, state in rows:
            before = known.get(trial_id)
            # A trial that runs elsewhere gets its parameters and attributes while it runs.
            if trial_id not in self._gathered and (
                before is None or before.state != state or state == TrialState.RUNNING
            ):
                changed.add(trial_id)
        for trial in read_trials(connection, changed):
            self._study_of[trial._trial_id] = study_id
            known.put(trial)
        known.last_id = max([known.last_id, *(trial_id for trial_id, _ in rows)])


def _close(backend: RDBStorage) -> None:
    """Close the connections of a storage that nobody has any more: drivers complain of those that are only dropped."""
    with suppress(Exception):
        backend.remove_session()
        backend.engine.dispose()


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
