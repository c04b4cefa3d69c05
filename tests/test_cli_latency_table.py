import math
from pathlib import Path

import optuna
import pytest

from optnas.cli import main
from optnas.cli.latency_table import _next_command, _Progress
from optnas.cost import LatencyTable, load_table
from optnas.cost import collect as collecting
from optnas.cost.table import TableError
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
    made = "for which it was made"
    assert f"expected space tabled.py:build, {made}, got space mobile\n" in capsys.readouterr().err
    assert main(["search", *flags, "--image-size", "16"]) == 2
    both = f"expected space tabled.py:build, images of 1x8x8, {made}, got space mobile, images of 1x16x16\n"
    assert both in capsys.readouterr().err


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


def shown(shape: tuple[int, int, int], classes: int = 10, tau: float = 0.9, space: str = "mobile") -> LatencyTable:
    return LatencyTable(space, shape, classes, "eager", {}, 1.0, 0.0, 1.0, {}, 1, TableError(30, 0.1, 0.2, tau))


@pytest.mark.parametrize(
    ("table", "flags"),
    [
        (shown((1, 8, 8)), "--space mobile --data digits"),
        (shown((1, 16, 16)), "--space mobile --data fashion-mnist --image-size 16"),
        (shown((1, 28, 28), space="my spaces.py:build"), "--space 'my spaces.py:build' --data fashion-mnist"),
        (shown((3, 32, 32)), "--space mobile --data cifar10"),
        (shown((3, 64, 64), 5), "--space mobile --data imagefolder:DIR --image-size 64"),
    ],
)
def test_the_next_command_is_for_images_that_the_table_was_made_for(table: LatencyTable, flags: str) -> None:
    assert _next_command(table, "t.json").startswith(
        f"optnas search {flags} --objectives error,latency_ms --latency-table t.json"
    )


def test_images_that_no_data_set_has_are_named() -> None:
    assert _next_command(shown((1, 20, 40), 3), "t.json").endswith("# with --data of images of 1x20x40 in 3 classes")


@pytest.mark.parametrize(("tau", "warned"), [(0.69, True), (math.nan, True), (0.7, False)])
def test_a_table_that_orders_networks_badly_says_so(
    tau: float, warned: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown((1, 8, 8), tau=tau).save(tmp_path / "t.json")
    assert main(["latency-table", "show", str(tmp_path / "t.json")]) == 0
    assert ("beware:" in capsys.readouterr().out) == warned


def test_a_build_says_once_how_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second for each block, of which 5 are known: after 10 there are 85 left of 100."""
    said, status, seconds = list[str](), list[str](), iter(range(100))
    monkeypatch.setattr("optnas.cli.latency_table.time.monotonic", lambda: next(seconds))
    progress = _Progress(said.append, status.append)
    progress("blocks found", 100, 100)
    for done in range(5, 18):
        progress("blocks timed", done, 100)
    assert said[0] == "5 of 100 blocks were timed before"
    assert len(said) == 2
    assert status[-1].startswith("blocks timed: 17 of 100, about ")


@pytest.mark.parametrize(
    ("space", "shape", "classes", "sentence"),
    [
        ("cell", (1, 8, 8), 10, "expected space mobile, for which it was made, got space cell"),
        ("mobile", (1, 28, 28), 10, "expected images of 1x8x8, for which it was made, got images of 1x28x28"),
        ("mobile", (1, 8, 8), 5, "expected 10 classes, for which it was made, got 5 classes"),
    ],
)
def test_a_study_that_a_table_was_not_made_for_is_told_what_differs(
    space: str, shape: tuple[int, int, int], classes: int, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        shown((1, 8, 8)).check_study(space, shape, classes)


def test_a_space_is_the_same_by_its_file_and_by_its_module() -> None:
    for name in ("spaces/tabled.py:build", "tabled:build", "package.tabled:build"):
        shown((1, 8, 8), space="tabled.py:build").check_study(name, (1, 8, 8), 10)
    shown((1, 8, 8), space="").check_study("mobile", (1, 8, 8), 10)
    with pytest.raises(UsageError, match="got space tabled:other"):
        shown((1, 8, 8), space="tabled.py:build").check_study("tabled:other", (1, 8, 8), 10)
