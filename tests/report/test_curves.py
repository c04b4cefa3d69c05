import time

import numpy as np
import pytest
from handmade import add, awkward, large, new_study, one_of_each
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

from optnas.facts.trials import read_trials
from optnas.report import curves, draw_curve, draw_curves
from optnas.report.curves import curve_picture
from optnas.report.figures import finding_of
from optnas.report.style import ramp


def drawn(study):
    axes = Figure().subplots()
    draw_curves(study, axes)
    return axes


def lines_of(axes):
    return [line for line in axes.lines if len(line.get_xdata())]


def test_members_of_the_front_are_coloured_in_its_order():
    axes = drawn(one_of_each())
    members = lines_of(axes)
    assert [line.get_ydata().tolist() for line in members] == [[0.3, 0.1], [0.4, 0.2]]
    assert [line.get_color() for line in members] == ramp(2)
    assert {"trial 0", "trial 1"} <= {text.get_text() for text in axes.texts}


def test_the_others_are_told_apart_and_pruned_ones_end_in_a_cross():
    axes = drawn(one_of_each())
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == [
        "front (2)", "beaten (1)", "infeasible (1)", "pruned (1)", "bounds of the pruner, the middle 80%",
    ]  # fmt: skip
    crosses = [c for c in axes.collections if not isinstance(c, LineCollection) and len(c.get_offsets()) == 1]
    assert crosses[0].get_offsets().tolist() == [[1, 0.6]]


def test_the_title_tells_the_end_and_what_was_pruned():
    found = finding_of(drawn(one_of_each()).figure)
    assert found == "10.00% error after 2 epochs; 1 of 5 pruned, half of them by epoch 1"
    assert finding_of(drawn(awkward()["wild"]).figure) == "50.00% error after 1 epoch; none of 1 training was pruned"


def test_of_a_thousand_curves_an_even_sample_is_drawn():
    axes = drawn(large(1000))
    sizes = [len(c.get_segments()) for c in axes.collections if isinstance(c, LineCollection)]
    assert sizes == [60, 60]
    on_front = sum(trial.state == "front" for trial in read_trials(large(1000)))
    assert len(lines_of(axes)) == on_front
    assert any("of those not on the front are not drawn" in text.get_text() for text in axes.texts)


def test_long_curves_keep_both_ends():
    study = new_study()
    add(study, (0.1, 10.0), curve=[0.5])
    add(study, (0.2, 20.0), curve=list(np.linspace(0.9, 0.2, 500)))
    (line,) = (c for c in drawn(study).collections if isinstance(c, LineCollection))
    (segment,) = line.get_segments()
    assert len(segment) == 50
    assert segment[[0, -1]].tolist() == [[1, 0.9], [500, 0.2]]


def test_one_trial_with_its_bounds():
    axes = Figure().subplots()
    draw_curve(read_trials(one_of_each())[4], axes)
    bounds = axes.lines[1]
    assert bounds.get_ydata()[0] == 0.5
    assert np.isnan(bounds.get_ydata()[1])
    assert finding_of(axes.figure) == "Trial 4, pruned: 60.00% error after 1 epoch, at most 50.00% was allowed"
    assert axes.get_xlabel() == "epochs trained"
    assert axes.get_ylabel() == "validation error (%)"


def test_an_audited_trial_says_that_it_would_have_been_pruned():
    study = new_study()
    add(study, (0.1, 10.0), curve=[0.5, 0.3, 0.1], pruned_epoch=2)
    axes = Figure().subplots()
    draw_curve(read_trials(study)[0], axes)
    told = "Trial 0, front: 10.00% error after 3 epochs; audit: its pruner would have stopped it after epoch 2"
    assert finding_of(axes.figure) == told


def test_the_longest_title_fits_above_the_small_picture(monkeypatch):
    study = new_study()
    curve = [0.5] * 119 + [0.1111]
    add(study, (0.1111, 10.0), curve=curve, bounds=[0.4] * 119 + [None], pruned_epoch=101, constraints={"macs<=5": 5.0})
    monkeypatch.setattr(curves, "picture_bytes", lambda figure, kind: figure)
    figure = curve_picture(read_trials(study)[0])
    (axes,) = figure.axes
    title = next(child for child in axes.get_children() if isinstance(child, Text) and "audit" in child.get_text())
    assert title.get_window_extent(FigureCanvasAgg(figure).get_renderer()).y1 <= figure.bbox.height


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_picture_of_a_trial_is_cheap(kind):
    trial = next(trial for trial in read_trials(large(50)) if trial.state == "pruned")
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        file = curve_picture(trial, kind)
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.5  # 30 to 60 ms where nothing else runs
    assert 1000 < len(file) < 60_000


@pytest.mark.parametrize("trial", read_trials(one_of_each()), ids=lambda trial: trial.state)
def test_every_kind_of_trial(trial):
    assert curve_picture(trial)
