"""Hand counts of what an estimate of energy is made of, and a search that has it as objective and budget."""

import pytest
import torch
from torch import nn

import optnas
from optnas.cost import Prices, energy_mj, format_cost
from optnas.cost.energy import moved_bytes
from optnas.space.graph import record

MULTIPLY_ADD, SRAM_BYTE, DRAM_BYTE = 4.6e-9, 12.5e-9, 243.75e-9


def test_a_convolution_with_a_batch_norm_by_hand():
    # 2x8x8 to 3x8x8, 1x1: 2 * 3 * 64 multiply-adds; 6 weights and, with the batch norm folded in, 3 biases.
    network = nn.Sequential(nn.Conv2d(2, 3, 1, bias=False), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten())
    moved = (2 * 64 + 3 * 64) * 4 + (3 * 64 + 3 * 64) * 4  # the convolution, the ReLU; flattening is a view
    assert moved_bytes(record(network, (2, 8, 8))) == moved
    expected = 384 * MULTIPLY_ADD + 9 * 4 * DRAM_BYTE + moved * SRAM_BYTE
    assert energy_mj(network, (2, 8, 8)) == pytest.approx(expected)
    assert Prices()("energy_mj", network, (2, 8, 8)) == {"energy_mj": pytest.approx(expected)}


class _Residual(nn.Module):
    def forward(self, x):
        return torch.relu_(x + x.mean()) + x


def test_each_reader_pays_and_writing_in_place_does_too():
    # mean: 16 read, 1 written; add: 17 read, 16 written; relu_: 16 and 16; add: 32 read, 16 written
    assert moved_bytes(record(_Residual(), (1, 4, 4))) == (17 + 33 + 32 + 48) * 4


def test_it_is_written_with_its_unit():
    assert format_cost("energy_mj", 0.01234) == "0.0123 mJ"


def test_objective_and_budget(tmp_path):
    result = optnas.search(
        data="digits", epochs=1, train_images=100, workers=0, sampler="random", trials=3, storage="memory",
        objectives=("error", "energy_mj"), constraints=("energy_mj<=0.05",),
    )  # fmt: skip
    assert result.front
    assert all(0 < network.costs["energy_mj"] <= 0.05 for network in result.front)


def test_it_has_to_be_asked_for():
    result = optnas.search(data="digits", epochs=1, train_images=100, workers=0, trials=1, storage="memory")
    assert "energy_mj" not in result.front[0].costs
