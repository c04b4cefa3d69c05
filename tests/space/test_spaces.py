"""The spaces that come with optnas, and a small one of one's own, through the suite that any space inherits."""

import csv
import gzip
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from optnas.cost import macs, params
from optnas.errors import UsageError
from optnas.space import ReplayTrial, bind_space, cell, choose, enumerate_space, mobile, sample
from optnas.testing import SpaceTests

TABLE = Path(__file__).parents[3] / "shared/bench/nasbench201_cifar10.csv.gz"
OPERATORS = ("none", "skip", "conv1x1", "conv3x3", "avgpool3x3")


class TestMobileDigits(SpaceTests):
    input_shape = (1, 8, 8)

    def build(self, trial):
        return mobile(trial, self.input_shape, self.num_classes)


class TestMobileFashion(SpaceTests):
    input_shape = (1, 28, 28)
    draws = 6

    def build(self, trial):
        return mobile(trial, self.input_shape, self.num_classes)


@pytest.mark.slow
class TestMobilePhoto(SpaceTests):
    input_shape = (3, 224, 224)
    num_classes = 100
    draws = 4

    def build(self, trial):
        return mobile(trial, self.input_shape, self.num_classes)


class TestCell(SpaceTests):
    draws = 4

    def build(self, trial):
        return cell(trial, self.input_shape, self.num_classes, cells=1)


class TestConditional(SpaceTests):
    """A space whose choices depend on choices."""

    input_shape = (1, 12, 12)

    def build(self, trial):
        def convolutions():
            width = trial.suggest_int("conv.width", 4, 12, step=4)
            return nn.Sequential(nn.Conv2d(1, width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))

        def layers():
            width = trial.suggest_int("dense.width", 8, 32, log=True)
            dropout = trial.suggest_float("dense.dropout", 0.0, 0.5)
            return nn.Sequential(
                nn.Flatten(), nn.Linear(144, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 10)
            )

        return choose(trial, "kind", {"conv": convolutions, "dense": layers})


@pytest.mark.parametrize(
    ("side", "stages", "smallest"),
    [(8, 2, 4), (15, 3, 4), (16, 2, 4), (28, 3, 4), (32, 3, 4), (64, 4, 4), (96, 4, 6), (224, 5, 7)],
)
def test_mobile_halves_the_resolution_until_few_pixels_are_left(side, stages, smallest):
    build = bind_space(mobile, (3, side, side), 10)
    choices = sample(build, np.random.default_rng(0))
    assert sum(name.endswith(".se") for name in choices) == stages
    module = build(ReplayTrial(choices)).eval()
    shapes = []
    pool = next(child for child in module if isinstance(child, nn.AdaptiveAvgPool2d))
    pool.register_forward_hook(lambda module, inputs, output: shapes.append(inputs[0].shape[2]))
    with torch.no_grad():
        module(torch.zeros(1, 3, side, side))
    assert shapes == [smallest]


def test_mobile_without_its_optional_blocks_by_hand():
    choices = {
        "activation": "relu", "stem.width": 8, "head.width": 32,
        "stage1.width": 16, "stage1.se": False, "stage1.block1.op": "mb1_k3",
        "stage1.block2.op": "skip", "stage1.block3.op": "skip",
        "stage2.width": 24, "stage2.se": False, "stage2.block1.op": "mb3_k5",
        "stage2.block2.op": "skip", "stage2.block3.op": "skip",
    }  # fmt: skip
    module = mobile(ReplayTrial(choices), (1, 8, 8), 10)
    stem = 1 * 8 * 9
    stage1 = 8 * 9 + 8 * 16
    stage2 = 16 * 48, 48 * 25 + 48 * 24
    head = 24 * 32
    assert macs(module, (1, 8, 8)) == 64 * (stem + stage1 + stage2[0]) + 16 * (stage2[1] + head) + 32 * 10
    norms = 2 * (8 + 8 + 16 + 48 + 48 + 24 + 32)
    assert params(module) == stem + stage1 + sum(stage2) + head + norms + 32 * 10 + 10


def test_mobile_refuses_images_below_8_pixels():
    with pytest.raises(UsageError, match="at least 8x8 pixels, got 4x8"):
        mobile(ReplayTrial({}), (1, 4, 8), 10)


def test_cell_has_15625_networks():
    assert sum(1 for _ in enumerate_space(lambda trial: [trial.suggest_int(f"e{i}", 0, 4) for i in range(6)])) == 15625


@pytest.mark.slow
@pytest.mark.skipif(not TABLE.exists(), reason=f"the table of NAS-Bench-201 is not at {TABLE}")
def test_cell_costs_what_nas_bench_201_says():
    with gzip.open(TABLE, "rt") as file:
        rows = list(csv.DictReader(file))
    random.seed(0)
    # Every operator on every edge, and three hundred networks at random.
    chosen = random.sample(rows, 300)
    chosen += [next(r for r in rows if r[f"x_edge{e}"] == str(o)) for e in range(6) for o in range(5)]
    for row in chosen:
        choices = {f"edge{index}": OPERATORS[int(row[f"x_edge{index}"])] for index in range(6)}
        module = cell(ReplayTrial(choices))
        assert params(module) == int(row["params"]), choices
        assert math.isclose(macs(module, (3, 32, 32)), int(row["macs"]), rel_tol=1e-4), choices
