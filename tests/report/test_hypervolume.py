import pytest
from handmade import add, awkward, new_study
from matplotlib.figure import Figure

from optnas.errors import UsageError
from optnas.report import draw_course, draw_hypervolume
from optnas.report.figures import finding_of


def study_by_hand():
    """Shares of the box after each training: .25, then .25, .3125, .3125 of it."""
    study = new_study()
    study.set_user_attr("optnas:reference", {"error": 1.0, "macs": 100.0})
    for index, row in enumerate(((0.5, 50.0), (0.6, 60.0), (0.25, 75.0), (0.9, 90.0))):
        add(study, row, curve=[row[0]] * 2, fingerprint=str(index), seconds=(100 * index, 100 * index + 60))
    return study


def drawn(study, against):
    axes = Figure().subplots()
    draw_hypervolume(study, axes, against)
    return axes


@pytest.mark.parametrize(
    ("against", "places", "label"),
    [
        ("trainings", [0, 1, 2, 3, 4], "networks trained"),
        ("epochs", [0, 2, 4, 6, 8], "epochs trained"),
        ("seconds", [0, 1, 2, 3, 4], "time at work (min)"),
    ],
)
def test_the_line_by_hand(against, places, label):
    axes = drawn(study_by_hand(), against)
    line = axes.lines[0]
    assert line.get_xdata().tolist() == pytest.approx(places)
    assert line.get_ydata().tolist() == pytest.approx([0, 0.25, 0.25, 0.3125, 0.3125])
    assert axes.get_xlabel() == label
    assert axes.get_ylabel() == "hypervolume (% of the box), larger is better"


@pytest.mark.parametrize(
    ("against", "title"),
    [
        ("trainings", "90% of the final hypervolume after 3 of 4 trainings"),
        ("epochs", "90% of the final hypervolume after 6 of 8 epochs"),
        ("seconds", "90% of the final hypervolume after 3.0 min of 4.0 min at work"),
    ],
)
def test_the_title_says_when_most_was_found(against, title):
    assert finding_of(drawn(study_by_hand(), against).figure) == title


def test_the_title_says_that_nothing_came_any_more():
    study = study_by_hand()
    for index in range(3):
        add(study, (0.95, 95.0 + index), curve=[0.95], fingerprint=f"late {index}", seconds=(1000, 1001))
    title = finding_of(drawn(study, "trainings").figure)
    assert title == "90% of the final hypervolume after 3 of 7 trainings, nothing gained in the last 4"
    assert drawn(study, "epochs").get_title(loc="left").endswith("trainings")


def test_what_the_box_is_stands_in_a_note():
    texts = [text.get_text() for text in drawn(study_by_hand(), "trainings").texts]
    assert "study by hand; the box ends at 100.00% error, 100 MACs" in texts


def test_networks_on_the_front_are_counted_below():
    figure = Figure(layout="constrained")
    draw_course(study_by_hand(), figure)
    assert len(figure.axes) == 6
    members = figure.axes[3].lines[0]
    assert members.get_ydata().tolist() == [0, 1, 1, 2, 2]
    assert figure.get_suptitle() == "90% of the final hypervolume after 3 of 4 trainings"


def test_an_axis_that_there_is_not():
    with pytest.raises(
        UsageError, match="hypervolume against: expected one of trainings, epochs, seconds, got 'hours'"
    ):
        drawn(study_by_hand(), "hours")


def test_a_study_without_a_front_says_so():
    assert [text.get_text() for text in drawn(awkward()["infeasible"], "epochs").texts] == [
        "no feasible trained network yet"
    ]
