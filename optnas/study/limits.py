"""What a trial may take: the memory and the time of a process and of its children, and how they are ended."""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass

import psutil

__all__ = ["Limits", "Memory", "kill_tree", "shown_bytes", "shown_seconds"]

_CHILDREN_SECONDS = 1.0


@dataclass(frozen=True)
class Limits:
    """Limits of each trial; None for no limit."""

    memory_bytes: int | None = None
    """Resident memory of the process that trains and of all its children, the interpreter and torch included."""
    seconds: float | None = None
    """Wall time of the job, without the start of its worker."""

    def __bool__(self) -> bool:
        return self.memory_bytes is not None or self.seconds is not None

    def verdict(self, pid: int, seconds: float, memory: Memory) -> str | None:
        """Why a job that has been running for so long in this process is to be ended; None if it is not."""
        if self.seconds is not None and seconds > self.seconds:
            return f"took longer than {shown_seconds(self.seconds)}"
        if self.memory_bytes is not None and memory.of(pid) > self.memory_bytes:
            return f"used more than {shown_bytes(self.memory_bytes)} of memory"
        return None


class Memory:
    """Resident memory of processes with their children, for whoever asks many times a second.

    Who is whose child is looked up once a second, for all of them at once: it takes a file for each process of the
    machine.
    """

    def __init__(self) -> None:
        self._children: dict[int, list[int]] = {}
        self._looked = -_CHILDREN_SECONDS

    def of(self, pid: int) -> int:
        """Bytes of a process and of all its children; 0 if it is gone."""
        now = time.monotonic()
        if now - self._looked >= _CHILDREN_SECONDS:
            self._children, self._looked = _children_of_all(), now
        family, total = [pid], 0
        for one in family:
            family += [child for child in self._children.get(one, ()) if child not in family]
            with suppress(psutil.Error, OSError):
                total += psutil.Process(one).memory_info().rss
        return total


def kill_tree(pid: int) -> None:
    """Kill a process, its children, and what they left in its process group, if it leads one."""
    with suppress(psutil.Error, OSError):  # such as no file left to open: the group is ended all the same
        process = psutil.Process(pid)
        # Stopped first, so that it cannot start another child in between.
        with suppress(psutil.Error):
            process.suspend()
        for child in _children(process):
            with suppress(psutil.Error):
                child.kill()
        process.kill()
    if hasattr(os, "killpg") and pid != os.getpgrp():
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def shown_bytes(count: int) -> str:
    """Bytes as a person writes them, in powers of 1000: 4 GB, 1.5 GB, 600 MB."""
    unit, factor = ("GB", 10**9) if count >= 10**9 else ("MB", 10**6)
    return f"{count / factor:.4g} {unit}"


def shown_seconds(seconds: float) -> str:
    """A time as a person writes it, in its largest even unit: 2 h, 90 min, 45 s."""
    for unit, factor in (("h", 3600), ("min", 60)):
        if seconds >= factor and seconds % factor == 0:
            return f"{seconds / factor:.0f} {unit}"
    return f"{seconds:g} s"


def _children_of_all() -> dict[int, list[int]]:
    children = defaultdict(list)
    with suppress(psutil.Error, OSError):  # such as no file left to open: the next look may see more
        for process in psutil.process_iter(["ppid"]):
            children[process.info["ppid"]].append(process.pid)
    return dict(children)


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        children: list[psutil.Process] = process.children(recursive=True)
        return children
    except psutil.Error:
        return []
