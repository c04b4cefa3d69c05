"""Jobs in a Ray cluster: the coordinator stays on its machine, the trainings go wherever there is room."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import uuid4

import cloudpickle
import torch

from optnas.errors import first_line
from optnas.study.executor import Executor, LimitExceeded, WorkerDied, attempt, packed
from optnas.study.limits import Limits
from optnas.study.ray_cluster import Guard, Room, connect, import_ray
from optnas.study.resources import cores
from optnas.study.worker import delivered, loaded
from optnas.task import DataSettings, Images, adopt_images

__all__ = ["RayExecutor"]

_PARTS = ("train_x", "train_y", "val_x", "val_y")
#: A thread waits for each job: as many as the largest cluster has slots.
_MOST_JOBS = 4096
_PATIENCE_SECONDS = 5


class RayExecutor(Executor):
    """Remote tasks of the cluster at `RAY_ADDRESS`, or of one that is started here and ends with `close`.

    A job is one task without Ray's own retries: who submits it decides whether it is worth another try. Ray finds
    the node. With GPUs each job has a process of its own, as Ray does it, since a process cannot change its GPU.

    Args:
        cpus_per_trial: Cores that a job takes of a node.
        gpus_per_trial: GPUs that it takes; a share puts several jobs on one.
        most: How many jobs at a time, however large the cluster is; None for as many as it has room for.
        limits: Of each job.
        images: Data that the jobs learn from. They are put into Ray's object store once, and every worker reads
            them there, with no copy of its own: no node needs the files.

    Raises:
        UsageError: If Ray is not installed, no cluster answers, or none of its nodes can hold a job.
    """

    def __init__(
        self,
        cpus_per_trial: float = 1,
        gpus_per_trial: float = 0,
        most: int | None = None,
        limits: Limits = Limits(),
        images: Mapping[DataSettings, Images] = {},
    ) -> None:
        self._ray = import_ray()
        size = sum(getattr(one, part).nbytes for one in images.values() for part in _PARTS)
        # Cores that a person asks for by the number of workers are given, whether the machine has them or not.
        cpus = cores() if most is None else max(1, round(most * cpus_per_trial))
        self._connection = connect(cpus, size)
        self._most, self._limits, self._closed = most, limits, False
        self._lock = threading.Lock()
        self._tasks: set[Any] = set()
        self._futures: set[Future[Any]] = set()
        self._guards: dict[str, Any] = {}
        self._threads = ThreadPoolExecutor(_MOST_JOBS, thread_name_prefix="optnas-ray")
        try:
            self._room = Room(cpus_per_trial, gpus_per_trial)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._remote = self._ray.remote(num_cpus=cpus_per_trial, num_gpus=gpus_per_trial, max_retries=0)(_run)
            self._images = [(settings, self._ray.put(_as_arrays(one))) for settings, one in images.items()]
        except BaseException:
            self.close()
            raise

    @property
    def slots(self) -> int:  # type: ignore[override]
        """How many jobs the cluster has room for now, those that run included."""
        room = self._room.trials(len(self._tasks))
        return room if self._most is None else min(room, self._most)

    def submit(self, function: Callable[[Any], Any], job: Any) -> Future[Any]:
        future = self._threads.submit(self._deliver, function, job)
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        return future

    def close(self) -> None:
        with self._connection:  # which ends the jobs too, where Ctrl-C comes in between
            with self._lock:
                self._closed = True
                for task in self._tasks:
                    with suppress(Exception):
                        self._ray.cancel(task, force=True)
            self._threads.shutdown(wait=False, cancel_futures=True)
            wait(list(self._futures), timeout=_PATIENCE_SECONDS)
            for guard in self._guards.values():
                with suppress(Exception):
                    self._ray.kill(guard)

    def _deliver(self, function: Callable[[Any], Any], job: Any) -> Any:
        return delivered(self._send, function, job)

    def _send(self, message: bytes) -> tuple[bool, Any]:
        while True:
            succeeded, outcome = self._ask(message)
            if not isinstance(outcome, _Unguarded):
                return succeeded, outcome

    def _ask(self, message: bytes) -> tuple[bool, Any]:
        name = uuid4().hex
        with self._lock:
            if self._closed:
                raise WorkerDied("the executor is closed")
            guards = self._guarded() if self._limits else None
            task = self._remote.remote(name, message, self._images, guards)
            self._tasks.add(task)
        try:
            return cloudpickle.loads(self._ray.get(task))  # type: ignore[no-any-return]
        except self._ray.exceptions.TaskCancelledError:
            raise WorkerDied("the executor is closed") from None
        except self._ray.exceptions.RayTaskError as error:
            # Not the job's own: those are outcomes. The node may lack this package, or have another version.
            said = [line for line in str(error).splitlines() if line.strip()]
            raise RuntimeError(f"a node of the Ray cluster cannot run jobs: {said[-1].strip()}") from error
        except self._ray.exceptions.RayError as error:
            verdict = self._verdict(name)
            if verdict is not None:
                raise LimitExceeded(verdict) from None
            raise WorkerDied(self._obituary(error)) from None
        finally:
            with self._lock:
                self._tasks.discard(task)
                self._room.ended()

    def _obituary(self, error: Exception) -> str:
        # Ray's own sentences speak of its log files, on a machine that may be gone.
        known = self._ray.exceptions
        if isinstance(error, known.OutOfMemoryError):
            return "Ray ended the worker, since its node was short of memory"
        if isinstance(error, known.NodeDiedError | known.LocalRayletDiedError):
            return "the node of the worker is gone"
        if isinstance(error, known.WorkerCrashedError):
            return "the worker was killed or crashed, or its node is gone"
        return f"Ray lost the job: {first_line(error)}"

    def _guarded(self) -> dict[str, Any]:
        """A guard for each node that is alive, by the node's name."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        alive = {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}
        self._guards = {node: guard for node, guard in self._guards.items() if node in alive}
        for node in alive - self._guards.keys():
            there = NodeAffinitySchedulingStrategy(node, soft=False)
            actor = self._ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=3, scheduling_strategy=there)(Guard)
            self._guards[node] = actor.remote(self._limits)
        return dict(self._guards)

    def _verdict(self, name: str) -> str | None:
        for guard in list(self._guards.values()):
            with suppress(self._ray.exceptions.RayError):
                verdict: str | None = self._ray.get(guard.verdict.remote(name), timeout=_PATIENCE_SECONDS)
                if verdict is not None:
                    return verdict
        return None


