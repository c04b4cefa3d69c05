"""One worker process: the interpreter that runs jobs, and the end of the line that starts, asks and ends it."""

from __future__ import annotations

import os
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import IO, Any

import cloudpickle

from optnas.errors import first_line
from optnas.study.executor import LimitExceeded, WorkerDied, attempt, packed
from optnas.study.limits import Limits, Memory, kill_tree

__all__ = ["CannotImport", "CannotStart", "NotTaken", "Worker", "delivered", "loaded", "serve"]

_READY, _TAKEN = b"ready", b"taken"
_TAIL_BYTES = 4096


class CannotImport(ImportError):
    """A worker does not know a module that a job needs. `packages` are its own, and those that import it."""

    def __init__(self, sentence: str, packages: frozenset[str]) -> None:
        super().__init__(sentence, packages)
        self.sentence, self.packages = sentence, packages

    def __str__(self) -> str:
        return self.sentence


class CannotStart(RuntimeError):
    """A worker ended before it could take a job; the message says how."""


class NotTaken(WorkerDied):
    """A worker ended before it took the job that was sent to it: the job has no part in it."""


class Worker:
    """A fresh interpreter that runs `serve`; it leads a process group, in which its children are.

    Args:
        environment: Set in it beside what it inherits.

    Raises:
        CannotStart: If the system has no process left for it.
    """

    def __init__(self, environment: Mapping[str, str] = {}) -> None:
        self.reason: str | None = None
        """Why it is being ended, if it broke a limit."""
        self._began: float | None = None
        self._tail = b""
        self._group_ended = False
        paths = os.pathsep.join(filter(None, sys.path))
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", "from optnas.study.worker import serve; serve()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths, **environment},
                # Ctrl-C is the coordinator's: it decides what becomes of the workers.
                start_new_session=True,
            )
        except OSError as error:
            raise CannotStart(f"the system starts no process: {first_line(error)}") from None
        self._listener = threading.Thread(target=self._listen, name="optnas-worker-log", daemon=True)
        try:
            self._listener.start()
        except RuntimeError as error:
            with self._process:
                self.kill()
            raise CannotStart(f"the system starts no thread: {first_line(error)}") from None

    def wait_until_ready(self) -> None:
        """Return when it can take a job. Raises `CannotStart` if it ends before."""
        assert self._process.stdout is not None
        try:
            if _read(self._process.stdout) != _READY:
                raise CannotStart("the worker answered with something else than expected")
        except (EOFError, OSError):
            raise CannotStart(self._obituary()) from None

    def run(self, message: bytes) -> tuple[bool, Any]:
        """The outcome of a job.

        Raises:
            LimitExceeded: If `check` ended it.
            NotTaken: If it ended before it took the job.
            WorkerDied: If it ended otherwise.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        died: type[WorkerDied] = NotTaken
        self._began = time.monotonic()
        try:
            _write(self._process.stdin, message)
            _read(self._process.stdout)  # it has taken the job
            died = WorkerDied
            reply = _read(self._process.stdout)
        except (EOFError, OSError):
            said = self._obituary()
            raise (LimitExceeded(self.reason) if self.reason else died(said)) from None
        finally:
            self._began = None
        return cloudpickle.loads(reply)  # type: ignore[no-any-return]

    def check(self, limits: Limits, memory: Memory) -> None:
        """End it if its job breaks a limit, and its children if it has ended by itself.

        A child that outlives it would hold its standard output open, and `run` would wait for ever.
        """
        began = self._began
        if not self._ended() and began is not None and self.reason is None:
            reason = limits.verdict(self._process.pid, time.monotonic() - began, memory)
            if reason is not None and self._began == began:  # it has not finished meanwhile
                self.reason = reason
                kill_tree(self._process.pid)

    def _ended(self) -> bool:
        """Whether it has ended by itself; its children end with it then."""
        if self._process.poll() is None:
            return False
        self._kill_group()
        return True

    def kill(self) -> None:
        """End it and its children, without waiting."""
        if not self._ended():
            kill_tree(self._process.pid)

    def close(self) -> None:
        """End it and its children, and wait until it is gone."""
        self.kill()
        self._process.wait()
        self._group_ended = True  # by `kill`
        self._listener.join(timeout=1)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            # BrokenPipeError: what was being written to it; ValueError: a thread is still reading.
            with suppress(BrokenPipeError, ValueError):
                if stream is not None:
                    stream.close()

    def _kill_group(self) -> None:
        # Once: the number of a process that is gone will be another's some day.
        if hasattr(os, "killpg") and not self._group_ended:
            self._group_ended = True
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _listen(self) -> None:
        # Only the end is kept: a job may print gigabytes.
        assert self._process.stderr is not None
        with suppress(OSError, ValueError):
            while chunk := os.read(self._process.stderr.fileno(), 1 << 16):
                self._tail = (self._tail + chunk)[-_TAIL_BYTES:]

    def _obituary(self) -> str:
        status = self._process.wait()
        self._kill_group()
        self._listener.join(timeout=1)
        said = [line for line in self._tail.decode(errors="replace").splitlines() if line.strip()]
        if status < 0:
            memory = ", perhaps for want of memory" if -status == signal.SIGKILL else ""
            return f"the worker was ended by {signal.Signals(-status).name}{memory}"
        return f"the worker ended with status {status}" + (f": {said[-1].strip()}" if said else "")


def serve() -> None:
    """The main loop of a worker process: reads jobs from standard input until it closes."""
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # What a job prints goes to the log: standard output carries results.
    os.dup2(2, 1)
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests, jobs), daemon=True).start()
    import torch

    torch.set_num_threads(1)
    _write(replies, _READY)
    own = os.getpid()
    while True:
        message = jobs.get()
        _write(replies, _TAKEN)
        try:
            function, job = loaded(message)
        except BaseException as error:
            outcome: tuple[bool, Any] = False, error
        else:
            outcome = attempt(function, job)
        if os.getpid() != own:
            os._exit(0)  # a child that the job has forked: only one of both answers
        _write(replies, packed(outcome))
        del outcome


def delivered(send: Callable[[bytes], tuple[bool, Any]], function: Any, job: Any) -> Any:
    """The result of a job that `send` brings to a worker, or its exception raised.

    What `__main__` and notebooks define goes by value, and so does, once the worker has said that it does not know
    it, the code of a module that only this process knows, such as one that was loaded from a path.
    """
    sent: set[str] = set()
    while True:
        succeeded, outcome = send(cloudpickle.dumps((function, job)))
        if succeeded:
            return outcome
        if not isinstance(outcome, CannotImport):
            raise outcome
        if outcome.packages <= sent:
            raise outcome
        sent |= outcome.packages
        for name, module in list(sys.modules.items()):
            if _package(name) in outcome.packages:
                cloudpickle.register_pickle_by_value(module)


def loaded(message: bytes) -> Any:
    """The function and the job of a message. Raises `CannotImport` for a module that this process does not know."""
    try:
        return cloudpickle.loads(message)
    except ModuleNotFoundError as error:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        importing = {frame.f_globals["__name__"] for frame in frames if frame.f_code.co_name == "<module>"}
        packages = frozenset(_package(name) for name in {error.name or "", *importing} - {"__main__"})
        raise CannotImport(str(error), packages) from None


def _package(module: str) -> str:
    return module.partition(".")[0]


def _listen(requests: IO[bytes], jobs: queue.SimpleQueue[bytes]) -> None:
    # A thread of its own, so that a worker in the middle of a training ends with its coordinator too.
    while True:
        try:
            jobs.put(_read(requests))
        except EOFError:
            if hasattr(os, "killpg"):
                os.killpg(os.getpgrp(), signal.SIGKILL)  # its children with it
            os._exit(0)


def _write(stream: IO[bytes], message: bytes) -> None:
    stream.write(struct.pack("!Q", len(message)) + message)
    stream.flush()


def _read(stream: IO[bytes]) -> bytes:
    (size,) = struct.unpack("!Q", _read_exactly(stream, 8))
    return _read_exactly(stream, size)


def _read_exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data
