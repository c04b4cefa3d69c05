import errno
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing

import optuna
import psutil
import pytest
import toy
from optuna.trial import TrialState
from study.conformance import ElsewhereTests, ended, needs_proc, sleep_for_ever, until

from optnas.study import LimitExceeded, NoWorker, ProcessPool, SearchStopped, WorkerDied, run
from optnas.study.worker import CannotStart, Worker

SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def pool():
    pool = ProcessPool(2)
    yield pool
    pool.close()


@pytest.fixture
def executor(pool):
    return pool


class TestProcessPool(ElsewhereTests):
    def another(self):
        return ProcessPool(1)


@pytest.fixture(scope="module")
def limited():
    pool = ProcessPool(1, memory_limit_bytes=900 * 10**6, time_limit_s=20)
    yield pool
    pool.close()


def worker_pid(_):
    return os.getpid()


def end_with(how):
    print("a last word", file=sys.stderr)
    if how == "exit":
        os._exit(3)
    if how == "address 0":
        import ctypes

        ctypes.string_at(0)
    os.kill(os.getpid(), how)


def allocate(_):
    held = []
    while True:
        held.append(bytes(range(256)) * 100_000)
        time.sleep(0.001)


def with_a_child(what):
    """A child that sleeps for ever, its number in a file; then what the worker itself does."""
    path, then = what
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
        os._exit(0)
    with open(path, "w") as file:
        file.write(str(pid))
    if then == "allocate":
        allocate(None)
    if then == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return pid


def fork_and_return(_):
    """Both processes come back from here, and one may answer."""
    return os.fork() >= 0


def print_much(count):
    line = b"x" * 1023 + b"\n"
    for _ in range(count):
        os.write(1, line * 1024)
        os.write(2, line * 1024)
    return count


def test_jobs_run_at_the_same_time(pool):
    def rendezvous(folder):
        # Both must be there before either leaves.
        open(os.path.join(folder, str(os.getpid())), "w").close()
        deadline = time.monotonic() + 60
        while len(os.listdir(folder)) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        return len(os.listdir(folder))

    with tempfile.TemporaryDirectory() as folder:
        assert [future.result() for future in [pool.submit(rendezvous, folder) for _ in range(2)]] == [2, 2]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (signal.SIGKILL, "the worker was ended by SIGKILL, perhaps for want of memory"),
        pytest.param("address 0", "the worker was ended by SIGSEGV", marks=SLOW),
        pytest.param("exit", "the worker ended with status 3: a last word", marks=SLOW),
    ],
)
def test_a_dead_worker_costs_one_job_and_is_replaced(pool, how, message):
    error = pool.submit(end_with, how).exception()
    assert isinstance(error, WorkerDied)
    assert str(error) == message
    pids = {pool.submit(worker_pid, None).result() for _ in range(6)}
    assert os.getpid() not in pids


def test_workers_are_reused(limited):
    assert len({limited.submit(worker_pid, None).result() for _ in range(3)}) == 1


@pytest.mark.slow
def test_a_job_that_takes_too_much_memory_is_ended_with_its_worker(limited):
    pid = limited.submit(worker_pid, None).result()
    error = limited.submit(allocate, None).exception()
    assert isinstance(error, LimitExceeded)
    assert str(error) == "used more than 900 MB of memory"
    assert limited.submit(worker_pid, None).result() != pid


@pytest.mark.slow
def test_a_job_that_takes_too_long_is_ended_with_its_worker():
    pool = ProcessPool(1, time_limit_s=1)
    try:
        # The start of a worker takes longer than the limit, and is none of the job's time.
        pid = pool.submit(worker_pid, None).result()
        error = pool.submit(time.sleep, 600).exception()
        assert isinstance(error, LimitExceeded)
        assert str(error) == "took longer than 1 s"
        assert pool.submit(worker_pid, None).result() != pid
    finally:
        pool.close()


@needs_proc
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize(("then", "kind"), [("allocate", LimitExceeded), ("die", WorkerDied)])
def test_children_of_a_worker_end_with_it(limited, tmp_path, then, kind):
    path = tmp_path / "pid"
    assert isinstance(limited.submit(with_a_child, (str(path), then)).exception(timeout=60), kind)
    assert ended(int(path.read_text()))


@needs_proc
@pytest.mark.slow
def test_children_that_a_job_leaves_end_with_the_pool(tmp_path):
    pool = ProcessPool(1)
    try:
        pid = pool.submit(with_a_child, (str(tmp_path / "pid"), "")).result()
        assert not ended(pid, seconds=0)
    finally:
        pool.close()
    assert ended(pid)


def test_of_a_job_that_forks_only_one_process_answers(pool):
    assert all(pool.submit(fork_and_return, None).result() is True for _ in range(3))
    assert pool.submit(worker_pid, None).result() > 0


@pytest.mark.slow
def test_a_job_that_prints_a_gigabyte_fills_no_disk(pool, monkeypatch, tmp_path):
    before = os.statvfs(tempfile.gettempdir())
    assert pool.submit(print_much, 512).result() == 512  # MiB, on each of standard output and error
    after = os.statvfs(tempfile.gettempdir())
    # Other programs write too, but hardly half of it meanwhile.
    assert (before.f_bavail - after.f_bavail) * before.f_frsize < 2**29


@pytest.fixture
def _no_pauses(monkeypatch):
    monkeypatch.setattr("optnas.study.process_pool._PAUSES", (0, 0, 0))


