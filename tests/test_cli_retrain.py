import json
import shutil

import optuna
import pytest

from optnas.cli import main
from optnas.deploy import retrain as room
from optnas.task import TrainingDiverged

QUICK = ["--epochs", "2", "--seeds", "2", "--workers", "0"]


@pytest.fixture(scope="module")
def _study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    search = ["search", "--space", "toy:digits_space", "--trials", "4", "--epochs", "1", "--workers", "0"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main([*search, "--pruner", "none"]) == 0
    return folder


@pytest.fixture(autouse=True)
def _in_a_copy(_study, tmp_path, monkeypatch, capsys):
    shutil.copytree(_study, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setenv("COLUMNS", "200")
    capsys.readouterr()


def refused(capsys, *arguments):
    try:
        status = main(["retrain", *arguments])
    except SystemExit as exit:
        status = exit.code
    output = capsys.readouterr()
    assert (status, output.out) == (2, "")
    return output.err.splitlines()[-1]


def test_a_table_and_what_is_next(capsys):
    assert main(["retrain", "--networks", "2", *QUICK]) == 0
    output = capsys.readouterr()
    assert "digits, retrained for 2 epochs" in output.out
    assert "best" in output.out
    assert "±" in output.out
    assert "test images: read on 20" in output.out
    assert "optnas export --study digits --trial " in output.out
    assert "[4/4] trial" in output.err

    assert main(["retrain", "--networks", "2", *QUICK, "--json"]) == 0
    output = capsys.readouterr()
    assert "they are not read again" in output.err
    result = json.loads(output.out)
    assert set(result) == {"networks", "settings", "tested", "looks"}
    for network in result["networks"]:
        assert len(network["errors"]) == len(network["test_errors"]) == 2
        assert network["mean"] == pytest.approx(sum(network["errors"]) / 2)
    study = optuna.load_study(study_name="digits", storage="sqlite:///optnas.db")
    assert len(study.user_attrs["optnas:tests"]) == 1

    sentence = refused(capsys, "--networks", "2", "--epochs", "3")
    assert "test images were read on" in sentence
    assert "--test-again" in sentence
    assert main(["retrain", "--networks", "1", *QUICK[2:], "--epochs", "1", "--no-test", "--no-augment"]) == 0
    output = capsys.readouterr()
    assert "test images: not read" in output.out
    assert main(["retrain", "--networks", "1", *QUICK[2:], "--epochs", "1", "--test-again"]) == 0
    assert "the study has read them 2 times" in capsys.readouterr().out


def test_failures_are_shown(capsys, monkeypatch):
    run_job = room.run_job

    def moody(job):
        if job.seed:
            raise TrainingDiverged(1, 1)
        return run_job(job)

    monkeypatch.setattr(room, "run_job", moody)
    assert main(["retrain", "--networks", "1", *QUICK]) == 0
    assert "seed 1: training diverged in epoch 1 at step 1" in capsys.readouterr().out

    def sick(job):
        raise TrainingDiverged(1, 1)

    monkeypatch.setattr(room, "run_job", sick)
    assert main(["retrain", "--networks", "1", "--seeds", "1", "--epochs", "1", "--no-test", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["networks"][0]["mean"] is None


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--budget", "macs<=1"], "has no trained network within macs<=1"),
        (["--budget", "macs"], "macs"),
        (["--trial", "1,x"], "invalid list of trial numbers value: '1,x'"),
        (["--trial", "44"], "has no trial 44, only"),
        (["--trial", "1", "--budget", "macs<=1M"], "expected --budget or --trial, got both"),
        (["--no-test", "--test-again"], "expected --no-test or --test-again, got both"),
        (["--epochs", "0"], "epochs: expected a whole number from 1, got 0"),
        (["--networks", "0"], "networks: expected a whole number from 1, got 0"),
        (["--study", "other"], "there is no study 'other'"),
        (["--storage", "sqlite:///none.db"], "there is no such file"),
        (["--epoch", "3", "--sedes", "1"], "unknown argument --sedes; did you mean --seeds?"),
    ],
)
def test_what_is_refused(flags, words, capsys):
    assert words in refused(capsys, *flags)
