"""Retraining: what is trained, what is kept, and the one look at the test split."""

import math
import statistics
from dataclasses import replace

import optuna
import pytest
from torch import nn

import optnas
from optnas.cost import parse_constraints
from optnas.deploy import model_of
from optnas.deploy import retrain as room
from optnas.deploy.record import readings_of, retrained_of, retraining_folder
from optnas.deploy.retrain import choose_networks, default_epochs, retrain
from optnas.errors import UsageError
from optnas.front import front, networks
from optnas.space import ReplayTrial
from optnas.study.reopen import reopen
from optnas.task import Checkpoint, TrainingDiverged, evaluate, load_test
from optnas.task.weights import fill, read_notes, save_weights

QUICK = {"epochs": 2, "seeds": 2, "workers": 0}


@pytest.fixture
def _better(monkeypatch):
    """Two epochs may err more than the search did; these tests are of networks that do not."""
    monkeypatch.setattr("optnas.deploy.trained.are_worse", lambda *given: "")


def files(reopened):
    return sorted(path.name for path in retraining_folder(reopened).glob("*"))


def test_networks_are_chosen_from_the_front(reopened):
    members = front(reopened.study)
    assert [network.trial for network in choose_networks(reopened, networks=2)] == [m.trial for m in members[:2]]
    limit = min(member.costs["macs"] for member in members)
    assert [m.costs["macs"] for m in choose_networks(reopened, parse_constraints([f"macs<={limit}"]))] == [limit]
    trials = [network.trial for network in networks(reopened.study)]
    assert [network.trial for network in choose_networks(reopened, trials=[*trials, trials[0]])] == trials
    with pytest.raises(UsageError, match="has no trained network within macs<=1"):
        choose_networks(reopened, parse_constraints(["macs<=1"]))
    with pytest.raises(UsageError, match="networks: expected a whole number from 1, got 0"):
        choose_networks(reopened, networks=0)


@pytest.mark.usefixtures("_better")
def test_means_and_models_are_those_of_the_trainings(reopened):
    said = []
    chosen = choose_networks(reopened, networks=2)
    result = retrain(reopened, chosen, **QUICK, say=said.append)
    assert result.settings == {"epochs": 2, "seeds": 2, "augment": True}
    assert [one.mean for one in result.networks] == sorted(one.mean for one in result.networks)
    assert result.networks[0].ties
    assert result.looks == 1
    assert "reading 359 test images for 4 trainings" in said
    images, part = reopened.settings.task.images, load_test(reopened.settings.task.data_settings)
    for one in result.networks:
        assert one.seeds == (0, 1)
        assert one.std == pytest.approx(abs(one.errors[0] - one.errors[1]) / math.sqrt(2))
        facts = model_of(reopened, one.trial).facts
        assert facts.retrained
        assert facts.errors == one.errors
        assert facts.error == min(one.errors)
        assert facts.data["crop_padding"] == 1, "augmentation is on by default"
        network = model_of(reopened, one.trial).network
        assert evaluate(network, images, images.val_x, images.val_y) == facts.error
        assert evaluate(network, images, part.x, part.y) == facts.test_error
        assert facts.test_error == one.test_errors[one.errors.index(facts.error)]
    assert len(files(reopened)) == 4


def test_the_same_command_reads_nothing_again_and_another_is_refused_before_it_trains(reopened, monkeypatch):
    chosen = choose_networks(reopened, networks=2)
    first = retrain(reopened, chosen, **QUICK)
    for name in ("optnas.deploy.look.load_test", "optnas.deploy.retrain.run_job"):
        monkeypatch.setattr(name, None)  # whoever calls it fails
    said = []
    assert retrain(reopened, chosen, **QUICK, say=said.append) == first
    assert "4 of 4 trainings were finished before" in said
    # Less than what was asked is known too.
    assert retrain(reopened, chosen[:1], **QUICK).networks[0].test_errors
    with pytest.raises(UsageError, match=r"were read on .* for trials .*--no-test, or --test-again"):
        retrain(reopened, chosen, **{**QUICK, "epochs": 3})
    assert len(readings_of(reopened.study)) == 1