class _Unguarded(RuntimeError):
    """A job came to a node that joined after it was submitted, and that nobody watches yet."""


def _run(name: str, message: bytes, images: list[tuple[DataSettings, Any]], guards: dict[str, Any] | None) -> bytes:
    """What a worker does. The outcome is bytes, so that what goes wrong in here is told from what jobs raise."""
    ray = import_ray()
    for settings, reference in images:
        if reference not in _adopted:
            adopt_images(settings, _as_images(ray.get(reference)))
            _adopted.add(reference)
    guard = None
    if guards is not None:
        guard = guards.get(ray.get_runtime_context().get_node_id())
        if guard is None:
            return packed((False, _Unguarded()))
        ray.get(guard.begin.remote(name, os.getpid()))
    try:
        function, job = loaded(message)
        outcome: tuple[bool, Any] = attempt(function, job)
    except Exception as error:
        outcome = False, error
    if guard is not None:
        ray.get(guard.end.remote(name))
    return packed(outcome)


_adopted: set[Any] = set()
"""What this worker has taken from the object store; the references keep it there."""


def _as_arrays(images: Images) -> Images:
    """With arrays for tensors: Ray hands these out without a copy."""
    return replace(images, **{part: getattr(images, part).contiguous().numpy() for part in _PARTS})


def _as_images(stored: Images) -> Images:
    with warnings.catch_warnings():
        # All workers of the node share these pixels, so they may only be read; nothing here writes to images.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        tensors: dict[str, Any] = {part: torch.from_numpy(getattr(stored, part)) for part in _PARTS}
    return replace(stored, **tensors)
