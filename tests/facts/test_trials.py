from datetime import timedelta

import pytest
from handmade import BEGAN, awkward, large, new_study, one_of_each
from optuna.trial import create_trial

from optnas.facts.trials import STATES, lanes, read_trials


def test_every_state_by_hand():
    trials = read_trials(one_of_each())
    assert [trial.state for trial in trials] == [
        "front", "front", "beaten", "infeasible", "pruned", "refused", "repeat", "failed", "running", "waiting",
    ]  # fmt: skip
    assert {trial.state for trial in trials} == set(STATES)
    assert [trial.trial for trial in trials if trial.trained] == [0, 1, 2, 3, 4]
    assert trials[3].why == "beyond macs<=500"
    assert trials[6].why == "the same network as trial 0"
    assert "950" in trials[5].why
    assert trials[4].bounds == (0.5, None)
    assert trials[4].stop_epoch == 1


def test_what_is_known_of_a_network():
    trials = read_trials(one_of_each())
    assert trials[0].known == {"error": 0.2, "macs": 100.0, "params": 10}
    assert trials[4].known == {"error": 0.6, "macs": 250}  # the last error that was seen
    assert trials[5].known == {"macs": 950}


def test_lanes_are_the_workers():
    trials = read_trials(one_of_each())
    found = lanes(trials)
    # 0 and 1 start together, 2 starts when 0 ends; 3 to 7 lie in the first second, so each needs a lane of its own.
    assert {number: found[number] for number in (0, 1, 2)} == {0: found[0], 1: found[1], 2: found[2]}
    assert found[0] != found[1]
    assert len({found[number] for number in (0, 1, 3, 4, 5, 6, 7)}) == 7
    assert 8 not in found
    assert max(lanes(read_trials(large(60))).values()) == 1


@pytest.mark.parametrize("name", awkward())
def test_awkward_studies_are_read(name):
    study = awkward()[name]
    trials = read_trials(study)
    assert len(trials) == len(study.trials)
    assert all(trial.state in STATES for trial in trials)


def test_values_that_are_no_finite_number_are_not_on_the_front():
    trials = read_trials(awkward()["infinite"])
    assert [trial.state for trial in trials] == ["front", "infeasible", "infeasible", "front"]
    assert trials[1].why == "a value that is no finite number"


def test_a_trial_that_was_run_again_began_when_it_was():
    """It was interrupted, and an hour later ran for 4 s; Optuna keeps its first start."""
    study = new_study()
    for attributes in ({"optnas:seconds": 4.0}, {"optnas:seconds": 4.0, "optnas:starts": 2}):
        trial = create_trial(values=(0.2, 100.0), user_attrs=attributes)
        trial.datetime_start, trial.datetime_complete = BEGAN, BEGAN + timedelta(hours=1)
        study.add_trial(trial)
    once, again = read_trials(study)
    assert once.started == BEGAN
    assert again.started == BEGAN + timedelta(hours=1, seconds=-4)
