import json
import math
import threading
from dataclasses import dataclass, replace
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
from optnas.cost.kept import KeptBlocks
from optnas.cost.macs import macs
from optnas.cost.remote import DeviceFailed
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


CALLS: list[nn.Module] = []


class ByMacs(Prices):
    """A device on which a network takes 2 ms and 1 ms for each 10 000 multiply-adds."""

    def latency(self, module: nn.Module, input_shape: object) -> Latency:
        CALLS.append(module)
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


def wide(trial: BaseTrial) -> nn.Module:
    """Three kinds of blocks: a stem and a head for each of eight widths, and two convolutions."""
    width = trial.suggest_int("width", 8, 64, step=8)
    options = {f"k{kernel}": partial(nn.Conv2d, width, width, kernel, padding=kernel // 2) for kernel in (1, 3)}
    stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 5))
    return nn.Sequential(stem, choose(trial, "op", options), head)


def test_what_is_not_timed_is_estimated_from_its_kind() -> None:
    """All 16 outside the choice are timed, and 8 of the 16 in it."""
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


def test_too_few_blocks_are_refused_before_any_is_timed() -> None:
    """Four of each kind are needed at least; of the convolutions more would be if these were too far apart."""
    CALLS.clear()
    sentence = "expected at least 12 blocks to estimate the other 20 from, as listed by kind, got 11"
    with pytest.raises(UsageError, match=sentence) as refused:
        build_table(wide, SHAPE, ByMacs("onnxruntime", reference_ms=1.0), blocks=11)
    assert refused.value.detail.startswith("blocks to time:\n4 of 16 Conv2d\n4 of 8 Sequential(")
    assert not CALLS
    made = build_table(wide, SHAPE, ByMacs("onnxruntime", reference_ms=1.0), blocks=12)
    assert (len(made.blocks), made.untimed) == (12, 20)


@dataclass(frozen=True)
class Failing(ByMacs):
    """It is gone after so many networks; or cannot run those of one kind, as an exporter might say."""

    after: float = math.inf
    unable: str = "None"

    def latency(self, module: nn.Module, input_shape: object) -> Latency:
        if len(CALLS) >= self.after:
            raise DeviceFailed("device command './phone.sh': gone")
        if kind_of(module) == self.unable:
            raise LookupError("no such operator")
        return super().latency(module, input_shape)


def test_what_was_timed_is_not_timed_again(tmp_path: Path) -> None:
    """14 blocks: the device goes after the empty network and 9 of them."""
    path = tmp_path / "table.json.partial"
    CALLS.clear()
    with pytest.raises(DeviceFailed):
        build_table(space, SHAPE, Failing("onnxruntime", reference_ms=1.0, after=10), kept=KeptBlocks(path))
    assert len(path.read_text().splitlines()) == 1 + 9
    path.write_text(path.read_text() + '{"digest": "0123')  # of a process that was killed
    kept, steps = KeptBlocks(path), list[tuple[int, int]]()

    def on_step(what: str, done: int, of: int) -> None:
        if what == "blocks timed":
            steps.append((done, of))

    CALLS.clear()
    made = build_table(space, SHAPE, Failing("onnxruntime", reference_ms=1.0), kept=kept, on_step=on_step)
    assert steps == [(done, 14) for done in range(9, 15)]
    assert len(CALLS) == 1 + 5 + 18  # an empty network, the other blocks, and all networks
    assert made == build_table(space, SHAPE, Failing("onnxruntime", reference_ms=1.0))
    assert len(path.read_text().splitlines()) == 1 + 14
    kept.remove()
    assert not list(tmp_path.iterdir())


def test_blocks_are_kept_for_one_device_and_reference_time(tmp_path: Path) -> None:
    path, block = tmp_path / "kept", TimedBlock("ReLU", SHAPE, (0, 0, 192, 192), 5)
    kept = KeptBlocks(path)
    kept.open(ByMacs("onnxruntime", reference_ms=1.0))
    kept.add("one", block)
    kept.add("two", block)
    again = KeptBlocks(path)
    assert again.open(ByMacs("onnxruntime", reference_ms=2.0)).reference_ms == 1.0
    assert again.blocks == {"one": block, "two": block}
    other = KeptBlocks(path)
    assert other.open(ByMacs("executorch", reference_ms=2.0)).reference_ms == 2.0
    assert not other.blocks
    other.add("three", block)
    assert len(path.read_text().splitlines()) == 2


def test_blocks_that_cannot_be_run_are_left_out() -> None:
    """Of two widths and four options eight networks: two have a pooling."""

    def build(trial: BaseTrial) -> nn.Module:
        width = trial.suggest_categorical("width", [4, 8])
        convs = {f"k{kernel}": partial(nn.Conv2d, width, width, kernel, padding=kernel // 2) for kernel in (1, 3, 5)}
        return nn.Sequential(nn.Conv2d(3, width, 1), choose(trial, "op", {**convs, "pool": partial(nn.AvgPool2d, 1)}))

    made = build_table(build, SHAPE, Failing("onnxruntime", reference_ms=1.0, unable="AvgPool2d"))
    assert (len(made.blocks), made.untimed, made.error.networks) == (8, 2, 3)


def test_a_table_that_does_not_know_most_networks_is_refused() -> None:
    """Without the four convolutions the networks are known that skip twice, one of each width."""
    with pytest.raises(UsageError, match="to estimate the other 4, got 10, by which 16 of 18 networks are not known"):
        build_table(space, SHAPE, Failing("onnxruntime", reference_ms=1.0, unable="Conv2d"))

    def convolution(trial: BaseTrial) -> nn.Module:
        return nn.Sequential(choose(trial, "op", {"conv": partial(nn.Conv2d, 3, 3, 1)}))

    with pytest.raises(UsageError, match="expected blocks that onnxruntime can time, got none: Conv2d: no such op"):
        build_table(convolution, SHAPE, Failing("onnxruntime", reference_ms=1.0, unable="Conv2d"))


class Constant(ByMacs):
    """A device on which all networks take the same."""

    def latency(self, module: nn.Module, input_shape: object) -> Latency:
        return Latency(2, 0.0, 1.0, 1, "constant", {})


def test_a_table_that_tells_no_networks_apart_is_refused(table: LatencyTable, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected networks of slower blocks to be slower, got no such thing among 9"):
        build_table(space, SHAPE, Constant("onnxruntime", reference_ms=1.0))
    replace(table, scale=0.0).save(tmp_path / "table.json")
    with pytest.raises(UsageError, match="expected a scale above 0, got 0"):
        load_table(tmp_path / "table.json")
