import json
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from optuna.trial import BaseTrial
from torch import nn

from optnas.cost import BlockCounter, Latency, LatencyTable, Prices, load_table
from optnas.cost import collect as collecting
from optnas.cost.blocks import foretell_ms
from optnas.cost.collect import build_table, find_blocks
from optnas.cost.identity import digest_of, kind_of
from optnas.cost.macs import macs
from optnas.cost.table import TableError, TimedBlock, UnknownBlock
from optnas.errors import UsageError
from optnas.space import RandomTrial, ReplayTrial, choose, sample

SHAPE = (3, 8, 8)


def space(trial: BaseTrial, widest: int = 8) -> nn.Module:
    """A stem of 4 or `widest` channels, two choices of a convolution or nothing, and a head."""
    width = trial.suggest_categorical("width", [4, widest])
    layers: list[nn.Module] = [nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU())]
    for name in ("first", "second"):
        options = {f"k{kernel}": partial(nn.Conv2d, width, width, kernel, padding=kernel // 2) for kernel in (1, 3)}
        layers.append(choose(trial, name, {**options, "skip": nn.Identity}))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 5))


class ByMacs(Prices):
    """A device on which a network takes 2 ms and 1 ms for each 10 000 multiply-adds."""

    def latency(self, module: nn.Module, input_shape: object) -> Latency:
        counted = macs(module, tuple(input_shape))  # type: ignore[arg-type]
        return Latency(2 + counted / 1e4, 0.0, 1.0, 1, "macs", {})

    def calibrated(self) -> Prices:
        return self

    def fingerprint(self) -> dict[str, object]:
        return {"device": "macs"}


@pytest.fixture(scope="module")
def table() -> LatencyTable:
    return build_table(space, SHAPE, ByMacs("onnxruntime", reference_ms=1.0), space="toy", classes=5)


def test_the_blocks_of_a_space_are_found() -> None:
    """By hand: for each of two widths a stem, two convolutions, skip, pooling, flatten and a classifier.

    A choice stands twice at one shape, so its blocks are the same.
    """
    found = find_blocks(space, SHAPE)
    kinds = sorted(block.kind for block in found.values())
    each = ["AdaptiveAvgPool2d", "Conv2d", "Conv2d", "Flatten", "Identity", "Linear", "Sequential(Conv2d,ReLU)"]
    assert kinds == sorted(2 * each)
    assert sum(block.chosen for block in found.values()) == 6


def test_the_features_of_a_block_are_those_of_its_formula() -> None:
    found = find_blocks(space, SHAPE)
    block = found[digest_of(nn.Conv2d(8, 8, 3, padding=1), (8, 8, 8))]
    assert block.features == (8 * 8 * 9 * 64, 8 * 8 * 9 + 8, 8 * 64, 8 * 64)
    assert {name for name, _ in block.real().named_parameters()} == {"weight", "bias"}
    assert macs(block.real(), (8, 8, 8)) == 8 * 8 * 9 * 64


def test_blocks_have_the_same_names_in_every_process() -> None:
    """Written down: another machine reads a table by them."""
    assert digest_of(nn.ReLU(), (4, 8, 8)) == digest_of(nn.ReLU().eval(), (4, 8, 8)) == "bab10d33702701c0"
    assert digest_of(nn.ReLU(), (4, 8, 8)) != digest_of(nn.ReLU(), (4, 8, 7))
    assert digest_of(nn.Conv2d(4, 8, 1), (4, 8, 8)) != digest_of(nn.Conv2d(4, 8, 1, groups=2), (4, 8, 8))
    assert digest_of(nn.ReLU(), (4, 8, 8)) != digest_of(nn.ReLU(inplace=True), (4, 8, 8))
    assert kind_of(nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU())) == "Sequential(Conv2d,ReLU)"


def test_a_sum_of_blocks_is_the_whole_where_it_is_one(table: LatencyTable) -> None:
    assert table.scale == pytest.approx(1, abs=1e-4)
    assert table.offset_ms == pytest.approx(2, abs=1e-3)
    assert table.error.median < 1e-3
    assert table.error.p90 < 1e-3
    assert table.untimed == 0
    assert len(table.blocks) == 14
    network = space(ReplayTrial({"width": 8, "first": "k3", "second": "skip"}))
    assert foretell_ms(table, network, SHAPE) == pytest.approx(2 + macs(network, SHAPE) / 1e4, rel=1e-3)


def test_networks_that_tell_the_error_are_not_those_of_the_scale(table: LatencyTable) -> None:
    """There are 2 * 3 * 3 networks, half of them for each."""
    assert table.error.networks == 9


