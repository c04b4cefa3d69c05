"""What every executor promises: a class of tests that those of each inherit."""

import os
import sys
import time
from contextlib import closing
from dataclasses import dataclass

import optuna
import pytest
import torch
import toy

from optnas.job import Outcome, run_job
from optnas.study import Executor, LimitExceeded


@dataclass(frozen=True)
class Sum:
    """A job of plain values."""

    numbers: tuple[int, ...]


def add(job):
    return sum(job.numbers)


def fail(number):
    raise KeyError(f"no {number}")


def leave(status):
    sys.exit(status)


def hand_back_a_lock(_):
    import threading

    return threading.Lock()


class Prickly(Exception):
    """An exception that cannot be loaded again: it wants two arguments and keeps one."""

    def __init__(self, one, two):
        super().__init__(one)


def raise_prickly(_):
    raise Prickly("a thorn", 2)


def fill_the_gpu(_):
    raise torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8.00 GiB of which 1 MiB is free."
    )


def sleep_for_ever(path):
    """Leaves its number in a file."""
    with open(path + ".part", "w") as file:
        file.write(str(os.getpid()))
    os.rename(path + ".part", path)
    time.sleep(600)


def chatter(number):
    print("this must not mix with results")
    os.write(1, b"nor this")
    return number


def until(condition, seconds=60):
    """Whether it holds, or does within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def ended(pid, seconds=20):
    """Whether a process is gone, or is within so many seconds."""
    return until(lambda: not _runs(pid), seconds)


def _runs(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="reads /proc")


class ExecutorTests:
    """Inherit this beside a fixture `executor`, and give a method `another`."""

    def another(self) -> Executor:
        """An executor of one's own, to close."""
        raise NotImplementedError

    def test_results_come_back(self, executor):
        assert executor.submit(add, Sum((1, 2, 4))).result() == 7

    def test_each_future_has_the_result_of_its_own_job(self, executor):
        futures = {number: executor.submit(add, Sum((number, 100))) for number in range(12)}
        for number in reversed(range(12)):
            assert futures[number].result() == number + 100

    def test_exceptions_come_back_with_where_they_were_raised(self, executor):
        error = executor.submit(fail, 7).exception()
        assert isinstance(error, KeyError)
        assert error.args == ("no 7",)
        assert "in fail" in "".join(error.__notes__)
        assert executor.submit(add, Sum((3,))).result() == 3

    def test_functions_without_a_module_travel(self, executor):
        offset = 5
        assert executor.submit(lambda number: number + offset, 1).result() == 6

    def test_a_job_that_calls_exit_fails(self, executor):
        error = executor.submit(leave, 3).exception()
        assert isinstance(error, RuntimeError)
        assert str(error) == "the job called sys.exit(3)"

    def test_what_a_job_prints_does_not_mix_with_results(self, executor):
        assert [executor.submit(chatter, number).result() for number in (1, 2)] == [1, 2]

    def test_a_gpu_that_is_full_is_told_in_a_sentence(self, executor):
        error = executor.submit(fill_the_gpu, 0).exception()
        assert isinstance(error, LimitExceeded)
        assert str(error) == ("the GPU has too little memory for it: CUDA out of memory. Tried to allocate 2.00 GiB")

    def test_a_training_is_a_job(self, executor):
        objective = toy.objective()
        job = objective.admit(optuna.create_study(directions=objective.directions).ask())
        outcome = executor.submit(run_job, job).result()
        assert isinstance(outcome, Outcome)
        assert outcome.error == outcome.curve[-1] == 1 / (1 + job.costs["params"])

    def test_there_is_a_slot(self, executor):
        assert executor.slots >= 1

    def test_closing_ends_at_once_and_twice_is_once(self):
        executor = self.another()
        executor.submit(add, Sum((1,))).result()
        began = time.monotonic()
        executor.close()
        executor.close()
        assert time.monotonic() - began < 20  # rather than never


class ElsewhereTests(ExecutorTests):
    """For executors whose jobs run in other processes."""

    def test_a_result_that_cannot_travel_is_a_failure(self, executor):
        error = executor.submit(hand_back_a_lock, 0).exception()
        assert isinstance(error, RuntimeError)
        assert str(error).startswith("the result of the job cannot be sent home: TypeError: cannot pickle")

    def test_an_exception_that_cannot_travel_is_told(self, executor):
        error = executor.submit(raise_prickly, 0).exception()
        assert type(error) is RuntimeError
        assert str(error) == "Prickly: a thorn"
        assert "in raise_prickly" in "".join(error.__notes__)

    @needs_proc
    def test_closing_ends_what_is_running(self, tmp_path):
        path = tmp_path / "pid"
        with closing(self.another()) as executor:
            running = executor.submit(sleep_for_ever, str(path))
            while not path.exists():
                time.sleep(0.05)
            began = time.monotonic()
        assert time.monotonic() - began < 20  # rather than never
        assert running.exception() is not None
        assert ended(int(path.read_text()))
