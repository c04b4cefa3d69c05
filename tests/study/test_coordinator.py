import contextlib
import dataclasses
import os
import signal
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

import optuna
import pytest
import toy
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from optnas.cost import parse_constraints
from optnas.front import front
from optnas.job import run_job
from optnas.objective import Objective
from optnas.prune import Pruner
from optnas.sampler import make_sampler
from optnas.study import (
    Executor,
    InProcess,
    NoWorker,
    ProcessPool,
    SearchStopped,
    is_trained,
    open_storage,
    patience,
    run,
    write_behind,
)
from optnas.study.coordinator import DROPPED
from optnas.study.files import Files
from optnas.study.holding import Sole
from optnas.task import TrainingDiverged


@pytest.fixture
def _few_refusals(monkeypatch):
    monkeypatch.setattr("optnas.study.coordinator._MOST_REFUSALS", 100)


def new_study(objective, sampler="random", seed=0, storage=None):
    return optuna.create_study(
        directions=objective.directions, sampler=make_sampler(sampler, seed, 6), storage=storage, study_name="s",
        load_if_exists=True,
    )  # fmt: skip


def trained(study):
    return [trial for trial in study.trials if is_trained(trial)]


def networks(study):
    return {tuple(sorted(trial.params.items())) for trial in trained(study)}


class FirstWaits(Executor):
    """Several at a time, done at once, but for the job of trial 0: that one is `first`, and a test ends it."""

    slots = 4

    def __init__(self):
        self.first = Future()

    def submit(self, function, job):
        if job.number == 0:
            return self.first
        done = Future()
        done.set_result(function(job))
        return done

    def close(self):
        pass


@pytest.mark.parametrize("sampler", ["random", "nsga2", "tpe"])
def test_trials_counts_trained_networks_and_is_a_total(sampler):
    objective = toy.objective(constraints=parse_constraints(["params<=150"]))
    study = new_study(objective, sampler)
    run(study, objective, InProcess(), 8)
    assert len(trained(study)) == 8
    run(study, objective, InProcess(), 8)
    assert len(trained(study)) == 8
    run(study, objective, InProcess(), 12)
    assert len(trained(study)) == 12
    assert len({trial.user_attrs["optnas:fingerprint"] for trial in trained(study)}) == 12
    assert all(trial.user_attrs["optnas:costs"]["params"] <= 150 for trial in trained(study))
    assert all(trial.state.is_finished() for trial in study.trials)


def test_events_tell_what_happened():
    objective = toy.objective(constraints=parse_constraints(["params<=100"]))
    study, seen = new_study(objective), []
    run(study, objective, InProcess(), 6, seen.append)
    counts = {kind: sum(event.kind == kind for event in seen) for kind in ("started", "trained", "refused", "repeat")}
    assert counts["started"] == counts["trained"] == 6
    assert counts["refused"] == sum(trial.state == TrialState.PRUNED for trial in study.trials) > 0
    assert counts["repeat"] == sum("optnas:repeat_of" in trial.user_attrs for trial in study.trials)


@pytest.mark.usefixtures("_few_refusals")
def test_a_space_that_is_exhausted_ends_the_search_with_all_of_it_trained():
    objective = toy.objective(toy.small_space)
    study = new_study(objective)
    with pytest.raises(SearchStopped, match="every network that it proposes was trained before"):
        run(study, objective, InProcess(), 5)
    assert len(networks(study)) == 3


@pytest.mark.usefixtures("_few_refusals")
def test_a_budget_that_nothing_meets_ends_the_search():
    objective = toy.objective(constraints=parse_constraints(["params<=3"]))
    study = new_study(objective)
    with pytest.raises(SearchStopped, match=r"over budget: params is .*, allowed is params<=3"):
        run(study, objective, InProcess(), 1)


def test_a_failure_costs_one_trial_with_its_reason():
    objective = toy.objective(task=toy.ToyTask(trouble="nan"))
    study = new_study(objective)
    run(study, objective, InProcess(), 10)
    failed = [trial for trial in study.trials if trial.state == TrialState.FAIL]
    assert failed
    assert {trial.user_attrs["optnas:reason"] for trial in failed} == {
        "TrainingDiverged: training diverged in epoch 1 at step 1: the loss is not finite"
    }
    assert len(trained(study)) == 10


def test_a_search_where_everything_fails_ends():
    objective = toy.objective(task=toy.ToyTask(trouble="nan", every=1))
    with pytest.raises(SearchStopped, match="8 trials in a row failed; the last: TrainingDiverged"):
        run(new_study(objective), objective, InProcess(), 10)


