"""Searches with many workers in virtual time."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.samplers import BaseSampler

from optnas.bench import workers as module
from optnas.bench.deaths import Deaths, Occupation
from optnas.bench.table import Table
from optnas.bench.workers import Durations, Simulated, check_workers, simulate, simulate_workers
from optnas.errors import UsageError


def table_of(count: int) -> Table:
    """Networks 0, 1, ...: errors fall as macs, which are their durations below, rise."""
    return Table(
        [{"x_a": str(index)} for index in range(count)],
        {"error": np.arange(count, 0.0, -1.0), "macs": np.arange(1.0, count + 1.0)},
    )


class InOrder(BaseSampler):
    """Proposes given networks, and notes what was running and finished each time."""

    def __init__(self, networks: Sequence[int]) -> None:
        self._left = list(networks)
        self.seen: list[tuple[list[str], list[str]]] = []

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        return {}

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        return {}

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> str:
        others = [one for one in study.get_trials(deepcopy=False) if one.number != trial.number]
        running = [one.params["x_a"] for one in others if not one.state.is_finished()]
        finished = [one.params["x_a"] for one in others if one.state == optuna.trial.TrialState.COMPLETE]
        self.seen.append((running, finished))
        return str(self._left.pop(0))


@pytest.fixture
def proposals(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a search follow given proposals, and returns their sampler."""

    def follow(*networks: int) -> InOrder:
        sampler = InOrder(networks)
        monkeypatch.setattr(module, "make_replayed", lambda table, answers, name, seed: sampler)
        return sampler

    return follow


def searched(table: Table, workers: int, trials: int, deaths: Deaths | None = None, seed: int = 0) -> Simulated:
    """Network i takes (i + 1) hours / the mean of all."""
    durations = Durations(fixed=0.0, by_cost=float(table.columns["macs"].mean()), spread=0.0)
    return simulate(table, table.answers(["error", "macs"]), "random", workers, trials, seed, deaths, durations)


def test_two_workers_by_hand(proposals: Any) -> None:
    """Network i takes i + 1 hours: 2 from 0 to 3, 0 from 0 to 1, 3 from 1 to 5, 4 from 3 to 8, 1 from 5 to 7."""
    sampler = proposals(2, 0, 3, 4, 1)
    run = searched(table_of(5), workers=2, trials=5)
    assert run.hours == pytest.approx((1, 3, 5, 7, 8))
    assert run.worked_hours == pytest.approx(15)
    assert sampler.seen == [
        ([], []),
        (["2"], []),
        (["2"], ["0"]),
        (["3"], ["2", "0"]),
        (["4"], ["2", "0", "3"]),
    ]
    answers = table_of(5).answers(["error", "macs"])
    ended = [0, 2, 3, 1, 4]
    assert run.hypervolume == tuple(answers.hypervolume(ended[: count + 1]) for count in range(5))
    assert (run.proposals, run.repeats, run.deaths, run.failed, run.lost_hours) == (5, 0, 0, 0, 0.0)


def test_one_worker_takes_the_sum_and_enough_workers_the_longest(proposals: Any) -> None:
    proposals(0, 1, 2, 3)
    assert searched(table_of(4), workers=1, trials=4).hours == pytest.approx((1, 3, 6, 10))
    proposals(0, 1, 2, 3)
    assert searched(table_of(4), workers=9, trials=4).hours == pytest.approx((1, 2, 3, 4))


def test_repeats_take_no_time_and_a_second_in_a_row_leads_to_a_mutation(proposals: Any) -> None:
    """1 is in training, then trained; after the two repeats a mutation, which the sampler is not asked for."""
    sampler = proposals(1, 1, 0, 0, 1)
    run = searched(table_of(3), workers=2, trials=3)
    # Trial 1 waits for the same network as trial 0; 0 ends at 1; 0 and 1 again are repeats, the second of them in a
    # row is mutated to what is left, network 2, or to a repeat once more.
    assert run.hours[:2] == pytest.approx((1, 2))
    assert len(run.hours) == 3
    assert run.repeats == run.proposals - 3 >= 3
    assert len(sampler.seen) == 5


