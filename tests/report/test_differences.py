"""What is different between two networks, against changes made by hand."""

from dataclasses import replace

import pytest

from optnas.report.blocks import Block, total_macs, total_params, trial_blocks
from optnas.report.differences import Pair, aligned, comparison, differences, signed
from optnas.space import SPACES, bind_space

MOBILE = {
    "activation": "relu", "stem.width": 16, "stage1.width": 12, "stage1.se": False, "stage1.block1.op": "mb3_k5",
    "stage1.block2.op": "skip", "stage1.block3.op": "mb1_k7", "stage2.width": 24, "stage2.se": False,
    "stage2.block1.op": "mb6_k3", "stage2.block2.op": "skip", "stage2.block3.op": "skip", "head.width": 64,
}  # fmt: skip
CELL = {f"edge{i}": op for i, op in enumerate(["skip", "none", "conv1x1", "skip", "conv3x3", "skip"])}


def blocks(changes=None, space="mobile", base=MOBILE, shape=(1, 8, 8)):
    return trial_blocks(bind_space(SPACES[space], shape, 10), shape, {**base, **(changes or {})})


def told(changes, **space):
    left, right = blocks(**space), blocks(changes, **space)
    found = differences(left, right)
    assert sum(one.macs for one in found) == total_macs(right) - total_macs(left)
    assert sum(one.params for one in found) == total_params(right) - total_params(left)
    return [str(one) for one in found]


def test_a_kernel_and_an_expansion():
    # 24 more weights for each of 48 channels at 64 places
    assert told({"stage1.block1.op": "mb3_k7"}) == ["stage1.block1.op: kernel 5 -> 7, +73.7 k MACs, +1.15 k parameters"]
    # a third as many channels: 16 less 48, each of 25, 16 (to expand, which goes) and 12 weights
    macs, params = 64 * (16 * 25 + 16 * 12 - 48 * (16 + 25 + 12)), 16 * (25 + 12 + 2) - 48 * (16 + 25 + 12 + 4)
    assert told({"stage1.block1.op": "mb1_k5"}) == [
        f"stage1.block1.op: expansion 3 -> 1, {signed('macs', macs)} MACs, {signed('params', params)} parameters"
    ]


def test_a_block_that_is_skipped_has_no_kernel_to_tell():
    assert told({"stage1.block3.op": "skip"}) == [
        f"stage1.block3.op: mb1_k7 -> skip, -{64 * 12 * (49 + 12) / 1000:.1f} k MACs, -780 parameters"
    ]
    assert told({"stage1.block2.op": "mb1_k7"}) == ["stage1.block2.op: skip -> mb1_k7, +46.8 k MACs, +780 parameters"]


def test_a_wider_stage_is_told_with_what_it_feeds():
    sentences = told({"stage2.width": 36})
    assert sentences[0].startswith("stage2.block1.op, stage2.block2.op, stage2.block3.op: width 24 -> 36, +")
    assert sentences[1:] == [
        f"stage 2 block 4 (conv 1x1): input 24 -> 36, +{16 * 12 * 64 / 1000:.1f} k MACs, +768 parameters"
    ]


def test_what_is_inside():
    assert told({"stage2.se": True}) == [
        "stage2.block1.op: with SqueezeExcitation, +2.59 k MACs, +2.68 k parameters"  # 2·72·18, and 72 + 18 biases
    ]
    assert told({"activation": "hardswish"}) == [
        "stage1.block1.op, stage1.block3.op, stage2.block1.op and 2 more: ReLU -> Hardswish"
    ]


def test_equal_cells_are_told_once():
    (sentence,) = told({"edge1": "conv1x1"}, space="cell", base=CELL, shape=(3, 8, 8))
    where = "stage 1 blocks 2 to 6, stage 2 blocks 2 to 6, stage 3 blocks 2 to 6 (Cell)"
    macs = 15 * 64 * 16 * 16  # of each cell the same, as the channels double where the pixels are a quarter
    assert sentence.startswith(f"{where}: edge1 none -> conv1x1, +{macs / 1000:.0f} k MACs, ")


def block(kind="conv 3x3", kernel=3, stage=1, size=(8, 8), **facts):
    return Block(kind, kernel, 4, size, 10, 100, stage=stage, **facts)


def test_blocks_that_come_and_go():
    left = [block(), block("conv 1x1", 1), block(stage=2, size=(4, 4))]
    right = [block(), block(stage=2, size=(4, 4)), block("conv 5x5", 5, 2, (4, 4))]
    assert [str(one) for one in differences(left, right)] == [
        "stage 1 block 2: conv 1x1 removed, -100 MACs, -10 parameters",
        "stage 2 block 2: conv 5x5 added, +100 MACs, +10 parameters",
    ]
    assert aligned(left, right)[2] == Pair(left[2], right[1])
    assert [(pair.left, pair.right) for pair in aligned([], right)] == [(None, one) for one in right]
    assert aligned([], []) == differences(left, left) == []


def test_blocks_of_one_place_that_are_alike_in_nothing_stand_side_by_side():
    (difference,) = differences([block()], [block("conv 5x5", 5)])
    assert str(difference) == "stage 1 block 1 (conv 3x3): kernel 3 -> 5"
    (difference,) = differences([block()], [replace(block(), params=11)])
    assert difference.changes == ("other layers inside",)


def test_unknown_multiply_adds():
    unknown = replace(block("conv 5x5", 5), macs=None)
    (difference,) = differences([block()], [unknown])
    assert difference.macs is None
    assert str(difference) == "stage 1 block 1 (conv 3x3): kernel 3 -> 5"
    assert comparison([block()], [unknown], ("a", "b")) == "b against a: 1 of 1 blocks differ, 0 parameters"


def test_a_comparison_in_a_sentence():
    left = [block(), block("linear", 0, 2, (1, 1))]
    assert comparison(left, [block(), replace(left[1], channels=8, macs=140, params=12)], ("a", "b")) == (
        "b against a: 1 of 2 blocks differ, +40 MACs (+20%), +2 parameters (+10%)"
    )
    assert comparison(left, left, ("a", "b")) == "a and b are built alike"


@pytest.mark.parametrize(("value", "text"), [(1_230_000, "+1.23 M"), (-412, "-412"), (0, "0")])
def test_signs(value, text):
    assert signed("macs", value) == text
