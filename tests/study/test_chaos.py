"""A search that is killed again and again ends as one that is left alone."""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

import psutil
import pytest
import toy

import optnas

KILLS = 30
SETTINGS = {
    "data": "digits", "sampler": "random", "trials": 40, "epochs": 60, "batch_size": 16, "workers": 2, "seed": 3,
    "pruner": "none", "study": "chaos",
}  # fmt: skip
SCRIPT = "import sys, toy, optnas; optnas.search(space=toy.chaos_space, storage=sys.argv[1], **eval(sys.argv[2]))"


def start(storage):
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, storage, repr(SETTINGS)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([os.path.dirname(toy.__file__), *sys.path])},
        start_new_session=True,
    )


def checked(process):
    """Its status is that of a kill or of an end that was well."""
    said = process.communicate()[1].decode()
    assert process.returncode in (0, -signal.SIGKILL), said
    return process.returncode


def networks(study):
    return {tuple(sorted(trial.params.items())): trial for trial in study.trials if optnas.study.is_trained(trial)}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_search_killed_thirty_times_ends_as_one_that_is_left_alone(tmp_path):
    generator = random.Random(0)
    path = tmp_path / "chaos.db"
    storage = f"sqlite:///{path}"
    checkpoints = tmp_path / "chaos.db-checkpoints"
    process, kills = start(storage), {"coordinator": 0, "worker": 0}
    while sum(kills.values()) < KILLS:
        # Some kills hit the start; most wait until something is lost by them.
        early = generator.random() < 0.2
        while not early and not list(checkpoints.rglob("*.safetensors")):
            assert process.poll() is None, f"it ended by itself after {kills}: {checked(process)}"
            time.sleep(0.02)
        time.sleep(generator.uniform(0, 2))
        assert process.poll() is None, f"it ended by itself after {kills}: {checked(process)}"
        workers = psutil.Process(process.pid).children()
        if workers and generator.random() < 0.4:
            with contextlib.suppress(psutil.NoSuchProcess):
                generator.choice(workers).kill()
                kills["worker"] += 1
                continue
        process.kill()
        kills["coordinator"] += 1
        checked(process)
        process = start(storage)
    assert checked(process) == 0

    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    study = optnas.load("chaos", storage, space=toy.chaos_space).study
    assert all(trial.state.is_finished() for trial in study.trials)
    found = networks(study)
    trained = [trial for trial in study.trials if optnas.study.is_trained(trial)]
    assert len(found) == len(trained) == SETTINGS["trials"]
    assert all(len(trial.user_attrs["optnas:curve"]) == SETTINGS["epochs"] for trial in trained)
    assert any(trial.user_attrs.get("optnas:resumed_epochs", 0) > 0 for trial in trained)
    assert not list(checkpoints.rglob("*.safetensors*"))

    alone = f"sqlite:///{tmp_path / 'alone.db'}"
    assert checked(start(alone)) == 0
    undisturbed = networks(optnas.load("chaos", alone, space=toy.chaos_space).study)
    # A worker that was killed twice in one training costs that trial, which then is another network's.
    failed = {tuple(sorted(trial.params.items())) for trial in study.trials if trial.state.name == "FAIL"}
    assert len(failed) <= 3
    assert found.keys() >= undisturbed.keys() - failed
    assert len(found.keys() - undisturbed.keys()) == len(failed)
    for name, trial in undisturbed.items():
        if name in found:
            assert found[name].user_attrs["optnas:curve"] == trial.user_attrs["optnas:curve"]
