"""The weights of a search: kept for the front, and trained again where they were not."""

import shutil
from pathlib import Path

import pytest
import torch

import optnas
from optnas.deploy import model_of
from optnas.errors import UsageError
from optnas.front import front, networks
from optnas.study import weights_folder
from optnas.task import evaluate


def kept(reopened):
    folder = weights_folder(reopened.storage, reopened.study.study_name)
    return {int(path.stem) for path in folder.glob("*.safetensors")}


def on_front(reopened):
    return {network.trial for network in front(reopened.study)}


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_a_search_keeps_the_weights_of_its_front_and_of_nothing_else(reopened):
    assert kept(reopened) == on_front(reopened)
    assert len(networks(reopened.study)) > len(kept(reopened)), "every network is on the front: the test shows nothing"


def test_what_leaves_the_front_goes_and_what_a_kill_left_too(reopened, storage):
    folder = weights_folder(storage, "digits")
    (folder / "99.safetensors").write_bytes(b"left by a kill")
    result = optnas.search(trials=8, storage=storage, workers=0)
    assert kept(result.origin) == on_front(result.origin)


def test_kept_weights_have_the_error_of_the_search(reopened):
    heard = []
    images = reopened.settings.task.images
    for network in front(reopened.study):
        model = model_of(reopened, network.trial, heard.append)
        assert evaluate(model.network, images, images.val_x, images.val_y) == network.error == model.facts.error
        assert (model.probabilities(images.val_x).argmax(1) != images.val_y.numpy()).mean() == pytest.approx(
            network.error
        )
    assert heard == []


def test_weights_that_are_gone_are_trained_again_bit_for_bit(reopened):
    member = front(reopened.study)[0].trial
    before = model_of(reopened, member)
    shutil.rmtree(weights_folder(reopened.storage, "digits"))
    heard = []
    again = model_of(reopened, member, heard.append)
    assert equal(before.network, again.network)
    assert heard == [f"trial {member}: its weights were not kept, so it is trained again as in the search"]
    beaten = next(network for network in networks(reopened.study) if network.trial not in on_front(reopened))
    assert model_of(reopened, beaten.trial).facts.error == beaten.error


def test_weights_of_an_older_study_are_not_taken(reopened):
    first, second = front(reopened.study)[:2]
    folder = weights_folder(reopened.storage, "digits")
    shutil.copy(folder / f"{second.trial}.safetensors", folder / f"{first.trial}.safetensors")
    heard = []
    assert model_of(reopened, first.trial, heard.append).facts.error == first.error
    assert len(heard) == 1


def test_trials_without_a_network(reopened):
    with pytest.raises(UsageError, match="has no trial 77"):
        model_of(reopened, 77)
    trial = reopened.study.ask()
    with pytest.raises(UsageError, match=rf"trial {trial.number} was not trained to the end \(running\)"):
        model_of(reopened, trial.number)
    trial.set_user_attr("optnas:repeat_of", 1)
    with pytest.raises(UsageError, match=f"trial {trial.number} is the same network as trial 1"):
        model_of(reopened, trial.number)


def test_a_model_of_a_study_needs_its_space_to_be_loaded(reopened, space, tmp_path):
    model = model_of(reopened, front(reopened.study)[0].trial)
    model.save(tmp_path / "a.safetensors")
    with pytest.raises(UsageError, match="expected its space 'toy:digits_space'"):
        optnas.load_model(tmp_path / "a.safetensors")
    for given in (space, "toy:digits_space"):
        assert equal(optnas.load_model(tmp_path / "a.safetensors", space=given).network, model.network)


def test_no_two_studies_share_a_folder():
    names = ["digits", "Digits", "../digits", "..", "a/b", "a b", "a_b", "é", "x" * 100, "x" * 101, ""]
    folders = [weights_folder("sqlite:///a.db", name) for name in names]
    assert len({str(folder).lower() for folder in folders}) == len(names)
    assert {folder.parent for folder in folders} == {Path("a.db-weights").resolve()}
    assert all(folder.name and len(folder.name) < 80 for folder in folders)
    assert weights_folder("memory", "digits") is None
