"""Where jobs run: in this process, or in a pool of processes whose death costs one job."""

from __future__ import annotations

import os
import queue
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, Any

import cloudpickle

__all__ = ["Executor", "InProcess", "ProcessPool", "WorkerDied"]


class WorkerDied(RuntimeError):
    """A worker process ended before its job did; the message says how."""


class _CannotImport(ImportError):
    """A worker does not know a module that a job comes from."""

    def __init__(self, module: str) -> None:
        super().__init__(module)
        self.module = module


class Executor(ABC):
    """Runs jobs, at most `slots` at a time. A job and its result are plain values."""

    slots: int = 1

    @abstractmethod
    def submit(self, function: Callable[[Any], Any], job: Any) -> Future[Any]:
        """Start `function(job)`; the future holds its result or its exception."""

    @abstractmethod
    def close(self) -> None:
        """End at once, with whatever is running."""


class InProcess(Executor):
    """Runs each job in this process before `submit` returns."""

    def submit(self, function: Callable[[Any], Any], job: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(job))
        except Exception as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        """Nothing is running between two calls of `submit`."""


class ProcessPool(Executor):
    """Worker processes, each started when it is first needed and replaced when it dies.

    A worker is a fresh interpreter (nothing is forked, no `__main__` is imported again, so scripts without a
    guard and notebooks work) that reads jobs from its standard input. It ends with this process, however
    that ends, since its input closes.

    Args:
        workers: How many processes.
    """

    def __init__(self, workers: int) -> None:
        self.slots = workers
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="optnas-worker")
        self._idle: queue.SimpleQueue[_Worker | None] = queue.SimpleQueue()
        self._alive: set[_Worker] = set()
        self._lock = threading.Lock()
        self._closed = False
        for _ in range(workers):
            self._idle.put(None)

    def submit(self, function: Callable[[Any], Any], job: Any) -> Future[Any]:
        return self._threads.submit(self._run, function, job)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for worker in self._alive:
                worker.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _run(self, function: Callable[[Any], Any], job: Any) -> Any:
        try:
            return self._send(cloudpickle.dumps((function, job)))
        except _CannotImport as error:
            # A module that only this process knows, such as one that was loaded from a path: send its code.
            top = error.module.partition(".")[0]
            for name, module in list(sys.modules.items()):
                if name.partition(".")[0] == top:
                    cloudpickle.register_pickle_by_value(module)
            return self._send(cloudpickle.dumps((function, job)))

    def _send(self, message: bytes) -> Any:
        worker = self._idle.get()
        try:
            if worker is None:
                worker = _Worker()
                with self._lock:
                    self._alive.add(worker)
                    closed = self._closed
                if closed:
                    raise WorkerDied("the pool is closed")
            succeeded, outcome = worker.run(message)
        except BaseException:
            if worker is not None:
                worker.kill()
                with self._lock:
                    self._alive.discard(worker)
            self._idle.put(None)
            raise
        self._idle.put(worker)
        if succeeded:
            return outcome
        raise outcome


class _Worker:
    """One interpreter that runs `serve`."""

    def __init__(self) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process runs
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from optnas.study.executor import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            # Ctrl-C is the coordinator's: it decides what becomes of the workers.
            start_new_session=True,
        )

    def run(self, message: bytes) -> tuple[bool, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            _write(self._process.stdin, message)
            return cloudpickle.loads(_read(self._process.stdout))  # type: ignore[no-any-return]
        except (EOFError, OSError):
            raise WorkerDied(self._obituary()) from None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            try:
                if stream is not None:
                    stream.close()
            except BrokenPipeError:
                pass

    def _obituary(self) -> str:
        status = self._process.wait()
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - 2000))
        said = [line for line in self._log.read().decode(errors="replace").splitlines() if line.strip()]
        if status < 0:
            name = signal.Signals(-status).name
            memory = ", perhaps for want of memory" if -status == signal.SIGKILL else ""
            return f"the worker was ended by {name}{memory}"
        return f"the worker ended with status {status}" + (f": {said[-1]}" if said else "")


def serve() -> None:
    """The main loop of a worker process: reads jobs from standard input until it closes."""
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # What a job prints goes to the log: standard output carries results.
    os.dup2(2, 1)
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests, jobs), daemon=True).start()
    import torch

    torch.set_num_threads(1)
    while True:
        message = jobs.get()
        try:
            function, job = _load(message)
            outcome: tuple[bool, Any] = (True, function(job))
        except BaseException as error:
            outcome = (False, _portable(error))
        _write(replies, cloudpickle.dumps(outcome))


def _load(message: bytes) -> Any:
    try:
        return cloudpickle.loads(message)
    except ModuleNotFoundError as error:
        raise _CannotImport(error.name or "") from None


def _listen(requests: IO[bytes], jobs: queue.SimpleQueue[bytes]) -> None:
    # A thread of its own, so that a worker in the middle of a training ends with its coordinator too.
    while True:
        try:
            jobs.put(_read(requests))
        except EOFError:
            os._exit(0)


def _portable(error: BaseException) -> BaseException:
    """The error itself if it survives the way home, otherwise a RuntimeError that says what it was."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        cloudpickle.loads(cloudpickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


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
