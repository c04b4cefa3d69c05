"""`optnas explain`, as a person types it."""

import json

import additive
import optuna
import pytest

import optnas
from optnas.cli import main

SEARCH = {"space": "toy:digits_space", "epochs": 1, "workers": 0, "sampler": "random", "pruner": "none"}


@pytest.fixture
def storage(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return f"sqlite:///{tmp_path}/optnas.db"


def test_a_search_is_explained(storage, capsys, tmp_path):
    optnas.search(trials=4, storage=storage, **SEARCH)
    capsys.readouterr()
    assert main(["explain", "--plot", "why.png"]) == 0
    output = capsys.readouterr().out
    assert "- digits: 4 networks trained to the end" in output
    assert "takes more trained networks to say" in output
    assert "another option in place of the usual one" in output
    assert max(map(len, output.splitlines())) <= 80
    assert (tmp_path / "why.png").stat().st_size > 1000

    assert main(["explain", "--json", "--budget", "macs<=10"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["trained"], found["advice"]["smallest"]) == (4, None)
    assert found["prices"][0]["costs"]["macs"]["std"] == 0

    assert main(["explain", "--trial", "77"]) == 2
    assert "trial 77: expected one that trained a network to the end" in capsys.readouterr().err
    assert main(["explain", "--budget", "latency_ms<=2"]) == 2
    assert "latency_ms" in capsys.readouterr().err


def test_a_study_of_somebody_else(storage, capsys):
    study = optuna.create_study(storage=storage, study_name="theirs", directions=["minimize"] * 2)
    for trial in additive.trained_study(60).trials:
        study.add_trial(trial)
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        study.set_metric_names(["error", "macs"])
    assert main(["explain", "--study", "theirs"]) == 0
    output = capsys.readouterr().out
    assert "was not made by optnas search" in " ".join(output.split())
    assert "op " in output
    assert "may be chance" in output


def test_nothing_trained(storage, capsys):
    optuna.create_study(storage=storage, study_name="empty")
    assert main(["explain"]) == 2
    assert "expected a network that was trained to the end" in capsys.readouterr().err
