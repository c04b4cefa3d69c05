"""Any choice as a few options."""

import numpy as np
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from optnas.sampler.levels import levels_of


@pytest.mark.parametrize(
    ("distribution", "keys"),
    [
        (CategoricalDistribution(["k3", 3, None]), ["'k3'", "3", "None"]),
        (CategoricalDistribution([1, True]), ["1", "True"]),
        (IntDistribution(8, 24, step=8), ["8", "16", "24"]),
        (IntDistribution(2, 9), ["2", "3", "4", "5", "6", "7", "8", "9"]),
        (FloatDistribution(0, 0.3, step=0.1), ["0", "0.1", "0.2", "0.3"]),
        (FloatDistribution(5, 5), ["5..5"] * 8),
    ],
)
def test_short_choices_are_their_options(distribution: BaseDistribution, keys: list[str]) -> None:
    assert levels_of(distribution).keys == keys


def test_long_ranges_are_cut_into_eight_by_hand() -> None:
    """Of 1 to 256 in the logarithm each part spans a factor of 2."""
    levels = levels_of(FloatDistribution(1, 256, log=True))
    assert levels.keys[0] == "1..2"
    assert levels.keys[-1] == "128..256"
    assert [levels.place(value) for value in (1, 1.9, 2.1, 100, 256)] == [0, 0, 1, 6, 7]
    assert levels_of(FloatDistribution(0, 16)).keys[:2] == ["0..2", "2..4"]


def test_a_long_range_can_be_cut_into_fewer_and_a_short_one_stays() -> None:
    assert levels_of(FloatDistribution(0, 3), 3).keys == ["0..1", "1..2", "2..3"]
    assert levels_of(IntDistribution(1, 4), 3).keys == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    "distribution",
    [
        CategoricalDistribution(["a", "b"]),
        CategoricalDistribution([0, False]),
        CategoricalDistribution([float("nan"), 1.0]),
        IntDistribution(1, 1000, log=True),
        IntDistribution(0, 64, step=4),
        IntDistribution(7, 7),
        FloatDistribution(-1, 1),
        FloatDistribution(1e-5, 1e-1, log=True),
        FloatDistribution(0, 1, step=0.05),
        FloatDistribution(0, 0.9, step=0.3),
        FloatDistribution(2, 2),
    ],
)
def test_values_of_a_place_are_in_the_distribution_and_lie_there(distribution: BaseDistribution) -> None:
    levels, generator = levels_of(distribution), np.random.default_rng(0)
    for place in range(len(levels.keys)):
        for _ in range(20):
            value = levels.value(place, generator)
            assert distribution._contains(distribution.to_internal_repr(value))
            # Steps at an edge between two parts belong to either; parts of a single value are all the same.
            assert abs(levels.place(value) - place) <= 1 or distribution.single()


def test_all_whole_numbers_of_a_long_range_are_drawn() -> None:
    levels, generator = levels_of(IntDistribution(1, 12)), np.random.default_rng(0)
    assert {levels.value(place, generator) for place in range(8) for _ in range(50)} == set(range(1, 13))
