"""Searches by gradients on digits, with little networks of which the better option is known."""

import math
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import cloudpickle
import pytest
import torch
from torch import nn

from optnas.errors import UsageError
from optnas.space import ReplayTrial, cell, choose, mobile
from optnas.supernet.gradient import Descended, Descent, _Search, descend
from optnas.supernet.mixture import Drawn
from optnas.supernet.state import SupernetState, load_state, save_state
from optnas.supernet.train import SupernetDiverged
from optnas.task import ImageTask

TASK = ImageTask("digits", batch_size=64, device="cpu")
WAYS = {"score": {}, "straight-through": {"straight_through": True}, "two": {"paths": 2}, "all": {"paths": None}}


@pytest.fixture
def before(tmp_path):
    save_state(SupernetState(), tmp_path / "before")
    return str(tmp_path / "before")


class Zero(nn.Module):
    def forward(self, x):
        return x * 0.0


def blind_or_not(trial):
    """The image or nothing of it, beside a constant 0 that keeps the classifier fed."""
    look = choose(trial, "look", {"nothing": Zero, "image": nn.Identity})
    return nn.Sequential(look, nn.Flatten(), nn.Linear(64, 10))


def dear_or_cheap(trial):
    """Two layers of one kind, of which one takes the image twice as far for nothing."""
    width = trial.suggest_int("width", 8, 64, step=8)
    options = {
        "cheap": partial(nn.Linear, 64, width),
        "dear": lambda: nn.Sequential(nn.Linear(64, 640), nn.Linear(640, width)),
    }
    return nn.Sequential(nn.Flatten(), choose(trial, "layer", options), nn.Linear(width, 10))


@pytest.mark.parametrize("way", WAYS)
def test_the_option_that_can_learn_is_found(way, before):
    got = descend(Descent(blind_or_not, TASK, before, weight=0.0, steps=60, lr=0.1, **WAYS[way]))
    assert got.choices == {"look": "image"}
    assert got.probabilities["look"]["image"] > 0.9
    assert got.entropy[0] > 0.9 > 0.5 > got.entropy[-1]
    assert got.losses[-1] < got.losses[0]


@pytest.mark.parametrize("way", WAYS)
def test_a_heavy_cost_makes_networks_small(way, before):
    got = descend(Descent(dear_or_cheap, TASK, before, weight=10.0, steps=60, lr=0.1, **WAYS[way]))
    assert got.choices["layer"] == "cheap"
    assert got.probabilities["layer"]["cheap"] > 0.9
    # The cost of a width is learned from draws alone.
    widths = got.probabilities["width"]
    assert sum(width * share for width, share in widths.items()) < 36, "no smaller than at first"
    assert got.expected_cost[-1] < got.expected_cost[0] / 3


def test_the_score_function_alone_finds_the_small_width(before):
    def build(trial):
        width = trial.suggest_int("width", 8, 64, step=8)
        layer = choose(trial, "layer", {"layer": partial(nn.Linear, 64, width)})
        return nn.Sequential(nn.Flatten(), layer, nn.Linear(width, 10))

    got = descend(Descent(build, TASK, before, weight=10.0, steps=100, lr=0.1))
    assert got.choices["width"] == 8
    assert got.probabilities["width"][8] > 0.5


def test_the_reference_is_the_mean_cost_of_networks(before):
    got = descend(Descent(blind_or_not, TASK, before, steps=1))
    assert got.reference == 64 * 10
    assert got.expected_cost == (640,)
    assert descend(Descent(blind_or_not, TASK, before, steps=1, reference=5.0)).reference == 5


def test_the_same_job_gives_the_same_result(before, tmp_path):
    job = Descent(dear_or_cheap, TASK, before, steps=5, after=str(tmp_path / "first"))
    first = descend(job)
    again = replace(job, after=str(tmp_path / "again"))
    torch.rand(3)
    second = descend(cloudpickle.loads(cloudpickle.dumps(again)))
    assert _told(first) == _told(second)
    weights, others = (load_state(tmp_path / name).weights.tensors for name in ("first", "again"))
    assert weights.keys() == others.keys()
    assert all(torch.equal(tensor, others[name]) for name, tensor in weights.items())
    assert _told(descend(replace(job, seed=1))) != _told(first)


