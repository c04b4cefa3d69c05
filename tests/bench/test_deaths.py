"""What a training loses when workers die, by hand and against closed forms."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from optnas.bench.deaths import Deaths, Occupation, occupy
from optnas.errors import UsageError


class Lives:
    """In place of a generator: how long each worker lives."""

    def __init__(self, *hours: float) -> None:
        self._hours = list(hours)

    def exponential(self, scale: float) -> float:
        return self._hours.pop(0)


def occupied(hours: float, deaths: Deaths | None, lives: Sequence[float]) -> Occupation:
    generator: Any = Lives(*lives)
    return occupy(hours, deaths, generator)


def test_workers_that_live_lose_nothing() -> None:
    assert occupied(2.0, None, []) == Occupation(2.0, 0.0, 0, finished=True)
    assert occupied(2.0, Deaths(0.1), [2.0]) == Occupation(2.0, 0.0, 0, finished=True)


def test_without_checkpoints_a_training_begins_again() -> None:
    """4 hours; dies after 2.5: 2.5 lost, 6.5 in all."""
    assert occupied(4.0, Deaths(0.1, epochs=4, checkpoints=False), [2.5, 9.0]) == Occupation(6.5, 2.5, 1)


def test_with_checkpoints_the_epoch_is_lost() -> None:
    """Epochs of an hour; dies after 2.5, so 2 are kept; 2 are left, and 4.5 in all."""
    assert occupied(4.0, Deaths(0.1, epochs=4), [2.5, 2.0]) == Occupation(4.5, 0.5, 1)


def test_a_second_death_counts_from_what_was_kept() -> None:
    """2.5 (2 kept), then 1.75 more (3 kept): 0.5 and 0.75 lost; an hour is left."""
    assert occupied(4.0, Deaths(0.1, epochs=4, retries=2), [2.5, 1.75, 1.0]) == Occupation(5.25, 1.25, 2)


@pytest.mark.parametrize("checkpoints", [True, False])
def test_a_training_given_up_was_all_for_nothing(checkpoints: bool) -> None:
    """Dies after 2.5, and again after 1.5: the one retry is over."""
    deaths = Deaths(0.1, epochs=4, checkpoints=checkpoints, retries=1)
    assert occupied(4.0, deaths, [2.5, 1.5]) == Occupation(4.0, 4.0, 2, finished=False)


@pytest.mark.parametrize(("checkpoints", "pieces"), [(True, 10), (False, 1)])
def test_the_expected_hours_are_the_closed_form(checkpoints: bool, pieces: int) -> None:
    """(exp(r h) - 1) / r for what has to be done in one go."""
    rate, hours = 0.5, 2.0
    generator = np.random.default_rng(0)
    deaths = Deaths(rate, epochs=10, checkpoints=checkpoints, retries=10**6)
    drawn = [occupy(hours, deaths, generator) for _ in range(20_000)]
    expected = pieces * math.expm1(rate * hours / pieces) / rate
    error = np.std([one.hours for one in drawn]) / math.sqrt(len(drawn))
    assert np.mean([one.hours for one in drawn]) == pytest.approx(expected, abs=4 * error)
    for one in drawn:
        assert one.hours - one.lost_hours == pytest.approx(hours)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"per_hour": 0.0}, "deaths: expected a rate above 0 an hour, got 0"),
        ({"per_hour": math.nan}, "deaths: expected a rate above 0 an hour, got nan"),
        ({"per_hour": 1.0, "epochs": 0}, "expected at least 1 epoch and 0 retries, got 0 and 1"),
        ({"per_hour": 1.0, "retries": -1}, "expected at least 1 epoch and 0 retries, got 50 and -1"),
    ],
)
def test_impossible_deaths_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Deaths(**given)