def test_other_weights_of_the_same_name_are_not_given_the_test_error_of_these(reopened):
    chosen = choose_networks(reopened, networks=1)
    retrain(reopened, chosen, **QUICK)
    folder, name = retraining_folder(reopened), files(reopened)[0]
    # As another machine might train them: another error, under this one's name.
    module = reopened.objective.build(ReplayTrial(chosen[0].choices))
    fill(module, folder / name)
    save_weights(module, folder / name, {**read_notes(folder / name), "error": 0.125})
    second = retrain(reopened, chosen, **QUICK)
    assert len(second.networks[0].test_errors) == 2
    assert [len(read.tested) for read in readings_of(reopened.study)] == [2, 1]
    assert second.looks == 2


def test_no_test_and_test_again(reopened):
    chosen = choose_networks(reopened, networks=1)
    untested = retrain(reopened, chosen, **QUICK, test=False)
    assert untested.networks[0].test_errors == ()
    assert model_of(reopened, chosen[0].trial).facts.test_error is None
    assert readings_of(reopened.study) == []
    assert retrain(reopened, chosen, **QUICK).looks == 1
    again = retrain(reopened, chosen, **{**QUICK, "seeds": 1, "epochs": 1}, test_again=True)
    assert again.looks == 2
    assert [read.again for read in readings_of(reopened.study)] == [False, True]


def test_a_kill_costs_the_training_that_ran(reopened, storage, monkeypatch):
    chosen, run_job, trained = choose_networks(reopened, networks=2), room.run_job, []

    def killed(job):
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append((job.number, job.seed))
        return run_job(job)

    monkeypatch.setattr(room, "run_job", killed)
    with pytest.raises(KeyboardInterrupt):
        retrain(reopened, chosen, **QUICK)
    assert len(files(reopened)) == 3
    assert readings_of(reopened.study) == []
    monkeypatch.setattr(room, "run_job", lambda job: trained.append((job.number, job.seed)) or run_job(job))
    result = retrain(reopen(None, storage), chosen, **QUICK)
    assert len(trained) == len(set(trained)) == 4
    monkeypatch.setattr(room, "run_job", run_job)
    fresh = retrain(reopen(None, storage), chosen, **{**QUICK, "epochs": 2}, test=False)
    assert [one.errors for one in fresh.networks] == [one.errors for one in result.networks]


def test_a_kill_within_a_training_costs_an_epoch(reopened, storage, monkeypatch):
    chosen, run_job, outcomes, due = choose_networks(reopened, networks=1), room.run_job, [], Checkpoint.due
    asked = {**QUICK, "epochs": 4, "seeds": 1}
    fresh = retrain(reopened, chosen, **asked, test=False)
    for path in retraining_folder(reopened).glob("*.safetensors"):
        path.unlink()
    monkeypatch.setattr(Checkpoint, "due", lambda self, *, mid_epoch=False: not mid_epoch)

    def killed(self, *given, **named):
        save(self, *given, **named)
        if len(given[2]) == 3:
            raise KeyboardInterrupt

    save = Checkpoint.save
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            retrain(reopened, chosen, **asked)
    kept = retraining_folder(reopened) / "checkpoints"
    assert len(list(kept.iterdir())) == 1
    monkeypatch.setattr(Checkpoint, "due", due)
    monkeypatch.setattr(room, "run_job", lambda job: outcomes.append(run_job(job)) or outcomes[-1])
    result = retrain(reopen(None, storage), chosen, **asked, test=False)
    assert [one.resumed_epochs for one in outcomes] == [3]
    assert result.networks[0].errors == fresh.networks[0].errors
    assert list(kept.iterdir()) == []


