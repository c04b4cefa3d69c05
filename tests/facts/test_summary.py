import pytest
from handmade import add, awkward, new_study, one_of_each
from optuna.trial import TrialState

from optnas.facts.course import course
from optnas.facts.summary import progress_sentence, summarise


def test_the_summary_by_hand():
    summary = summarise(one_of_each())
    assert summary.intro[1] == (
        "5 networks were trained, 1 of them stopped early; besides, 1 refused before training, 1 repeats of a network "
        "that was trained, 1 failed, 1 in training now and 1 waiting."
    )
    assert summary.counts["networks trained"] == "5"
    assert summary.counts["on the front"] == "2"
    assert summary.counts["epochs"] == "9"  # 2 + 2 + 2 + 2 + 1
    assert summary.findings[0] == (
        "2 networks are on the front, from error 10.00% and MACs 200 (trial 1) to error 20.00% and MACs 100 (trial 0)."
    )


def test_what_was_pruned_without_a_curve_is_not_among_the_trained():
    study = new_study()
    for curve in ([0.5], [], []):
        add(study, state=TrialState.PRUNED, curve=curve)
    told = "1 network was trained, 1 of them stopped early; besides, 2 pruned that kept no curve."
    assert summarise(study).intro[1] == told


def test_when_most_of_the_hypervolume_was_there():
    study = new_study()
    study.set_user_attr("optnas:reference", {"error": 1.0, "macs": 100.0})
    # 0.25, then 0.81 of the box, which is more than 90 % of the last 0.8125, and one more.
    for index, row in enumerate(((0.5, 50.0), (0.1, 10.0), (0.05, 95.0), (0.9, 90.0), (0.9, 91.0))):
        add(study, row, seconds=(index, index + 1))
    assert progress_sentence(course(study)) == (
        "90% of the hypervolume that it covers was there after 2 of 5 trainings; the last 2 added nothing."
    )
    assert progress_sentence(course(study)[:3]).endswith("the last training still added to it.")
    assert progress_sentence(course(study)[:4]).endswith("the last one added nothing.")


@pytest.mark.parametrize("name", awkward())
def test_awkward_studies_are_summarised(name):
    summary = summarise(awkward()[name])
    for sentence in (*summary.intro, *summary.findings):
        assert sentence.endswith(".")
        assert "nan" not in sentence.replace(name, "")


def test_an_empty_study_says_so():
    summary = summarise(awkward()["empty"])
    assert summary.intro[1] == "It has no trial yet."
    assert summary.findings == ("No network is on the front: none was trained to the end within the constraints.",)
