"""A job that is run again goes on from its checkpoint and comes to the same outcome."""

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cloudpickle
import pytest
import toy
from torch import nn

from optnas.job import Job, run_job, train_job
from optnas.space import bind_space
from optnas.task import Checkpoint, ImageTask, Learned, Task

EPOCHS = 4


class Killed(BaseException):
    """Ends a training as a kill does."""


@pytest.fixture(autouse=True)
def _each_epoch(monkeypatch):
    """These trainings take less than a second, of which nothing would be kept."""
    monkeypatch.setattr(Checkpoint, "due", lambda self, *, mid_epoch=False: not mid_epoch)


def job(**changes) -> Job:
    build = bind_space(toy.digits_space, (1, 8, 8), 10)
    task = ImageTask("digits", epochs=EPOCHS, train_images=300)
    return replace(Job(5, build, {"width": 12}, task, 3, {}), **changes)


def kill(job, monkeypatch, epoch):
    """Kill the training of a job after it has kept that epoch."""
    save = Checkpoint.save

    def last(self, module, optimizer, curve, **named):
        save(self, module, optimizer, curve, **named)
        if len(curve) == epoch:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", last)
        with pytest.raises(Killed):
            run_job(job)


def timeless(outcome):
    return replace(outcome, seconds=0, resumed_epochs=0)


@pytest.mark.parametrize("epoch", [1, 3, EPOCHS])
def test_a_killed_job_goes_on_to_the_same_outcome_and_weights(tmp_path, monkeypatch, epoch):
    whole = job(weights=str(tmp_path / "whole.safetensors"))
    expected = run_job(whole)
    assert (expected.resumed_epochs, expected.warning) == (0, "")
    again = job(checkpoint=str(tmp_path / "kept" / "5.safetensors"), weights=str(tmp_path / "again.safetensors"))
    kill(again, monkeypatch, epoch)
    outcome = run_job(cloudpickle.loads(cloudpickle.dumps(again)))
    assert outcome.resumed_epochs == epoch
    assert timeless(outcome) == timeless(expected)
    assert Path(whole.weights).read_bytes() == Path(again.weights).read_bytes()
    assert Path(again.checkpoint).exists(), "whoever keeps the outcome removes it then"
    assert run_job(again).resumed_epochs == EPOCHS


@pytest.mark.parametrize("audited", [False, True])
def test_the_pruner_hears_of_the_earlier_epochs(tmp_path, monkeypatch, audited):
    bounds = (1.0, 0.0, 1.0)  # it is stopped after the second epoch
    expected = run_job(job(thresholds=bounds, audited=audited))
    assert expected.stop_epoch == 2
    again = job(thresholds=bounds, audited=audited, checkpoint=str(tmp_path / "5.safetensors"))
    kill(replace(again, audited=True), monkeypatch, 3 if audited else 1)
    outcome = run_job(again)
    assert outcome.resumed_epochs == (3 if audited else 1)
    assert timeless(outcome) == timeless(expected)
    assert (outcome.error is None) == (not audited)


def test_seconds_of_before_count(tmp_path, monkeypatch):
    again = job(checkpoint=str(tmp_path / "5.safetensors"))
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "seconds", 1000.0)
        kill(again, monkeypatch, 2)
    assert 1000 < run_job(again).seconds < 1100
    pruned = replace(again, thresholds=(0.0,))
    assert run_job(pruned).error is None
    assert 1000 < run_job(pruned).seconds < 1100


def relu(trial):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.ReLU())


def gelu(trial):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.GELU())


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 4},
        {"params": {"width": 12, "train.lr": 0.1}},
        {"build": gelu},
        {"task": ImageTask("digits", epochs=EPOCHS, train_images=301)},
        {"task": ImageTask("digits", epochs=EPOCHS + 1, train_images=300)},
    ],
)
def test_the_checkpoint_of_another_job_is_refused(tmp_path, monkeypatch, change):
    first = job(build=relu, checkpoint=str(tmp_path / "5.safetensors"))
    kill(first, monkeypatch, 2)
    other = replace(first, **change)
    outcome = run_job(other)
    assert outcome.resumed_epochs == 0
    assert outcome.warning.endswith("5.safetensors: it is of another training; training began anew")
    assert timeless(replace(outcome, warning="")) == timeless(run_job(replace(other, checkpoint=None)))


