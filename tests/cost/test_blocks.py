"""Counting by blocks gives what counting whole networks gives, without counting them."""

import pickle
import random
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from optnas.cost import BlockCounter, blocks, macs, params, size_bytes
from optnas.space import RandomTrial, ReplayTrial, cell, choose, mobile, sample

WIDTHS = [4, 8, 12, 16]


def by_whole(build, choices, shape):
    module = build(ReplayTrial(choices))
    return {"params": params(module), "macs": macs(module, shape), "size_bytes": size_bytes(module, shape)}


def draws(build, count, seed=0):
    generator = np.random.default_rng(seed)
    return [sample(build, generator) for _ in range(count)]


@pytest.fixture
def never_whole(monkeypatch):
    """Whole networks are not counted from here on, and no turn of a check comes."""

    def forbid(counter):
        monkeypatch.setattr(blocks, "macs", lambda *_: pytest.fail("counted the whole network"))
        monkeypatch.setattr(counter, "_is_checked", lambda: False)

    return forbid


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (partial(mobile, input_shape=(1, 28, 28)), (1, 28, 28)),
        (partial(mobile, input_shape=(3, 64, 64), num_classes=5), (3, 64, 64)),
        (partial(cell, input_shape=(3, 16, 16), channels=4, cells=1), (3, 16, 16)),
    ],
    ids=["mobile28", "mobile64", "cell"],
)
def test_spaces_of_the_house(build, shape, never_whole):
    chosen = draws(build, 8)
    expected = [by_whole(build, choices, shape) for choices in chosen]
    counter = BlockCounter(build, shape)
    never_whole(counter)
    assert [counter(choices) for choices in chosen] == expected
    assert [counter(choices) for choices in chosen] == expected, "from memory"


class Functional(nn.Module):
    """A convolution that is no module, and a setting that is no number."""

    def __init__(self, width, activation):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width, 3, 3, 3))
        self.activation = activation
        self.register_buffer("scale", torch.ones(2))
        self.register_buffer("passing", torch.ones(5), persistent=False)

    def forward(self, x):
        return self.activation(F.conv2d(x, self.weight) * self.scale[0] + self.passing[0])


class Shared(nn.Module):
    """One layer that is passed twice: its weights count once, its work twice."""

    def __init__(self, width):
        super().__init__()
        layer = nn.Conv2d(3, 3, 3, padding=1, groups=3 if width > 8 else 1)
        self.first, self.again = layer, layer

    def forward(self, x):
        return self.again(self.first(x))


class Holder(nn.Module):
    """A block with a setting that cannot be compared."""

    def __init__(self, width):
        super().__init__()
        self.secret = object()
        self.layer = nn.Conv2d(3, width, 1)

    def forward(self, x):
        return self.layer(x)


class Recurrent(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layer = nn.LSTM(8, width, batch_first=True)

    def forward(self, x):
        return self.layer(x[:, 0])[0]


class Widths(nn.Module):
    """Reads the attribute of a block that was chosen."""

    def __init__(self, block):
        super().__init__()
        assert isinstance(block, nn.Conv2d)
        self.block, self.head = block, nn.Conv2d(block.out_channels, 2, 1)

    def forward(self, x):
        return self.head(self.block(x))


BLOCKS = {
    "depthwise": lambda width: nn.Conv2d(3, 3 * width, 3, groups=3),
    "transposed": lambda width: nn.ConvTranspose2d(3, width, 3, stride=2),
    "dilated": lambda width: nn.Conv2d(3, width, 3, dilation=2, padding="same"),
    "normed": lambda width: nn.Sequential(nn.Conv2d(3, width, 1), nn.BatchNorm2d(width), nn.MaxPool2d(2), nn.GELU()),
    "functional": lambda width: Functional(width, F.relu),
    "functional_closure": lambda width: Functional(width, lambda x: x * width),
    "shared": Shared,
    "holder": Holder,
    "recurrent": Recurrent,
    "linear": lambda width: nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, width)),
    "nothing": lambda width: nn.Identity(),
    "attention": lambda width: nn.Sequential(nn.Flatten(2), nn.TransformerEncoderLayer(64, 2, width, batch_first=True)),
}


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("way", ["chosen", "suggested"])
def test_blocks_of_all_kinds(name, way):
    def build(trial):
        if way == "chosen":
            return choose(trial, "width", {str(width): partial(BLOCKS[name], width) for width in WIDTHS})
        return BLOCKS[name](trial.suggest_categorical("width", WIDTHS))

    counter = BlockCounter(build, (3, 8, 8))
    networks = [{"width": str(width) if way == "chosen" else width} for width in WIDTHS] * 2
    for choices in networks:
        assert counter(choices) == by_whole(build, choices, (3, 8, 8))
    assert counter._trusted


def test_the_short_way_is_taken_by_what_torch_executes_plainly(never_whole):
    for name in set(BLOCKS) - {"recurrent", "attention"}:

        def build(trial, name=name):
            return choose(trial, "width", {str(width): partial(BLOCKS[name], width) for width in WIDTHS})

        expected = by_whole(build, {"width": "8"}, (3, 8, 8))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(blocks, "macs", lambda *_: pytest.fail("counted the whole network"))
            counter = BlockCounter(build, (3, 8, 8))
            patch.setattr(counter, "_is_checked", lambda: False)
            assert counter({"width": "8"}) == expected, name


