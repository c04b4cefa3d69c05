"""The sentence above every picture of a front, and that there is only one."""

import json

from handmade import add, awkward, new_study
from matplotlib.figure import Figure

from optnas.facts.trials import read_trials
from optnas.report import draw_front
from optnas.report.dashboard.plots import study_plots
from optnas.report.figures import finding_of
from optnas.report.finding import front_finding, front_sides
from optnas.report.page.write import report_html


def three_objectives():
    """Of the two with the least error the one with fewer MACs is the end, though the other is smaller in bytes."""
    study = new_study(("error", "macs", "size_bytes"))
    for row in ((0.1, 3e5, 10.0), (0.1, 2e5, 20.0), (0.4, 5e4, 30.0), (0.4, 5e4, 40.0)):
        add(study, row)
    return study


def test_of_equal_ones_the_end_is_the_best_in_the_other():
    study = three_objectives()
    assert front_sides(study, read_trials(study)) == ("macs", "error")
    told = "3 networks on the front: 40.00% error at 50.0 k MACs to 10.00% error at 200 k MACs"
    assert front_finding(study, read_trials(study)) == told


def test_figures_dashboard_and_report_say_the_same():
    study = three_objectives()
    told = front_finding(study, read_trials(study))
    axes = Figure().subplots()
    draw_front(study, axes)
    assert finding_of(axes.figure) == told
    plot = json.loads(study_plots(study, read_trials(study))["optnas-front"])
    # The ends of the front one under the other: no unit stands alone in a line.
    assert plot["layout"]["title"]["text"].split("<br>") == [told.partition(" to ")[0], told[told.index("to 10") :]]
    assert f"<h2>{told}</h2>" in report_html(study)


def test_what_is_larger_is_better_of():
    study = new_study(("accuracy", "macs"), ["maximize", "minimize"])
    add(study, (0.5, 10.0))
    add(study, (0.9, 30.0))
    told = "2 networks on the front: accuracy 0.5 at 10 MACs to accuracy 0.9 at 30 MACs"
    assert front_finding(study, read_trials(study)) == told


def test_one_network_is_told_once_and_none_says_so():
    study = awkward()["one"]
    assert front_finding(study, read_trials(study)) == "1 network on the front: 50.00% error at 10 MACs"
    study = awkward()["bare"]
    best = study.best_trial
    assert front_finding(study, read_trials(study)).startswith("1 network on the front: value0 ")
    assert front_finding(study, read_trials(study)).endswith(f"at trial {best.number}")
    study = awkward()["pruned"]
    assert front_finding(study, read_trials(study)) == "No feasible network among 3 trained"
