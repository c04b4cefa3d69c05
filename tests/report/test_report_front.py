import optuna
import pytest
from handmade import add, awkward, new_study, one_of_each
from matplotlib.figure import Figure

from optnas.errors import UsageError
from optnas.report import draw_front, save_front
from optnas.report.figures import finding_of


def study_of(rows, names=("error", "macs")):
    study = optuna.create_study(study_name="fashion", directions=["minimize"] * len(names))
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        study.set_metric_names(list(names))
    for row in rows:
        study.tell(study.ask(), list(row))
    return study


def draw(study):
    axes = Figure().subplots()
    draw_front(study, axes)
    return axes


def test_the_title_states_the_finding_and_the_axes_their_units():
    axes = draw(study_of([(0.1, 2e6), (0.2, 5e4), (0.3, 1e6)]))
    title = finding_of(axes.figure)
    assert title == "2 networks on the front: 20.00% error at 50.0 k MACs to 10.00% error at 2.00 M MACs"
    assert axes.get_ylabel() == "validation error (%), smaller is better"
    assert "MACs" in axes.get_xlabel()
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["front (2)", "beaten (1)", "front after 1 training", "front after 2 trainings"]


def test_refused_networks_are_shown():
    study = study_of([(0.1, 2e6)])
    trial = study.ask()
    trial.set_user_attr("optnas:costs", {"macs": 9e9})
    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    labels = [text.get_text() for text in draw(study).get_legend().get_texts()]
    assert labels[-1] == "refused (1)"


@pytest.mark.parametrize("rows", [[], [(0.1, 1e6)]])
def test_little_to_show(rows, tmp_path):
    save_front(study_of(rows), tmp_path / "front.png")
    assert (tmp_path / "front.png").stat().st_size > 5000


@pytest.mark.parametrize("names", [("error",), ("error", "macs", "params"), ("error", "a", "b", "c")])
def test_one_three_and_four_objectives(names, tmp_path):
    rows = [[0.1 * (i + 1), *[float(10 - i)] * (len(names) - 1)] for i in range(4)]
    save_front(study_of(rows, names), tmp_path / "front.png")


def test_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(UsageError, match=r"picture .*cannot be written"):
        save_front(study_of([(0.1, 1e6)]), tmp_path / "no" / "front.png")


def points_of(axes, state):
    (found,) = (c for c in axes.collections if c.get_label().startswith(state))
    return found.get_offsets().tolist()


def test_every_kind_of_trial_has_its_place():
    axes = draw(one_of_each())
    assert points_of(axes, "front") == [[100, 0.2], [200, 0.1]]
    assert points_of(axes, "beaten") == [[300, 0.3]]
    assert points_of(axes, "infeasible") == [[900, 0.05]]
    assert points_of(axes, "pruned") == [[250, 0.6]]  # at its last error
    assert points_of(axes, "refused") == [[950, 1]]  # on the upper edge, by its cost alone


def test_useless_networks_do_not_press_the_others_to_the_ground():
    study = new_study()
    for index, error in enumerate((0.10, 0.11, 0.12, 0.13, 0.14, 0.9)):
        add(study, (error, 100.0 - index if index < 5 else 200.0), curve=[error], costs={"macs": 100.0})
    for error in (0.15, 0.8):
        add(study, state=optuna.trial.TrialState.PRUNED, curve=[error], costs={"macs": 50.0 + error}, fingerprint="p")
    axes = draw(study)
    assert axes.get_ylim()[1] < 0.25
    # All five of the front, one pruned near them, the other and the one at chance level on the upper edge.
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[:3] == ["front (5)", "beaten (1)", "pruned (2)"]
    assert points_of(axes, "beaten") == [[200, 1]]
    assert points_of(axes, "pruned") == [[50.15, 0.15]]
    assert any(c.get_offsets().tolist() == [[50.8, 1]] for c in axes.collections)
    assert axes.get_xlim()[0] < 50
    assert axes.get_xlim()[1] > 200
    assert any("2 of worse error on the edge" in text.get_text() for text in axes.texts)


def test_of_what_is_to_be_maximised_the_worst_lie_on_the_lower_edge():
    study = new_study(("accuracy", "macs"), ["maximize", "minimize"])
    for index, accuracy in enumerate((0.90, 0.89, 0.88, 0.87, 0.86, 0.1)):
        add(study, (accuracy, 100.0 - index if index < 5 else 200.0))
    axes = draw(study)
    assert points_of(axes, "beaten") == [[200, 0]]
    assert axes.get_ylim()[0] > 0.7


def steps_of(axes):
    return {line.get_label(): line for line in axes.lines}


def test_the_front_after_a_quarter_and_a_half_of_the_trainings():
    rows = [(0.5, 40.0), (0.4, 60.0), (0.45, 30.0), (0.2, 50.0)]
    study = new_study()
    for index, row in enumerate(rows):
        add(study, row, seconds=(index, index + 1))
    lines = steps_of(draw(study))
    corners = {label: list(zip(line.get_xdata(), line.get_ydata(), strict=True))[1:-1] for label, line in lines.items()}
    assert corners["front after 1 training"] == [(40, 0.5)]
    assert corners["front after 2 trainings"] == [(40, 0.5), (60, 0.4)]
    (last,) = (corners[label] for label in corners if label.startswith("_"))
    assert last == [(30, 0.45), (50, 0.2)]


def test_what_is_to_be_maximised_is_attained_from_below():
    study = new_study(("accuracy", "macs"), ["maximize", "minimize"])
    for row in ((0.5, 10.0), (0.9, 30.0), (0.4, 20.0)):
        add(study, row)
    axes = draw(study)
    (line,) = (line for label, line in steps_of(axes).items() if label.startswith("_"))
    assert line.get_xdata().tolist() == [10, 10, 30, axes.get_xlim()[1]]
    assert line.get_ydata().tolist() == [axes.get_ylim()[0], 0.5, 0.9, 0.9]
    assert axes.get_ylabel() == "accuracy, larger is better"
    title = finding_of(axes.figure)
    assert title == "2 networks on the front: accuracy 0.5 at 10 MACs to accuracy 0.9 at 30 MACs"


def test_a_study_of_one_objective_is_drawn_against_a_cost_or_the_trial():
    assert draw(awkward()["bare"]).get_xlabel() == "trial (its number)"
    study = new_study(("error",))
    add(study, (0.1,), costs={"params": 10.0})
    assert draw(study).get_xlabel() == "parameters, smaller is better"


def test_nothing_trained():
    assert [text.get_text() for text in draw(awkward()["empty"]).texts] == ["no trained network yet"]
    assert draw(awkward()["infeasible"]).get_title(loc="left") == "No feasible network among 3 trained"