def test_a_chosen_block_is_what_it_says(never_whole):
    def build(trial):
        return Widths(choose(trial, "width", {str(w): partial(nn.Conv2d, 3, w, 1) for w in WIDTHS}))

    # 8x8 positions, 3 to 8 to 2 channels
    counter = BlockCounter(build, (3, 8, 8))
    never_whole(counter)
    assert [counter({"width": "8"})["macs"] for _ in range(2)] == [64 * (3 * 8 + 8 * 2)] * 2


def test_a_choice_within_a_choice(never_whole):
    def build(trial):
        def wide():
            return nn.Conv2d(3, trial.suggest_int("width", 4, 16, step=4), 1)

        return choose(trial, "kind", {"wide": wide, "none": nn.Identity})

    counter = BlockCounter(build, (3, 8, 8))
    never_whole(counter)
    for width in WIDTHS:
        assert counter({"kind": "wide", "width": width})["macs"] == 64 * 3 * width
    assert counter({"kind": "none"}) == {"params": 0, "macs": 0, "size_bytes": 0}


def test_builders_with_equal_code_and_other_values_are_told_apart(never_whole):
    def build(trial):
        kernel = trial.suggest_categorical("kernel", [1, 3, 5])
        return choose(trial, "op", {"conv": lambda: nn.Conv2d(3, 4, kernel, padding=kernel // 2)})

    counter = BlockCounter(build, (3, 8, 8))
    never_whole(counter)
    assert [counter({"op": "conv", "kernel": k})["macs"] for k in (1, 3, 5, 1)] == [
        64 * 12 * k * k for k in (1, 3, 5, 1)
    ]


def test_a_space_that_plays_tricks_is_found_out_and_counted_whole():
    width = [4]  # not a value but a place: equal builders make unequal blocks

    def tricky():
        return nn.Conv2d(3, int(torch.initial_seed() * 0) + WIDTH[0], 1)

    def build(trial):
        WIDTH[0] = trial.suggest_categorical("width", WIDTHS)
        return choose(trial, "op", {"tricky": tricky})

    global WIDTH
    WIDTH = width
    counter = BlockCounter(build, (3, 8, 8))
    got = [counter({"width": w, "op": "tricky"})["macs"] for w in WIDTHS * 3]
    assert not counter._trusted
    # The third is not checked, the fourth is.
    assert got[4:] == [64 * 3 * w for w in WIDTHS * 2]


def test_networks_that_do_not_work_have_no_costs():
    def build(trial):
        width = trial.suggest_categorical("width", WIDTHS)
        if width == 16:
            raise ValueError("too wide")
        return nn.Sequential(nn.Conv2d(3, width, 1), nn.Conv2d(8, 2, 1))

    counter = BlockCounter(build, (3, 8, 8))
    for _ in range(3):
        assert [counter({"width": width}) is None for width in WIDTHS] == [True, False, True, True]
    assert counter({}) is None


def test_random_numbers_go_on_as_if_nothing_was_counted():
    build = partial(mobile, input_shape=(1, 16, 16))
    counter, chosen = BlockCounter(build, (1, 16, 16)), draws(build, 3)
    torch.manual_seed(5)
    random.seed(5)
    expected = torch.rand(1), random.random()
    torch.manual_seed(5)
    random.seed(5)
    for choices in chosen:
        counter(choices)
    assert (torch.rand(1), random.random()) == expected


def test_walking_makes_the_choices_that_building_makes():
    build = partial(mobile, input_shape=(1, 28, 28))
    counter, trial = BlockCounter(build, (1, 28, 28)), RandomTrial(np.random.default_rng(3))
    counter.walk(trial)
    assert trial.params == draws(build, 1, seed=3)[0]


def test_networks_that_are_built_afterwards_are_real():
    """What is remembered never reaches a network that somebody trains."""
    build = partial(mobile, input_shape=(1, 16, 16))
    counter, choices = BlockCounter(build, (1, 16, 16)), draws(build, 1)[0]
    for _ in range(3):
        counter(choices)
    module = build(ReplayTrial(choices))
    assert not any(tensor.is_meta for tensor in module.state_dict().values())
    assert module(torch.zeros(2, 1, 16, 16)).shape == (2, 10)


def test_a_space_that_looks_into_its_modules_is_explored_whole():
    def build(trial):
        block = choose(trial, "width", {str(w): partial(nn.Conv2d, 3, w, 1) for w in WIDTHS})
        # What is remembered of a block has no values: adding to its output fails.
        assert torch.isfinite(block(torch.ones(1, 3, 8, 8)) + torch.ones(1)).all()
        return nn.Sequential(block, nn.ReLU() if trial.suggest_categorical("relu", [True, False]) else nn.GELU())

    counter = BlockCounter(build, (3, 8, 8))
    for _ in range(3):
        trial = RandomTrial(np.random.default_rng(0))
        counter.walk(trial)
        assert trial.params.keys() == {"width", "relu"}
        assert counter(trial.params) == by_whole(build, trial.params, (3, 8, 8))


def test_a_counter_can_be_pickled_and_counts_on():
    counter = BlockCounter(partial(mobile, input_shape=(1, 16, 16)), (1, 16, 16))
    chosen = draws(counter._build, 3)
    expected = [counter(choices) for choices in chosen]
    again = pickle.loads(pickle.dumps(counter))
    assert [again(choices) for choices in chosen] == expected
