"""Every study script runs for real, with a tiny budget, as a person runs it."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
TABLE = REPOSITORY.parent / "shared/bench/nasbench201_cifar10.csv.gz"
FASHION = REPOSITORY.parent / "shared/data/fashion-mnist"
TINY = {
    "quickstart_digits": ["--trials", "3", "--epochs", "1"],
    "my_own_space": ["--trials", "3", "--epochs", "1"],
    "fashion_mobile": ["--data-root", str(FASHION), "--trials", "2", "--epochs", "1", "--train-images", "200"],
    "pruning_with_samplers": ["--table", str(TABLE), "--seeds", "1", "--trainings", "5"],
    "compare_samplers": ["--data", "digits", "--trials", "3", "--epochs", "1", "--seeds", "1"],
    "explain_coverage": [
        "--table",
        str(TABLE),
        "--cost",
        "pixel3_ms",
        "--samplers",
        "random",
        "--trained",
        "20",
        "--draws",
        "1",
        "--noise",
        "0.3",
    ],
    "surrogate_choice": ["--table", str(TABLE), "--cost", "pixel3_ms", "--trained", "10", "--draws", "1"],
    "measured_latency": ["--table", str(TABLE), "--latency", "pixel3_ms", "--trained", "10", "--searches", "1"],
    "front_certainty": ["--table", str(TABLE), "--cost", "pixel3_ms", "--trained", "20", "--fronts", "1"],
    "pricing_speed": ["--networks", "3", "--sizes", "28"],
    "overhead": ["--trials", "3"],
    "throughput": ["--trials", "5"],
    "checkpoint_overhead": ["--data", "digits", "--rounds", "1", "--epochs", "1", "--train-images", "200"],
    "executor_overhead": ["--jobs", "20", "--kills", "1"],
    "dashboard_overhead": ["--trials", "4", "--searches", "1", "--trainings", "2"],
    "saturation": ["--trials", "12", "24", "--measured", "2"],
    "suggestion_time": ["--finished", "4", "12", "--suggestions", "1"],
    "pruning_pays": [
        "--data-root",
        str(FASHION),
        "--trials",
        "3",
        "--epochs",
        "2",
        "--seeds",
        "1",
        "--train-images",
        "200",
    ],
    "three_schools": [
        "--data",
        "digits",
        "--methods",
        "random",
        "one-shot",
        "--time",
        "12s",
        "--epochs",
        "1",
        "--seeds",
        "1",
    ],
    "timed_where": [
        "--data",
        "digits",
        "--trials",
        "4",
        "--epochs",
        "1",
        "--seeds",
        "1",
        "--train-images",
        "200",
    ],
    "training_throughput": ["--data-root", str(FASHION), "--images", "400", "--rounds", "1"],
}
#: Run again, these go on where they stopped.
RESUMED = ("quickstart_digits", "my_own_space", "fashion_mobile", "three_schools", "timed_where")


def test_every_script_has_a_test():
    assert {path.stem for path in (REPOSITORY / "studies").glob("*.py")} == set(TINY)


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_a_study_runs_and_goes_on(name, tmp_path):
    arguments = TINY[name]
    for needed in (FASHION, TABLE):
        if str(needed) in arguments and not needed.exists():
            pytest.skip(f"there is nothing at {needed}")
    for _ in range(2 if name in RESUMED else 1):
        command = [sys.executable, REPOSITORY / "studies" / f"{name}.py", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()
        assert "Traceback" not in done.stderr
        assert "Warning" not in done.stderr
