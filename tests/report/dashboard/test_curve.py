"""The learning curve of one trial."""

from itertools import pairwise
from xml.etree import ElementTree

import handmade
import pytest

from optnas.facts.trials import TrialFacts, read_trials
from optnas.report.dashboard.curve import curve_svg, log_ticks

SVG = "{http://www.w3.org/2000/svg}"


def trial(curve, state="front", **more):
    return TrialFacts(7, state, {}, {}, {}, curve, **more)


def drawn(facts):
    """The texts, and the elements by their kind."""
    root = ElementTree.fromstring(curve_svg(facts))
    elements = {kind: root.findall(f".//{SVG}{kind}") for kind in ("path", "circle", "text")}
    return [element.text for element in elements["text"]], elements


def test_errors_lie_at_their_epochs_and_on_a_logarithmic_scale():
    words, elements = drawn(trial([0.8, 0.4, 0.2, 0.1]))
    assert "10.00% validation error after 4 epochs" in words
    places = [(float(dot.get("cx")), float(dot.get("cy"))) for dot in elements["circle"]]
    steps = [(x2 - x1, y2 - y1) for (x1, y1), (x2, y2) in pairwise(places)]
    # Epochs are evenly apart; each halving of the error is the same way down.
    assert max(dx for dx, _ in steps) - min(dx for dx, _ in steps) < 0.3
    assert max(dy for _, dy in steps) - min(dy for _, dy in steps) < 0.3
    assert steps[0][0] > 0
    assert steps[0][1] > 0


def test_a_stopped_trial_ends_in_a_cross_below_no_bound():
    words, elements = drawn(trial([0.9, 0.6], "pruned", bounds=[None, 0.5, 0.3]))
    assert "60.00% validation error after 2 epochs, stopped there" in words
    assert {"1", "2", "3"} <= set(words)
    assert "stopped if its lowest error so far is above" in words
    dashed = [path.get("d") for path in elements["path"] if path.get("stroke-dasharray")]
    assert dashed[-1].count("M") == 2  # two of three epochs have a bound
    assert any(path.get("stroke-width") == "3" for path in elements["path"])


def test_what_an_audit_trained_on_says_when_it_would_have_been_stopped():
    words, _ = drawn(trial([0.9, 0.2], bounds=[0.5, None], stop_epoch=1))
    assert "20.00% validation error after 2 epochs; audit: its pruner would have stopped it after epoch 1" in words


def test_gaps_are_left_where_an_error_is_no_number():
    _, elements = drawn(trial([0.5, float("nan"), 0.3, 0.2]))
    assert len(elements["circle"]) == 3
    line = next(path.get("d") for path in elements["path"] if path.get("stroke-linecap"))
    assert line.count("L") == 1


@pytest.mark.parametrize("curve", [[], [float("nan")], [float("inf")] * 3])
def test_without_a_number_there_is_no_curve(curve):
    assert curve_svg(trial(curve)) is None


@pytest.mark.parametrize("curve", [[0.0], [0.5], [1.0] * 3, [0.5, 0.0], [-0.2, 0.1], [1e-9, 1.0], [0.3] * 500])
def test_odd_curves_are_drawn_within_the_sheet(curve):
    _, elements = drawn(trial(curve))
    for dot in elements["circle"]:
        assert 60 <= float(dot.get("cx")) <= 640
        assert 70 <= float(dot.get("cy")) <= 250


def test_every_curve_of_every_study_is_a_document():
    for study in (*handmade.awkward().values(), handmade.one_of_each()):
        for facts in read_trials(study):
            text = curve_svg(facts)
            assert text is None or ElementTree.fromstring(text).tag == f"{SVG}svg"
            assert text is None or len(text) < 4000


def test_ticks_enclose_what_they_are_for():
    assert log_ticks(0.03, 0.4) == [0.02, 0.05, 0.1, 0.2, 0.5]
    assert log_ticks(0.1, 0.1) == [0.1]
    assert log_ticks(2e-4, 0.9) == [1e-4, 1e-3, 0.01, 0.1, 1.0]