def test_a_space_that_raises_fails_its_trials():
    objective = toy.objective(toy.broken_space)
    study = new_study(objective)
    with pytest.raises(SearchStopped, match="KeyError: 'nothing here'"):
        run(study, objective, InProcess(), 2)
    assert all(trial.state == TrialState.FAIL for trial in study.trials)


SLOW = pytest.mark.slow


@pytest.mark.parametrize("trouble", ["kill", pytest.param("exit", marks=SLOW), pytest.param("segfault", marks=SLOW)])
def test_a_worker_that_dies_costs_one_trial(trouble):
    objective = toy.objective(task=toy.ToyTask(trouble=trouble, every=4))
    study, pool = new_study(objective), ProcessPool(2)
    try:
        run(study, objective, pool, 6)
    finally:
        pool.close()
    failed = [trial for trial in study.trials if trial.state == TrialState.FAIL]
    assert len(trained(study)) == 6
    assert failed
    assert all(trial.user_attrs["optnas:seed"] % 4 == 0 for trial in failed)
    assert all("WorkerDied: the worker" in trial.user_attrs["optnas:reason"] for trial in failed)


@dataclasses.dataclass(frozen=True)
class DiesOnce(toy.ToyTask):
    """Its worker is killed the first time that it trains."""

    folder: str = ""

    def train(self, module, seed, on_epoch=None):
        with contextlib.suppress(FileExistsError):
            (Path(self.folder) / str(seed)).touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)
        return super().train(module, seed, on_epoch)


def test_a_training_whose_worker_dies_is_begun_once_more(tmp_path):
    objective = toy.objective(task=DiesOnce(folder=str(tmp_path)))
    study, seen = new_study(objective), []
    with closing(ProcessPool(2)) as pool:
        run(study, objective, pool, 3, seen.append)
    assert [trial.state for trial in study.trials if "optnas:repeat_of" not in trial.user_attrs] == [
        TrialState.COMPLETE
    ] * 3
    assert [event.kind for event in seen].count("again") == 3
    assert all("ended by SIGKILL" in trial.user_attrs["optnas:worker_died"] for trial in trained(study))


class Killed(Executor):
    """Runs some jobs, then behaves as if the machine was switched off."""

    slots = 2

    def __init__(self, jobs):
        self._jobs = jobs
        self._inner = InProcess()

    def submit(self, function, job):
        self._jobs -= 1
        if self._jobs < 0:
            raise KeyboardInterrupt
        return self._inner.submit(function, job)

    def close(self):
        pass


@pytest.mark.parametrize("sampler", ["random", "nsga2", "tpe"])
def test_interrupted_trials_are_run_again_once_under_their_numbers(sampler, tmp_path):
    storage = f"sqlite:///{tmp_path}/a.db"
    log = tmp_path / "trained"
    objective = toy.objective(task=toy.ToyTask(log=str(log)))
    study = new_study(objective, sampler, storage=storage)
    with pytest.raises(KeyboardInterrupt):
        run(study, objective, Killed(5), 12)
    running = [trial for trial in study.trials if trial.state == TrialState.RUNNING]
    assert running
    again = new_study(objective, sampler, storage=storage)
    run(again, objective, InProcess(), 12)
    assert len(trained(again)) == 12
    for trial in running:
        finished = again.trials[trial.number]
        assert finished.params == trial.params
        assert finished.user_attrs["optnas:seed"] == trial.user_attrs["optnas:seed"]
        assert finished.state == TrialState.COMPLETE
    seeds = log.read_text().split()
    assert len(seeds) == len(set(seeds)) == 12


def test_with_random_an_interrupted_search_trains_the_networks_of_an_undisturbed_one(tmp_path):
    storage = f"sqlite:///{tmp_path}/a.db"
    objective = toy.objective()
    undisturbed = new_study(objective)
    run(undisturbed, objective, InProcess(), 15)
    for jobs in (2, 3, 0, 4, 1):
        with pytest.raises(KeyboardInterrupt):
            run(new_study(objective, storage=storage), objective, Killed(jobs), 15)
    disturbed = new_study(objective, storage=storage)
    run(disturbed, objective, InProcess(), 15)
    assert networks(disturbed) == networks(undisturbed)


def test_a_trial_that_was_running_at_every_kill_is_given_up(tmp_path, monkeypatch):
    storage = f"sqlite:///{tmp_path}/a.db"
    objective = toy.objective()
    monkeypatch.setattr("optnas.study.coordinator.MOST_STARTS", 3)

    class SwitchedOff(Killed):
        def submit(self, function, job):
            raise SystemExit  # unlike Ctrl-C nobody says goodbye

    for _ in range(3):
        with pytest.raises(SystemExit):
            run(new_study(objective, storage=storage), objective, SwitchedOff(0), 2)
    study = new_study(objective, storage=storage)
    run(study, objective, InProcess(), 2)
    assert study.trials[0].state == TrialState.FAIL
    assert study.trials[0].user_attrs["optnas:reason"] == "interrupted 3 times"
    assert len(trained(study)) == 2


def test_a_trial_that_gets_further_at_every_start_is_not_given_up(tmp_path, monkeypatch):
    storage = f"sqlite:///{tmp_path}/a.db"
    objective, files = toy.objective(), Files(checkpoints=tmp_path / "checkpoints")
    monkeypatch.setattr("optnas.study.coordinator.MOST_STARTS", 3)
    reached = [0.0]

    class SwitchedOff(Killed):
        def submit(self, function, job):
            reached[0] += 60
            raise SystemExit

    monkeypatch.setattr(Files, "trained_seconds", lambda self, number: reached[0])
    for _ in range(8):
        with pytest.raises(SystemExit):
            run(new_study(objective, storage=storage), objective, SwitchedOff(0), 2, files=files)
    # And no further from now on: three starts in all from the same place.
    monkeypatch.setattr(SwitchedOff, "submit", lambda self, function, job: exit())
    for _ in range(2):
        with pytest.raises(SystemExit):
            run(new_study(objective, storage=storage), objective, SwitchedOff(0), 2, files=files)
    study = new_study(objective, storage=storage)
    assert study.trials[0].state == TrialState.RUNNING
    run(study, objective, InProcess(), 2, files=files)
    assert study.trials[0].user_attrs["optnas:reason"] == "interrupted 3 times"


def test_a_trial_that_waited_for_its_network_is_ended_though_enough_are_trained(tmp_path):
    storage = f"sqlite:///{tmp_path}/a.db"
    objective = toy.objective(toy.small_space)
    study = new_study(objective, storage=storage)
    for width in (2, 2, 3):
        study.enqueue_trial({"width": width})

    def switched_off(event):
        if event.kind == "trained":
            raise SystemExit

    with pytest.raises(SystemExit):
        run(study, objective, FirstWaits(), 2, switched_off)
    states = [trial.state for trial in new_study(objective, storage=storage).trials]
    assert states == [TrialState.RUNNING, TrialState.RUNNING, TrialState.COMPLETE]
    study = new_study(objective, storage=storage)
    run(study, objective, InProcess(), 2)
    assert len(trained(study)) == 2
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 3
    assert study.trials[1].user_attrs["optnas:repeat_of"] == 0


def test_a_network_that_is_in_training_is_not_started_twice(tmp_path):
    log = tmp_path / "trained"
    objective = toy.objective(toy.small_space, toy.ToyTask(log=str(log), delay=0.2))
    study, pool = new_study(objective), ProcessPool(2)
    for _ in range(6):
        study.enqueue_trial({"width": 2})
    try:
        run(study, objective, pool, 2)
    finally:
        pool.close()
    assert len(log.read_text().split()) == 2
    repeats = [trial for trial in study.trials if "optnas:repeat_of" in trial.user_attrs]
    assert len(repeats) >= 5
    assert all(trial.values == study.trials[trial.user_attrs["optnas:repeat_of"]].values for trial in repeats)


def test_values_are_those_of_the_job():
    objective = toy.objective(objectives=("params", "error", "macs"))
    study = new_study(objective)
    run(study, objective, InProcess(), 3)
    for trial in trained(study):
        costs = trial.user_attrs["optnas:costs"]
        assert trial.values == [costs["params"], 1 / (1 + costs["params"]), costs["macs"]]
        assert trial.user_attrs["optnas:curve"] == [0.9, round(trial.values[1], 6)]


def test_jobs_are_plain_values_that_run_anywhere():
    objective = toy.objective()
    job = objective.admit(new_study(objective).ask())
    import cloudpickle

    assert run_job(cloudpickle.loads(cloudpickle.dumps(job))).error == run_job(job).error