def _told(got):
    told = replace(got, steps_per_second=0.0, peak_memory_bytes=None)
    return cloudpickle.loads(cloudpickle.dumps(told))


def test_validation_images_are_not_looked_at(before, monkeypatch):
    job, images = Descent(blind_or_not, TASK, before, steps=3), TASK.images
    expected = _told(descend(job))
    blind = replace(images, val_x=None, val_y=None)
    monkeypatch.setattr(ImageTask, "images", property(lambda task: blind))
    assert _told(descend(job)) == expected


def test_the_halves_are_apart_and_balanced(before):
    search = _Search(Descent(blind_or_not, TASK, before), torch.device("cpu"))
    taken = []
    search._batches = lambda images, chosen, *_: taken.append(chosen)
    search._halves()
    first, second = taken
    labels = TASK.images.train_y
    assert not set(first) & set(second)
    assert len(first) + len(second) == len(labels)
    difference = labels[first].bincount() - labels[second].bincount()
    assert difference.abs().max() <= 1


def test_the_surprise_by_hand(before):
    """Of a width, of a width within an option, and of an option; the baselines are the means so far."""
    search = _Search(Descent(blind_or_not, TASK, before), torch.device("cpu"))
    chances = [torch.tensor(math.log(p), requires_grad=True) for p in (0.5, 0.25, 0.2)]
    drawn = [
        Drawn("width", False, chances[0], ()),
        Drawn("inner", False, chances[1], ("op",)),
        Drawn("op", True, chances[2], ()),
    ]
    trial = SimpleNamespace(drawn=drawn, excess={"op": torch.tensor(-30.0), "other": torch.tensor(7.0)})
    # Nothing is a surprise at first, but that the option "inner" is in costs more than the average.
    search._surprise(trial, 2.0, 100.0, 0.01).backward()
    assert [chance.grad.item() for chance in chances] == pytest.approx([0, 0.3, 0])
    for chance in chances:
        chance.grad = None
    search._surprise(trial, 3.0, 150.0, 0.01).backward()
    assert [chance.grad.item() for chance in chances] == pytest.approx([1.5, 1.8, 1.0])
    assert search._usual == pytest.approx((2.1, 105.0))


@pytest.mark.parametrize("way", WAYS)
def test_choices_within_options(way, before):
    def build(trial):
        def wide():
            width = trial.suggest_categorical("width", [8, 16])
            return nn.Sequential(nn.Linear(64, width), nn.Linear(width, 64))

        def twice():
            return nn.Sequential(inner(), nn.ReLU(), inner())

        def inner():
            return choose(trial, "inner", {"layer": partial(nn.Linear, 64, 64), "none": nn.Identity})

        outer = choose(trial, "outer", {"wide": wide, "twice": twice, "none": nn.Identity})
        return nn.Sequential(nn.Flatten(), outer, nn.Linear(64, 10))

    got = descend(Descent(build, TASK, before, steps=12, **WAYS[way]))
    assert got.probabilities.keys() == {"outer", "width", "inner"}
    build(ReplayTrial(got.choices))


@pytest.mark.parametrize(
    ("build", "free"),
    [
        (partial(cell, input_shape=(1, 8, 8), channels=4, cells=1), {f"edge{index}" for index in range(6)}),
        (
            partial(mobile, input_shape=(1, 8, 8), blocks=2),
            {"stage1.block2.op", "stage2.block2.op"},
        ),
    ],
    ids=["cell", "mobile"],
)
def test_spaces_of_the_house_can_be_searched(build, free, before):
    got = descend(Descent(build, replace(TASK, train_images=200), before, steps=2))
    assert got.ended_free.keys() == free
    build(ReplayTrial(got.choices))


