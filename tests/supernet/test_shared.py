"""Which weights networks share, and which part of them each takes."""

import pytest
import torch
from torch import nn

import optnas
from optnas.space import RandomTrial, ReplayTrial
from optnas.supernet import SharedTensors, shared_names


def blocks(trial):
    width = trial.suggest_int("width", 2, 6, step=2)
    layers = [nn.Conv2d(1, width, 3)]
    for index in range(2):
        options = {
            "small": lambda: nn.Conv2d(width, width, 1),
            "large": lambda: nn.Conv2d(width, width, 5, padding=2),
            "spread": lambda: nn.Conv2d(width, width, 3, dilation=2, padding=2),
            "skip": nn.Identity,
        }
        layers.append(optnas.choose(trial, f"block{index}", options))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3))


def built(**choices):
    return blocks(ReplayTrial(choices))


def test_names_tell_the_choice_or_the_path_and_the_kind():
    names = list(shared_names(built(width=2, block0="small", block1="spread")))
    assert names == [
        "0.weight Conv2d 4d",
        "0.bias Conv2d 1d",
        "block0#1/weight Conv2d 4d",
        "block0#1/bias Conv2d 1d",
        "block1#1/weight Conv2d 4d dilated (2, 2)",
        "block1#1/bias Conv2d 1d dilated (2, 2)",
        "5.weight Linear 2d",
        "5.bias Linear 1d",
    ]


def test_options_share_parts_of_the_same_kind_and_choices_do_not():
    small, large = (set(shared_names(built(width=2, block0=op, block1="skip"))) for op in ("small", "large"))
    other = set(shared_names(built(width=2, block0="skip", block1="small")))
    assert small == large
    assert small & other == {name for name in small if not name.startswith("block")}


def test_a_choice_asked_again_has_weights_of_its_own_at_each_place():
    def twice(trial):
        return nn.Sequential(*(optnas.choose(trial, "op", {"a": lambda: nn.Linear(2, 2)}) for _ in range(2)))

    assert [name.split("/")[0] for name in shared_names(twice(ReplayTrial({"op": "a"})))][::2] == ["op#1", "op#2"]


def test_a_weight_that_is_used_twice_has_one_name():
    layer = nn.Linear(2, 2)
    tied = nn.Sequential(layer, nn.ReLU(), layer)
    assert list(shared_names(tied)) == ["0.weight Linear 2d", "0.bias Linear 1d"]
    tied[2] = nn.Linear(2, 2)
    tied[2].weight = layer.weight
    assert list(shared_names(tied)) == ["0.weight Linear 2d", "0.bias Linear 1d", "2.bias Linear 1d"]


def test_a_part_is_the_first_channels_and_the_middle_of_the_kernel():
    whole = torch.arange(4 * 3 * 5 * 5, dtype=torch.float).reshape(4, 3, 5, 5)
    shared = SharedTensors({"w": whole.clone()})
    part = shared.take("w", torch.empty(2, 1, 3, 3))
    assert torch.equal(part, whole[:2, :1, 1:4, 1:4])
    assert part.is_contiguous()


def test_what_was_taken_changes_the_store_only_when_it_is_put_back():
    shared = SharedTensors({"w": torch.zeros(3, 3)})
    part = shared.take("w", torch.empty(2, 2)) + 1
    assert not shared.tensors["w"].any()
    shared.put("w", part)
    assert shared.tensors["w"].tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]


def test_a_whole_tensor_is_kept_too():
    shared = SharedTensors({"w": torch.zeros(2, 2)})
    part = shared.take("w", torch.empty(2, 2))
    part += 1
    shared.put("w", part)
    assert shared.tensors["w"].tolist() == [[1, 1], [1, 1]]
    shared.put("w", torch.full((2, 2), 5.0))
    assert shared.tensors["w"].tolist() == [[5, 5], [5, 5]]


def test_the_store_grows_and_keeps_what_it_has():
    shared = SharedTensors({"w": torch.full((1, 3), 7.0)})
    shared.fit("w", torch.full((2, 2), 1.0))
    assert shared.tensors["w"].tolist() == [[7, 7, 7], [1, 1, 1]]


def test_what_nobody_covers_has_values_of_the_initialisation():
    shared = SharedTensors({"w": torch.full((1, 3), 7.0)})
    shared.fit("w", torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert shared.tensors["w"][:, :2].tolist() == [[7, 7], [3, 4]]
    assert shared.tensors["w"][1, 2] in (1, 2, 3, 4)


def test_a_store_of_another_number_of_dimensions_is_refused():
    with pytest.raises(ValueError, match="zip"):
        SharedTensors({"w": torch.zeros(2)}).fit("w", torch.zeros(2, 2))


def test_the_same_store_serves_all_networks_of_a_space():
    import numpy as np

    shared, generator = SharedTensors(), np.random.default_rng(0)
    for _ in range(30):
        module = blocks(RandomTrial(generator))
        for name, parameter in shared_names(module).items():
            parameter.data = shared.take(name, parameter)
        assert module(torch.zeros(2, 1, 9, 9)).shape == (2, 3)
    assert shared.tensors["block0#1/weight Conv2d 4d"].shape == (6, 6, 5, 5)
    assert shared.size_bytes == 4 * sum(tensor.numel() for tensor in shared.tensors.values())