def test_a_network_that_others_wait_for_costs_one_failure(monkeypatch):
    monkeypatch.setattr("optnas.study.coordinator._MOST_FAILURES", 4)
    objective = toy.objective(toy.small_space, toy.ToyTask(delay=0.3, trouble="kill", every=1))
    study, pool = new_study(objective), ProcessPool(2)
    for _ in range(3):
        study.enqueue_trial({"width": 2})
    with closing(pool), pytest.raises(SearchStopped):
        run(study, objective, pool, 1)
    failed = [trial for trial in study.trials if trial.state == TrialState.FAIL]
    assert len(failed) <= 6
    assert all("WorkerDied" in trial.user_attrs["optnas:reason"] for trial in failed)


def test_a_space_that_raises_for_some_choices_does_not_end_the_search(monkeypatch):
    def picky(trial):
        width = trial.suggest_int("width", 1, 4)
        if width == 4:
            raise ValueError("not four")
        return toy.small_space(trial) if width < 0 else toy.nn.Sequential(
            toy.nn.Flatten(), toy.nn.Linear(4, width), toy.nn.Linear(width, 3)
        )  # fmt: skip

    monkeypatch.setattr("optnas.study.coordinator._MOST_REFUSALS", 60)
    study = new_study(toy.objective(picky))
    with pytest.raises(SearchStopped):
        run(study, toy.objective(picky), InProcess(), 9)
    assert len(networks(study)) == 3


def test_an_error_that_is_no_number_is_a_failure_with_its_reason():
    class Nan(toy.ToyTask):
        def train(self, module, seed, on_epoch=None):
            learned = super().train(module, seed)
            return dataclasses.replace(learned, error=float("nan")) if seed % 3 == 0 else learned

    objective = toy.objective(task=Nan())
    study = new_study(objective)
    run(study, objective, InProcess(), 6)
    reasons = {t.user_attrs["optnas:reason"] for t in study.trials if t.state == TrialState.FAIL}
    assert reasons == {"FloatingPointError: the error after epoch 2 is nan, expected a finite number"}
    assert len(trained(study)) == 6


def test_ctrl_c_is_no_strike_against_a_trial(tmp_path):
    storage = f"sqlite:///{tmp_path}/a.db"
    objective = toy.objective()
    for _ in range(12):
        with pytest.raises(KeyboardInterrupt):
            run(new_study(objective, storage=storage), objective, Killed(0), 2)
    study = new_study(objective, storage=storage)
    run(study, objective, InProcess(), 2)
    assert len(trained(study)) == len(study.trials) == 2


class Remembers(Pruner):
    """A bound that falls with each finished trial."""

    def thresholds(self, costs, finished):
        return (2.0, 1 / (1 + len(finished)))


def test_after_a_kill_a_training_has_the_bounds_that_it_had(tmp_path):
    storage = f"sqlite:///{tmp_path}/a.db"
    objective = toy.objective(pruner=Remembers())
    with pytest.raises(KeyboardInterrupt):
        run(new_study(objective, storage=storage), objective, Killed(2), 9)
    study = new_study(objective, storage=storage)
    (running,) = [trial for trial in study.trials if trial.state == TrialState.RUNNING]
    # Others end meanwhile, from which the pruner would learn.
    for trial in [study.ask(), study.ask()]:
        trial.set_user_attr("optnas:curve", [0.5, 0.5])
        study.tell(trial, [0.5, 1.0])
    jobs = []
    monitored = InProcess()
    submit = monitored.submit
    monitored.submit = lambda function, job: jobs.append(job) or submit(function, job)
    run(study, objective, monitored, 6)
    assert jobs[0].number == running.number
    assert jobs[0].thresholds == (2.0, 1 / 3)
    assert jobs[1].thresholds[1] <= 1 / 5
    assert study.trials[running.number].user_attrs["optnas:bounds"] == [2.0, 1 / 3]