def test_latency_can_be_the_cost(before):
    got = descend(Descent(blind_or_not, TASK, before, cost="latency_ms", steps=2))
    assert 0 < got.expected_cost[0] < 1000


def test_the_collapse_to_nothing_is_told():
    ended = {"a": True, "b": True, "c": False}
    got = Descended({}, {}, (), (), 1.0, (), (), 1.0, None, ended)
    assert got.free_share == 2 / 3
    assert got.verdict.startswith("2 of 3 choices ended at an option without parameters: this looks like the collapse")
    assert replace(got, ended_free={"a": True, "b": False}).verdict.endswith("parameters: no collapse.")
    assert replace(got, ended_free={}).free_share == 0
    assert replace(got, ended_free={}).verdict.startswith("No choice offers")


def plain(trial):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, trial.suggest_int("width", 10, 12)))


def reads(trial):
    first = choose(trial, "first", {"narrow": partial(nn.Linear, 64, 8), "wide": partial(nn.Linear, 64, 16)})
    return nn.Sequential(nn.Flatten(), first, nn.Linear(first.out_features, 10))


def asserts(trial):
    first = choose(trial, "first", {"narrow": partial(nn.Linear, 64, 8), "also": partial(nn.Linear, 64, 8)})
    if not isinstance(first, nn.Linear):
        raise TypeError("no layer")
    return nn.Sequential(nn.Flatten(), first, nn.Linear(8, 10))


def forgets(trial):
    choose(trial, "unused", {"layer": partial(nn.Linear, 64, 8)})
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def differs(trial):
    first = choose(trial, "first", {"narrow": partial(nn.Linear, 64, 8), "wide": partial(nn.Linear, 64, 16)})
    return nn.Sequential(nn.Flatten(), first, nn.AdaptiveAvgPool1d(8), nn.Linear(8, 10))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (plain, r"a space with a choose\(\) to descend by gradients, got one without"),
        (reads, r"module of choose\('first'\) as it is, got one that reads its 'out_features'"),
        (asserts, r"modules of choose\(\) as they are, got one that looks into them: TypeError: no layer"),
        (forgets, r"run the module of choose\('unused'\), got one that leaves it aside"),
        (differs, r"choose\('first'\) whose outputs can be mixed, got the shapes \(8,\) and \(16,\)"),
    ],
)
def test_spaces_that_cannot_be_searched_are_refused(build, message, before):
    with pytest.raises(UsageError, match=message):
        descend(Descent(build, TASK, before))


def test_errors_of_a_space_are_its_own(before):
    def build(trial):
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        descend(Descent(build, TASK, before))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps of a descent to be at least 1, got 0"),
        ({"paths": 0}, "paths of a descent to be at least 1, got 0"),
        ({"weight": -1.0}, "weight of a descent to be finite and at least 0, got -1.0"),
        ({"weight": math.nan}, "weight of a descent"),
        ({"reference": 0.0}, "reference of a descent to be finite and above 0, got 0.0"),
        ({"lr": math.inf}, "lr of a descent"),
        ({"temperature": (1.0, 0.0)}, "temperature of a descent"),
    ],
)
def test_settings_out_of_range_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        Descent(blind_or_not, TASK, "before", **changes)


def test_an_unknown_cost_is_refused(before):
    with pytest.raises(UsageError, match="'energy'"):
        descend(Descent(blind_or_not, TASK, before, cost="energy"))


def test_a_loss_that_is_not_finite_names_its_step(before):
    class Breaks(nn.Module):
        def forward(self, x):
            return x * (math.inf if self.training else 1.0)

    def build(trial):
        return nn.Sequential(nn.Flatten(), choose(trial, "op", {"breaks": Breaks}), nn.Linear(64, 10))

    with pytest.raises(SupernetDiverged, match=r"loss of the weights is not finite at step 1, in \{'op': 'breaks'\}"):
        descend(Descent(build, TASK, before))
