"""Several coordinators of one study on a PostgreSQL, step by step; `test_coordinators.py` lets them loose."""

import json

import optuna
import pytest
import toy
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState
from sqlalchemy import text

from optnas.sampler import make_sampler
from optnas.study import InProcess, is_trained, open_storage, patience, run, shared, write_behind
from optnas.study.rows import OWNER, TrialLost
from optnas.study.shared import Shared

OBJECTIVE = toy.objective(toy.wide_space)


@pytest.fixture
def open_study(database):
    """Opens the study as another process would."""
    opened = []

    def open_it():
        opened.append(open_storage(database))
        return optuna.create_study(
            storage=opened[-1], study_name="s", directions=OBJECTIVE.directions, load_if_exists=True,
            sampler=make_sampler("random", 0, 6),
        )  # fmt: skip

    yield open_it
    for storage in opened:
        storage.remove_session()
        storage.engine.dispose()


@pytest.fixture
def coordinators(open_study):
    """Makes coordinators, each with a study and an objective of its own."""
    made = []

    def make():
        made.append(Shared(open_study(), toy.objective(toy.wide_space)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def begin(coordinator, trials=100):
    """A trial that is admitted, and its fingerprint."""
    trial = coordinator.next(trials)
    coordinator._objective.admit(trial)
    return trial, trial.user_attrs["optnas:fingerprint"]


def finish(coordinator, trial, error=0.5):
    trial.set_user_attr("optnas:curve", [error])
    coordinator.study.tell(trial, [error, 1.0])


def silence(coordinator):
    """Have a coordinator said to have been silent for an hour."""
    coordinator._closed.set()
    coordinator._heart.join()
    with coordinator._storage.engine.begin() as connection:
        key = {"key": "optnas:coordinator:" + coordinator._name}
        old = "CAST(extract(epoch FROM clock_timestamp()) - 3600 AS text)"
        connection.execute(text(f"UPDATE study_system_attributes SET value_json = {old} WHERE key = :key"), key)


@pytest.fixture
def long_up(monkeypatch):
    """As if the server had been started long ago: it counts no silence before its start."""
    for name in ("_LIVING", "_FORGET_DEAD"):
        statement = str(getattr(shared, name)).replace("pg_postmaster_start_time()", "CAST('2020-01-01' AS timestamp)")
        monkeypatch.setattr(shared, name, text(statement))


def test_trials_are_owned_from_the_first_moment_and_counted_over_all(coordinators, open_study):
    one, two = coordinators(), coordinators()
    first, second = one.next(2), two.next(2)
    assert {first.number, second.number} == {0, 1}
    assert [trial.system_attrs[OWNER] for trial in open_study().trials] == [one._name, two._name]
    assert one.next(2) is None
    assert two.next(2) is None
    finish(one, first)
    assert two.next(2) is None
    second.set_user_attr("optnas:reason", "it failed")
    two.study.tell(second, state=TrialState.FAIL)
    assert one.next(2).number == 2
    assert two.next(2) is None
    assert one.trained() == two.trained() == 1


def test_what_a_person_enqueues_is_run_once(coordinators):
    one, two = coordinators(), coordinators()
    one.study.enqueue_trial({"first": 7, "second": 9})
    trials = [two.next(9), one.next(9)]
    assert [trial.number for trial in trials] == [0, 1]
    begun, _ = trials[0], two._objective.admit(trials[0])
    assert begun.params == {"first": 7, "second": 9}


def test_a_network_in_training_elsewhere_is_waited_for(coordinators):
    one, two = coordinators(), coordinators()
    for _ in range(3):
        one.study.enqueue_trial({"first": 7, "second": 9})
    elder, network = begin(one)
    assert one.claim(elder, network) is None
    twins = []
    for coordinator in (one, two):
        twin, same = begin(coordinator)
        assert same == network
        assert coordinator.claim(twin, same) == elder.number
        twins.append(twin)
    assert twins[1].user_attrs["optnas:waits_for"] == elder.number
    # It fails: of those that waited one trains the network, the other waits for that one.
    one.study.tell(elder, state=TrialState.FAIL)
    assert two.claim(twins[1], network) is None
    assert one.claim(twins[0], network) == twins[1].number
    finish(two, twins[1])
    assert one.claim(twins[0], network) == twins[1].number
    assert one._objective.twin(one.study, network, twins[0].number).number == twins[1].number


def test_the_trials_of_a_dead_coordinator_are_taken_over_once_as_they_were(coordinators, open_study, long_up):
    one, two, three = coordinators(), coordinators(), coordinators()
    trial, network = begin(one, 2)
    one.claim(trial, network)
    kept = dict(trial.params), trial.user_attrs["optnas:seed"]
    ended = two.next(2)
    finish(two, ended)
    assert three.next(2) is None
    silence(one)
    taken = three.next(2)
    assert taken.number == trial.number
    assert taken.number in three.interrupted
    assert (taken.params, taken.user_attrs["optnas:seed"]) == kept
    assert two.next(2) is None
    # It wakes: nothing that it found is kept.
    with pytest.raises(TrialLost):
        one.claim(trial, network)
    with pytest.raises(TrialLost):
        finish(one, trial, 0.1)
    finish(three, taken, 0.3)
    with pytest.raises(UpdateFinishedTrialError):
        one.study.tell(trial, [0.1, 1.0])
    assert [trained.values for trained in open_study().trials] == [[0.3, 1.0], [0.5, 1.0]]


def test_what_a_dead_coordinator_leaves_is_somebody_s_though_enough_are_trained(coordinators, long_up):
    one, two, three = coordinators(), coordinators(), coordinators()
    trial, _ = begin(one, 2)
    finish(two, two.next(2))
    assert two.left() == []  # it lives
    silence(one)
    assert two.next(1) is None
    assert [left.number for left in two.left()] == [trial.number]
    assert three.left() == []
    two.study.tell(trial.number, state=TrialState.FAIL)
    with pytest.raises(UpdateFinishedTrialError):
        one.study.tell(trial, [0.5, 1.0])


def test_a_trial_that_was_dropped_is_not_taken_for_one_that_runs(coordinators, long_up):
    one, two = coordinators(), coordinators()
    trial, _ = begin(one)
    silence(one)
    assert two.next(1).number == trial.number
    one.drop(trial)
    two.close()
    assert one.next(1).number == trial.number


def test_a_coordinator_that_was_frozen_keeps_what_nobody_took(coordinators, long_up):
    one, two = coordinators(), coordinators()
    trial, network = begin(one)
    silence(one)
    assert one.claim(trial, network) is None
    finish(one, trial)
    assert two.trained() == 1
    assert two.next(9).number == 1


def test_what_a_coordinator_leaves_is_taken_at_once(coordinators):
    one, two = coordinators(), coordinators()
    trial, network = begin(one)
    one.claim(trial, network)
    one.close()
    taken = two.next(9)
    assert taken.number == trial.number
    assert taken.params == trial.params


def test_a_trial_whose_making_was_not_answered_is_not_lost(coordinators, monkeypatch):
    """The connection goes while the transaction commits: it is done, and done again."""
    one = coordinators()
    twice = one._storage.transact

    def transact(work):
        twice(work)
        return twice(work)

    monkeypatch.setattr(one._storage, "transact", transact)
    trial = one.next(9)
    monkeypatch.undo()
    monkeypatch.setattr(one._storage, "transact", twice)
    other = one.next(9)
    assert sorted([trial.number, other.number]) == [0, 1] or trial.number == other.number == 0
    trial.suggest_int("first", 1, 40)
    finish(one, trial)
    assert [one.state.name for one in one.study.trials].count("COMPLETE") == 1


def test_an_end_that_was_not_answered_is_no_loss(coordinators, open_study, monkeypatch):
    one = coordinators()
    trial = one.next(9)
    once = patience.transact

    def transact(backend, work, *given):
        once(backend, work, *given)
        return once(backend, work, *given)

    monkeypatch.setattr(write_behind, "transact", transact)
    finish(one, trial, 0.25)
    monkeypatch.undo()
    assert [ended.values for ended in open_study().trials] == [[0.25, 1.0]]


def test_heartbeats_of_the_dead_are_removed(coordinators, long_up):
    one, two = coordinators(), coordinators()
    silence(one)
    two._storage.transact(two._say_alive)
    keys = [key for key in two.study._storage.get_study_system_attrs(two._study_id) if "coordinator" in key]
    assert keys == ["optnas:coordinator:" + two._name]
    two.close()
    assert not two.study._storage.get_study_system_attrs(two._study_id)


def test_a_run_ends_with_as_many_as_asked_and_leaves_nothing_running(open_study, tmp_path):
    objective = toy.objective(toy.wide_space, toy.ToyTask(log=str(tmp_path / "trained")))
    study, events = open_study(), []
    run(study, objective, InProcess(), 8, events.append, holding=Shared(study, objective))
    again = open_study()
    run(again, objective, InProcess(), 12, holding=Shared(again, objective))
    assert sum(map(is_trained, again.trials)) == 12
    assert all(trial.state.is_finished() for trial in again.trials)
    assert len((tmp_path / "trained").read_text().split()) == 12
    assert [event.kind for event in events].count("trained") == 8
    assert not again._storage.get_study_system_attrs(again._study_id)
    assert json.dumps(again.user_attrs)


def test_a_trial_that_ends_while_it_is_taken_over_counts(coordinators, long_up, monkeypatch):
    """Its coordinator was slow, not dead."""
    one, two = coordinators(), coordinators()
    trial = one.next(1)
    silence(one)
    own = shared.own_trial

    def too_late(connection, trial_id, owner):
        finish(one, trial)
        return own(connection, trial_id, owner)

    monkeypatch.setattr(shared, "own_trial", too_late)
    assert two.next(1) is None
    assert two.trained() == 1