@pytest.mark.usefixtures("_no_pauses")
def test_workers_that_cannot_start_are_told_and_not_tried_for_ever(monkeypatch, tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so is missing')\n")
    monkeypatch.syspath_prepend(tmp_path)
    pool = ProcessPool(1)
    try:
        with pytest.raises(NoWorker, match=r"^no worker process can be started here: .* libcudart.so is missing$"):
            pool.submit(worker_pid, None).result()
        with pytest.raises(NoWorker, match="is missing"):
            pool.submit(worker_pid, None)
    finally:
        pool.close()


class ShortOfProcesses(subprocess.Popen):
    """For so many tries."""

    tries = 0

    def __init__(self, *args, **kwargs):
        type(self).tries -= 1
        if self.tries >= 0:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        super().__init__(*args, **kwargs)

    def __del__(self):
        if hasattr(self, "returncode"):
            super().__del__()


@pytest.fixture
def short_of_processes(monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", ShortOfProcesses)

    def for_tries(count):
        ShortOfProcesses.tries = count

    return for_tries


def test_a_machine_that_is_short_of_processes_for_a_moment_costs_nothing(short_of_processes):
    short_of_processes(2)
    with closing(ProcessPool(1)) as pool:
        assert pool.submit(worker_pid, None).result() > 0


@pytest.mark.usefixtures("_no_pauses")
def test_a_machine_that_stays_short_of_processes_is_told_and_fails_no_trial(short_of_processes):
    short_of_processes(100)
    objective = toy.objective()
    study = optuna.create_study(directions=objective.directions)
    sentence = "no worker process can be started here: the system starts no process: .*Resource temporarily"
    with closing(ProcessPool(2)) as pool, pytest.raises(SearchStopped, match=sentence):
        run(study, objective, pool, 3)
    assert {trial.state for trial in study.trials} == {TrialState.RUNNING}


def test_a_worker_that_nobody_can_listen_to_is_ended(monkeypatch):
    def no_thread(_):
        raise RuntimeError("can't start new thread")

    before = set(psutil.Process().children())
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    with pytest.raises(CannotStart, match="the system starts no thread: can't start new thread"):
        Worker()
    assert set(psutil.Process().children()) <= before


@pytest.mark.slow
def test_each_worker_sees_its_gpus_and_so_does_the_one_in_its_place():
    def visible(_):
        return os.environ["CUDA_VISIBLE_DEVICES"]

    pool = ProcessPool(1, gpus=["7"])
    try:
        assert pool.submit(visible, None).result() == "7"
        assert isinstance(pool.submit(end_with, "exit").exception(), WorkerDied)
        assert pool.submit(visible, None).result() == "7"
    finally:
        pool.close()


@needs_proc
def test_workers_end_with_their_coordinator(tmp_path):
    script = tmp_path / "coordinator.py"
    script.write_text(
        "import os, time\n"
        "from optnas.study import ProcessPool\n"
        "pool = ProcessPool(1)\n"
        "print(pool.submit(lambda _: os.getpid(), None).result(), flush=True)\n"
        "pool.submit(time.sleep, 600)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    pid = int(process.stdout.readline())
    time.sleep(0.5)
    process.kill()
    process.wait()
    process.stdout.close()
    assert ended(pid)


@needs_proc
@pytest.mark.usefixtures("usual_signals")
def test_a_second_ctrl_c_while_it_closes_leaves_no_worker_at_work(tmp_path, monkeypatch):
    paths, kill, interrupts = [tmp_path / "0", tmp_path / "1"], Worker.kill, [signal.SIGINT]

    def kill_and_interrupt(worker):
        kill(worker)
        if interrupts:
            os.kill(os.getpid(), interrupts.pop())

    with closing(ProcessPool(2)) as pool:
        for path in paths:
            pool.submit(sleep_for_ever, str(path))
        assert until(lambda: all(path.exists() for path in paths))
        monkeypatch.setattr(Worker, "kill", kill_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            pool.close()
        assert all(ended(int(path.read_text())) for path in paths)


@needs_proc
def test_a_worker_that_dies_without_a_job_costs_no_job(monkeypatch):
    with closing(ProcessPool(1)) as pool:
        pid = pool.submit(worker_pid, None).result()
        os.kill(pid, signal.SIGKILL)
        assert ended(pid)
        assert pool.submit(worker_pid, None).result() != pid


@needs_proc
def test_the_number_of_a_worker_that_is_gone_gets_no_signals(monkeypatch):
    signals, killpg = [], os.killpg
    with closing(ProcessPool(1)) as pool:
        pid = pool.submit(worker_pid, None).result()
        monkeypatch.setattr(os, "killpg", lambda group, number: signals.append(group) or killpg(group, number))
        os.kill(pid, signal.SIGKILL)
        assert until(lambda: signals == [pid])  # its children
        time.sleep(0.5)
    # Nor when the pool is closed.
    assert signals == [pid]
    assert not psutil.pid_exists(pid)


def test_functions_of_modules_that_only_this_process_knows_travel(pool, tmp_path):
    path = tmp_path / "loaded_from_a_path.py"
    path.write_text("FACTOR = 3\n\ndef triple(number):\n    return FACTOR * number\n")
    spec = importlib.util.spec_from_file_location("loaded_from_a_path", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    try:
        assert pool.submit(module.triple, 4).result() == 12
        with pytest.raises(ModuleNotFoundError):
            pool.submit(importlib.import_module, "no_such_module_anywhere").result()
    finally:
        del sys.modules[spec.name]
