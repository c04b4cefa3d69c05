import os
import subprocess
import sys

import psutil
import pytest

from optnas.study.limits import Limits, Memory, kill_tree, shown_bytes, shown_seconds


@pytest.mark.parametrize(
    ("count", "text"),
    [(4 * 10**9, "4 GB"), (1_500_000_000, "1.5 GB"), (800 * 10**6, "800 MB"), (512_500_000, "512.5 MB")],
)
def test_bytes_as_a_person_writes_them(count, text):
    assert shown_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(7200, "2 h"), (1800, "30 min"), (5400, "90 min"), (90, "90 s"), (0.5, "0.5 s")]
)
def test_times_as_a_person_writes_them(seconds, text):
    assert shown_seconds(seconds) == text


def test_no_limit_is_no_limits():
    assert not Limits()
    assert Limits(memory_bytes=1)
    assert Limits(seconds=1)


def test_the_verdict_names_the_limit_that_was_broken():
    here = os.getpid()
    assert Limits(10**12, 60).verdict(here, 59, Memory()) is None
    assert Limits(10**12, 60).verdict(here, 61, Memory()) == "took longer than 1 min"
    assert Limits(10**6, 60).verdict(here, 1, Memory()) == "used more than 1 MB of memory"


def test_a_process_that_is_gone_breaks_no_limit():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert Limits(1).verdict(child.pid, 1, Memory()) is None
    kill_tree(child.pid)


def test_children_count_and_end_with_their_parent():
    # The parent stays small, its child holds 200 MB.
    child = "held = bytes(range(256)) * 800_000; print(len(held), flush=True); input()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    with process:
        assert process.stdout.readline() == "204800000\n"
        assert Limits(200 * 10**6).verdict(process.pid, 1, Memory()) == "used more than 200 MB of memory"
        assert Limits(600 * 10**6).verdict(process.pid, 1, Memory()) is None
        kill_tree(process.pid)
        assert process.stdout.read() == ""  # its child's end of the pipe is closed too


def test_processes_are_looked_through_once_a_second_for_all_workers(monkeypatch):
    looks, clock, look = [], [100.0], psutil.process_iter
    monkeypatch.setattr(psutil, "process_iter", lambda names: looks.append(clock[0]) or look(names))
    monkeypatch.setattr("optnas.study.limits.time.monotonic", lambda: clock[0])
    memory, here = Memory(), os.getpid()
    for tick in range(30):  # 3 seconds, ten times a second
        clock[0] = 100 + tick / 10
        assert all(memory.of(pid) > 0 for pid in (here, os.getppid()))
    assert looks == [100.0, 101.0, 102.0]
