"""What a replay refuses, and how it counts with a sampler that proposes by a script."""

import gzip
import logging
from itertools import cycle, product

import numpy as np
import optuna
import pytest

from optnas.bench.others import OTHERS
from optnas.bench.proposer import OptunaProposer
from optnas.bench.samplers import check_replay, replay_samplers
from optnas.bench.table import Table, load_table
from optnas.errors import UsageError

#: Errors 16 to 1, costs 1 to 16: every network is on the front.
ALL_ON_FRONT = Table(
    [{"x_a": a, "x_b": b} for a, b in product("0123", "0123")],
    {"error": np.arange(16.0, 0.0, -1.0), "macs": np.arange(1.0, 17.0)},
)


class Scripted:
    """Proposes rows in order, ends with the script, and keeps what it hears."""

    def __init__(self, rows, avoids_repeats):
        self.avoids_repeats = avoids_repeats
        self.rows, self.heard = iter(rows), []

    def ask(self):
        row = next(self.rows, None)
        return None if row is None else {"x_a": str(row // 4), "x_b": str(row % 4)}

    def tell(self, values):
        self.heard.append(values)


@pytest.fixture
def replay_of(monkeypatch):
    """Replays a table with a script; returns the checkpoints."""

    def replay(script, table=ALL_ON_FRONT, trials=25):
        monkeypatch.setitem(OTHERS, "scripted", (lambda options, objectives, seed: script, "numpy"))
        return replay_samplers(table, ["error", "macs"], ["scripted"], trials, [7])

    return replay


def test_a_repeat_is_a_training_where_it_is_not_avoided(replay_of):
    (result,) = replay_of(Scripted([0, 0, 1, 2, 3, 4, 5, 6, 7, 8], avoids_repeats=False))
    assert (result.sampler, result.seed, result.trainings, result.repeats) == ("scripted", 7, 10, 1)
    assert result.front_recall == 9 / 16


def test_a_repeat_is_no_training_where_it_is_avoided(replay_of):
    assert replay_of(Scripted([0, 0, 1, 2, 3, 4, 5, 6, 7, 8], avoids_repeats=True)) == []
    (result,) = replay_of(Scripted([0, 0, *range(1, 16)], avoids_repeats=True))
    assert (result.trainings, result.repeats, result.front_recall) == (10, 1, 10 / 16)


def test_a_sampler_that_only_repeats_is_given_up(replay_of):
    script = Scripted(cycle([3]), avoids_repeats=True)
    assert replay_of(script, trials=10) == []
    assert len(script.heard) == 20 * 10


def test_a_network_that_the_table_lacks_is_told_as_failed_and_not_counted(replay_of):
    part = Table(ALL_ON_FRONT.networks[2:], {name: column[2:] for name, column in ALL_ON_FRONT.columns.items()})
    script = Scripted(range(12), avoids_repeats=False)
    (result,) = replay_of(script, table=part)
    assert script.heard[:3] == [None, None, [14.0, 3.0]]
    assert result.trainings == 10


def test_optunas_samplers_fit_the_seam_without_a_line_in_the_log(caplog):
    optuna.logging.enable_propagation()
    level = optuna.logging.get_verbosity()
    try:
        optuna.logging.set_verbosity(optuna.logging.INFO)
        with caplog.at_level(logging.INFO):
            proposer = OptunaProposer(optuna.samplers.RandomSampler(seed=0), {"x_a": ["0", "1"]}, 2, False)
            assert proposer.ask()["x_a"] in ("0", "1")
            proposer.tell([1.0, 2.0])
            proposer.ask()
            proposer.tell(None)
        assert optuna.logging.get_verbosity() == optuna.logging.INFO
    finally:
        optuna.logging.set_verbosity(level)
        optuna.logging.disable_propagation()
    assert not caplog.records


@pytest.mark.parametrize(
    ("samplers", "trials", "seeds", "message"),
    [
        ([], 10, 1, "samplers: expected some of random, .*, got none"),
        (["random", "tpe", "random"], 10, 1, "samplers: expected each once, got random twice"),
        (["pymo-nsga2"], 10, 1, "did you mean pymoo-nsga2"),
        (["random"], 9, 1, "trials: expected at least 10, got 9"),
        (["random"], 10, 0, "seeds: expected at least 1, got 0"),
        (["random"], 10, -2, "seeds: expected at least 1, got -2"),
        (["random"], 10, [], "seeds: expected at least 1, got none"),
    ],
)
def test_what_cannot_be_replayed_is_refused(samplers, trials, seeds, message):
    with pytest.raises(UsageError, match=message):
        check_replay(samplers, trials, seeds)


def test_a_sampler_whose_package_is_missing_is_refused_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(OTHERS, "smac", (OTHERS["smac"][0], "no_such_package"))
    with pytest.raises(UsageError, match=r"no_such_package, which is not installed \(pip install 'optnas\[bench\]'\)"):
        check_replay(["smac"], 10, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x_a,x_a,error,macs\n1,2,3,4\n", "expected different names of columns, got x_a, x_a, error, macs"),
        ("error,x_a,x_b\n1,2\n", "line 2: expected 3 columns, got more or fewer"),
        ("x_a,error\n1,2,3\n", "line 2: expected 2 columns, got more or fewer"),
        ("", "got 0 rows of nothing"),
    ],
)
def test_tables_with_ragged_rows_or_no_rows_are_refused(tmp_path, text, message):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(UsageError, match=message):
        load_table(tmp_path / "table.csv")


def test_a_damaged_gzip_file_is_refused(tmp_path):
    packed = bytearray(gzip.compress(b"x_a,error,macs\n" + b"1,2,3\n" * 50))
    packed[12:20] = b"\xff" * 8
    (tmp_path / "table.csv.gz").write_bytes(packed)
    with pytest.raises(UsageError, match=r"table\.csv\.gz: expected a csv file"):
        load_table(tmp_path / "table.csv.gz")


def test_objectives_without_any_hypervolume_are_refused():
    """The one network below the 90th percentile of the error is the one with the greatest cost."""
    table = Table([{"x_a": "0"}, {"x_a": "1"}], {"error": np.array([1.0, 2.0]), "macs": np.array([2.0, 1.0])})
    with pytest.raises(UsageError, match="objectives error,macs: expected a network below"):
        replay_samplers(table, ["error", "macs"], ["random"])


def test_a_table_of_fifteen_thousand_rows_and_three_objectives():
    rows = np.array(list(product(range(5), repeat=6)))
    generator = np.random.default_rng(0)
    networks = [{f"x_{i}": str(option) for i, option in enumerate(row)} for row in rows]
    columns = {name: generator.random(len(rows)) for name in ("error", "macs", "latency_ms")}
    results = replay_samplers(Table(networks, columns), list(columns), ["random"], 100, 1)
    assert [result.trainings for result in results] == [10, 25, 50, 100]
    assert results[-1].hypervolume > 0.5
