"""The Ray cluster that trains: joined or started, how many trials it has room for, and what watches them there."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from optnas.errors import UsageError, first_line
from optnas.study.limits import Limits, Memory, kill_tree

__all__ = ["Guard", "Room", "connect", "import_ray", "trials_in"]

_ADDRESS = "RAY_ADDRESS"
_LOOK_SECONDS = 0.25
#: Nodes report what they have free about once a second: what they said so long ago may still count a job that ended.
_LAG_SECONDS = 3.0
_LEAST_STORE_BYTES = 100 * 10**6
_PATIENCE_SECONDS = 10
#: The address of a socket has room for 107 characters, and Ray and the folder's name take 84 of them.
_LONGEST_PLACE = 23


def import_ray() -> Any:
    """The module. Raises UsageError, which says what to install, where it is missing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import ray
    except ImportError:
        raise UsageError(
            'executor ray: expected Ray to be installed: pip install -c constraints.txt -e ".[ray]"'
        ) from None
    return ray


def connect(cpus: int, bytes_to_share: int) -> ExitStack:
    """Join the cluster at `RAY_ADDRESS`, or start one on this machine, until what comes back is closed.

    If this process is in one already, that is used, and left alone in the end. One that is started here listens on
    the loopback interface alone, has no dashboard, reports nothing to anyone, and ends with this process; its logs
    lie in a folder of their own, `optnas-ray-*` where temporary files go, and go with it. Where this process is killed,
    that folder stays, and helpers of Ray's may take half a minute to notice.

    Args:
        cpus: How many cores a cluster that is started here has to give away.
        bytes_to_share: How large are the objects that it will hold.

    Raises:
        UsageError: If no cluster answers at that address, or none can be started.
    """
    ray = import_ray()
    if ray.is_initialized():
        return ExitStack()
    address = os.environ.get(_ADDRESS)
    _check_answers(address)
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        with ExitStack() as undo, _undisturbed():
            if address:
                undo.callback(ray.shutdown)
                ray.init(address=address, **quiet)
            else:
                store = max(_LEAST_STORE_BYTES, 2 * bytes_to_share)
                folder = undo.enter_context(_own_folder())
                undo.callback(ray.shutdown)
                with _on_loopback():
                    ray.init(
                        "local", num_cpus=cpus, include_dashboard=False, object_store_memory=store, _temp_dir=folder,
                        **quiet,
                    )  # fmt: skip
            return undo.pop_all()
    except Exception as error:
        what = f"expected a Ray cluster at {_ADDRESS} {address!r}" if address else "Ray cannot be started here"
        raise UsageError(f"executor ray: {what}: {first_line(error)}") from error


def trials_in(nodes: Sequence[Mapping[str, float]], cpus: float, gpus: float) -> int:
    """How many trials fit into nodes with these resources, "CPU" and "GPU"; no trial spans two nodes."""
    fit = 0
    for node in nodes:
        room = int(node.get("CPU", 0) / cpus + 1e-9)
        if gpus:
            whole = int(node.get("GPU", 0))
            room = min(room, whole * int(1 / gpus + 1e-9) if gpus <= 1 else whole // int(gpus))
        fit += room
    return fit


class Room:
    """How many trials the cluster can hold: what all its nodes have, without what other people's jobs take.

    Args:
        cpus: Cores of a trial.
        gpus: GPUs of a trial.

    Raises:
        UsageError: If no node is large enough.
    """

    def __init__(self, cpus: float, gpus: float) -> None:
        self._cpus, self._gpus = cpus, gpus
        self._ray = import_ray()
        self._looked = 0.0
        self._trials = 1
        self._ended: deque[float] = deque()
        if not trials_in(self._nodes(), cpus, gpus):
            wanted = f"{cpus:g} CPUs and {gpus:g} GPUs" if gpus else f"{cpus:g} CPUs"
            has = ", ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in self._nodes())
            raise UsageError(
                f"executor ray: expected a node with {wanted} for a trial, the cluster has {has or 'none'}"
            )

    def trials(self, own: int) -> int:
        """At least 1: with no room at all, one trial waits for the next node. `own` are those running now.

        Other people's jobs are seen only beside those of ours that have ended in the last seconds; where that is
        wrong, a trial too many waits in Ray's queue.
        """
        now = time.monotonic()
        if now - self._looked > _LOOK_SECONDS:
            nodes, free = self._nodes(), self._ray.available_resources()
            self._looked = now
            while self._ended and now - self._ended[0] > _LAG_SECONDS:
                self._ended.popleft()
            others = max(0.0, self._taken(nodes, free) - own - len(self._ended))
            self._trials = max(1, int(trials_in(nodes, self._cpus, self._gpus) - others + 1e-9))
        return self._trials

    def ended(self) -> None:
        """A trial of ours has ended: the cluster may say for a while that it still runs."""
        self._ended.append(time.monotonic())

    def _nodes(self) -> list[Mapping[str, float]]:
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def _taken(self, nodes: Sequence[Mapping[str, float]], free: Mapping[str, float]) -> float:
        """In trials, by the resource that is taken most."""
        needs = {"CPU": self._cpus, "GPU": self._gpus}
        return max(
            (sum(node.get(name, 0) for node in nodes) - free.get(name, 0)) / need
            for name, need in needs.items()
            if need
        )


class Guard:
    """An actor on each node that ends the workers there whose jobs break a limit, and remembers why."""

    def __init__(self, limits: Limits) -> None:
        self._limits, self._memory = limits, Memory()
        self._jobs: dict[str, tuple[int, float]] = {}
        self._verdicts: dict[str, str] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._watch, daemon=True).start()

    def begin(self, job: str, pid: int) -> None:
        """A worker of this node starts a job."""
        with self._lock:
            self._jobs[job] = pid, time.monotonic()

    def end(self, job: str) -> None:
        """The job is done: its worker is not to be ended any more."""
        with self._lock:
            self._jobs.pop(job, None)

    def verdict(self, job: str) -> str | None:
        """Why the worker of a job was ended; None if it was not, or not here. The job is forgotten."""
        with self._lock:
            self._jobs.pop(job, None)
            return self._verdicts.pop(job, None)

    def _watch(self) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            with self._lock:
                for job, (pid, began) in list(self._jobs.items()):
                    reason = self._limits.verdict(pid, time.monotonic() - began, self._memory)
                    if reason is not None:
                        self._verdicts[job] = reason
                        del self._jobs[job]
                        kill_tree(pid)


