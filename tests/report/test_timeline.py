from handmade import add, awkward, new_study, one_of_each
from matplotlib.figure import Figure
from optuna.trial import TrialState

from optnas.report import draw_timeline
from optnas.report.figures import finding_of


def drawn(study):
    axes = Figure().subplots()
    draw_timeline(study, axes)
    return axes


def test_bars_by_hand():
    """Two workers: one trains for 60 s, the other for 30 s, is pruned after 15 s more, and waits."""
    study = new_study()
    add(study, (0.1, 10.0), seconds=(0, 60))
    add(study, (0.2, 20.0), seconds=(0, 30))
    add(study, state=TrialState.PRUNED, curve=[0.5], fingerprint="c", seconds=(30, 45))
    axes = drawn(study)
    bars = {c.get_label(): [path.get_extents().intervalx.tolist() for path in c.get_paths()] for c in axes.collections}
    assert bars == {"front (1)": [[0, 60]], "beaten (1)": [[0, 30]], "pruned (1)": [[30, 45]]}
    assert finding_of(axes.figure) == "2 workers were busy 88% of 60 s; 14% of it on trials that were pruned"
    assert axes.get_xlabel() == "time at work (s)"
    assert axes.get_ylabel() == "worker"


def test_a_pause_is_marked_with_how_long_it_was():
    study = new_study()
    add(study, (0.1, 10.0), seconds=(0, 100))
    add(study, (0.2, 5.0), seconds=(3700, 3800))
    axes = drawn(study)
    assert "paused 60 min" in [text.get_text() for text in axes.texts]
    assert axes.get_xlabel() == "time at work (min), pauses folded"
    assert axes.get_title(loc="left") == "One worker was busy 100% of 3.3 min"


def test_every_state_that_took_time_has_its_bars():
    labels = [text.get_text() for text in drawn(one_of_each()).get_legend().get_texts()]
    assert labels == [
        "front (2)", "beaten (1)", "infeasible (1)", "pruned (1)", "refused (1)", "repeat (1)", "failed (1)",
    ]  # fmt: skip


def test_a_study_without_times_says_so():
    assert [text.get_text() for text in drawn(awkward()["waiting"]).texts] == ["no trial has a start and an end"]
