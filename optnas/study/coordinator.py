"""The one process that asks and tells: it owns the study, the executor trains."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from optuna import Study, Trial, TrialPruned
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from optnas.cost import DeviceFailed
from optnas.credentials import scrubbed
from optnas.front import GrowingFront
from optnas.job import Job, Outcome, run_job
from optnas.objective import ATTRIBUTE, Objective, Refused, Repeat, is_trained
from optnas.sampler import NothingToPropose, derive_seed
from optnas.space import mutate
from optnas.study.ending import Ending, never
from optnas.study.executor import Executor, LimitExceeded, NoWorker, WorkerDied
from optnas.study.files import Files
from optnas.study.holding import Holding, Sole
from optnas.study.write_behind import WriteBehindStorage
from optnas.task import TrainingDiverged

__all__ = ["DROPPED", "MOST_STARTS", "Event", "SearchStopped", "is_trained", "run"]

#: A search ends when so many proposals in a row brought no network to train.
_MOST_REFUSALS = 1000
#: From so many repeats in a row, the next proposal is a mutation of the network that was repeated.
_MOST_REPEATS = 2
#: A search ends when so many trainings in a row failed.
_MOST_FAILURES = 8
#: A trial that was running each time the search was killed is given up after so many starts that brought it no further.
MOST_STARTS = 10
#: What others have done is looked for so often while there is nothing else to do.
_LOOK_S = 0.5


DROPPED = "it was ended or taken over by somebody else; what is found of it here is dropped"
"""What the event `lost` says of its trial."""


class SearchStopped(RuntimeError):
    """The search cannot go on by itself; the message says why. What was finished is kept."""


@dataclass(frozen=True)
class Event:
    """Something that a person watching wants to know: a trial's state changed, or a job was started."""

    kind: str
    """started, again (its worker died), trained, pruned, refused, repeat, failed, lost (to another coordinator),
    waiting (for one), or warning."""
    trial: int
    message: str = ""
    epochs: int = 0
    detail: str = ""
    """The traceback of a failure."""


def run(
    study: Study,
    objective: Objective,
    executor: Executor,
    trials: int | None,
    watch: Callable[[Event], None] = lambda event: None,
    ending: Ending = never,
    files: Files = Files(),
    holding: Holding | None = None,
) -> None:
    """Ask, gate, train and tell until the study holds `trials` trained networks in all; None for no limit.

    Trials that an earlier run left in the state RUNNING (it was killed, or stopped by Ctrl-C) are run first,
    under their own numbers, with the params, the seed and the bounds that they had, from their checkpoints if there
    are any. A training whose worker dies is begun once more, from its checkpoint too.

    Args:
        study: Where trials are asked and told.
        objective: What they are.
        executor: Trains.
        trials: See above.
        watch: Told of what happens.
        ending: Asked before each training.
        files: Where weights and checkpoints are kept.
        holding: Says which trials this coordinator runs; None where it is the only one of the study. Is closed.

    Raises:
        SearchStopped: If nothing is left to train, everything fails, or `ending` says so; what is in training
            then is finished first.
        KeyboardInterrupt: On Ctrl-C. What was running stays RUNNING for the next call, or for another coordinator.
    """
    with closing(holding or Sole(study)) as held:
        coordinator = _Coordinator(study, objective, executor, watch, ending, files, held)
        try:
            coordinator.run(math.inf if trials is None else trials)
        except KeyboardInterrupt:
            coordinator.forgive()
            raise