def test_what_is_wrong_with_a_checkpoint_is_said(reopened, monkeypatch):
    said, chosen = [], choose_networks(reopened, networks=1)
    monkeypatch.setattr(Checkpoint, "due", lambda self, *, mid_epoch=False: not mid_epoch)
    retraining_folder(reopened).mkdir(parents=True)
    (retraining_folder(reopened) / "checkpoints").touch()
    result = retrain(reopened, chosen, **{**QUICK, "seeds": 1}, test=False, say=said.append)
    assert len(result.networks[0].errors) == 1
    (sentence,) = [text for text in said if "checkpoint" in text]
    assert sentence.startswith(f"trial {chosen[0].trial}, seed 0: checkpoint ")


@pytest.mark.usefixtures("_better")
def test_a_training_that_diverges_is_reported_and_the_others_go_on(reopened, monkeypatch):
    chosen, run_job = choose_networks(reopened, networks=2), room.run_job
    sick = chosen[0].trial

    def moody(job):
        if job.number == sick and job.seed == 1:
            raise TrainingDiverged(2, 7)
        return run_job(job)

    monkeypatch.setattr(room, "run_job", moody)
    result = {one.trial: one for one in retrain(reopened, chosen, **QUICK).networks}
    assert result[sick].seeds == (0,)
    assert result[sick].failures == ("seed 1: training diverged in epoch 2 at step 7: the loss is not finite",)
    assert math.isnan(result[sick].std)
    assert len(result[chosen[1].trial].errors) == 2
    assert model_of(reopened, sick).facts.seeds == (0,)
    # It is tried again, and what else was asked is not tested again.
    assert retrain(reopened, chosen, **QUICK).looks == 1


def test_all_fail(reopened, monkeypatch):
    def sick(job):
        raise TrainingDiverged(1, 1)

    monkeypatch.setattr(room, "run_job", sick)
    (only,) = retrain(reopened, choose_networks(reopened, networks=1), **QUICK).networks
    assert (only.errors, only.ties) == ((), False)
    assert math.isnan(only.mean)
    assert len(only.failures) == 2
    assert not model_of(reopened, only.trial).facts.retrained


@pytest.mark.slow
def test_worker_processes_train_the_same(reopened, storage):
    chosen = choose_networks(reopened, networks=1)
    here = retrain(reopened, chosen, **QUICK, test=False).networks[0].errors
    for name in files(reopened):
        (retraining_folder(reopened) / name).unlink()
    assert retrain(reopened, chosen, **{**QUICK, "workers": 1}, test=False).networks[0].errors == here


@pytest.mark.usefixtures("_better")
def test_weights_that_are_gone(reopened):
    trial = front(reopened.study)[0].trial
    retrain(reopened, choose_networks(reopened, trials=[trial]), **QUICK, test=False)
    for name in files(reopened):
        (retraining_folder(reopened) / name).unlink()
    said = []
    assert not model_of(reopened, trial, said.append).facts.retrained
    assert said == [f"trial {trial}: its retrained weights are gone; optnas retrain brings them back"]


def test_all_training_images_and_the_training_that_a_trial_chose(tmp_path):
    def space(trial, input_shape, num_classes):
        width = trial.suggest_int("width", 8, 40)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, num_classes))

    result = optnas.search(
        space=space, trials=2, epochs=1, workers=0, train_images=100, val_images=50, tune=("lr",), storage="memory"
    )
    network = result.best()
    images = replace(result.settings.task, train_images=None).images
    model = network.retrain(epochs=1, seeds=1, workers=0)
    assert (model.facts.data["n_train"], model.facts.data["n_val"]) == (1079, 359)
    assert model.facts.mean == images.mean != result.settings.task.images.mean
    assert model.facts.data["lr"] == network.choices["train.lr"]
    assert default_epochs(result.origin) == 48
    assert statistics.fmean(model.facts.errors) == model.facts.error


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"epochs": 0}, "epochs: expected a whole number from 1, got 0"),
        ({"seeds": 0}, "seeds: expected a whole number from 1, got 0"),
        ({"workers": -1}, "workers: expected a whole number from 0, got -1"),
    ],
)
def test_numbers_out_of_range(reopened, given, words):
    with pytest.raises(UsageError, match=words):
        retrain(reopened, choose_networks(reopened), **given)


