"""Simulated searches put together, by hand."""

from pathlib import Path
from typing import Any

import pytest

from optnas.bench.scaling import hours_to, scalings
from optnas.bench.workers import Simulated
from optnas.errors import UsageError
from optnas.report import save_scaling
from optnas.report.scaling import scaling_finding


def run(workers: int, seed: int, hours: list[float], shares: list[float], **fields: Any) -> Simulated:
    return Simulated("nsga2", workers, seed, tuple(hours), tuple(shares), 8, 2, 0.5, worked_hours=10.0, **fields)


RUNS = [
    run(1, 0, [1, 2, 3, 4], [0.5, 0.8, 0.95, 1.0]),
    run(1, 1, [2, 4, 6, 8], [0.4, 0.8, 0.9, 0.95]),
    run(4, 0, [1, 1.5, 1.5, 1.5], [0.5, 0.6, 0.75, 0.95], lost_hours=2.0),
    run(4, 1, [1, 2, 2, 2], [0.4, 0.6, 0.7, 0.96], lost_hours=4.0),
]


def test_the_hours_to_a_share_are_those_of_the_first_training_that_had_it() -> None:
    assert hours_to(RUNS[0], 0.95) == 3
    assert hours_to(RUNS[0], 0.9) == 3
    assert hours_to(RUNS[0], 0.5) == 1
    assert hours_to(RUNS[1], 0.96) is None


def test_losses_and_speedups_are_of_pairs_with_the_same_seed() -> None:
    one, four = scalings(RUNS, 0.95)
    assert (one.sampler, one.workers, one.runs, one.trainings) == ("nsga2", 1, 2, (4,))
    assert one.loss == (0.0,)
    assert one.speedup == 1.0
    assert (four.workers, four.reached) == (4, 2)
    assert four.hypervolume == pytest.approx((0.955,))
    # 1.0 - 0.95 and 0.95 - 0.96.
    assert four.loss == pytest.approx((0.02,))
    assert four.loss_spread == pytest.approx((0.06 / 2**0.5,))
    assert four.hours == pytest.approx(1.75)
    # 3 / 1.5 and 8 / 2.
    assert four.speedup == pytest.approx(3.0)
    assert four.speedup_spread == pytest.approx(2**0.5)
    assert four.repeats == 0.25
    assert four.lost == pytest.approx(6 / 20)


def test_the_course_is_the_mean_of_what_runs_had_by_then() -> None:
    course = scalings(RUNS, 0.95)[0]
    assert (course.course_hours[0], course.course_hours[-1]) == (2, 8)
    assert course.course[0] == pytest.approx((0.8 + 0.4) / 2)
    assert course.course[-1] == pytest.approx((1.0 + 0.95) / 2)


def test_a_level_that_some_runs_miss_has_no_hours() -> None:
    one, four = scalings(RUNS, 0.96)
    assert (one.reached, one.hours, one.speedup) == (1, None, None)
    assert (four.reached, four.hours, four.speedup) == (1, None, None)


def test_without_one_worker_nothing_is_compared() -> None:
    (four,) = scalings(RUNS[2:], 0.95)
    assert (four.loss, four.speedup) == (None, None)
    assert four.hours == pytest.approx(1.75)


def test_workers_that_die_are_compared_with_one_that_dies_as_often() -> None:
    dying = [run(1, 0, [10.0], [1.0], checkpoints=True), run(2, 0, [4.0], [1.0], checkpoints=True)]
    found = scalings([*RUNS, *dying], 0.95)
    assert [(one.workers, one.checkpoints) for one in found] == [(1, None), (4, None), (1, True), (2, True)]
    assert found[-1].speedup == 2.5


def test_the_finding_names_who_is_first_and_what_workers_bring() -> None:
    assert scaling_finding(scalings(RUNS, 0.95)) == (
        "With 4 workers nsga2 is first to find 0.95 of the hypervolume: in 1.8 hours, 3 times as fast as with one"
    )
    assert scaling_finding(scalings(RUNS, 0.99)) == (
        "No sampler finds 0.99 of the hypervolume in all runs with 4 workers"
    )


@pytest.mark.parametrize("runs", [RUNS, RUNS[:2], RUNS[2:3], []])
@pytest.mark.parametrize("level", [0.95, 0.99])
def test_all_there_may_be_is_drawn(tmp_path: Path, runs: list[Simulated], level: float) -> None:
    save_scaling(scalings(runs, level), tmp_path / "scaling.svg", "table: error, macs")
    drawn = (tmp_path / "scaling.svg").read_text()
    assert "virtual hours" in drawn
    assert "of the hypervolume" in drawn


@pytest.mark.parametrize("level", [0.0, 1.1, float("nan")])
def test_a_level_that_is_no_share_is_refused(level: float) -> None:
    with pytest.raises(UsageError, match="level: expected a share of the hypervolume above 0 and at most 1"):
        scalings(RUNS, level)
