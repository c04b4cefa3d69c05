import importlib.util
import os
import signal
import subprocess
import sys
import time

import pytest

from optnas.study import InProcess, ProcessPool, WorkerDied


@pytest.fixture
def pool():
    pool = ProcessPool(2)
    yield pool
    pool.close()


def square(number):
    return number * number


def fail(number):
    raise KeyError(f"no {number}")


def worker_pid(_):
    return os.getpid()


def end_with(how):
    print("a last word", file=sys.stderr)
    if how == "exit":
        os._exit(3)
    os.kill(os.getpid(), how)


def chatter(number):
    print("this must not mix with results")
    os.write(1, b"nor this")
    return number


@pytest.mark.parametrize("kind", [InProcess, lambda: ProcessPool(1)])
def test_results_and_exceptions_come_back(kind):
    executor = kind()
    try:
        assert executor.submit(square, 7).result() == 49
        error = executor.submit(fail, 7).exception()
        assert isinstance(error, KeyError)
        assert "no 7" in str(error)
        assert executor.submit(square, 3).result() == 9
    finally:
        executor.close()


def test_functions_of_main_and_closures_travel(pool):
    offset = 5
    assert pool.submit(lambda number: number + offset, 1).result() == 6


def test_what_a_job_prints_does_not_mix_with_results(pool):
    assert pool.submit(chatter, 1).result() == 1
    assert pool.submit(chatter, 2).result() == 2


def test_jobs_run_at_the_same_time(pool):
    def rendezvous(folder):
        # Both must be there before either leaves.
        open(os.path.join(folder, str(os.getpid())), "w").close()
        deadline = time.monotonic() + 60
        while len(os.listdir(folder)) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        return len(os.listdir(folder))

    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        assert [future.result() for future in [pool.submit(rendezvous, folder) for _ in range(2)]] == [2, 2]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (signal.SIGKILL, "ended by SIGKILL, perhaps for want of memory"),
        pytest.param(signal.SIGSEGV, "ended by SIGSEGV", marks=pytest.mark.slow),
        pytest.param("exit", "ended with status 3: a last word", marks=pytest.mark.slow),
    ],
)
def test_a_dead_worker_costs_one_job_and_is_replaced(pool, how, message):
    with pytest.raises(WorkerDied, match=message):
        pool.submit(end_with, how).result()
    pids = {pool.submit(worker_pid, None).result() for _ in range(6)}
    assert os.getpid() not in pids


def test_workers_are_reused():
    pool = ProcessPool(1)
    try:
        assert len({pool.submit(worker_pid, None).result() for _ in range(3)}) == 1
    finally:
        pool.close()


def test_close_ends_what_is_running(pool):
    pool.submit(time.sleep, 600)
    pid = pool.submit(worker_pid, None).result()
    began = time.monotonic()
    pool.close()
    assert time.monotonic() - began < 10
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


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
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{pid}")


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
