"""Searches by gradients: a sweep of descents whose networks are ordinary trials, and what a kill leaves of it."""

from pathlib import Path

import pytest
from optuna.trial import TrialState
from torch import nn
from toy import Listener

import optnas
from optnas import search
from optnas.errors import UsageError
from optnas.study import gradient as room
from optnas.supernet import Descended, SupernetDiverged


def space(trial, input_shape, num_classes):
    width = trial.suggest_int("width", 8, 32, step=8)
    blocks = {
        "wide": lambda: nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width)),
        "plain": lambda: nn.Linear(width, width),
        "skip": nn.Identity,
    }
    layers = [nn.Flatten(), nn.Linear(64, width), optnas.choose(trial, "block", blocks), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, num_classes))


def without(trial, input_shape, num_classes):
    width = trial.suggest_int("width", 8, 32, step=8)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, num_classes))


pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture(autouse=True)
def _four_descents(monkeypatch):
    monkeypatch.setattr(room, "SWEEP", 4)


def run(listener=None, **settings):
    usual = {"space": space, "sampler": "gradient", "trials": 6, "epochs": 1, "workers": 0, "train_images": 200}
    return search(listener, data="digits", **{**usual, "pruner": "none", **settings})


@pytest.fixture
def descents(monkeypatch):
    """Descents that cost no time: the heavier the cost, the smaller the network."""
    done = []

    def descend(job):
        done.append(job.weight)
        choices = {"width": 8 if job.weight > 1 else 16 if job.weight > 0.1 else 32, "block": "skip"}
        probabilities = {
            "width": {8: 0.5, 16: 0.5, 24: 0.0, 32: 0.0},
            "block": {"wide": 0.5, "plain": 0.5, "skip": 0.0},
        }
        return Descended(choices, probabilities, (0.5,), (1e3,), 1e3, (1.0,), (1.0,), 10.0, None, {"block": True})

    monkeypatch.setattr(room, "descend", descend)
    return done


def test_every_descent_becomes_a_trial_that_is_trained(descents):
    listener = Listener()
    result = run(listener)
    assert sorted(descents) == sorted(found["weight"] for found in result.study.user_attrs["optnas:descents"])
    assert len(descents) == 4
    own = [trial for trial in result.study.trials if "optnas:descent_weight" in trial.user_attrs]
    # Two of the four found the same network, which is enqueued once.
    assert {trial.params["width"] for trial in own} == {8, 16, 32}
    assert all(trial.state == TrialState.COMPLETE and "optnas:curve" in trial.user_attrs for trial in own)
    assert any("1 of 1 choices ended at an option without parameters" in text for text in listener.said)
    # Beyond the sweep networks are drawn from what the descents ended with.
    others = [trial for trial in result.study.trials if trial not in own and "optnas:curve" in trial.user_attrs]
    assert len(others) == 3
    assert all(trial.params["width"] in (8, 16) and trial.params["block"] != "skip" for trial in others)


def test_what_was_descended_before_a_kill_is_kept(descents, monkeypatch):
    real = room.descend

    def dying(job):
        if len(descents) == 2:
            raise KeyboardInterrupt
        return real(job)

    monkeypatch.setattr(room, "descend", dying)
    with pytest.raises(KeyboardInterrupt):
        run()
    monkeypatch.setattr(room, "descend", real)
    result = run()
    assert len(descents) == len(set(descents)) == 4
    assert len([trial for trial in result.study.trials if "optnas:curve" in trial.user_attrs]) == 6


def test_the_sweep_begins_with_its_ends_and_the_middle():
    order = room._sweep(5)
    assert order[:3] == [0.01, 3.0, 0.173]
    assert sorted(order) == pytest.approx([0.01, 0.0416, 0.173, 0.721, 3.0])
    assert room._sweep(1) == [pytest.approx(0.1732, rel=1e-3)]
    assert all(sorted(room._sweep(count)) == sorted(set(room._sweep(count))) for count in range(1, 12))


def test_a_real_sweep_of_two():
    result = run(trials=2)
    descents = result.study.user_attrs["optnas:descents"]
    assert [found["weight"] for found in descents] == [0.01, 3.0]
    assert all(set(found["probabilities"]) == {"width", "block"} for found in descents)
    assert all(
        sum(share for _, share in found["probabilities"]["width"]) == pytest.approx(1, abs=1e-3) for found in descents
    )
    trials = [trial for trial in result.study.trials if "optnas:curve" in trial.user_attrs]
    assert len(trials) == 2


def test_a_space_without_choose_is_refused():
    with pytest.raises(UsageError, match=r"sampler gradient: expected a space with a choose\(\), got one without"):
        run(space=without)
    assert not Path("optnas.db-supernets").exists()


def test_a_loss_that_is_not_finite_is_one_sentence(descents, monkeypatch):
    def descend(job):
        raise SupernetDiverged("the loss of the weights is not finite at step 3, in {}")

    monkeypatch.setattr(room, "descend", descend)
    with pytest.raises(UsageError, match=r"not finite at step 3, in \{\}; what was trained before is kept"):
        run()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"evaluator": "one-shot"}, "sampler gradient shares weights by itself: expected evaluator training"),
        ({"tune": ("lr",)}, "expected one training for all networks, got tune lr"),
        ({"sampler": "gradients"}, "did you mean gradient?"),
    ],
)
def test_bad_settings_are_refused(settings, sentence):
    with pytest.raises(UsageError) as refusal:
        run(**settings)
    assert sentence in str(refusal.value)


def test_a_descent_that_fails_does_not_end_the_others(descents, monkeypatch):
    real, listener = room.descend, Listener()

    def descend(job):
        if job.weight == 3.0:
            raise RuntimeError("out of memory")
        return real(job)

    monkeypatch.setattr(room, "descend", descend)
    result = run(listener)
    assert len(result.study.user_attrs["optnas:descents"]) == 3
    assert any("weight 3 brought no network: RuntimeError: out of memory" in text for text in listener.said)


def test_a_network_over_the_budget_gives_way_to_one_within(descents):
    result = run(constraints=("params<=1200",), trials=3)
    own = [trial for trial in result.study.trials if "optnas:descent_weight" in trial.user_attrs]
    assert own
    assert all(trial.params["width"] == 8 for trial in own)


def moody(trial, input_shape, num_classes):
    """Refuses its widest networks, has a number with steps and one without."""
    width = trial.suggest_int("width", 8, 32, step=8)
    rate = trial.suggest_float("rate", 0.0, 0.3, step=0.1) + trial.suggest_float("more", 0.0, 0.1)
    if width == 32:
        raise ValueError("too wide")
    blocks = {"plain": lambda: nn.Linear(width, width), "skip": nn.Identity}
    block = optnas.choose(trial, "block", blocks)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), block, nn.Dropout(rate), nn.Linear(width, num_classes))


def test_a_space_that_refuses_networks_and_has_numbers_is_descended_on(monkeypatch):
    monkeypatch.setattr(room, "SWEEP", 2)
    result = run(space=moody, trials=5, gradient_steps=6)
    trained = [trial for trial in result.study.trials if "optnas:curve" in trial.user_attrs]
    assert len(trained) == 5
    assert len(result.study.user_attrs["optnas:descents"]) == 2
    assert all(trial.params["width"] < 32 for trial in trained)
