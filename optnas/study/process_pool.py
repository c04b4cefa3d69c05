"""Jobs in a pool of processes of this machine: the death of one costs one job."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from optnas.errors import first_line
from optnas.study.executor import Executor, NoWorker, WorkerDied
from optnas.study.limits import Limits, Memory
from optnas.study.worker import CannotStart, NotTaken, Worker, delivered

__all__ = ["ProcessPool"]

_LOOK_SECONDS = 0.1
#: Seconds before each try to start a worker. The machine may be short of memory or of processes for a moment.
_PAUSES = (0, 1, 4)


class ProcessPool(Executor):
    """Worker processes, each started when it is first needed and replaced when it dies.

    A worker is a fresh interpreter (nothing is forked, no `__main__` is imported again, so scripts without a
    guard and notebooks work) that reads jobs from its standard input. It ends with this process, however
    that ends, since its input closes.

    Args:
        workers: How many processes.
        memory_limit_bytes: Resident memory of a worker, its children included, beyond which its job is ended.
        time_limit_s: Wall time after which a job is ended.
        gpus: `CUDA_VISIBLE_DEVICES` of each worker; without it they see what this process sees.
    """

    def __init__(
        self,
        workers: int,
        memory_limit_bytes: int | None = None,
        time_limit_s: float | None = None,
        gpus: Sequence[str] = (),
    ) -> None:
        self.slots = workers
        self._limits = Limits(memory_limit_bytes, time_limit_s)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="optnas-worker")
        self._idle: queue.SimpleQueue[Worker | dict[str, str]] = queue.SimpleQueue()
        """Workers without a job, and the environments of those that are yet to be started."""
        self._environments: dict[Worker, dict[str, str]] = {}
        """The workers that are alive."""
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._broken = ""
        for number in range(workers):
            self._idle.put({"CUDA_VISIBLE_DEVICES": gpus[number]} if gpus else {})
        self._watcher = threading.Thread(target=self._watch, name="optnas-limits", daemon=True)
        self._watcher.start()

    def submit(self, function: Callable[[Any], Any], job: Any) -> Future[Any]:
        if self._broken:
            raise NoWorker(self._broken)
        try:
            return self._threads.submit(self._run, function, job)
        except RuntimeError as error:  # a thread for each worker is begun with its first job
            self._broken = f"no worker can be asked here: {first_line(error)}"
            raise NoWorker(self._broken) from None

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._closed.set()
        self._watcher.join()
        self._threads.shutdown(wait=True)

    def _run(self, function: Callable[[Any], Any], job: Any) -> Any:
        return delivered(self._send, function, job)

    def _send(self, message: bytes) -> tuple[bool, Any]:
        for _ in range(self.slots):
            with suppress(NotTaken):  # a worker that died while it had nothing to do, and all may have
                return self._ask(message)
        return self._ask(message)

    def _ask(self, message: bytes) -> tuple[bool, Any]:
        idle = self._idle.get()
        try:
            worker = idle if isinstance(idle, Worker) else self._start(idle)
        except BaseException:
            self._idle.put(idle)
            raise
        try:
            outcome = worker.run(message)
        except BaseException:
            self._idle.put(self._end(worker))
            raise
        self._idle.put(worker)
        return outcome

    def _start(self, environment: dict[str, str]) -> Worker:
        reason = ""
        for pause in _PAUSES:
            self._closed.wait(pause)
            try:
                return self._started(environment)
            except CannotStart as error:
                reason = str(error)
        self._broken = f"no worker process can be started here: {reason}"
        raise NoWorker(self._broken)

    def _started(self, environment: dict[str, str]) -> Worker:
        with self._lock:
            if self._closed.is_set():
                raise WorkerDied("the pool is closed")
            worker = Worker(environment)
            self._environments[worker] = environment
        try:
            worker.wait_until_ready()
        except CannotStart:
            self._end(worker)
            raise
        return worker

    def _end(self, worker: Worker) -> dict[str, str]:
        """Take a worker out; returns the environment for the one in its place."""
        with self._lock:
            environment = self._environments.pop(worker)
        worker.close()
        return environment

    def _watch(self) -> None:
        memory = Memory()
        while not self._closed.wait(_LOOK_SECONDS):
            with self._lock:
                for worker in self._environments:
                    worker.check(self._limits, memory)
        # In this thread, which no Ctrl-C interrupts: between two workers one would leave the second at work.
        with self._lock:
            for worker in self._environments:
                worker.kill()
            for worker in self._environments:
                worker.close()
