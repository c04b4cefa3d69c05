"""Coordinators in processes of their own on one study: none lost, none twice, whoever is killed or frozen."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter

import optuna
import pytest
import toy

from optnas.study import is_trained, open_storage
from optnas.study.coordinator import DROPPED

# What a coordinator says goes to standard error, an event a line.
SCRIPT = """
import os, sys, time
from datetime import timedelta
from pathlib import Path
import optuna, toy
from optnas.sampler import make_sampler
from optnas.study import InProcess, open_storage, open_study, run, shared
from optnas.study.locks import setting_up

address, name, trials, delay, log, grace, ready, count = sys.argv[1:]
shared._BEAT, shared._GRACE = timedelta(seconds=float(grace) / 10), timedelta(seconds=float(grace))
# What the first trial imports takes longer on a busy machine than the grace of a test.
warm = toy.objective(toy.wide_space)
run(toy.study(warm), warm, InProcess(), 1)
objective = toy.objective(toy.wide_space, toy.ToyTask(delay=float(delay), log=log))
Path(ready, str(os.getpid())).touch()
while len(list(Path(ready).iterdir())) < int(count):
    time.sleep(0.01)
storage = open_storage(address)
with setting_up(address, name):
    study = open_study(storage, name, objective.objectives, {"seed": 0}, make_sampler("random", 0, 6))
tell = lambda event: print(event.kind, event.trial, event.message, file=sys.stderr, flush=True)
run(study, objective, InProcess(), int(trials), tell, holding=shared.Shared(study, objective))
"""


class Search:
    """Starts coordinators of one study, and looks at what they made of it."""

    def __init__(self, address, folder, trials, delay=0.0, grace=60.0):
        self._log = folder / "trained"
        self._log.touch()
        self._ready = folder / "ready"
        self._ready.mkdir()
        self._given = [address, "s", str(trials), str(delay), str(self._log), str(grace), str(self._ready)]
        self._storage = open_storage(address)
        self.processes = []

    def start(self, count):
        """Start so many, which open the database at the same moment."""
        paths = os.pathsep.join([os.path.dirname(toy.__file__), *sys.path])
        for _ in range(count):
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-W", "ignore", "-c", SCRIPT, *self._given, str(count)],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                    env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
                )
            )

    def trainings(self):
        """The seeds of the trainings that were begun."""
        return self._log.read_text().split()

    def wait_until_all_train(self):
        """Return when each has begun a trial."""
        limit = time.monotonic() + 240
        while len(list(self._ready.iterdir())) < len(self.processes) or len(self._owners()) < len(self.processes):
            assert time.monotonic() < limit, [process.poll() for process in self.processes]
            time.sleep(0.05)

    def _owners(self):
        try:
            return {trial.system_attrs.get("optnas:owner") for trial in self.trials}
        except KeyError:
            return set()  # there is no study yet

    def said(self, process):
        """What a coordinator said, which has to end well."""
        text = process.communicate(timeout=300)[1]
        assert process.returncode == 0, text
        return text.splitlines()

    @property
    def trials(self):
        return optuna.load_study(study_name="s", storage=self._storage).trials

    def close(self):
        for process in self.processes:
            if not process.stderr.closed:
                process.kill()
                process.communicate()
        self._storage.remove_session()
        self._storage.engine.dispose()


@pytest.fixture
def search(database, tmp_path):
    made = []

    def make(trials, **given):
        made.append(Search(database, tmp_path, trials, **given))
        return made[-1]

    yield make
    for one in made:
        one.close()


def check(trials, count):
    """So many networks are trained, none twice, and nothing is left."""
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED"}
    trained = [trial for trial in trials if is_trained(trial)]
    assert len(trained) == count
    assert len({trial.user_attrs["optnas:fingerprint"] for trial in trained}) == count
    assert len({tuple(trial.params.items()) for trial in trained}) == count
    numbers = {trial.number: trial for trial in trained}
    for trial in trials:
        if trial.number not in numbers:
            elder = numbers[trial.user_attrs["optnas:repeat_of"]]
            assert trial.user_attrs["optnas:fingerprint"] == elder.user_attrs["optnas:fingerprint"]
            assert trial.values == elder.values
    return trained


@pytest.mark.slow
def test_four_coordinators_train_four_hundred_networks_once_each(search):
    four = search(400)
    four.start(4)  # at the same moment, on an empty database
    for process in four.processes:
        four.said(process)
    trained = check(four.trials, 400)
    assert len(four.trainings()) == len(set(four.trainings())) == 400
    shares = Counter(trial.system_attrs["optnas:owner"] for trial in trained)
    assert len(shares) > 1


@pytest.mark.slow
def test_one_that_is_killed_loses_nothing(search):
    three = search(60, delay=0.2, grace=6)
    three.start(3)
    three.wait_until_all_train()
    victim = three.processes[0]
    victim.kill()
    victim.communicate()
    for process in three.processes[1:]:
        three.said(process)
    check(three.trials, 60)
    # What the victim had begun was begun once more, by one of the others.
    again = [seed for seed, times in Counter(three.trainings()).items() if times > 1]
    assert len(again) <= 1
    assert len(three.trainings()) == 60 + len(again)


@pytest.mark.slow
def test_one_that_was_frozen_drops_what_others_have_taken_over(search):
    two = search(12, delay=0.5, grace=2)
    two.start(2)
    two.wait_until_all_train()
    frozen, other = two.processes
    frozen.send_signal(signal.SIGSTOP)
    two.said(other)
    check(two.trials, 12)
    before = [(trial.values, trial.user_attrs) for trial in two.trials]
    frozen.send_signal(signal.SIGCONT)
    said = two.said(frozen)
    assert [(trial.values, trial.user_attrs) for trial in two.trials] == before
    lost = [line for line in said if line.startswith("lost")]
    again = len(two.trainings()) - len(set(two.trainings()))
    assert again <= len(lost) <= 1  # it may have been frozen between two trainings
    assert all(DROPPED in line for line in lost)


@pytest.mark.slow
def test_a_server_that_is_started_anew_costs_nothing(search, postgresql):
    two = search(30, delay=0.3)
    two.start(2)
    two.wait_until_all_train()
    postgresql.stop()
    time.sleep(1)
    postgresql.start()
    for process in two.processes:
        two.said(process)
    check(two.trials, 30)
    assert len(two.trainings()) == len(set(two.trainings())) == 30
