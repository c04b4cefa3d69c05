"""The blocks of a network, from the input to the classes."""

import numpy as np
import pytest
import torch
from torch import nn

from optnas.cost import macs, params
from optnas.errors import UsageError
from optnas.report.blocks import (
    network_blocks,
    stage_shares,
    summary,
    total_macs,
    total_params,
    trial_blocks,
)
from optnas.space import SPACES, ReplayTrial, bind_space, choose, sample

MOBILE = {
    "activation": "relu", "stem.width": 16, "stage1.width": 12, "stage1.se": False, "stage1.block1.op": "mb3_k5",
    "stage1.block2.op": "skip", "stage1.block3.op": "mb1_k7", "stage2.width": 24, "stage2.se": True,
    "stage2.block1.op": "mb6_k3", "stage2.block2.op": "skip", "stage2.block3.op": "skip", "head.width": 64,
}  # fmt: skip
CELL = {f"edge{i}": op for i, op in enumerate(["skip", "none", "conv1x1", "skip", "conv3x3", "skip"])}


def facts(blocks):
    return [(one.kind, one.kernel, one.channels, one.size) for one in blocks]


def build(name, choices, shape):
    return bind_space(SPACES[name], shape, 10)(ReplayTrial(choices))


class Net(nn.Module):
    """A network that is a function of its parts."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.function(self, x)


class Two(nn.Module):
    """A block of two layers, which may see more channels inside."""

    def __init__(self, width, inside=None):
        super().__init__()
        inside = inside or width
        self.a, self.b = nn.Conv2d(width, inside, 3, padding=1), nn.Conv2d(inside, width, 1)

    def forward(self, x):
        return self.b(self.a(x))


def conv(width_in, width_out):
    return nn.Conv2d(width_in, width_out, 3, padding=1)


def test_a_mobile_network_by_hand():
    network = build("mobile", MOBILE, (1, 8, 8))
    blocks = network_blocks(network, (1, 8, 8), MOBILE)
    assert facts(blocks) == [
        ("conv 3x3", 3, 16, (8, 8)),
        ("mb3_k5", 5, 12, (8, 8)),
        ("skip", 0, 12, (8, 8)),
        ("mb1_k7", 7, 12, (8, 8)),
        ("mb6_k3", 3, 24, (4, 4)),
        ("skip", 0, 24, (4, 4)),
        ("skip", 0, 24, (4, 4)),
        ("conv 1x1", 1, 64, (4, 4)),
        ("linear", 0, 10, (1, 1)),
    ]
    assert [block.expansion for block in blocks] == [0, 3, 0, 1, 6, 0, 0, 0, 0]
    assert [block.stage for block in blocks] == [1, 1, 1, 1, 2, 2, 2, 2, 3]
    assert [block.macs for block in blocks] == [
        64 * 16 * 9,
        64 * (16 * 48 + 48 * 25 + 48 * 12),
        0,
        64 * (12 * 49 + 12 * 12),
        64 * 12 * 72 + 16 * (72 * 9 + 72 * 24) + 2 * 72 * 18,  # the last: squeeze-and-excitation
        0,
        0,
        16 * 24 * 64,
        64 * 10,
    ]
    assert [block.choice for block in blocks[:3]] == ["", "stage1.block1.op", "stage1.block2.op"]
    assert blocks[3].layers == ("Conv2d", "BatchNorm2d", "ReLU")
    assert blocks[4].layers == ("Conv2d", "BatchNorm2d", "ReLU", "SqueezeExcitation")
    assert blocks[7].layers == ("Conv2d", "BatchNorm2d", "ReLU", "AdaptiveAvgPool2d", "Flatten")
    assert total_params(blocks) == params(network)
    assert network.training


def test_a_cell_network_says_what_is_in_its_cells():
    blocks = network_blocks(build("cell", CELL, (3, 32, 32)), (3, 32, 32), CELL)
    assert [block.kind for block in blocks] == [
        "conv 3x3", *["Cell"] * 5, "Reduction", *["Cell"] * 5, "Reduction", *["Cell"] * 5, "linear",
    ]  # fmt: skip
    first = blocks[1]
    assert (first.kernel, first.channels, first.size, first.taken, first.expansion) == (3, 16, (32, 32), 16, 0)
    assert first.macs == 1024 * 16 * 16 * (1 + 9)
    assert first.parts == tuple(CELL.items())
    assert [block.size for block in blocks[6:8]] == [(16, 16), (16, 16)]


@pytest.mark.parametrize(("space", "shape"), [("mobile", (1, 28, 28)), ("cell", (3, 8, 8))])
def test_blocks_of_random_networks_add_up(space, shape):
    space = bind_space(SPACES[space], shape, 10)
    for seed in range(4):
        choices = sample(space, np.random.default_rng(seed))
        network, blocks = space(ReplayTrial(choices)), trial_blocks(space, shape, choices)
        assert total_macs(blocks) == macs(network, shape)
        assert total_params(blocks) == params(network)
        assert sum(stage_shares(blocks).values()) == pytest.approx(1)


def test_any_module_tree():
    network = Net(
        lambda self, x: self.classify(self.features(x).mean((2, 3))),
        classify=nn.Linear(4, 3),
        features=nn.Sequential(nn.Conv2d(1, 2, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(2, 4, 3)),
        unused=nn.Linear(9, 9),
    )
    assert facts(network_blocks(network, (1, 8, 8))) == [
        ("conv 5x5", 5, 2, (4, 4)), ("conv 3x3", 3, 4, (2, 2)), ("linear", 0, 3, (1, 1)),
    ]  # fmt: skip
    # a linear layer alone: of each of 8 rows of 8 pixels it makes 3 numbers
    assert facts(network_blocks(nn.Linear(8, 3), (1, 8, 8))) == [("linear", 0, 3, (1, 8))]
    assert facts(network_blocks(nn.Identity(), (1, 8, 8))) == [("Identity", 0, 1, (8, 8))]


def test_a_block_that_runs_twice_is_there_twice_with_its_parameters_once():
    shared = conv(2, 2)
    blocks = network_blocks(nn.Sequential(conv(1, 2), shared, nn.ReLU(), shared), (1, 8, 8))
    assert [(block.macs, block.params) for block in blocks] == [(64 * 18, 20), (64 * 36, 38), (64 * 36, 0)]


def test_what_runs_between_blocks_belongs_to_the_one_before():
    network = Net(
        lambda self, x: self.b.forward(self.a(x + self.where)),
        a=conv(1, 2), b=conv(2, 2), where=nn.Parameter(torch.zeros(1, 8, 8)),
    )  # fmt: skip
    (block,) = network_blocks(network, (1, 8, 8))
    assert (block.macs, block.params) == (64 * 18 + 64 * 36, 20 + 64)
    (block,) = network_blocks(Net(lambda self, x: x.flatten(1) @ torch.ones(64, 3)), (1, 8, 8))
    assert (block.macs, block.channels, block.params) == (64 * 3, 3, 0)


def test_what_runs_blocks_one_after_another_is_taken_apart():
    def in_a_row(self, x):
        for block in self.blocks:
            x = block(x)
        return x

    body = Net(in_a_row, blocks=nn.ModuleList([Two(2), Two(2, 4), Two(2, 6)]))
    blocks = network_blocks(nn.Sequential(conv(1, 2), body), (1, 8, 8))
    assert [(block.kind, block.expansion) for block in blocks] == [("conv 3x3", 0), ("Two", 1), ("Two", 2), ("Two", 3)]
    beside = Net(lambda self, x: sum(block(x) for block in self.blocks), blocks=nn.ModuleList([Two(2), Two(2)]))
    blocks = network_blocks(nn.Sequential(conv(1, 2), beside), (1, 8, 8))
    assert [block.kind for block in blocks] == ["conv 3x3", "Net"]


def test_a_bottleneck_is_narrow_inside():
    (block,) = network_blocks(nn.Sequential(Two(8, 2)), (8, 4, 4))
    assert (block.taken, block.expansion, block.channels) == (8, 0.25, 8)


def test_sequences_and_vectors():
    layer = nn.TransformerEncoderLayer(8, 2, 32, batch_first=True)
    network = nn.Sequential(nn.TransformerEncoder(layer, 2), nn.Flatten(), nn.Linear(40, 3))
    blocks = network_blocks(network, (5, 8))
    assert facts(blocks) == [*[("TransformerEncoderLayer", 0, 8, (5, 1))] * 2, ("linear", 0, 3, (1, 1))]
    assert [block.expansion for block in blocks] == [4, 4, 0]
    assert total_macs(blocks) == macs(network, (5, 8))
    network = nn.Sequential(nn.Conv1d(3, 4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(20, 10), nn.ReLU(), nn.Linear(10, 2))
    assert facts(network_blocks(network, (3, 9))) == [
        ("conv 5", 5, 4, (5, 1)), ("linear", 0, 10, (1, 1)), ("linear", 0, 2, (1, 1)),
    ]  # fmt: skip


def test_kinds_of_convolutions():
    network = nn.Sequential(
        conv(1, 2), nn.Conv2d(2, 2, 5, groups=2), nn.Conv2d(2, 2, (1, 3)), nn.ConvTranspose2d(2, 2, 2)
    )
    kinds = [block.kind for block in network_blocks(network, (1, 8, 8))]
    assert kinds == ["conv 3x3", "depthwise 5x5", "conv 1x3", "transposed 2x2"]


def test_a_summary():
    blocks = network_blocks(nn.Sequential(conv(1, 2), nn.AvgPool2d(8), nn.Flatten(), nn.Linear(2, 4)), (1, 8, 8))
    assert summary(blocks) == "2 blocks, 1.16 k MACs (99% in stage 1), 32 parameters"
    unknown = network_blocks(Net(lambda self, x: torch.fft.fft2(self.a(x)).real, a=conv(1, 2)), (1, 8, 8))
    assert total_macs(unknown) is None
    assert stage_shares(unknown) == {}
    assert summary(unknown) == "1 block, MACs not known, 20 parameters"
    assert summary(network_blocks(nn.Identity(), (1, 8, 8))) == "1 block, 0 MACs, 0 parameters"
    assert summary([]) == "no blocks"


def test_a_trial_of_another_space_is_refused():
    space = bind_space(SPACES["mobile"], (1, 8, 8), 10)
    assert facts(trial_blocks(space, (1, 8, 8), {**MOBILE, "learning_rate": 0.1}))[1] == ("mb3_k5", 5, 12, (8, 8))
    with pytest.raises(UsageError, match="of another space"):
        trial_blocks(space, (1, 8, 8), {})
    with pytest.raises(UsageError, match=r"must return a torch.nn.Module, got int"):
        trial_blocks(lambda trial: 3, (1, 8, 8), {})


def test_an_option_that_chooses_within():
    def space(trial):
        return nn.Sequential(
            conv(1, 2), choose(trial, "outer", {"pair": lambda: nn.Sequential(
                choose(trial, "inner", {"wide": lambda: conv(2, 4)}), conv(4, 2)
            )})
        )  # fmt: skip

    first, second = trial_blocks(space, (1, 8, 8), {"outer": "pair", "inner": "wide"})
    assert first.kind == "conv 3x3"
    assert (second.kind, second.choice, second.parts) == ("pair", "outer", (("inner", "wide"),))
