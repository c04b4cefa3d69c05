import pytest

from optnas.bench.samplers import Replayed
from optnas.bench.summary import summarise


def run(sampler, seed, *shares):
    return [Replayed(sampler, seed, at, share, 0.5, 0, 0.1) for at, share in zip((10, 25), shares, strict=False)]


def test_mean_and_standard_deviation_by_hand():
    tpe, random = summarise([*run("tpe", 0, 0.5, 0.9), *run("random", 3, 0.4), *run("tpe", 1, 0.7)])
    assert (tpe.sampler, tpe.runs, tpe.trainings) == ("tpe", 2, (10, 25))
    assert tpe.mean == pytest.approx((0.6, 0.9))
    assert tpe.spread == pytest.approx((0.02**0.5, 0.0))
    assert (random.sampler, random.runs, random.trainings, random.spread) == ("random", 1, (10,), (0.0,))


def test_no_results_are_no_courses():
    assert summarise([]) == []
