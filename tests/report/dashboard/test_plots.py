"""What the plots for optuna-dashboard show."""

import json

import handmade
import pytest

from optnas.facts.course import course
from optnas.facts.trials import read_trials
from optnas.report.dashboard.plots import PLOTS, study_plots


def figures(study):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    plots = study_plots(study, read_trials(study))
    assert tuple(plots) == PLOTS
    return [json.loads(text, parse_constant=refuse) for text in plots.values()]


def named(figure):
    return {trace["name"].partition(" (")[0]: trace for trace in figure["data"] if "name" in trace}


def test_the_front_tells_apart_what_became_of_trials():
    front, _, _ = figures(handmade.one_of_each())
    traces = named(front)
    assert traces["front"]["name"] == "front (2)"
    assert (traces["front"]["x"], traces["front"]["y"]) == ([100, 200], [20, 10])
    assert (traces["beaten"]["x"], traces["beaten"]["y"]) == ([300], [30])
    assert (traces["infeasible"]["x"], traces["infeasible"]["y"]) == ([900], [5])
    assert traces["refused"]["x"] == [950]
    assert traces["refused"]["yaxis"] == "y2"
    symbols = {trace["marker"]["symbol"] for trace in traces.values()}
    assert len(symbols) == len(traces)  # for those who do not tell colours apart
    title = "2 networks on the front: 20.00% error at 100 MACs<br>to 10.00% error at 200 MACs"
    assert front["layout"]["title"]["text"] == title
    step = next(trace for trace in front["data"] if trace["mode"] == "lines")
    assert step["line"]["shape"] == "hv"
    assert step["x"] == [100, 200]


def test_a_trial_that_was_stopped_at_once_does_not_press_the_front_to_the_ground():
    study = handmade.new_study()
    handmade.add(study, (0.2, 100.0))
    handmade.add(study, (0.1, 200.0))
    for error in (0.9, 0.21):
        handmade.add(
            study, state=handmade.TrialState.PRUNED, curve=[error], fingerprint=str(error), costs={"macs": 150.0}
        )  # fmt: skip
    front, _, _ = figures(study)
    low, high = front["layout"]["yaxis"]["range"]
    assert 0 < low < 10
    assert 21 < high < 30
    inside, edge = (trace for trace in front["data"] if trace.get("legendgroup") == "pruned")
    assert inside["y"] == [21]
    assert edge["text"] == ["trial 2: 90.00% error, 150 MACs"]
    assert edge["yaxis"] == "y2"
    assert not edge["showlegend"]


def test_the_hypervolume_is_that_of_the_course():
    study = handmade.one_of_each()
    _, volume, _ = figures(study)
    trace = volume["data"][0]
    for moment in course(study):
        reached = max(y for x, y in zip(trace["x"], trace["y"], strict=True) if x <= moment.trainings)
        assert reached == pytest.approx(100 * moment.hypervolume, rel=1e-3)
    assert trace["x"][-1] == 5
    assert "the values seen so far" in volume["layout"]["title"]["text"].replace("<br>", " ")
    study.set_user_attr("optnas:reference", {"error": 1.0, "macs": 1000.0})
    _, volume, _ = figures(study)
    # (1 - .2) (1 - .1) + (.2 - .1) (1 - .2) of it.
    assert volume["layout"]["title"]["text"].startswith("The front covers 80.0% of its box;")


def test_curves_are_parted_by_gaps_and_stopped_ones_end_in_a_cross():
    *_, curves = figures(handmade.one_of_each())
    traces = named(curves)
    assert traces["front"]["x"] == [1, 2, None, 1, 2, None]
    assert traces["front"]["y"] == [40, 20, None, 30, 10, None]
    assert traces["pruned"]["y"] == [60, None]
    assert traces["pruned"]["marker"]["size"] == [8, 0]
    assert curves["layout"]["title"]["text"] == "Learning curves of 5 trainings over 2 epochs, 1 of them pruned"


def test_no_word_stands_alone_in_the_second_line_of_a_title():
    study = handmade.one_of_each()
    study.set_user_attr("optnas:reference", {"error": 1.0, "macs": 1000.0})
    for figure in figures(study):
        first, *rest = figure["layout"]["title"]["text"].split("<br>")
        assert all(len(line) > len(first) / 2 for line in rest)


def test_one_is_not_told_as_many():
    study = handmade.new_study()
    handmade.add(study, (0.2, 100.0), curve=[0.2])
    titles = [figure["layout"]["title"]["text"] for figure in figures(study)]
    assert titles[0] == "1 network on the front: 20.00% error at 100 MACs"
    assert titles[2] == "Learning curves of 1 training over 1 epoch, none pruned"


@pytest.mark.parametrize("name", handmade.awkward())
def test_every_study_has_its_plots(name):
    for figure in figures(handmade.awkward()[name]):
        title = figure["layout"]["title"]["text"]
        assert title
        assert "<script" not in json.dumps(figure)
        if not figure["data"]:
            assert "no " in title or "none " in title


def test_plots_of_a_thousand_trials_stay_small():
    assert all(len(plot) < 21_000 for plot in study_plots(*_with_trials(handmade.large())).values())


def _with_trials(study):
    return study, read_trials(study)
