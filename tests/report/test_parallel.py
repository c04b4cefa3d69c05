import numpy as np
import pytest
from handmade import add, large, new_study, one_of_each
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from optnas.facts.options import ABSENT
from optnas.facts.trials import read_trials
from optnas.report import draw_parallel
from optnas.report.figures import finding_of
from optnas.report.parallel import coordinates
from optnas.report.style import ramp


def study_by_hand():
    study = new_study()
    add(study, (0.1, 1000.0), choices={"block1.op": "skip", "stem.width": 16})
    add(study, (0.2, 10.0), choices={"block1.op": "skip"})
    add(study, (0.4, 100.0), choices={"block1.op": "mb3_k3", "stem.width": 8})
    return study


def test_coordinates_by_hand():
    study = study_by_hand()
    found = {one.name: one for one in coordinates(study, read_trials(study))}
    assert found["block1.op"].ticks == {0.25: "mb3_k3", 0.75: "skip"}
    assert found["block1.op"].heights.tolist() == [0.75, 0.75, 0.25]
    assert list(found["stem.width"].ticks.values()) == ["8", "16", ABSENT]
    assert found["stem.width"].heights.tolist() == pytest.approx([1 / 2, 5 / 6, 1 / 6])
    # 10 to 1000 spans two decades: the logarithm; .1 to .4 does not.
    assert found["macs"].heights.tolist() == pytest.approx([1, 0, 0.5])
    assert list(found["macs"].ticks.values()) == ["10", "100", "1.00 k"]
    assert found["error"].heights.tolist() == pytest.approx([0, 1 / 3, 1])


def test_choices_come_before_costs_and_those_that_differ_most_first():
    """On the front both skip, of all two of three; each width is held by one of two, or by none."""
    study = study_by_hand()
    assert [one.name for one in coordinates(study, read_trials(study))] == ["block1.op", "stem.width", "error", "macs"]


def test_no_more_than_twelve_axes_and_no_choice_that_all_made_alike():
    study = large(60)
    assert [one.name for one in coordinates(study, read_trials(study))][-4:] == [
        "error",
        "macs",
        "params",
        "size_bytes",
    ]
    alike = new_study()
    for index in range(3):
        add(alike, (0.1 * (index + 1), 10.0 - index), choices={"block1.op": "skip"})
    assert [one.name for one in coordinates(alike, read_trials(alike))] == ["error", "macs"]


def test_lines_of_the_front_lie_over_the_others_in_its_colours():
    axes = Figure().subplots()
    draw_parallel(study_by_hand(), axes)
    members = [line for line in axes.lines if len(line.get_xdata()) == 4]
    assert [line.get_color() for line in members] == ramp(2)
    assert members[0].get_linewidth() > members[1].get_linewidth()
    assert any(line.get_label() == "front (2), thickest: best error" for line in members)
    (others,) = (c for c in axes.collections if isinstance(c, LineCollection))
    assert len(others.get_segments()) == 1
    assert min(line.get_zorder() for line in members) > others.get_zorder()
    # Members that chose alike run beside each other, the first above.
    assert 0.5 < members[1].get_ydata()[0] < members[0].get_ydata()[0] < 1
    assert np.isfinite([line.get_ydata() for line in members]).all()


def test_the_title_tells_what_the_front_shares():
    axes = Figure(figsize=(10, 5)).subplots()
    draw_parallel(study_by_hand(), axes)
    title = finding_of(axes.figure)
    assert title == "The 2 networks of the front agree in 1 of 2 choices: block1.op = skip"
    axes = Figure(figsize=(10, 5)).subplots()
    draw_parallel(one_of_each(), axes)
    assert "agree in none of 1 choice" in axes.get_title(loc="left")
