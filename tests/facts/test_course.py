import numpy as np
import pytest
from handmade import add, awkward, large, new_study, one_of_each
from optuna.trial import TrialState

from optnas.facts.course import box_of, course, fronts_after, seconds_at_work
from optnas.facts.trials import read_trials
from optnas.front import front, hypervolume


def test_the_course_by_hand():
    study = new_study()
    study.set_user_attr("optnas:reference", {"error": 1.0, "macs": 100.0})
    add(study, (0.5, 50.0), curve=[0.6, 0.5], fingerprint="a", seconds=(0, 10))
    add(study, (0.6, 60.0), curve=[0.6, 0.6], fingerprint="b", seconds=(0, 12))
    add(study, state=TrialState.PRUNED, curve=[0.9], fingerprint="c", seconds=(12, 14))
    # The search was killed after 14 s and went on after 1000 s.
    add(study, (0.25, 75.0), curve=[0.4, 0.25], fingerprint="d", seconds=(1000, 1006))
    moments = course(study)
    assert [moment.trial for moment in moments] == [0, 1, 2, 3]
    assert [moment.epochs for moment in moments] == [2, 4, 5, 7]
    assert [moment.seconds for moment in moments] == [10, 12, 14, 20]
    # (1 - .5)(1 - .5), then .5 * .25 + .75 * .25
    assert [moment.hypervolume for moment in moments] == pytest.approx([0.25, 0.25, 0.25, 0.3125])
    assert [moment.front for moment in moments] == [1, 1, 1, 2]


def test_the_end_of_the_course_is_the_hypervolume_of_the_front():
    study = large(300)
    losses = np.array([list(network.values.values()) for network in front(study)])
    assert course(study)[-1].hypervolume == pytest.approx(hypervolume(losses, [0.9, 5e6]))
    assert course(study)[-1].front == len(front(study))


def test_a_study_without_a_box_of_its_own_gets_that_of_its_values():
    study = new_study(("accuracy", "macs"), ["maximize", "minimize"])
    for row in ((0.5, 10.0), (0.9, 30.0), (0.7, 20.0)):
        add(study, row)
    box = box_of(study)
    assert (box.best, box.worst, box.fixed) == ((-0.9, 10.0), (-0.5, 30.0), False)
    # Only the middle one is inside of the box: half of the way in both.
    assert course(study)[-1].hypervolume == pytest.approx(0.25)


def test_fronts_as_they_were():
    study = new_study()
    for index, row in enumerate(((0.5, 50.0), (0.6, 40.0), (0.4, 45.0), (0.1, 90.0))):
        add(study, row, seconds=(index, index + 1))
    after = fronts_after(study)
    assert after[1].tolist() == [[0.5, 50.0]]
    assert after[2].tolist() == [[0.5, 50.0], [0.6, 40.0]]
    assert after[4].tolist() == [[0.1, 90.0], [0.4, 45.0], [0.6, 40.0]]


def test_seconds_leave_pauses_out_and_count_overlap_once():
    study = new_study()
    for seconds in ((0, 10), (5, 12), (20, 30)):
        add(study, (0.1, 1.0), seconds=seconds)
    assert seconds_at_work(read_trials(study)) == [10, 12, 22]


@pytest.mark.parametrize("name", awkward())
def test_awkward_studies_have_a_course(name):
    study = awkward()[name]
    moments = course(study)
    assert all(0 <= moment.hypervolume <= 1 for moment in moments)
    assert len(moments) == sum(trial.trained for trial in read_trials(study))
    fronts_after(study)


def test_one_of_each():
    assert [moment.trial for moment in course(one_of_each())][-1] == 2