def test_checkpoints_lie_there_while_a_network_trains_and_no_longer(tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in ("7.safetensors", "7.safetensors.123", "notes.txt"):
        (folder / name).write_text("of another day")
    files, given = Files(checkpoints=folder, checkpoint_bytes=10**6), []

    class Leaves(Killed):
        def submit(self, function, job):
            given.append((Path(job.checkpoint).name, job.checkpoint_bytes))
            Path(job.checkpoint).write_text("where it stands")
            return super().submit(function, job)

    objective, storage = toy.objective(), f"sqlite:///{tmp_path}/a.db"
    with pytest.raises(KeyboardInterrupt):
        run(new_study(objective, storage=storage), objective, Leaves(1), 3, files=files)
    running = [trial.number for trial in new_study(objective, storage=storage).trials if not trial.state.is_finished()]
    assert sorted(path.name for path in folder.iterdir()) == sorted([f"{running[0]}.safetensors", "notes.txt"])
    run(new_study(objective, storage=storage), objective, Leaves(99), 3, files=files)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    assert given[1] == (f"{running[0]}.safetensors", 10**6)


def test_weights_come_home_with_the_outcome_and_are_not_written_where_it_was_trained(tmp_path):
    folder, objective = tmp_path / "weights", toy.objective()

    class Apart(InProcess):
        """On another machine, whose disk is not this one's."""

        def submit(self, function, job):
            assert job.weights is None
            before = sorted(tmp_path.rglob("*"))
            future = super().submit(function, job)
            assert sorted(tmp_path.rglob("*")) == before
            return future

    study = new_study(objective)
    run(study, objective, Apart(), 4, files=Files(weights=folder))
    assert {int(path.stem) for path in folder.iterdir()} == {network.trial for network in front(study)}


def test_weights_that_cannot_be_written_cost_no_training(tmp_path):
    (tmp_path / "weights").touch()
    objective = toy.objective()
    study = new_study(objective)
    run(study, objective, InProcess(), 2, files=Files(weights=tmp_path / "weights"))
    assert len(front(study)) > 0


def test_what_a_checkpoint_could_not_do_is_said_and_kept(monkeypatch):
    objective, seen = toy.objective(), []

    def warn(job):
        return dataclasses.replace(run_job(job), warning="checkpoint x: cannot be written: No space left on device")

    monkeypatch.setattr("optnas.study.coordinator.run_job", warn)
    study = new_study(objective)
    run(study, objective, InProcess(), 2, seen.append)
    assert [event.message for event in seen if event.kind == "warning"] == [
        "checkpoint x: cannot be written: No space left on device"
    ] * 2
    assert len(trained(study)) == 2
    assert all("No space left" in trial.user_attrs["optnas:warning"] for trial in trained(study))


class Workerless(Executor):
    """No worker can be started, as is seen when the job is submitted, or later."""

    def __init__(self, at_once):
        self._at_once = at_once

    def submit(self, function, job):
        error = NoWorker("no worker can be started")
        if self._at_once:
            raise error
        future = Future()
        future.set_exception(error)
        return future

    def close(self):
        pass


@pytest.mark.parametrize("at_once", [True, False])
def test_no_trial_is_to_blame_for_workers_that_cannot_be_started(tmp_path, at_once):
    storage, files = f"sqlite:///{tmp_path}/a.db", Files(checkpoints=tmp_path)
    objective = toy.objective()
    with pytest.raises(KeyboardInterrupt):
        run(new_study(objective, storage=storage), objective, Killed(0), 2)
    (tmp_path / "0.safetensors").touch()
    for _ in range(12):  # more often than a trial may be killed
        with pytest.raises(SearchStopped, match=r"^no worker can be started; the same command goes on$"):
            run(new_study(objective, storage=storage), objective, Workerless(at_once), 2, files=files)
    study = new_study(objective, storage=storage)
    assert [trial.state for trial in study.trials] == [TrialState.RUNNING]
    assert (tmp_path / "0.safetensors").exists()
    run(study, objective, InProcess(), 2)
    assert len(trained(study)) == len(study.trials) == 2


class Once(Executor):
    """One job at a time, at once; `hook` is told of each before, by its place from 1."""

    slots = 1

    def __init__(self, hook=lambda place, job: None):
        self.hook, self.place = hook, 0

    def submit(self, function, job):
        self.place += 1
        self.hook(self.place, job)
        done = Future()
        done.set_result(function(job))
        return done

    def close(self):
        pass


@pytest.fixture
def opened(tmp_path):
    """Opens the same study: `opened(objective)` as a search does, `opened()` as another program."""
    address, storages = f"sqlite:///{tmp_path}/a.db", []

    def opened(objective=None):
        if objective is None:
            return optuna.load_study(study_name="s", storage=address)
        storages.append(open_storage(address))
        study = new_study(objective, storage=storages[-1])
        storages[-1].hold_alone(study._study_id)
        return study

    yield opened
    for storage in storages:
        storage.remove_session()
        storage.engine.dispose()


def test_a_trial_that_a_person_ends_while_it_trains_is_as_the_person_says(opened):
    objective, events = toy.objective(), []

    def end(place, job):
        if place == 2:
            opened().tell(job.number, [0.5, 10.0])

    study = opened(objective)
    run(study, objective, Once(end), 4, events.append)
    assert [(event.trial, event.message) for event in events if event.kind == "lost"] == [(1, DROPPED)]
    there = opened()
    assert there.trials[1].values == [0.5, 10.0]
    assert len(trained(there)) == len(trained(study)) == 4
    assert all(trial.state.is_finished() for trial in (*there.trials, *study.trials))


def test_a_network_whose_trial_a_person_ended_is_trained_by_another(opened):
    objective = toy.objective(toy.small_space)

    def end(place, job):
        if place == 1:
            opened().tell(job.number, state=TrialState.FAIL)

    run(opened(objective), objective, Once(end), 3)
    there = opened()
    assert len(networks(there)) == len(trained(there)) == 3
    assert all(trial.state.is_finished() for trial in there.trials)


def test_an_interrupted_trial_that_a_person_ends_before_it_goes_on_is_dropped(opened, monkeypatch):
    objective, events = toy.objective(), []
    study = opened(objective)
    for _ in range(2):
        trial = study.ask()
        objective.admit(trial)
        trial.storage.flush(trial._trial_id)
    monkeypatch.setattr(Files, "trained_seconds", lambda self, number: 5.0)

    def end(place, job):
        if place == 1:
            opened().tell(1, state=TrialState.FAIL)

    run(opened(objective), objective, Once(end), 3, events.append)
    there = opened()
    assert [event.trial for event in events if event.kind == "lost"] == [1]
    assert there.trials[1].state == TrialState.FAIL
    assert len(trained(there)) == 3


def test_trials_that_waited_for_a_network_in_vain_are_not_left_running(opened):
    objective = toy.objective(toy.small_space)
    study = opened(objective)
    for width in (2, 2, 2, 3):
        study.enqueue_trial({"width": width})

    executor = FirstWaits()

    def diverge(event):
        if event.kind == "trained" and not executor.first.done():
            executor.first.set_exception(TrainingDiverged(1, 1))

    run(study, objective, executor, 2, diverge)
    there = opened()
    assert [trial.state for trial in there.trials[:4]] == [TrialState.FAIL] + 3 * [TrialState.COMPLETE]
    assert there.trials[2].user_attrs["optnas:repeat_of"] == 1
    assert not there.get_trials(states=(TrialState.RUNNING,))


def test_ctrl_c_while_a_result_is_stored_blames_no_trial(opened, monkeypatch):
    objective = toy.objective()

    def interrupted(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(Objective, "keep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(opened(objective), objective, Once(), 2)
    monkeypatch.undo()
    (trial,) = opened().trials
    assert (trial.state, trial.user_attrs["optnas:starts"]) == (TrialState.RUNNING, 0)


def test_a_trial_that_somebody_else_makes_between_two_looks_is_counted_once(opened, monkeypatch):
    objective = toy.objective()
    study = opened(objective)
    monkeypatch.setattr("optnas.study.write_behind._LOOK_S", 60)
    held = Sole(study)

    def train(trial):
        job = objective.admit(trial)
        outcome = run_job(job)
        objective.keep(trial, job, outcome)
        study.tell(trial, list(objective.values(job.costs, outcome)))

    train(study.ask())
    assert held.trained() == 1
    opened().enqueue_trial({"width": 6, "depth": 6})
    trial = study.ask()
    assert trial.number == 2
    train(trial)
    assert held.trained() == 2
    monkeypatch.setattr("optnas.study.write_behind._LOOK_S", 0)
    assert len(study.trials) == 3
    assert held.trained() == 2


def test_an_end_that_is_written_twice_is_one_if_both_say_the_same(opened, monkeypatch):
    once, study = patience.transact, opened(toy.objective())
    trials = [study.ask() for _ in range(2)]

    def transact(backend, work, *given):
        once(backend, work, *given)
        return once(backend, work, *given)

    monkeypatch.setattr(write_behind, "transact", transact)
    study.tell(trials[0], [0.5, 10.0])
    opened().tell(trials[1].number, [0.5, 10.0])
    with pytest.raises(UpdateFinishedTrialError):
        study.tell(trials[1], [0.25, 10.0])
    assert [trial.values for trial in opened().trials] == 2 * [[0.5, 10.0]]