def test_latency_is_known_by_choices_as_it_is_by_the_network(table: LatencyTable) -> None:
    counter, prices, generator = BlockCounter(space, SHAPE, table), Prices(table=table), np.random.default_rng(0)
    for _ in range(12):
        choices = sample(space, generator)
        costs, network = counter(choices), space(ReplayTrial(choices))
        assert costs is not None
        assert costs["macs"] == macs(network, SHAPE)
        assert costs["latency_ms"] == prices("latency_ms", network, SHAPE)["latency_ms"]
    assert counter._trusted


def test_a_block_is_priced_as_a_whole_where_it_is_part_of_another_too() -> None:
    """The same convolution stands alone and within a block: what it costs within is not asked for."""

    def build(trial: BaseTrial) -> nn.Module:
        pair = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())
        return nn.Sequential(pair, choose(trial, "op", {"conv": partial(nn.Conv2d, 3, 3, 1)}))

    blocks = {
        digest_of(module, SHAPE): TimedBlock(kind_of(module), SHAPE, (1, 1, 1, 1), time_ns)
        for module, time_ns in ((nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()), 5), (nn.Conv2d(3, 3, 1), 70))
    }
    error = TableError(1, 0.0, 0.0, 1.0)
    made = LatencyTable("two", SHAPE, 5, "eager", {}, 1.0, 0.0, 1.0, blocks, 0, error)
    counter = BlockCounter(build, SHAPE, made)
    for _ in range(3):
        costs = counter({"op": "conv"})
        assert costs is not None
        assert costs["latency_ms"] == pytest.approx(75e-6)


def test_what_is_not_timed_is_estimated_from_its_kind() -> None:
    """Two outside the choice for each of eight widths and two of it for each: 8 of these 16 are timed."""

    def wide(trial: BaseTrial) -> nn.Module:
        width = trial.suggest_int("width", 8, 64, step=8)
        options = {f"k{kernel}": partial(nn.Conv2d, width, width, kernel, padding=kernel // 2) for kernel in (1, 3)}
        stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU())
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 5))
        return nn.Sequential(stem, choose(trial, "op", options), head)

    made = build_table(wide, SHAPE, ByMacs("onnxruntime", reference_ms=1.0), blocks=24)
    assert len(made.blocks) == 24
    assert made.untimed == 8
    assert made.error.median < 0.05


def test_a_network_of_unknown_blocks_is_refused(table: LatencyTable) -> None:
    with pytest.raises(UnknownBlock, match="expected blocks of toy, got Softmax"):
        foretell_ms(table, nn.Sequential(nn.Softmax(1)), SHAPE)
    with pytest.raises(UnknownBlock, match="expected blocks of toy at 3x8x8, or like them, got Linear at 3x8x8"):
        foretell_ms(table, nn.Sequential(nn.Linear(8, 5)), SHAPE)
    assert BlockCounter(lambda trial: nn.Sequential(nn.Softmax(1)), SHAPE, table)({}) is None


def test_images_of_another_shape_are_refused(table: LatencyTable) -> None:
    with pytest.raises(UsageError, match="expected images of 3x8x8, for which it was made, got 3x16x16"):
        foretell_ms(table, space(RandomTrial(np.random.default_rng(0))), (3, 16, 16))


def test_a_table_is_a_file(table: LatencyTable, tmp_path: Path) -> None:
    table.save(tmp_path / "table.json")
    loaded = load_table(tmp_path / "table.json")
    assert loaded == table
    assert loaded.digest == table.digest
    assert replace(table, scale=2.0).digest != table.digest
    assert Prices(table=loaded).fingerprint() == {"device": "macs", "latency_table": table.digest}


@pytest.mark.parametrize("text", ["", "[]", "{}", "\x00", json.dumps({"format": "optnas latency table 1"})])
def test_a_file_that_is_no_table_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="expected a file of optnas latency-table build"):
        load_table(path)
    with pytest.raises(UsageError, match="cannot be read"):
        load_table(tmp_path / "none.json")


def test_a_space_that_does_not_work_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(trial: BaseTrial) -> nn.Module:
        raise ValueError("no such layer")

    monkeypatch.setattr(collecting, "_QUIET", 30)
    with pytest.raises(UsageError, match="none of 20 random networks of the space works: no such layer"):
        find_blocks(broken, SHAPE)


class Locked(nn.Module):
    """A block with a setting that cannot be compared."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lock = nn.Conv2d(3, 3, 1), threading.Lock()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


def test_a_block_that_cannot_be_named_is_taken_apart() -> None:
    def build(trial: BaseTrial) -> nn.Module:
        return nn.Sequential(Locked(), choose(trial, "op", {"conv": partial(nn.Conv2d, 3, 3, 3)}))

    assert sorted(block.kind for block in find_blocks(build, SHAPE).values()) == ["Conv2d", "Conv2d"]


def test_a_block_that_cannot_be_named_has_no_time(table: LatencyTable) -> None:
    with pytest.raises(UnknownBlock, match="expected blocks whose settings can be compared, got Locked"):
        table.time_ns(Locked(), SHAPE, (1, 1, 1, 1))