def test_a_checkpoint_that_is_too_large_or_cannot_be_written_is_a_warning(tmp_path):
    expected = run_job(job())
    small = run_job(job(checkpoint=str(tmp_path / "5.safetensors"), checkpoint_bytes=1000))
    assert "bytes, and may take 1000; training went on without it" in small.warning
    (tmp_path / "file").touch()
    stuck = run_job(job(checkpoint=str(tmp_path / "file" / "5.safetensors")))
    assert stuck.warning
    for outcome in (small, stuck):
        assert timeless(replace(outcome, warning="")) == timeless(expected)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


class Plain(toy.ToyTask):
    """Knows nothing of checkpoints."""


class Own(Task):
    """A loop of one's own: it counts, in the weight of the network and in a file."""

    input_shape, num_classes = (1, 2, 2), 3

    def __init__(self, log):
        self.log = log

    def train(self, module, seed, on_epoch=None, checkpoint=None):
        saved = None if checkpoint is None else checkpoint.load(module)
        curve = [] if saved is None else list(saved.curve)
        for epoch, error in enumerate(curve, 1):
            on_epoch(epoch, error)
        for epoch in range(len(curve) + 1, 4):
            with self.log.open("a") as file:
                file.write(f"{epoch}\n")
            module[1].bias.data.fill_(epoch)
            curve.append(1 / epoch)
            on_epoch(epoch, curve[-1])
            if checkpoint is not None and checkpoint.due():
                checkpoint.save(module, None, curve)
        return Learned(curve[-1], tuple(curve), 3, 0.1, 1.0)


def test_a_task_that_knows_no_checkpoints_trains_as_before(tmp_path):
    plain = job(build=toy.small_space, params={"width": 2}, task=Plain(), checkpoint=str(tmp_path / "5.safetensors"))
    assert run_job(plain).curve == run_job(replace(plain, checkpoint=None)).curve
    assert list(tmp_path.iterdir()) == []


def test_a_loop_of_ones_own_goes_on(tmp_path, monkeypatch):
    own = job(build=toy.small_space, params={"width": 2}, task=Own(tmp_path / "log"))
    assert run_job(own).curve == (1, 1 / 2, 1 / 3)
    own = replace(own, checkpoint=str(tmp_path / "5.safetensors"))
    kill(own, monkeypatch, 2)
    (tmp_path / "log").unlink()
    module, outcome = train_job(own)
    assert (outcome.curve, outcome.resumed_epochs) == ((1, 1 / 2, 1 / 3), 2)
    assert (tmp_path / "log").read_text() == "3\n"
    assert module[1].bias.tolist() == [3, 3]


RUN = """
import sys
import cloudpickle
from optnas.job import run_job
from optnas.task import Checkpoint
Checkpoint.due = lambda self, *, mid_epoch=False: True  # after each step
print(run_job(cloudpickle.loads(open(sys.argv[1], "rb").read())).resumed_epochs)
"""


@pytest.mark.slow
def test_a_job_that_is_killed_for_real_goes_on(tmp_path):
    path, pickled = tmp_path / "5.safetensors", tmp_path / "job"
    again = job(
        checkpoint=str(path),
        weights=str(tmp_path / "again.safetensors"),
        task=ImageTask("digits", epochs=40, train_images=300),
    )
    pickled.write_bytes(cloudpickle.dumps(again))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", RUN, str(pickled)], env=environment)
    while not path.exists():
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    outcome = run_job(again)
    assert outcome.warning == ""
    assert math.isfinite(outcome.error)
    whole = replace(again, checkpoint=None, weights=str(tmp_path / "whole.safetensors"))
    assert timeless(outcome) == timeless(run_job(whole))
    assert Path(whole.weights).read_bytes() == Path(again.weights).read_bytes()


def test_a_checkpoint_says_what_it_is_of_in_json(tmp_path, monkeypatch):
    kill(job(checkpoint=str(tmp_path / "5.safetensors")), monkeypatch, 2)
    data = (tmp_path / "5.safetensors").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    identity = json.loads(header["__metadata__"]["optnas-checkpoint"])["identity"]
    assert identity["choices"] == {"width": 12}
    assert identity["seed"] == 3


def test_weights_are_sent_as_they_would_be_written_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sent = run_job(job(send_weights=True))
    assert list(tmp_path.iterdir()) == []
    run_job(job(weights="whole.safetensors"))
    assert sent.weights == Path("whole.safetensors").read_bytes()
    assert run_job(job(send_weights=True, thresholds=(0.0,) * EPOCHS)).weights is None  # of half a training
