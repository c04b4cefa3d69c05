"""Several coordinators of one study, on PostgreSQL: no trial is run by two, none is lost with one that dies."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from optuna import Study, Trial
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from optnas.objective import ATTRIBUTE, Objective
from optnas.study.holding import Holding
from optnas.study.postgres import lock_key
from optnas.study.rows import OWNER, begin_waiting, hold_study, new_trial, own_trial, owner_of
from optnas.study.write_behind import WriteBehindStorage

__all__ = ["Shared"]

#: A coordinator says so often that it lives. One that has not for the grace is taken for dead: longer than a moment
#: without network, shorter than what is lost if its trainings wait for somebody to take them over.
_BEAT = timedelta(seconds=5)
_GRACE = timedelta(seconds=60)

_COORDINATOR = ATTRIBUTE + "coordinator:"
_FINGERPRINT = ATTRIBUTE + "fingerprint"
_WAITS_FOR = ATTRIBUTE + "waits_for"

# All by the clock of the server: those of several machines differ.
_NOW = "extract(epoch FROM clock_timestamp())"
#: While the server was down nobody could say anything.
_SILENCE = f"{_NOW} - greatest(CAST(value_json AS double precision), extract(epoch FROM pg_postmaster_start_time()))"
_SAY_ALIVE = text(
    "INSERT INTO study_system_attributes (study_id, key, value_json) "
    f"VALUES (:study, :key, CAST({_NOW} AS text)) "
    "ON CONFLICT (study_id, key) DO UPDATE SET value_json = excluded.value_json"
)
_FORGET_DEAD = text(
    f"DELETE FROM study_system_attributes WHERE study_id = :study AND starts_with(key, :prefix) AND {_SILENCE} > :grace"
)
_FORGET = text("DELETE FROM study_system_attributes WHERE study_id = :study AND key = :key")
_LIVING = text(
    "SELECT substr(key, :skip) FROM study_system_attributes "
    f"WHERE study_id = :study AND starts_with(key, :prefix) AND {_SILENCE} <= :grace"
)
_RELEASE = text(
    "UPDATE trial_system_attributes SET value_json = 'null' WHERE key = :key AND value_json = :owner AND trial_id IN "
    "(SELECT trial_id FROM trials WHERE study_id = :study AND state = 'RUNNING')"
)


class Shared(Holding):
    """One of several coordinators of a study.

    Who runs a trial stands in the trial. It is written when the trial is made and changed when it is taken over, both
    by whoever holds the row of the study; and whoever writes into a trial, or ends it, looks that it is still his. So
    each trial is some coordinator's at any time, and a coordinator that was taken for dead changes nothing when it
    wakes.

    Args:
        study: In a PostgreSQL, opened by `optnas.study.open_storage`.
        objective: What is searched; it knows which networks are trained.
    """

    def __init__(self, study: Study, objective: Objective) -> None:
        super().__init__(study)
        storage: BaseStorage = study._storage
        assert isinstance(storage, WriteBehindStorage)
        self._storage, self._objective = storage, objective
        self._study_id = study._study_id
        self._name = uuid.uuid4().hex
        self._held: set[int] = set()
        """Ids of the trials that were handed out."""
        self._closed = threading.Event()
        storage.hold_shared(self._study_id, self._name)
        storage.transact(self._say_alive)
        self._heart = threading.Thread(target=self._beat, name="optnas-alive", daemon=True)
        self._heart.start()

    def next(self, trials: float) -> Trial | None:
        made: FrozenTrial | None = None
        begun = False

        def work(connection: Connection) -> int | None:
            nonlocal made, begun
            hold_study(connection, self._study_id)
            living = self._living(connection)
            while True:
                self._storage.look(self._study_id, connection)
                running = self._unfinished(TrialState.RUNNING)
                left = [trial for trial in running if not self._is_run(trial, living)]
                if self.trained() + len(running) - len(left) >= trials:
                    return None
                if not left:
                    break
                if own_trial(connection, left[0]._trial_id, self._name):
                    made, begun = None, True
                    return left[0]._trial_id
                # It ended this very moment, since whoever ran it was only slow: count again.
            for trial in self._unfinished(TrialState.WAITING):
                if begin_waiting(connection, trial._trial_id):
                    own_trial(connection, trial._trial_id, self._name)
                    made, begun = None, False
                    return trial._trial_id
            made, begun = new_trial(connection, self._study_id, self._name), False
            return made._trial_id

        trial_id = self._storage.transact(work)
        if trial_id is None:
            return None
        if made is None:
            self._storage.adopt(trial_id)
        else:
            self._storage.take(self._study_id, made)
        self._held.add(trial_id)
        # As `study.ask` does: a sampler sees what the look above has brought.
        self.study._thread_local.cached_all_trials = None
        trial = Trial(self.study, trial_id)
        if begun:
            self.interrupted.add(trial.number)
        return trial

    def claim(self, trial: Trial, network: str) -> int | None:
        elder: int | None = None

        def first(connection: Connection) -> None:
            # Two that find the same network at the same moment: the second one sees what the first one has written.
            # Those that find others are not kept waiting, as they would be by the row of the study.
            nonlocal elder
            key = lock_key(f"network {network} of study {self._study_id}")
            connection.execute(select(func.pg_advisory_xact_lock(key)))
            self._storage.look(self._study_id, connection)
            elder = self._elder(trial.number, network)
            if trial.user_attrs.get(_WAITS_FOR) != elder:
                trial.set_user_attr(_WAITS_FOR, elder)

        self._storage.flush(trial._trial_id, first)
        return elder

    def left(self) -> list[Trial]:
        def work(connection: Connection) -> list[int]:
            hold_study(connection, self._study_id)
            living = self._living(connection)
            self._storage.look(self._study_id, connection)
            stale = [
                trial._trial_id for trial in self._unfinished(TrialState.RUNNING) if not self._is_run(trial, living)
            ]
            return [trial_id for trial_id in stale if own_trial(connection, trial_id, self._name)]

        found = self._storage.transact(work)
        for trial_id in found:
            self._storage.adopt(trial_id)
            self._held.add(trial_id)
        return [Trial(self.study, trial_id) for trial_id in found]

    def drop(self, trial: Trial) -> None:
        super().drop(trial)
        self._held.discard(trial._trial_id)

    def close(self) -> None:
        self._closed.set()
        self._heart.join()
        # Once: without the server the others find out after the grace.
        with suppress(SQLAlchemyError), self._storage.engine.begin() as connection:
            owner = {"key": OWNER, "owner": f'"{self._name}"', "study": self._study_id}
            connection.execute(_RELEASE, owner)
            connection.execute(_FORGET, {"study": self._study_id, "key": _COORDINATOR + self._name})

    def _is_run(self, trial: FrozenTrial, living: set[str]) -> bool:
        owner = owner_of(trial)
        if owner == self._name:
            # Not so one that was made in a transaction whose answer was lost.
            return trial._trial_id in self._held
        return owner in living

    def _elder(self, number: int, network: str) -> int | None:
        trained = self._objective.twin(self.study, network, number)
        if trained is not None:
            return trained.number
        for other in self._unfinished(TrialState.RUNNING):
            kept = other.user_attrs
            if other.number != number and kept.get(_FINGERPRINT) == network and kept.get(_WAITS_FOR) is None:
                return other.number
        return None

    def _unfinished(self, state: TrialState) -> Sequence[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=(state,))

    def _living(self, connection: Connection) -> set[str]:
        asked = {"study": self._study_id, "prefix": _COORDINATOR, "skip": len(_COORDINATOR) + 1}
        return set(connection.scalars(_LIVING, {**asked, "grace": _GRACE.total_seconds()}))

    def _say_alive(self, connection: Connection) -> None:
        dead = {"study": self._study_id, "prefix": _COORDINATOR, "grace": _GRACE.total_seconds()}
        connection.execute(_SAY_ALIVE, {"study": self._study_id, "key": _COORDINATOR + self._name})
        connection.execute(_FORGET_DEAD, dead)

    def _beat(self) -> None:
        while not self._closed.wait(_BEAT.total_seconds()):
            # What cannot be said now is said at the next beat.
            with suppress(SQLAlchemyError), self._storage.engine.begin() as connection:
                self._say_alive(connection)