def _check_answers(address: str | None) -> None:
    """Raises UsageError if nothing listens at an address: Ray itself would try for minutes."""
    host, colon, port = (address or "").rpartition(":")
    if not colon or "/" in host or not port.isdigit():
        return  # such as "auto", which Ray looks up
    from ray.util import get_node_ip_address

    # A head that is told of no address listens on that of the network, and Ray looks for it there.
    own: str = get_node_ip_address()  # type: ignore[no-untyped-call, unused-ignore]
    hosts = [host, own] if host in ("127.0.0.1", "localhost") else [host]
    for one in hosts:
        try:
            socket.create_connection((one, int(port)), timeout=_PATIENCE_SECONDS).close()
            return
        except (OSError, OverflowError) as error:
            reason = error
    raise UsageError(f"executor ray: expected a Ray cluster at {_ADDRESS} {address!r}: {first_line(reason)}")


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ray takes SIGTERM for itself, warns of its own future, and prints to standard output each time a worker dies.

    A search has its own plan for SIGTERM, and says itself what became of its trials. No argument of Ray's silences
    the last, so the function that would print finds nothing to do.
    """
    from ray._private import worker

    listen = worker.listen_error_messages
    worker.listen_error_messages = lambda *_: None
    main = threading.current_thread() is threading.main_thread()
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)} if main else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        worker.listen_error_messages = listen
        for number, handler in kept.items():
            if handler is not None:  # one that is not Python's own cannot be given back
                signal.signal(number, handler)


@contextmanager
def _own_folder() -> Iterator[str]:
    """For the sockets and the logs of a cluster that is started here; else Ray leaves them in its own for good."""
    place = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    if len(place) > _LONGEST_PLACE and os.path.isdir("/tmp"):
        place = "/tmp"
    folder = tempfile.mkdtemp(prefix="optnas-ray-", dir=place)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Have a cluster that is started in here listen on 127.0.0.1, and send no usage statistics.

    An address that is handed to Ray is replaced by that of the network (its `resolve_ip_for_localhost`). Ray's own
    switch for a cluster of one machine, the default on Windows and macOS, is read when Ray is imported.
    """
    from ray._private import ray_constants

    before = {name: os.environ.get(name) for name in ("RAY_USAGE_STATS_ENABLED", "RAY_ROTATION_MAX_BYTES")}
    several = ray_constants.ENABLE_RAY_CLUSTER
    # What trials print is kept in Ray's logs: a bound on each.
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_ROTATION_MAX_BYTES=str(10 * 10**6))
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = several
        for name, value in before.items():
            with suppress(KeyError):
                del os.environ[name]
            if value is not None:
                os.environ[name] = value
