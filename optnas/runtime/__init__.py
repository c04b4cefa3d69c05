"""What runs a network: PyTorch itself, and the runtimes of phones with their files."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec

from optnas.errors import UsageError
from optnas.runtime.base import ExportFailed, FileRuntime, Run, Runtime
from optnas.runtime.eager import EagerRuntime
from optnas.runtime.executorch import ExecuTorch
from optnas.runtime.litert import LiteRT
from optnas.runtime.onnx import OnnxRuntime

__all__ = [
    "FORMATS",
    "RUNTIMES",
    "EagerRuntime",
    "ExecuTorch",
    "ExportFailed",
    "FileRuntime",
    "LiteRT",
    "OnnxRuntime",
    "Run",
    "Runtime",
    "check_runtime",
    "default_runtime",
    "make_runtime",
    "runtime_of",
]

_FILE_RUNTIMES: tuple[type[FileRuntime], ...] = (OnnxRuntime, ExecuTorch, LiteRT)
RUNTIMES = ("eager", *(runtime.name for runtime in _FILE_RUNTIMES))
#: What files are called, each run by one runtime.
FORMATS = tuple(runtime.format for runtime in _FILE_RUNTIMES)


def check_runtime(name: str) -> None:
    """Refuse a name that is not in `RUNTIMES`; raises `UsageError`."""
    if name not in RUNTIMES:
        raise UsageError(f"unknown runtime {name!r}: expected one of {', '.join(RUNTIMES)}{_hint(name, RUNTIMES)}")


@cache
def make_runtime(name: str, device: str = "cpu") -> Runtime:
    """The runtime of that name, the same one each time.

    Args:
        name: One of `RUNTIMES`.
        device: The torch device; others than "cpu" only for "eager".

    Raises:
        UsageError: If there is none of that name, it is not installed, or it does not run there.
    """
    check_runtime(name)
    if name == "eager":
        return EagerRuntime(device)
    if device != "cpu":
        raise UsageError(f"runtime {name}: expected cpu as its device, got {device!r}; only eager runs elsewhere")
    return next(runtime for runtime in _FILE_RUNTIMES if runtime.name == name)()


@cache
def runtime_of(format: str) -> FileRuntime:
    """The runtime that runs files of a format, one of `FORMATS`.

    Raises:
        UsageError: If there is none of that name, or it is not installed.
    """
    for runtime in _FILE_RUNTIMES:
        if runtime.format == format:
            return runtime()
    raise UsageError(f"unknown format {format!r}: expected one of {', '.join(FORMATS)}{_hint(format, FORMATS)}")


def default_runtime() -> str:
    """ONNX Runtime where it is installed, which orders networks as phones do; PyTorch itself elsewhere."""
    return "onnxruntime" if find_spec("onnxruntime") and find_spec("onnx") else "eager"


def _hint(name: str, known: tuple[str, ...]) -> str:
    close = get_close_matches(name, known, 1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""
