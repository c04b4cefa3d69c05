import optuna
import pytest
from matplotlib.figure import Figure

from optnas.errors import UsageError
from optnas.report import draw_front, save_front


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
    assert axes.get_title(loc="left") == "fashion: error 10.0% at 2.00 M to 20.0% at 50.0 k multiply-adds"
    assert axes.get_ylabel() == "validation error (%), smaller is better"
    assert "MACs" in axes.get_xlabel()
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["trained, beaten (1)", "front (2)"]


def test_refused_networks_are_shown():
    study = study_of([(0.1, 2e6)])
    trial = study.ask()
    trial.set_user_attr("optnas:costs", {"macs": 9e9})
    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    labels = [text.get_text() for text in draw(study).get_legend().get_texts()]
    assert labels[-1] == "refused untrained (1)"


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
