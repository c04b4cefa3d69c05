"""The blocks of a network, from the input to the classes."""

import pytest
from torch import nn

from optnas.report.network import Block, network_blocks, save_network
from optnas.space import SPACES, ReplayTrial, bind_space

MOBILE = {
    "activation": "relu", "stem.width": 16, "stage1.width": 12, "stage1.se": False, "stage1.block1.op": "mb3_k5",
    "stage1.block2.op": "skip", "stage1.block3.op": "mb1_k7", "stage2.width": 24, "stage2.se": True,
    "stage2.block1.op": "mb6_k3", "stage2.block2.op": "skip", "stage2.block3.op": "skip", "head.width": 64,
}  # fmt: skip
CELL = {f"edge{i}": op for i, op in enumerate(["skip", "none", "conv1x1", "skip", "conv3x3", "skip"])}


def facts(module, shape, choices=None):
    return [(one.kind, one.kernel, one.channels, one.size) for one in network_blocks(module, shape, choices)]


def build(name, choices, shape):
    return bind_space(SPACES[name], shape, 10)(ReplayTrial(choices))


def test_a_mobile_network_by_hand():
    network = build("mobile", MOBILE, (1, 8, 8))
    assert facts(network, (1, 8, 8), MOBILE) == [
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
    blocks = network_blocks(network, (1, 8, 8), MOBILE)
    assert sum(block.params for block in blocks) == sum(parameter.numel() for parameter in network.parameters())
    assert network.training


def test_a_cell_network_says_what_is_in_its_cells():
    blocks = network_blocks(build("cell", CELL, (3, 32, 32)), (3, 32, 32), CELL)
    assert [block.kind for block in blocks] == [
        "conv 3x3", *["Cell"] * 5, "Reduction", *["Cell"] * 5, "Reduction", *["Cell"] * 5, "linear",
    ]  # fmt: skip
    assert blocks[1] == Block("Cell", 3, 16, (32, 32), blocks[1].params, ("skip", "none", "conv1x1", "conv3x3"))
    assert [block.size for block in blocks[6:8]] == [(16, 16), (16, 16)]


def test_any_module_tree():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.classify = nn.Linear(4, 3)
            self.features = nn.Sequential(nn.Conv2d(1, 2, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(2, 4, 3))
            self.unused = nn.Linear(9, 9)

        def forward(self, x):
            return self.classify(self.features(x).mean((2, 3)))

    assert facts(Two(), (1, 8, 8)) == [
        ("conv 5x5", 5, 2, (4, 4)), ("conv 3x3", 3, 4, (2, 2)), ("linear", 0, 3, (1, 1)),
    ]  # fmt: skip
    assert facts(nn.Linear(8, 3), (1, 8, 8)) == [("linear", 0, 1, (8, 3))]


@pytest.mark.parametrize(("name", "choices"), [("mobile", MOBILE), ("cell", CELL)])
def test_a_picture(name, choices, tmp_path):
    save_network(build(name, choices, (1, 8, 8)), (1, 8, 8), tmp_path / "network.png", choices)
    assert (tmp_path / "network.png").stat().st_size > 5000
