from pathlib import Path

import optuna
import pytest

from optnas.cli import main
from optnas.cost import LatencyTable, load_table
from optnas.cost import collect as collecting
from optnas.errors import UsageError
from optnas.study.settings import Settings, settings_from

SPACE = """
from functools import partial
from torch import nn
from optnas.space import choose

def build(trial, input_shape, num_classes):
    width = trial.suggest_categorical("width", [4, 8])
    layers = [nn.Sequential(nn.Conv2d(input_shape[0], width, 3, padding=1), nn.ReLU())]
    for name in ("first", "second"):
        options = {f"k{k}": partial(nn.Conv2d, width, width, k, padding=k // 2) for k in (1, 3)}
        layers.append(choose(trial, name, {**options, "skip": nn.Identity}))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, num_classes))
"""
TIMED = ("--objectives", "error,latency_ms")


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A table of a space of 18 networks for the digits."""
    monkeypatch.chdir(tmp_path)
    for name, few in (("_QUIET", 20), ("_CALIBRATION", 3), ("_TEST", 3)):
        monkeypatch.setattr(collecting, name, few)
    (tmp_path / "tabled.py").write_text(SPACE)
    arguments = ["--space", "tabled.py:build", "--input", "1x8x8", "--runtime", "eager", "--out", "table.json"]
    assert main(["latency-table", "build", *arguments]) == 0
    return "table.json"


@pytest.mark.slow
def test_a_table_is_built_shown_and_searched_with(table: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["latency-table", "show", table]) == 0
    shown = capsys.readouterr().out
    assert "of tabled.py:build at 1x8x8, 10 classes" in shown
    assert "runtime: eager" in shown
    assert "14 timed, of 6 kinds; 0% of 14 are estimated" in shown
    assert "on 3 networks not used otherwise" in shown
    flags = ["--data", "digits", "--space", "tabled.py:build", "--epochs", "1", "--trials", "3", "--workers", "0"]
    flags += ["--train-images", "100", "--val-images", "50"]
    assert main(["search", *flags, *TIMED, "--latency-table", table]) == 0
    study = optuna.load_study(study_name="digits", storage="sqlite:///optnas.db")
    made: LatencyTable = load_table(table)
    assert study.user_attrs["optnas:settings"]["device"]["latency_table"] == made.digest
    assert study.user_attrs["optnas:request"]["latency_table"] == str(Path(table).resolve())
    costs = [trial.user_attrs["optnas:costs"] for trial in study.trials]
    assert all("latency_spread_ms" not in one and one["latency_ms"] > 0 for one in costs)
    # Another table is another study.
    text = Path(table).read_text().replace('"scale": ', '"scale": 2')
    Path(table).write_text(text)
    assert main(["search", "--trials", "4", "--study", "digits", "--workers", "0"]) == 2
    assert "device.latency_table" in capsys.readouterr().err


@pytest.mark.slow
def test_a_table_for_other_images_is_refused(table: str, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--data", "digits", "--space", "mobile", "--workers", "0", *TIMED, "--latency-table", table]
    assert main(["search", *flags]) == 2
    assert "expected blocks of tabled.py:build" in capsys.readouterr().err
    assert main(["search", *flags, "--image-size", "16"]) == 2
    assert "expected images of 1x8x8, for which it was made, got 1x16x16" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["build", "--out", "no/such/folder.json"], "--out: expected a file in a folder that exists"),
        (["build", "--out", "t.json", "--blocks", "0"], "--blocks: expected a whole number from 1, got 0"),
        (["build", "--out", "t.json", "--runtime", "onix"], "unknown runtime 'onix'"),
        (["build", "--out", "t.json", "--input", "28"], "--input: expected channels x height x width"),
        (["show", "none.json"], "latency table none.json: cannot be read"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["latency-table", *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_a_table_takes_the_place_of_timing() -> None:
    with pytest.raises(UsageError, match="latency_table: expected latency_ms among the objectives"):
        Settings(latency_table="table.json").prices  # noqa: B018
    objectives = ("error", "latency_ms")
    for given in ({"runtime": "eager"}, {"device_command": "./phone.sh"}):
        with pytest.raises(UsageError, match="expected none with latency_table"):
            settings_from({"objectives": objectives, "latency_table": "table.json", **given})
