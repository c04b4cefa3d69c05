"""Where jobs run: the seam, this process, and what every executor makes of a job that fails."""

from __future__ import annotations

import gc
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import cloudpickle
import torch

from optnas.errors import UsageError, first_line

__all__ = ["Executor", "InProcess", "LimitExceeded", "NoWorker", "WorkerDied", "attempt"]


class WorkerDied(RuntimeError):
    """A worker was lost before its job ended, through no proven fault of the job; the message says how.

    It was killed, ran into a segmentation fault, or its machine is gone: the same job may well succeed elsewhere.
    """


class NoWorker(UsageError):
    """No worker can be started here, such as for want of memory; no job is to blame, and later all may be well."""


class LimitExceeded(RuntimeError):
    """A job took more memory or time than it may; the message says which. It would again."""


class Executor(ABC):
    """Runs jobs, at most `slots` at a time. A job and its result are plain values."""

    slots: int = 1
    """How many jobs make progress at a time, at least 1; read anew before each, since machines come and go."""

    @abstractmethod
    def submit(self, function: Callable[[Any], Any], job: Any) -> Future[Any]:
        """Start `function(job)`; the future holds its result or its exception.

        That is what the function raised, `RuntimeError` for what cannot travel, `WorkerDied`, `LimitExceeded` or
        `NoWorker`.

        Raises:
            NoWorker: Where that is known already.
        """

    @abstractmethod
    def close(self) -> None:
        """End at once, with whatever is running."""


class InProcess(Executor):
    """Runs each job in this process before `submit` returns."""

    def submit(self, function: Callable[[Any], Any], job: Any) -> Future[Any]:
        future: Future[Any] = Future()
        succeeded, outcome = attempt(function, job)
        if succeeded:
            future.set_result(outcome)
        else:
            future.set_exception(outcome)
        return future

    def close(self) -> None:
        """Nothing is running between two calls of `submit`."""


def attempt(function: Callable[[Any], Any], job: Any) -> tuple[bool, Any]:
    """True and the job's result, or False and its exception with the traceback as a note.

    A job that calls `sys.exit` has failed, and so has one for which the GPU has too little memory: both are told in
    a sentence. What the GPU still holds of the latter is freed, so that the next job finds it empty.

    Raises:
        KeyboardInterrupt: Ctrl-C is no job's.
    """
    try:
        return True, function(job)
    except KeyboardInterrupt:
        raise
    except SystemExit as error:
        return False, RuntimeError(f"the job called sys.exit({'' if error.code is None else repr(error.code)})")
    except torch.OutOfMemoryError as error:
        sentence = ". ".join(first_line(error).split(". ")[:2]).rstrip(".")
        # The frames hold the tensors that fill the memory.
        traceback.clear_frames(error.__traceback__)
    except BaseException as error:
        error.add_note("".join(traceback.format_exception(error)))
        return False, error
    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
    return False, LimitExceeded(f"the GPU has too little memory for it: {sentence}")


def packed(outcome: tuple[bool, Any]) -> bytes:
    """An outcome as it travels home; one that cannot becomes a `RuntimeError` that says what it was."""
    succeeded, value = outcome
    try:
        message: bytes = cloudpickle.dumps(outcome)
        if not succeeded:
            cloudpickle.loads(message)
    except Exception as error:
        kind, reason = type(error).__name__, first_line(error)
        if succeeded:
            value = RuntimeError(f"the result of the job cannot be sent home: {kind}: {reason}")
        else:
            notes = getattr(value, "__notes__", [])
            value = RuntimeError(f"{type(value).__name__}: {value}")
            for note in notes:
                value.add_note(note)
        message = cloudpickle.dumps((False, value))
    return message
