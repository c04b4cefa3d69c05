"""How a command is stopped."""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

__all__ = ["interruptible"]

_PATIENCE_SECONDS = 5


@contextmanager
def interruptible(stop: Event) -> Iterator[None]:
    """Raise KeyboardInterrupt and set `stop` on Ctrl-C, on the machine's "please end", and when the terminal is closed.

    Once: what ends then is not left half ended by a second Ctrl-C, to the very end of the process, since a command
    that was stopped does nothing else. Only where that takes long does another one end the process on the spot; its
    workers end with it all the same. A signal that is ignored stays so: `nohup` has a command outlive its terminal,
    and a shell keeps a Ctrl-C from what it runs in the background.
    """
    stopped = 0.0
    before: dict[int, Any] = {}

    def interrupt(number: int, frame: object) -> None:
        nonlocal stopped
        if not stop.is_set():
            stop.set()
            stopped = time.monotonic()
            raise KeyboardInterrupt
        if time.monotonic() - stopped > _PATIENCE_SECONDS:
            os._exit(130)

    def ignore() -> None:
        # Python's own end puts the system's handlers back while it still takes modules down, and those kill.
        if stop.is_set():
            for number in before:
                signal.signal(number, signal.SIG_IGN)

    atexit.register(ignore)
    names = ("SIGINT", "SIGTERM", "SIGHUP") if threading.current_thread() is threading.main_thread() else ()
    for name in names:
        number = getattr(signal, name, None)  # there is no SIGHUP on Windows
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            before[number] = signal.signal(number, interrupt) or signal.SIG_DFL
    try:
        yield
    finally:
        if not stop.is_set():
            atexit.unregister(ignore)
            for number, handler in before.items():
                signal.signal(number, handler)
