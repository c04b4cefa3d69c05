"""Ray on one machine: a cluster of our own."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import optuna
import pytest
import toy
from PIL import Image
from study.conformance import ElsewhereTests, ended, needs_proc, sleep_for_ever, until
from study.test_process_pool import allocate, worker_pid

import optnas
from optnas.errors import UsageError
from optnas.job import run_job
from optnas.objective import Objective
from optnas.study import LimitExceeded, WorkerDied
from optnas.study.limits import Limits
from optnas.study.ray_executor import RayExecutor
from optnas.task import ImageTask

ray = pytest.importorskip("ray", reason="Ray is not installed")
psutil = pytest.importorskip("psutil")
pytestmark = pytest.mark.slow


def stop(number, frame):
    """What a search does when it is told to end."""
    sys.exit(number)


@pytest.fixture(scope="module")
def local():
    before = signal.signal(signal.SIGTERM, stop)
    executor = RayExecutor(most=2)
    yield executor
    executor.close()
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def executor(local):
    return local


class TestRayExecutor(ElsewhereTests):
    def another(self):
        # In this process there is one cluster at a time: another executor is a guest in it.
        return RayExecutor(most=2)


def test_a_guest_leaves_the_cluster_alone(local):
    with closing(RayExecutor()) as guest:
        assert guest.submit(worker_pid, None).result() != os.getpid()
    assert ray.is_initialized()
    assert local.submit(worker_pid, None).result() != os.getpid()


def test_the_cluster_of_a_search_listens_on_loopback_alone(local):
    local.submit(worker_pid, None).result()
    listening = set()
    me = psutil.Process()
    for process in (me, *me.children(recursive=True)):
        if process is me or "ray" in " ".join(process.cmdline()):
            addresses = [one.laddr.ip for one in process.net_connections() if one.status == psutil.CONN_LISTEN]
            listening.update(addresses)
    assert listening
    assert listening <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_dies_costs_one_job(local, how):
    error = local.submit(lambda number: os.kill(os.getpid(), number), how).exception()
    assert isinstance(error, WorkerDied)
    assert str(error) == "the worker was killed or crashed, or its node is gone"
    assert local.submit(worker_pid, None).result() != os.getpid()


def test_no_more_slots_than_asked_for_and_no_fewer(local):
    assert until(lambda: local.slots == 2)
    with closing(RayExecutor(cpus_per_trial=2)) as guest:
        assert guest.slots == 1


def test_limits_are_kept_to_on_every_node(local):
    with closing(RayExecutor(limits=Limits(900 * 10**6, 10))) as guest:
        assert guest.submit(worker_pid, None).result() != os.getpid()
        errors = [guest.submit(allocate, None).exception(), guest.submit(time.sleep, 600).exception()]
        assert [type(error) for error in errors] == [LimitExceeded] * 2
        assert list(map(str, errors)) == ["used more than 900 MB of memory", "took longer than 10 s"]
        assert guest.submit(worker_pid, None).result() != os.getpid()


def test_a_trial_that_no_node_can_hold_is_refused(local):
    with pytest.raises(UsageError, match=r"expected a node with 64 CPUs for a trial, the cluster has 2 CPUs"):
        RayExecutor(cpus_per_trial=64)
    assert ray.is_initialized()


@pytest.fixture
def image_folder(tmp_path):
    draws = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(20):
            pixels = draws.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{number}.png")
    return tmp_path / "images"


def linear(trial, input_shape, num_classes):
    trial.suggest_int("nothing", 1, 2)
    return toy.nn.Sequential(toy.nn.Flatten(), toy.nn.Linear(192, num_classes))


def pixels_and_where_they_lie(task):
    """The training images, and what the system says of the memory that holds them."""
    x = task.images.train_x
    with open("/proc/self/maps") as file:
        for line in file:
            first, last = (int(part, 16) for part in line.split()[0].split("-"))
            if first <= x.data_ptr() < last:
                return x.numpy(), line
    return x.numpy(), ""


@needs_proc
def test_workers_learn_from_a_folder_that_is_gone(local, image_folder):
    task = ImageTask(f"imagefolder:{image_folder}", epochs=2)
    objective = Objective(linear, task)
    job = objective.admit(optuna.create_study(directions=objective.directions).ask())
    here = run_job(job)
    with closing(RayExecutor(images={task.data_settings: task.images})) as guest:
        shutil.rmtree(image_folder)
        assert guest.submit(run_job, job).result().curve == here.curve
        pixels, mapping = guest.submit(pixels_and_where_they_lie, task).result()
        assert np.array_equal(pixels, task.images.train_x.numpy())
        assert "plasma" in mapping or "/dev/shm" in mapping  # Ray's object store: not a copy
    # Where they are not handed out, the folder is looked for.
    other = ImageTask(f"imagefolder:{image_folder}", epochs=2, split_seed=1)
    assert isinstance(local.submit(lambda task: task.images, other).exception(), UsageError)


def digits(most, tmp_path, *more):
    return [
        sys.executable, "-m", "optnas", "search", "--executor", "ray", "--workers", str(most), "--space",
        "toy:digits_space", "--sampler", "random", "--storage", f"sqlite:///{tmp_path}/a.db", *more,
    ]  # fmt: skip


def environment():
    paths = os.pathsep.join(filter(None, sys.path))
    return {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | {"PYTHONPATH": paths}


def test_a_search_on_ray_trains_what_one_in_this_process_trains(tmp_path):
    flags = ["--trials", "4", "--epochs", "1", "--memory-limit", "4G", "--time-limit", "10m"]
    done = subprocess.run(
        digits(2, tmp_path, *flags), cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "front of digits" in done.stdout
    assert "raylet" not in done.stdout + done.stderr
    here = optnas.search(
        space=toy.digits_space, sampler="random", trials=4, epochs=1, workers=0, storage="memory", study="digits"
    )
    there = optuna.load_study(study_name="digits", storage=f"sqlite:///{tmp_path}/a.db")
    by_params = [{str(trial.params): trial.values for trial in study.trials} for study in (here.study, there)]
    assert by_params[0] == by_params[1]


@pytest.fixture
def temporary():
    """A folder for temporary files, with a name that is short enough for sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


