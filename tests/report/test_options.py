import pytest
from handmade import add, awkward, new_study
from matplotlib.figure import Figure

from optnas.report import draw_options
from optnas.report.figures import finding_of


def drawn(study):
    axes = Figure().subplots()
    draw_options(study, axes)
    return axes


def study_of(on_front, beaten):
    """Each network chooses an operator; those of the front differ in what they trade."""
    study = new_study(name="ops")
    for index, op in enumerate(on_front):
        add(study, (0.1 + 0.01 * index, 100.0 - index), choices={"block1.op": op})
    for index, op in enumerate(beaten):
        add(study, (0.5, 200.0 + index), choices={"block1.op": op})
    return study


def test_shares_by_hand():
    axes = drawn(study_of(["skip", "skip", "mb3_k3", "skip"], ["mb6_k5", "mb3_k3", "mb6_k5", "mb6_k5"]))
    trained, front = (c.get_offsets().tolist() for c in axes.collections)
    # One of four and one of four: mb3_k3 is no different, and left out.
    assert [label.get_text() for label in axes.get_yticklabels()] == ["block1.op = skip", "block1.op = mb6_k5"]
    assert trained == [[3 / 8, 2], [3 / 8, 1]]
    assert front == [[3 / 4, 2], [0, 1]]
    assert axes.get_xlabel() == "share of the networks that have it (%)"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["trained (8)", "front (4)"]


def test_of_two_options_the_commoner_is_drawn():
    axes = drawn(study_of(["skip", "skip"], ["mb3_k3", "mb3_k3"]))
    assert [label.get_text() for label in axes.get_yticklabels()] == ["block1.op = skip"]


def test_a_difference_beyond_chance_is_the_title():
    """Ten of ten against none of twenty others: one of 30 over 10 ways, 3e-8."""
    title = finding_of(drawn(study_of(["skip"] * 10, ["mb3_k3"] * 20)).figure)
    assert title == "block1.op = skip: 10 of 10 on the front, 10 of 30 trained"


def test_what_chance_brings_is_called_so():
    """Two of two against two of four: one of 6 ways."""
    title = finding_of(drawn(study_of(["skip", "skip"], ["mb3_k3", "mb3_k3"])).figure)
    assert title == (
        "No option is commoner on the front than by chance; nearest is block1.op = skip, 2 of 2 on the front, 2 of 4 "
        "trained"
    )


@pytest.mark.parametrize(("name", "said"), [("empty", "no front yet"), ("four", "the front chose as all networks did")])
def test_nothing_to_compare(name, said):
    assert [text.get_text() for text in drawn(awkward()[name]).texts] == [said]
