"""`optnas bench workers` as a person runs it."""

import json
from pathlib import Path
from typing import Any

import pytest

from optnas.cli import main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"{a},{b},{c},{a * b + c + 1},{9 - a - b - c}" for a in range(4) for b in range(4) for c in range(4)]
    (tmp_path / "table.csv").write_text("\n".join(["x_a,x_b,x_c,error,macs", *rows]))


ARGUMENTS = ["bench", "workers", "--table", "table.csv", "--objectives", "error,macs", "--trials", "12"]


def test_the_fields_asked_for_and_a_picture(capsys: Any, tmp_path: Path) -> None:
    given = [*ARGUMENTS, "--samplers", "random,nsga2", "--workers", "1,4", "--seeds", "2", "--level", "0.5"]
    assert main([*given, "--json", "--plot", "out.svg"]) == 0
    output = capsys.readouterr()
    found = json.loads(output.out)
    assert [(one["sampler"], one["workers"], one["runs"]) for one in found] == [
        ("random", 1, 2),
        ("random", 4, 2),
        ("nsga2", 1, 2),
        ("nsga2", 4, 2),
    ]
    assert all(one["trainings"] == [10, 12] and one["checkpoints"] is None for one in found)
    lines = output.err.splitlines()
    assert len(lines) == 8 + 1
    assert lines[0].startswith("1/8 random, 1 workers, seed 0: hypervolume ")
    assert lines[-1] == "picture: out.svg"
    assert "workers" in (tmp_path / "out.svg").read_text()


def test_tables_for_workers_that_live_and_that_die_fit_in_a_terminal(capsys: Any) -> None:
    given = [*ARGUMENTS, "--samplers", "tpe-multivariate", "--workers", "1,4", "--seeds", "2", "--deaths", "0.3"]
    assert main(given) == 0
    output = capsys.readouterr().out
    living, dying = output.split("\n\n")
    assert len(living.splitlines()) == 1 + 2
    assert [line.split()[2] for line in dying.splitlines()[1:]] == ["epochs", "nothing"] * 2
    assert max(map(len, output.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--samplers", "nsga"], "did you mean nsga2?"),
        (["--workers", "1,many"], "workers: expected numbers with commas, such as 1,16,256, got '1,many'"),
        (["--workers", "0"], "workers: expected different numbers of at least 1, got 0"),
        (["--trials", "9"], "trials: expected at least 10, got 9"),
        (["--seeds", "0"], "seeds: expected at least 1, got 0"),
        (["--level", "95"], "level: expected a share of the hypervolume above 0 and at most 1, got 95"),
        (["--deaths", "0"], "deaths: expected a rate above 0 an hour, got 0"),
        (["--deaths", "1", "--epochs", "0"], "expected at least 1 epoch"),
        (["--objectives", "error,energy"], "expected a column of the table, one of error, macs"),
        (["--table", "nowhere.csv.gz"], "nowhere.csv.gz: expected a csv file, got a path that does not exist"),
        (["--plot", "out.xyz"], "picture out.xyz: expected an ending such as .png"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(capsys: Any, arguments: list[str], words: str) -> None:
    try:
        status = main([*ARGUMENTS, *arguments])
    except SystemExit as stop:
        status = int(stop.code or 0)
    error = capsys.readouterr().err
    assert status == 2
    assert words in error
    assert len(error.splitlines()) == 1
