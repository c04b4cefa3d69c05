"""A network in a file: what comes back, and what is refused in one sentence."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import optnas
from optnas.deploy import Facts, Model
from optnas.errors import UsageError
from optnas.space import SPACES, RandomTrial, bind_space, fingerprint
from optnas.task.weights import fill, save_weights


def model(name="mobile", seed=0, shape=(1, 8, 8)):
    """An untrained network, with statistics of batch norm that are not those of a new one."""
    trial = RandomTrial(np.random.default_rng(seed))
    torch.manual_seed(seed)
    network = bind_space(SPACES[name], shape, 10)(trial)
    name_of_it = fingerprint(network, shape)
    network.train()(torch.rand(4, *shape))
    facts = Facts(
        "digits", 3, trial.params, name, name_of_it, shape, tuple("0123456789"), (0.3,), (0.4,),
        {"data": "digits", "classes": list("0123456789")}, {"params": 7, "macs": 9.0}, 0.25, 5, 0.2,
    )  # fmt: skip
    return Model(network, facts)


@pytest.mark.parametrize("name", ["mobile", "cell"])
def test_what_is_saved_comes_back(name, tmp_path):
    saved = model(name)
    saved.save(tmp_path / "a" / "network.safetensors")
    loaded = optnas.load_model(tmp_path / "a" / "network.safetensors")
    assert loaded.facts == saved.facts
    images = torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8)
    assert np.array_equal(loaded.probabilities(images), saved.probabilities(images))
    assert not loaded.network.training
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["network.safetensors"]


def test_another_networks_choices_are_refused(tmp_path):
    saved = model()
    other = {**saved.facts.choices, "head.width": 96 if saved.facts.choices["head.width"] == 64 else 64}
    Model(saved.network, replace(saved.facts, choices=other)).save(tmp_path / "a")
    with pytest.raises(UsageError, match=r"expected the network .* but its choices build"):
        optnas.load_model(tmp_path / "a")


def test_choices_of_another_space_are_refused(tmp_path):
    saved = model()
    Model(saved.network, replace(saved.facts, space="cell")).save(tmp_path / "a")
    with pytest.raises(UsageError, match="no longer builds it: these choices are of another space"):
        optnas.load_model(tmp_path / "a")


def test_a_space_of_ones_own_must_be_given(tmp_path):
    saved = model()
    Model(saved.network, replace(saved.facts, space="os:system")).save(tmp_path / "a")
    with pytest.raises(UsageError, match="expected its space 'os:system' as space="):
        optnas.load_model(tmp_path / "a")
    assert optnas.load_model(tmp_path / "a", space=SPACES["mobile"]).facts.space == "os:system"


def test_files_that_are_none(tmp_path):
    saved = model()
    saved.save(tmp_path / "whole")
    (tmp_path / "text").write_text("no tensors")
    (tmp_path / "half").write_bytes((tmp_path / "whole").read_bytes()[:5000])
    save_file({"a": torch.zeros(2)}, tmp_path / "foreign")
    save_weights(saved.network, tmp_path / "bare", {"seed": 1})
    for name, words in [
        ("missing", "No such file"), ("text", "safetensors file that optnas wrote"),
        ("half", "safetensors file that optnas wrote"), ("foreign", "safetensors file that optnas wrote"),
        ("bare", "expected a file of Model.save"),
    ]:  # fmt: skip
        with pytest.raises(UsageError, match=words):
            optnas.load_model(tmp_path / name)
    with pytest.raises(UsageError, match="cannot be written"):
        saved.save(tmp_path / "whole" / "below")


def test_tensors_that_do_not_fit(tmp_path):
    save_weights(nn.Linear(3, 2), tmp_path / "a", {})
    for other, words in [
        (nn.Linear(3, 4), r"bias to be float32 \(4,\), got float32 \(2,\)"),
        (nn.Linear(3, 2, bias=False), r"bias to be missing, got float32 \(2,\)"),
        (nn.Linear(3, 2).double(), "bias to be float64"),
    ]:
        before = json.dumps([parameter.tolist() for parameter in other.parameters()])
        with pytest.raises(UsageError, match=words):
            fill(other, tmp_path / "a")
        assert json.dumps([parameter.tolist() for parameter in other.parameters()]) == before


def test_shared_weights_and_buffers_outside_the_state_dict_come_back(tmp_path):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(2, 2), nn.Linear(2, 2)
            self.two.weight = self.one.weight
            self.register_buffer("noise", torch.rand(3), persistent=False)

    first, second = Odd(), Odd()
    save_weights(first, tmp_path / "a", {})
    fill(second, tmp_path / "a")
    assert second.two.weight is second.one.weight
    assert torch.equal(second.two.weight, first.one.weight)
    assert torch.equal(second.noise, first.noise)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("std", (0.0,)), ("mean", (float("nan"),)), ("input_shape", (1, "8", 8)), ("classes", (1, 2)),
        ("seed", "five"), ("error", None), ("choices", [1]), ("mean", 3), ("input_shape", 7),
        ("input_shape", (1, 2**20, 2**20)),
    ],
)  # fmt: skip
def test_strange_facts_are_refused(field, value, tmp_path):
    saved = model()
    Model(saved.network, replace(saved.facts, **{field: value})).save(tmp_path / "a")
    with pytest.raises(UsageError, match=f"got one with a strange {field}"):
        optnas.load_model(tmp_path / "a")


def test_others_may_read_the_file_as_the_umask_says(tmp_path):
    model().save(tmp_path / "a")
    (tmp_path / "b").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode
