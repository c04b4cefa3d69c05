"""Tables and the replay of samplers on them."""

import gzip
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from optnas.bench.samplers import REPLAYED, replay_samplers
from optnas.bench.table import Table, load_table
from optnas.errors import UsageError

pytestmark = pytest.mark.slow  # seconds each: a surrogate is fitted for every proposal

HEADER = "x_a,x_b,error,macs\n"


def write(path: Path, text: str) -> Path:
    with gzip.open(path, "wt") as file:
        file.write(text)
    return path


def synthetic(seed: int = 0, choices: int = 6, options: int = 3) -> Table:
    """Additive effects and interactions of pairs; the cost grows with the option; a ninth is at chance."""
    generator = np.random.default_rng(seed)
    rows = np.array(list(product(range(options), repeat=choices)))
    weight = generator.uniform(0.5, 2.0, choices)
    macs = 1.0 + (rows * weight).sum(axis=1)
    quality = (rows * weight * generator.uniform(0.3, 1.0, choices)).sum(axis=1)
    for i in range(1, choices):
        quality = quality + 0.4 * generator.normal(size=(options, options))[rows[:, i - 1], rows[:, i]]
    error = 5.0 + 20.0 * np.exp(-0.4 * quality)
    error[(rows[:, 0] == 0) & (rows[:, 1] == 0)] = 90.0
    networks = [{f"x_{i}": str(option) for i, option in enumerate(row)} for row in rows]
    return Table(networks, {"error": error, "macs": macs, "latency": macs**0.5 + generator.random(len(rows))})


def test_load_by_hand(tmp_path: Path) -> None:
    table = load_table(write(tmp_path / "t.csv.gz", HEADER + "10,k,5.5,1e3\n2,k,4,2000\n"))
    assert list(table.networks) == [{"x_a": "10", "x_b": "k"}, {"x_a": "2", "x_b": "k"}]
    assert table.options == {"x_a": ["2", "10"], "x_b": ["k"]}
    np.testing.assert_array_equal(table.columns["error"], [5.5, 4.0])
    np.testing.assert_array_equal(table.columns["macs"], [1000.0, 2000.0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER, "expected rows with columns x_"),
        ("a,b\n1,2\n", "expected rows with columns x_"),
        (HEADER + "1,2,3,four\n", "line 2, column macs: expected a finite number, got 'four'"),
        (HEADER + "1,2,3\n", "line 2, column macs: expected a finite number, got None"),
        (HEADER + "1,2,nan,4\n", "line 2, column error: expected a finite number, got 'nan'"),
        (HEADER + "1,2,3,4\n1,2,5,6\n", "expected each network once, got lines 2 and 3"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_table(write(tmp_path / "t.csv.gz", text))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plain.csv.gz").write_text(HEADER)
    for name in ("missing.csv.gz", "plain.csv.gz"):
        with pytest.raises(UsageError, match=f"{name}: expected a csv file"):
            load_table(tmp_path / name)


def test_answers_by_hand() -> None:
    """Errors 0 to 10: the 90th percentile is 9. Costs fall from 10 to 0: every network is on the front."""
    networks = [{"x_a": str(i)} for i in range(11)]
    table = Table(networks, {"error": np.arange(11.0), "macs": np.arange(10.0, -1.0, -1.0)})
    answers = table.answers(["error", "macs"])
    assert len(answers.front) == 11
    # Steps of 1/9 by 1/10 below (1, 1): the i-th network adds a strip 1/9 wide, i/10 high.
    whole = sum(i / 10 for i in range(9)) / 9
    assert answers.hypervolume([0]) == 0.0
    assert answers.hypervolume([5]) == pytest.approx((4 / 9 * 0.5) / whole)
    assert answers.hypervolume(range(11)) == pytest.approx(1.0)
    assert answers.recall([1, 2, 2]) == pytest.approx(2 / 11)


def test_equal_networks_are_one_member_of_the_front() -> None:
    table = Table([{"x_a": i} for i in "abc"], {"error": np.array([1.0, 1.0, 2.0]), "macs": np.array([2.0, 2.0, 1.0])})
    answers = table.answers(["error", "macs"])
    assert answers.recall([1]) == 0.5
    assert answers.recall([0, 1]) == 0.5


def test_unknown_columns_and_samplers_are_refused() -> None:
    table = synthetic()
    with pytest.raises(UsageError, match="expected a column of the table, one of error, macs, latency"):
        table.answers(["error", "energy"])
    with pytest.raises(UsageError, match="expected two or more different columns"):
        table.answers(["error", "error"])
    with pytest.raises(UsageError, match="did you mean nsga2"):
        replay_samplers(table, ["error", "macs"], ["nsga"])
    with pytest.raises(UsageError, match="trials: expected at least 10, got 5"):
        replay_samplers(table, ["error", "macs"], ["random"], trials=5)


@pytest.mark.parametrize("name", [name for name in REPLAYED if name != "gp"])
def test_replay_of_each_sampler(name: str) -> None:
    results = replay_samplers(synthetic(), ["error", "macs"], [name], trials=25, seeds=[0, 1])
    assert [(result.seed, result.trainings) for result in results] == [(0, 10), (0, 25), (1, 10), (1, 25)]
    for result in results:
        assert result.sampler == name
        assert 0 < result.hypervolume <= 1
        assert 0 <= result.front_recall <= 1
        assert 0 < result.seconds_per_suggestion < 5
    assert results[1].hypervolume >= results[0].hypervolume


def test_replay_of_gp() -> None:
    assert replay_samplers(synthetic(), ["error", "macs"], ["gp"], trials=12, seeds=[0])[0].trainings == 10


def test_a_repeat_counts_for_a_sampler_that_does_not_avoid_it() -> None:
    """Nine networks: random search trains 25 times, 16 at least are repeats; the others stop at nine."""
    networks = [{"x_a": a, "x_b": b} for a, b in product("123", "123")]
    table = Table(networks, {"error": np.arange(9.0, 0.0, -1.0), "macs": np.arange(1.0, 10.0)})
    results = replay_samplers(table, ["error", "macs"], ["random", "cost-aware"], trials=25, seeds=[0])
    assert [(result.sampler, result.trainings) for result in results] == [("random", 10), ("random", 25)]
    assert results[1].repeats >= 16


def test_a_part_of_a_space_can_be_replayed() -> None:
    whole = synthetic()
    part = Table(whole.networks[::2], {name: column[::2] for name, column in whole.columns.items()})
    results = replay_samplers(part, ["error", "macs"], ["random", "cost-aware"], trials=10, seeds=[0])
    assert [result.trainings for result in results] == [10, 10]


def test_cost_aware_needs_half_the_trainings_of_nsga2_and_random() -> None:
    table = synthetic(seed=1)
    results = replay_samplers(table, ["error", "macs"], ["cost-aware", "nsga2", "random"], trials=100, seeds=[0, 1])
    share = {
        (name, trainings): np.mean([r.hypervolume for r in results if (r.sampler, r.trainings) == (name, trainings)])
        for name in ("cost-aware", "nsga2", "random")
        for trainings in (50, 100)
    }
    assert share["cost-aware", 50] > max(share["nsga2", 100], share["random", 100])
    assert share["cost-aware", 100] > 0.99


def test_three_objectives() -> None:
    results = replay_samplers(synthetic(), ["error", "macs", "latency"], ["cost-aware"], trials=50, seeds=[0])
    assert results[-1].hypervolume > 0.95
    assert results[-1].repeats == 0