def test_a_study_that_is_searched_is_not_retrained_meanwhile(reopened):
    from optnas.study import coordinate

    with coordinate(reopened.storage, "digits"), pytest.raises(UsageError, match="another process"):
        retrain(reopened, choose_networks(reopened), **QUICK)


def test_the_study_stays_an_ordinary_one(reopened, storage):
    retrain(reopened, choose_networks(reopened, networks=1), **QUICK)
    before = len(reopened.study.trials)
    assert len(optuna.load_study(study_name="digits", storage=storage).trials) == before
    assert optnas.search(storage=storage, trials=6, workers=0).front
    assert len(files(reopened)) == 2, "a search leaves retrained weights alone"


def test_a_look_that_was_begun_is_remembered_whatever_ends_it(reopened, monkeypatch):
    chosen = choose_networks(reopened, networks=1)

    def killed(data):
        assert [read.complete for read in readings_of(reopened.study)] == [False]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("optnas.deploy.look.load_test", killed)
        with pytest.raises(KeyboardInterrupt):
            retrain(reopened, chosen, **QUICK)
    with pytest.raises(UsageError, match="its test images were read on"):
        retrain(reopened, chosen, **{**QUICK, "epochs": 3})
    said = []
    result = retrain(reopened, chosen, **QUICK, say=said.append)
    assert result.looks == 2
    assert any("begun on" in line and "it counts as one" in line for line in said)
    assert [read.complete for read in readings_of(reopened.study)] == [False, True]


def test_half_a_file_that_a_kill_left_is_removed(reopened):
    folder = retraining_folder(reopened)
    folder.mkdir(parents=True)
    (folder / "trial-0-seed-0-a.safetensors.123").write_bytes(b"half")
    retrain(reopened, choose_networks(reopened, networks=1), **{**QUICK, "epochs": 1, "seeds": 1}, test=False)
    assert all(name.endswith(".safetensors") for name in files(reopened))


def test_weights_of_the_search_stand_where_retraining_errs_more_on_the_same_images(reopened, monkeypatch):
    chosen = choose_networks(reopened, networks=1)
    retrain(reopened, chosen, **{**QUICK, "epochs": 1, "seeds": 1}, test=False)
    trial, folder = chosen[0].trial, retraining_folder(reopened)
    (name,) = files(reopened)
    module = reopened.objective.build(ReplayTrial(chosen[0].choices))
    fill(module, folder / name)
    save_weights(module, folder / name, {**read_notes(folder / name), "error": 0.99})
    said = []
    retrain(reopened, chosen, **{**QUICK, "epochs": 1, "seeds": 1}, test=False, say=said.append)
    words = f"trial {trial}: retrained weights of 1 epoch err more than those of the search (99.00%"
    assert [line for line in said if line.startswith(words)]
    said.clear()
    assert not model_of(reopened, trial, said.append).facts.retrained
    assert said[0].startswith(words)


def test_versions_and_date_are_those_of_the_training(reopened, monkeypatch):
    chosen = choose_networks(reopened, networks=1)
    retrain(reopened, chosen, **QUICK, test=False)
    before = retrained_of(reopened.study, chosen[0].trial)
    assert "torch" in before.versions
    monkeypatch.setattr(room, "versions", lambda: {"torch": "another"})
    monkeypatch.setattr(room, "date_of", lambda moment: "another day")
    retrain(reopened, chosen, **QUICK, test=False)
    assert retrained_of(reopened.study, chosen[0].trial) == before
