"""A database that gathers: Optuna's own conformance suite, what it costs, and what others see of it."""

import optuna
import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.testing.pytest_storages import StorageTestCase
from optuna.trial import TrialState
from sqlalchemy import event

from optnas.study import open_storage
from optnas.study.write_behind import WriteBehindStorage


@pytest.fixture
def address(tmp_path):
    return f"sqlite:///{tmp_path / 'study.db'}"


@pytest.fixture
def storage(address):
    storage = open_storage(address)
    assert isinstance(storage, WriteBehindStorage)
    yield storage
    storage.remove_session()
    storage.engine.dispose()


@pytest.fixture
def other(storage, address):
    """Optuna's own view of the same file."""
    other = RDBStorage(address)
    yield other
    other.remove_session()
    other.engine.dispose()


class TestConformance(StorageTestCase):
    """Optuna's suite for storages."""


def make_study(storage):
    return optuna.create_study(storage=storage, directions=["minimize", "minimize"], study_name="s")


def run_trial(study):
    trial = study.ask()
    values = [trial.suggest_int(f"x{place}", 0, 3) for place in range(20)]
    for name in ("costs", "fingerprint", "seed"):
        trial.set_user_attr(name, [name])
    trial.set_constraint("params<=1", -0.5)
    return trial, values


def test_a_trial_of_twenty_parameters_is_three_commits(storage):
    study = make_study(storage)
    commits = []
    event.listen(storage.engine, "commit", commits.append)
    storage.hold_alone(study._study_id)
    study.get_trials(deepcopy=False)
    del commits[:]
    for number in range(1, 5):
        trial, values = run_trial(study)
        storage.flush(trial._trial_id)
        trial.set_user_attr("curve", [0.5])
        study.tell(trial, [sum(values), 1.0])
        # Looking for what others wrote is a transaction too, a few times a second at most.
        assert 3 * number <= len(commits) <= 4 * number + 1


def test_others_see_what_is_flushed_and_how_it_ends(storage, other):
    study = make_study(storage)
    trial, values = run_trial(study)
    assert other.get_trial(trial._trial_id).params == {}
    storage.flush()
    seen = other.get_trial(trial._trial_id)
    assert list(seen.params.values()) == values
    assert list(seen.params) == [f"x{place}" for place in range(20)]
    assert seen.user_attrs == {name: [name] for name in ("costs", "fingerprint", "seed")}
    assert seen.constraints == {"params<=1": -0.5}
    assert seen.state == TrialState.RUNNING
    trial.set_user_attr("seed", 7)
    study.tell(trial, [2.0, float("inf")])
    ended = other.get_trial(trial._trial_id)
    assert ended.user_attrs["seed"] == 7
    assert ended.values == [2.0, float("inf")]
    assert ended == storage.get_trial(trial._trial_id)


def test_it_reads_what_others_write(storage, other):
    study = make_study(storage)
    mine, _ = run_trial(study)
    theirs = optuna.load_study(study_name="s", storage=other)
    started = theirs.ask()
    started.suggest_float("y", 0, 1)
    assert [trial.number for trial in study.get_trials(deepcopy=False)] == [0, 1]
    started.suggest_float("z", 0, 1)
    assert set(study.get_trials(deepcopy=False)[1].params) == {"y", "z"}
    theirs.tell(started, [1.0, 2.0])
    theirs.enqueue_trial({"x0": 3})
    later, _ = run_trial(study)
    assert later.params["x0"] == 3
    study.tell(mine, [0.0, 0.0])
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "COMPLETE", "RUNNING"]


def test_a_trial_that_another_made_first_is_not_missed(storage, other):
    """Ids above it are known before it is."""
    study = make_study(storage)
    study.get_trials(deepcopy=False)
    theirs = optuna.load_study(study_name="s", storage=other).ask()
    mine = study.ask()
    assert [trial._trial_id for trial in study.trials] == [theirs._trial_id, mine._trial_id]


def test_a_trial_that_another_ended_is_not_ended_twice(storage, other):
    study = make_study(storage)
    trial, _ = run_trial(study)
    storage.flush()
    other.set_trial_state_values(trial._trial_id, TrialState.FAIL)
    trial.set_user_attr("late", 1)
    with pytest.raises(UpdateFinishedTrialError):
        study.tell(trial, [1.0, 1.0])
    assert other.get_trial(trial._trial_id).values is None
    assert "late" not in other.get_trial(trial._trial_id).user_attrs


def test_a_trial_is_enqueued_and_taken_once(storage, other):
    study = make_study(storage)
    study.enqueue_trial({"x0": 2})
    (waiting,) = study.get_trials(states=(TrialState.WAITING,))
    assert other.set_trial_state_values(waiting._trial_id, TrialState.RUNNING)
    assert study.ask().number == 1


def test_what_was_not_flushed_is_lost_with_the_process_and_nothing_else(address, storage):
    study = make_study(storage)
    first, _ = run_trial(study)
    storage.flush()
    first.set_user_attr("late", 1)
    second, _ = run_trial(study)
    again = open_storage(address)
    found = optuna.load_study(study_name="s", storage=again).trials
    assert [len(trial.params) for trial in found] == [20, 0]
    assert "late" not in found[0].user_attrs
    assert second.number == 1
    again.remove_session()
    again.engine.dispose()
