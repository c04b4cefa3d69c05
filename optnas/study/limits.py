"""What a trial may take: the memory and the time of a process and of its children, and how they are ended."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass

import psutil

__all__ = ["Limits", "kill_tree", "shown_bytes", "shown_seconds"]


@dataclass(frozen=True)
class Limits:
    """Limits of each trial; None for no limit."""

    memory_bytes: int | None = None
    """Resident memory of the process that trains and of all its children, the interpreter and torch included."""
    seconds: float | None = None
    """Wall time of the job, without the start of its worker."""

    def __bool__(self) -> bool:
        return self.memory_bytes is not None or self.seconds is not None

    def verdict(self, pid: int, seconds: float) -> str | None:
        """Why a job that has been running for so long in this process is to be ended; None if it is not."""
        if self.seconds is not None and seconds > self.seconds:
            return f"took longer than {shown_seconds(self.seconds)}"
        if self.memory_bytes is not None and _resident_bytes(pid) > self.memory_bytes:
            return f"used more than {shown_bytes(self.memory_bytes)} of memory"
        return None


def kill_tree(pid: int) -> None:
    """Kill a process, its children, and what they left in its process group, if it leads one."""
    with suppress(psutil.Error):
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


def _resident_bytes(pid: int) -> int:
    total = 0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *_children(process)):
            with suppress(psutil.Error):
                total += one.memory_info().rss
    return total


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        children: list[psutil.Process] = process.children(recursive=True)
        return children
    except psutil.Error:
        return []
