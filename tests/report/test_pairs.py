import pytest
from handmade import add, awkward, new_study, one_of_each
from matplotlib.figure import Figure

from optnas.report import draw_pairs
from optnas.report.figures import finding_of


def drawn(study):
    figure = Figure(layout="constrained")
    draw_pairs(study, figure)
    return figure


def test_four_objectives_have_six_pairs():
    figure = drawn(awkward()["four"])
    shown = [axes for axes in figure.axes if axes.axison]
    assert len(shown) == 6
    assert all(len(axes.collections[0].get_offsets()) == 8 for axes in shown)


def test_members_of_the_whole_front_are_marked_in_each_pair():
    """Each of the two beats the third in all three; the first is best in latency alone, and beaten in (error, macs)."""
    study = new_study(("error", "macs", "latency_ms"))
    for row in ((0.3, 30.0, 1.0), (0.1, 10.0, 2.0), (0.4, 40.0, 3.0)):
        add(study, row)
    axes = drawn(study).axes[0]
    beaten, front = (c.get_offsets().tolist() for c in axes.collections)
    assert beaten == [[0.4, 40]]
    assert front == [[0.1, 10], [0.3, 30]]


def test_tau_by_hand():
    """Error and MACs order three networks in opposite ways; accuracy is turned, so that 1 is agreement."""
    study = new_study(("accuracy", "macs", "latency_ms"), ["maximize", "minimize", "minimize"])
    for row in ((0.9, 30.0, 3.0), (0.8, 20.0, 2.0), (0.7, 10.0, 1.0)):
        add(study, row)
    figure = drawn(study)
    assert finding_of(figure) == (
        "Accuracy and MACs are most at odds (tau -1.00); MACs and latency order networks most alike (1.00)"
    )
    titles = [axes.get_title(loc="right") for axes in figure.axes if axes.axison]
    assert titles == ["tau -1.00", "tau -1.00", "tau 1.00"]


def test_a_study_of_two_objectives_is_drawn_with_another_cost():
    labels = {axes.get_ylabel() for axes in drawn(one_of_each()).axes} - {""}
    assert labels == {"multiply-adds (MACs)", "parameters"}


@pytest.mark.parametrize(
    ("name", "said"), [("empty", "no trained network yet"), ("bare", "one objective and no cost: no pairs")]
)
def test_no_pairs(name, said):
    (axes,) = drawn(awkward()[name]).axes
    assert [text.get_text() for text in axes.texts] == [said]