@dataclass
class _Coordinator:
    study: Study
    objective: Objective
    executor: Executor
    watch: Callable[[Event], None]
    ending: Ending
    files: Files
    holding: Holding
    pending: dict[Future[Any], tuple[Trial, Job]] = field(default_factory=dict)
    twins: dict[int, list[Trial]] = field(default_factory=dict)
    """By the number of the trial that trains it: the trials that wait for the same network."""
    starting: Trial | None = None
    """The trial whose job is being submitted, which in this process means trained."""
    orphans: list[Trial] = field(default_factory=list)
    """Trials that waited for the same network in another trial, which failed."""
    fruitless: int = 0
    repeats: int = 0
    failures: int = 0
    exhausted: str = ""
    """Why the sampler has nothing to propose."""
    last_reason: str = ""
    idle: bool = False
    """Whether the others train as many networks as are left."""
    front: GrowingFront = field(init=False)

    def __post_init__(self) -> None:
        self.front = GrowingFront(self.study)

    def run(self, trials: float) -> None:
        self._drop_weights()
        self.files.sweep(self._running)
        while True:
            while len(self.pending) < self.executor.slots and self.holding.trained() + len(self.pending) < trials:
                stuck = self.ending(self.study) or self._stuck()
                if stuck and not self.pending:
                    raise SearchStopped(stuck)
                trial = None if stuck else self._next(trials)
                if trial is None:
                    break
                with self._unless_lost(trial):
                    self._propose(trial)
                self._collect(block=False)
            if not self.pending and self.holding.trained() >= trials:
                self._wind_up()
                return
            self._collect(block=True)

    def forgive(self) -> None:
        """What a person stopped is not to blame for it: the start does not count."""
        if isinstance(self.study._storage, WriteBehindStorage):
            self.study._storage.hurry()
        # A server that does not answer now keeps nobody from stopping: the start counts then.
        with suppress(SQLAlchemyError, StorageInternalError):
            for trial in (*(trial for trial, _ in self.pending.values()), *filter(None, [self.starting])):
                with suppress(UpdateFinishedTrialError):
                    self._forgive(trial)

    def _forgive(self, trial: Trial) -> None:
        trial.set_user_attr(ATTRIBUTE + "starts", trial.user_attrs.get(ATTRIBUTE + "starts", 1) - 1)
        self._flush(trial)

    def _running(self) -> list[int]:
        return [trial.number for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))]

    def _stuck(self) -> str | None:
        if self.exhausted:
            return self.exhausted
        if self.fruitless >= _MOST_REFUSALS:
            return f"{self.fruitless} proposals in a row brought no network to train; the last: {self.last_reason}"
        if self.failures >= _MOST_FAILURES:
            return f"{self.failures} trials in a row failed; the last: {self.last_reason}"
        return None

    def _next(self, trials: float) -> Trial | None:
        if self.orphans:
            return self.orphans.pop(0)
        while trial := self.holding.next(trials):
            self.idle = False
            with self._unless_lost(trial):
                if trial.number not in self.holding.interrupted or self._starts(trial) < MOST_STARTS:
                    return trial
                self._fail(trial, f"interrupted {MOST_STARTS} times")
        running = self._running()
        if running and not self.idle and not self.pending:
            self.idle = True
            self.watch(Event("waiting", running[0], "is in another search, and nothing else is left: waiting for it"))
        return None

    def _starts(self, trial: Trial) -> int:
        """How often a trial was begun since its checkpoint last grew: long ones may outlive many machines."""
        reached = self.files.trained_seconds(trial.number)
        if reached > trial.user_attrs.get(ATTRIBUTE + "trained_seconds", 0.0):
            trial.set_user_attr(ATTRIBUTE + "trained_seconds", reached)
            trial.set_user_attr(ATTRIBUTE + "starts", 1)
        starts: int = trial.user_attrs.get(ATTRIBUTE + "starts", 1)
        return starts

    @contextmanager
    def _unless_lost(self, trial: Trial) -> Iterator[None]:
        """Drop a trial that another coordinator has taken over, or somebody has ended, since it was asked for."""
        try:
            yield
        except UpdateFinishedTrialError:
            self.starting = None
            self.holding.drop(trial)
            self.watch(Event("lost", trial.number, DROPPED))

    def _propose(self, trial: Trial) -> None:
        try:
            gate = self.objective.admit(trial)
        except TrialPruned as pruned:
            gate = Refused(str(pruned) or "refused by the space", {})
            trial.set_user_attr(ATTRIBUTE + "reason", gate.reason)
        except (StorageInternalError, SQLAlchemyError, UpdateFinishedTrialError):
            raise
        except DeviceFailed as error:
            self.exhausted = f"{error}; the same command goes on"  # with this trial, which stays RUNNING
            self._flush(trial)
            return
        except NothingToPropose as error:
            self._fail(trial, str(error))
            self.exhausted = str(error)
            return
        except Exception as error:
            self._fail(trial, f"{type(error).__name__}: {error}", traceback.format_exc())
            return
        if isinstance(gate, Job):
            elder = self.holding.claim(trial, trial.user_attrs[ATTRIBUTE + "fingerprint"])
            if elder is not None:
                self.twins.setdefault(elder, []).append(trial)
                self._repeated(trial)
                return
            self.fruitless = self.repeats = 0
            if ATTRIBUTE + "starts" in trial.user_attrs or trial.number in self.holding.interrupted:
                trial.set_user_attr(ATTRIBUTE + "starts", self._starts(trial) + 1)
            self.watch(Event("started", trial.number))
            self.starting = trial
            gate = self.files.assign(gate)
            self._flush(trial)
            self._submit(trial, gate)
            self.starting = None
        elif isinstance(gate, Repeat):
            self._end(trial, gate.values)
            self.watch(Event("repeat", trial.number, f"the same network as trial {gate.of}"))
            self._repeated(trial)
        else:
            self.study.tell(trial, state=TrialState.PRUNED)
            self.watch(Event("refused", trial.number, gate.reason))
            self._count_fruitless(gate.reason)

    def _submit(self, trial: Trial, job: Job) -> None:
        try:
            self.pending[self.executor.submit(run_job, job)] = trial, job
        except NoWorker as error:
            self._without_worker(trial, error)

    def _without_worker(self, trial: Trial, error: NoWorker) -> None:
        """A trial that nobody can train here stays RUNNING, with its checkpoint: it has no part in that."""
        self.exhausted = f"{error}; the same command goes on"
        self._forgive(trial)

    def _flush(self, trial: Trial) -> None:
        """Have a trial written as it is now, since it stays so for as long as a training takes, or a kill."""
        if isinstance(trial.storage, WriteBehindStorage):
            trial.storage.flush(trial._trial_id)

    def _repeated(self, trial: Trial) -> None:
        self.repeats += 1
        self._count_fruitless("every network that it proposes was trained before")
        if self.repeats >= _MOST_REPEATS:
            # A sampler that is sure of itself would repeat the network for ever.
            generator = np.random.default_rng(derive_seed(self.objective.seed, trial.number))
            changes = 1 + self.repeats // 5
            try:
                other = mutate(self.objective.build, trial.params, generator, changes)
            except Exception:
                return  # a space that raises for some choices: the sampler goes on by itself
            self.study.enqueue_trial(other)

    def _count_fruitless(self, reason: str) -> None:
        self.fruitless += 1
        self.last_reason = reason

    def _collect(self, *, block: bool) -> None:
        """Tell Optuna what is finished, here and in the trials that were waited for."""
        # A timeout, so that Ctrl-C is noticed on every platform.
        if block and not self.pending:
            time.sleep(_LOOK_S)
        done, _ = wait(self.pending, timeout=_LOOK_S if block else 0, return_when=FIRST_COMPLETED)
        for future in done:
            trial, job = self.pending[future]
            with self._unless_lost(trial):
                self._take_in(trial, job, future)
            # Only now: what is stored when Ctrl-C comes is not to blame either.
            del self.pending[future]
        if done:
            self._drop_weights()
        self._settle()

    def _take_in(self, trial: Trial, job: Job, future: Future[Any]) -> None:
        error = future.exception()
        if isinstance(error, WorkerDied) and self._again(trial, job, error):
            return
        if isinstance(error, NoWorker):
            self._without_worker(trial, error)
        elif error is None:
            self._tell(trial, job, future.result())
        else:
            self._fail(trial, f"{type(error).__name__}: {error}", _traceback(error))

    def _settle(self) -> None:
        """End the trials whose network another one has trained; where that failed, they are next."""
        if not self.twins:
            return
        elders = {trial.number: trial for trial in self.study.get_trials(deepcopy=False)}
        for number in [number for number in self.twins if elders[number].state.is_finished()]:
            elder, twins = elders[number], self.twins.pop(number)
            if not is_trained(elder):
                self.orphans += twins
                continue
            for twin in twins:
                self._end_repeat(twin, elder)

    def _wind_up(self) -> None:
        """Let nothing run on that needs no training any more: trials whose network was trained, or waited in vain.

        Interrupted ones that do need it stay, for a search that goes on.
        """
        self._settle()
        for trial in [*self.holding.left(), *self.orphans]:
            network = trial.user_attrs.get(ATTRIBUTE + "fingerprint")
            elder = None if network is None else self.objective.twin(self.study, network, trial.number)
            if elder is not None:
                self._end_repeat(trial, elder)
            elif trial in self.orphans:
                with self._unless_lost(trial):
                    self._fail(trial, "its network failed in another trial, and as many as were wanted are trained")

    def _end_repeat(self, trial: Trial, elder: FrozenTrial) -> None:
        with self._unless_lost(trial):
            trial.set_user_attr(ATTRIBUTE + "repeat_of", elder.number)
            trial.set_user_attr(ATTRIBUTE + "costs", elder.user_attrs[ATTRIBUTE + "costs"])
            self._end(trial, None if elder.values is None else tuple(elder.values))
            self.watch(Event("repeat", trial.number, f"the same network as trial {elder.number}"))

    def _again(self, trial: Trial, job: Job, error: WorkerDied) -> bool:
        """Begin a training once more whose worker died: the next one may be luckier, and has its checkpoint."""
        if ATTRIBUTE + "worker_died" in trial.user_attrs:
            return False
        trial.set_user_attr(ATTRIBUTE + "worker_died", str(error))
        self._flush(trial)
        self.watch(Event("again", trial.number, str(error)))
        self._submit(trial, job)
        return True

    def _end(self, trial: Trial, values: tuple[float, ...] | None) -> None:
        if values is None:
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, list(values))

    def _tell(self, trial: Trial, job: Job, outcome: Outcome) -> None:
        values = self.objective.values(job.costs, outcome)
        self.failures = 0
        self.objective.keep(trial, job, outcome)
        self.files.keep(trial.number, outcome)
        self._end(trial, values)
        self.files.ended(trial.number)
        if outcome.warning:
            self.watch(Event("warning", trial.number, outcome.warning))
        kind = "pruned" if values is None else "trained"
        self.watch(Event(kind, trial.number, outcome.reason, epochs=len(outcome.curve)))

    def _drop_weights(self) -> None:
        """Keep the weights of networks on the front, and of those in training, which may come to it."""
        members = [network.trial for network in self.front.members()]
        self.files.drop_weights([*members, *(trial.number for trial, _ in self.pending.values())])

    def _fail(self, trial: Trial, reason: str, detail: str = "") -> None:
        with suppress(IndexError):
            reason = reason.splitlines()[0]
        reason = scrubbed(reason)
        trial.set_user_attr(ATTRIBUTE + "reason", reason)
        self.study.tell(trial, state=TrialState.FAIL)
        self.files.ended(trial.number)
        self.failures += 1
        self.last_reason = reason
        self.watch(Event("failed", trial.number, reason, detail=detail))


def _traceback(error: BaseException) -> str:
    """Where an unexpected error came from; nothing for what needs no look at the code."""
    if isinstance(error, TrainingDiverged | WorkerDied | LimitExceeded):
        return ""
    return "".join(getattr(error, "__notes__", [])) or "".join(traceback.format_exception(error))
