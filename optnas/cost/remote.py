"""Latency on a device that is not this machine: a command is handed a file and answers with milliseconds."""

from __future__ import annotations

import math
import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from torch import nn

from optnas.cost.latency import Latency, reference_network
from optnas.errors import UsageError
from optnas.runtime import FileRuntime, Runtime, make_runtime

__all__ = ["DeviceFailed", "measure_remote", "remote_fingerprint", "remote_reference_ms"]

_FILE = "{file}"
_ROUNDS = 2
_TIMEOUT_SECONDS = 120
_PAUSES_SECONDS = (1.0, 5.0)


class DeviceFailed(UsageError):
    """The device gave no time for the reference network: it is not the network's fault, and nothing can go on."""


class _NoTime(RuntimeError):
    """What a device answered instead of milliseconds."""


def measure_remote(
    command: str, runtime: str, module: nn.Module, input_shape: Sequence[int], reference_ms: float | None = None
) -> Latency:
    """Time one input where a command runs it: the reference and the network take turns, twice.

    A phone that grows warm slows both, and their ratio stays.

    Args:
        command: For a shell. `{file}` in it stands for the exported file, which otherwise is its last argument. The
            last line that it prints is milliseconds of one pass.
        runtime: Whose file it is handed, one of `optnas.runtime.RUNTIMES` other than eager.
        module: The network; not changed.
        input_shape: One input without the batch.
        reference_ms: Milliseconds of the reference network that give the ratio its unit; by default measured once a
            process.

    Raises:
        UsageError: If the runtime has no files or is not installed.
        DeviceFailed: If the command does not answer for the reference network.
        ExportFailed: If the runtime cannot take the network.
        RuntimeError: If the command answers for the reference network but not for this one.
    """
    made = _files_of(runtime)
    if reference_ms is None:
        reference_ms = remote_reference_ms(command, runtime)
    file = made.export(module, input_shape)
    ratios = []
    for _ in range(_ROUNDS):
        before = _reference(command, made)
        try:
            ratios.append(_ask(command, file, made.suffix) / before)
        except _NoTime as error:
            _reference(command, made)  # a device that is gone answers for neither
            raise RuntimeError(f"the device does not run this network: {error}") from None
    middle = sum(ratios) / len(ratios)
    spread = (max(ratios) - min(ratios)) / 2
    fingerprint = remote_fingerprint(command, runtime)
    return Latency(middle * reference_ms, spread * reference_ms, middle, _ROUNDS, made.name, fingerprint)


@cache
def remote_reference_ms(command: str, runtime: str) -> float:
    """Milliseconds of the reference network on the device, measured once a process.

    Raises:
        UsageError: If the runtime has no files or is not installed.
        DeviceFailed: If the command does not answer.
    """
    made = _files_of(runtime)
    return min(_reference(command, made) for _ in range(_ROUNDS))


def remote_fingerprint(command: str, runtime: str) -> dict[str, Any]:
    """What must be the same for two latencies to be compared: the command stands for the device."""
    made = make_runtime(runtime)
    return {"command": command, "runtime": made.name, "runtime_version": made.version}


def _files_of(runtime: str) -> FileRuntime:
    made: Runtime = make_runtime(runtime)
    if not isinstance(made, FileRuntime):
        raise UsageError(
            f"device command: expected a runtime with files, onnxruntime, executorch or litert, got {runtime}"
        )
    return made


def _reference(command: str, runtime: FileRuntime) -> float:
    try:
        return _ask(command, _reference_file(runtime), runtime.suffix)
    except _NoTime as error:
        raise DeviceFailed(f"device command {command!r}: {error}") from None


@cache
def _reference_file(runtime: FileRuntime) -> bytes:
    return runtime.export(*reference_network())


def _ask(command: str, file: bytes, suffix: str) -> float:
    """Milliseconds; a phone that does not answer once may the next time."""
    for pause in (*_PAUSES_SECONDS, None):
        try:
            return _ask_once(command, file, suffix)
        except _NoTime:
            if pause is None:
                raise
            time.sleep(pause)
    raise AssertionError


def _ask_once(command: str, file: bytes, suffix: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"network{suffix}")
        path.write_bytes(file)
        quoted = shlex.quote(str(path))
        status, output, trouble = _shell(command.replace(_FILE, quoted) if _FILE in command else f"{command} {quoted}")
    said = _last_line(output)
    if status:
        why = _last_line(trouble) or said or "without a word"
        raise _NoTime(f"expected milliseconds, it ended with status {status}: {why}")
    milliseconds = _number(said)
    if not (math.isfinite(milliseconds) and milliseconds > 0):
        raise _NoTime(f"expected milliseconds above 0 as its last line, got {said!r}")
    return milliseconds


def _shell(line: str) -> tuple[int, bytes, bytes]:
    """Status, output and trouble of a command, with none of its processes left behind if it takes too long."""
    # Files, not pipes: a server that the command leaves running, as adb does, would hold a pipe open for ever.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as trouble:
        process = subprocess.Popen(
            line, shell=True, stdin=subprocess.DEVNULL, stdout=output, stderr=trouble, start_new_session=True
        )
        try:
            status = process.wait(_TIMEOUT_SECONDS)
        except BaseException as error:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise _NoTime(f"expected milliseconds within {_TIMEOUT_SECONDS} s, got nothing") from None
        for file in (output, trouble):
            file.seek(0)
        return status, output.read(), trouble.read()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _last_line(output: bytes) -> str:
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
