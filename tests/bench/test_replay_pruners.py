import math
import time
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pytest

from optnas.bench.curves import Curves, load_curves
from optnas.bench.pruners import PrunerResult, replay_pruners
from optnas.errors import UsageError
from optnas.prune import NoPruner, Pruner

SHARED = Path(__file__).resolve().parents[3] / "shared" / "bench"


@dataclass(frozen=True)
class StopAbove(Pruner):
    """Stops what is above 0.5 after the second epoch."""

    def thresholds(self, costs, finished):
        return np.array([math.inf, 0.5, math.inf])


#: The front is the first three; the third is as good as the fourth, and the last diverges.
SMALL = Curves(
    np.array(
        [
            [0.9, 0.5, 0.1],
            [0.9, 0.6, 0.2],
            [0.9, 0.4, 0.3],
            [0.9, 0.7, 0.3],
            [0.9, 0.5, 0.5],
            [0.9, math.nan, math.nan],
        ]
    ),
    {"macs": np.array([4.0, 3.0, 2.0, 2.0, 5.0, 1.0])},
)


def test_the_account_counted_by_hand():
    none, stop = replay_pruners(SMALL, ["macs"], {"none": NoPruner(), "stop": StopAbove()}, 6, [5])
    assert none == PrunerResult("none", 5, 6, 1.0, 1.0, 1.0, 3)
    # Stopped after the second epoch: networks 1 and 3, and the last, which diverged there.
    assert stop.epochs_used == pytest.approx((3 + 2 + 3 + 2 + 3 + 2) / 18)
    # Network 1 is lost; the values of network 3 are also those of network 2.
    assert (stop.front_recall, stop.front_size) == (pytest.approx(2 / 3), 3)
    # Errors from .1 (0) to the 90th percentile of .1 .2 .3 .3 .5, which is .42 (1); macs from 2 (0) to 5 (1).
    # Boxes, in steps from macs 2: errors (.3 .2 .1) scale to .625 .3125 0, macs (2 3 4) to 0 1/3 2/3.
    all_of_them = 0.375 / 3 + 0.6875 / 3 + 1 / 3
    kept = 0.375 * 2 / 3 + 1 / 3
    assert stop.hypervolume_kept == pytest.approx(kept / all_of_them)


def test_every_pruner_sees_the_same_draw_and_every_seed_another():
    generator = np.random.default_rng(0)
    curves = Curves(np.sort(generator.random((60, 8)), axis=1)[:, ::-1], {"macs": generator.random(60)})
    results = replay_pruners(curves, ["macs"], ["none", "median", "halving", "dominance"], 40, 3)
    assert [(r.seed, r.pruner) for r in results] == [
        (seed, name) for seed in range(3) for name in ("none", "median", "halving", "dominance")
    ]
    for seed in range(3):
        assert len({r.front_size for r in results if r.seed == seed}) == 1
    assert len({r.epochs_used for r in results if r.pruner == "dominance"}) == 3
    assert all(r.epochs_used == r.hypervolume_kept == r.front_recall == 1 for r in results if r.pruner == "none")
    again = replay_pruners(curves, ["macs"], ["median"], 40, [2])
    assert again == [r for r in results if (r.seed, r.pruner) == (2, "median")]


def test_the_fields_are_those_of_the_json():
    assert [field.name for field in fields(PrunerResult)] == [
        "pruner", "seed", "trials", "epochs_used", "hypervolume_kept", "front_recall", "front_size",
    ]  # fmt: skip


def test_all_diverged():
    curves = Curves(np.full((3, 2), math.nan), {"macs": np.ones(3)})
    (result,) = replay_pruners(curves, ["macs"], ["dominance"], 3, 1)
    assert result.epochs_used == 0.5
    assert result.front_size == 0
    assert math.isnan(result.front_recall)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 7}, "trials: expected 1 to 6, the networks in the file, got 7"),
        ({"trials": 0}, "trials: expected 1 to 6"),
        ({"seeds": 0}, "seeds: expected at least 1, got 0"),
        ({"pruners": ["medain"]}, "did you mean median"),
        ({"costs": ["ms"]}, "costs: expected some of macs, got 'ms'"),
    ],
)
def test_bad_arguments_are_refused(changes, message):
    given = {"costs": ["macs"], "pruners": ["none"], "trials": 3, "seeds": 1} | changes
    with pytest.raises(UsageError, match=message):
        replay_pruners(SMALL, **given)


@pytest.mark.parametrize(
    ("file", "costs", "most_epochs", "least_recall"),
    [
        ("curves_nasbench201_cifar10.npz", ["pixel3_ms"], 0.45, 0.95),
        ("curves_nasbench201_cifar10.npz", ["macs"], 0.38, 0.97),
        ("curves_nasbench201_cifar10.npz", ["pixel3_ms", "macs"], 0.47, 0.96),
        ("curves_nasbench_nlp_wikitext2.npz", ["params"], 0.23, 0.97),
    ],
)
@pytest.mark.slow
def test_dominance_on_public_curves(file, costs, most_epochs, least_recall):
    """NAS-Bench-201 on CIFAR-10 and NAS-Bench-NLP: 150 networks in random order, mean of 20 seeds."""
    if not (SHARED / file).is_file():
        pytest.skip(f"{file} is not at {SHARED}")
    start = time.thread_time()
    results = replay_pruners(load_curves(SHARED / file), costs, ["dominance"], 150, 20)
    assert time.thread_time() - start < 30
    assert np.mean([r.epochs_used for r in results]) < most_epochs
    assert np.mean([r.hypervolume_kept for r in results]) > 0.999
    assert np.mean([r.front_recall for r in results]) >= least_recall