def test_what_waits_for_a_training_is_told_with_it(proposals: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    studies = []
    make = module._study
    monkeypatch.setattr(module, "_study", lambda *given: studies.append(make(*given)) or studies[-1])
    proposals(1, 1, 0)
    searched(table_of(5), workers=2, trials=2)
    (study,) = studies
    assert [trial.values for trial in study.trials] == [[4.0, 2.0], [4.0, 2.0], [5.0, 1.0]]
    assert study.trials[1].datetime_complete >= study.trials[0].datetime_complete


def test_after_eight_trainings_given_up_in_a_row_a_search_ends(proposals: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        module, "occupy", lambda hours, fate, generator: Occupation(2 * hours, 2 * hours, 2, finished=False)
    )
    proposals(*range(9))
    run = searched(table_of(9), workers=1, trials=9, deaths=Deaths(1.0))
    # Networks 0 to 7 take 1 to 8 hours, each twice.
    assert (run.hours, run.failed, run.deaths, run.worked_hours, run.lost_hours) == ((), 8, 16, 72.0, 72.0)


def test_what_waits_for_a_training_given_up_is_trained_in_its_place(
    proposals: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of network 1 the first training is given up after 2 hours; the trial that waited trains it from 2 to 4."""
    fates = iter([Occupation(2.0, 2.0, 2, finished=False), Occupation(1.0), Occupation(2.0)])
    monkeypatch.setattr(module, "occupy", lambda hours, fate, generator: next(fates))
    sampler = proposals(1, 1, 0)
    run = searched(table_of(5), workers=2, trials=2, deaths=Deaths(1.0))
    assert run.hours == pytest.approx((1, 4))
    assert len(sampler.seen) == 3
    assert (run.failed, run.worked_hours, run.lost_hours) == (1, 5.0, 2.0)


def grid() -> Table:
    networks: list[Mapping[str, str]] = [{"x_a": a, "x_b": b, "x_c": c} for a, b, c in product("0123", repeat=3)]
    level = np.array([sum(map(int, network.values())) for network in networks], dtype=float)
    generator = np.random.default_rng(0)
    return Table([dict(n) for n in networks], {"error": 10 - level + generator.random(64), "macs": 1 + level})


@pytest.mark.parametrize("sampler", ["random", "nsga2", "tpe-liar", "reinforce"])
def test_equal_seeds_give_equal_searches(sampler: str) -> None:
    first, again, other = (
        simulate_workers(grid(), ["error", "macs"], [sampler], [8], trials=24, seeds=[seed])[0] for seed in (1, 1, 2)
    )
    assert (first.hours, first.hypervolume, first.repeats) == (again.hours, again.hypervolume, again.repeats)
    assert first.hours != other.hours
    assert len(first.hours) == 24
    assert list(first.hours) == sorted(first.hours)
    assert list(first.hypervolume) == sorted(first.hypervolume)


def test_a_table_is_trained_to_its_end_and_no_further() -> None:
    (run,) = simulate_workers(grid(), ["error", "macs"], ["random"], [16], trials=100, seeds=1)
    assert len(run.hours) == 64
    assert run.hypervolume[-1] == pytest.approx(1.0)


def test_durations_have_the_mean_that_their_parts_say() -> None:
    hours = Durations(fixed=0.25, by_cost=0.5, spread=0.4).hours(np.full(40_000, 7.0), seed=3)
    assert hours.mean() == pytest.approx(0.75, rel=0.01)
    assert np.log(hours).std() == pytest.approx(0.4, rel=0.02)
    exact = Durations(fixed=0.25, by_cost=0.5, spread=0.0).hours(np.array([1.0, 3.0]), seed=0)
    np.testing.assert_allclose(exact, [0.5, 1.0])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((["nsga"], [1], 10, 1), "did you mean nsga2"),
        ((["random"], [], 10, 1), "workers: expected different numbers of at least 1, got none"),
        ((["random"], [4, 0], 10, 1), "workers: expected different numbers of at least 1, got 4,0"),
        ((["random"], [4, 4], 10, 1), "workers: expected different numbers of at least 1, got 4,4"),
        ((["random"], [1], 9, 1), "trials: expected at least 10, got 9"),
    ],
)
def test_what_cannot_be_simulated_is_refused(given: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_workers(*given)