@needs_proc
@pytest.mark.usefixtures("usual_signals")
def test_ctrl_c_ends_a_search_and_its_cluster_promptly(tmp_path, temporary):
    search = subprocess.Popen(
        digits(2, tmp_path, "--trials", "100", "--epochs", "4000"),
        cwd=tmp_path, env=environment() | {"RAY_TMPDIR": str(temporary)}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    with search:
        deadline = time.monotonic() + 120
        workers = []
        while len(workers) < 2 and time.monotonic() < deadline:
            time.sleep(0.5)
            family = psutil.Process(search.pid).children(recursive=True)
            workers = [one for one in family if "ray::_run" in " ".join(one.cmdline())]
        assert len(workers) == 2
        assert [path.name[:11] for path in temporary.iterdir()] == ["optnas-ray-"]
        os.killpg(search.pid, signal.SIGINT)  # as a terminal does
        began = time.monotonic()
        _, said = search.communicate(timeout=60)
        assert time.monotonic() - began < 30  # rather than never
    assert search.returncode == 130
    assert said.splitlines()[-1] == "optnas: stopped; the same command goes on"
    assert all(ended(one.pid) for one in family)
    assert list(temporary.iterdir()) == []


def test_an_address_where_no_cluster_answers_is_told(tmp_path):
    done = subprocess.run(
        digits(1, tmp_path, "--trials", "1"), cwd=tmp_path, env=environment() | {"RAY_ADDRESS": "127.0.0.1:1"},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 2
    assert "optnas: executor ray: expected a Ray cluster at RAY_ADDRESS '127.0.0.1:1'" in done.stderr


def test_a_second_ctrl_c_while_it_closes_leaves_the_cluster_all_the_same(local, monkeypatch):
    def interrupted(futures, timeout):
        raise KeyboardInterrupt

    guest, left = RayExecutor(), []
    guest._connection.callback(left.append, True)  # what an executor with a cluster of its own has there
    monkeypatch.setattr("optnas.study.ray_executor.wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        guest.close()
    assert left == [True]


def test_sigterm_stays_the_search_s(local):
    assert signal.getsignal(signal.SIGTERM) is stop
    with closing(RayExecutor()):
        assert signal.getsignal(signal.SIGTERM) is stop
    assert signal.getsignal(signal.SIGTERM) is stop


def test_sleepers_are_cancelled_before_they_start(local, tmp_path):
    with closing(RayExecutor(most=2)) as guest:
        futures = [guest.submit(sleep_for_ever, str(tmp_path / str(number))) for number in range(5)]
        time.sleep(3)
    assert all(future.done() for future in futures)
    assert len(list(tmp_path.iterdir())) <= 2
