"""How long one forward pass takes, measured against a fixed reference network.

Processors change their speed by a factor of two for seconds at a time, and share it with others. So a network
is not timed alone: its passes alternate with those of a reference, both see the same moments, and the ratio
of the two is what is measured.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from statistics import quantiles
from time import perf_counter

import numpy as np
import torch
from torch import nn

from optnas.cost.device import THREADS, device_fingerprint
from optnas.errors import UsageError
from optnas.runtime import EagerRuntime, FileRuntime, Runtime

__all__ = ["Latency", "latency_ms", "measure_file", "measure_latency", "reference_latency_ms", "reference_network"]

_WARM_UP_PASSES = 3
_WINDOWS = 5
_CALIBRATION_SECONDS = 0.5
_REFERENCE_SHAPE = (3, 48, 48)

# Once a process, by the name and device of the runtime.
_reference_ms: dict[tuple[str, str], float] = {}
_reference_runs: dict[tuple[str, str], Callable[[], object]] = {}


@dataclass(frozen=True)
class Latency:
    """One measurement. Compare those of one device fingerprint, made with one reference time."""

    latency_ms: float
    """Milliseconds of one pass, at the speed at which the reference takes its reference time."""
    spread_ms: float
    """Half the interquartile range of the ratios of the windows, in milliseconds."""
    ratio: float
    """Time of the network over that of the reference network, without a unit."""
    repeats: int
    """Passes that were timed."""
    runtime: str
    """The name of the runtime."""
    device_fingerprint: dict[str, str | int]
    """See `optnas.cost.device_fingerprint`."""


def measure_latency(
    module: nn.Module,
    input_shape: Sequence[int],
    *,
    runtime: Runtime | None = None,
    device: str | None = None,
    seconds: float | None = None,
    reference_ms: float | None = None,
) -> Latency:
    """Time one input on one thread: passes of the network and of the reference take turns.

    The series is cut into five windows of time. In each, the fastest pass of the network is divided by the
    fastest of the reference: another process that interrupts makes passes slower, never faster. The median of
    the five ratios then leaves out a window in which the processor changed its speed. The median of the
    ratios of single passes, the simpler choice, fails when every second pass is interrupted.

    Args:
        module: The network; a copy of it is run, and the random state does not change.
        input_shape: One input without the batch, such as (3, 224, 224).
        runtime: What runs it; PyTorch itself by default.
        device: The torch device of the default runtime, "cpu" if not given.
        seconds: How long to measure, warm-up excluded, by default what the runtime needs for an order of networks
            that repeats; at least five passes are timed however long they take.
        reference_ms: Milliseconds of the reference network that give the ratio its unit. Keep one value for
            one study (`reference_latency_ms`); by default it is measured once a process.

    Raises:
        UsageError: An argument is out of range, or both `runtime` and another `device` are given.
        Whatever the runtime or the module's forward raises.
    """
    chosen = _choose(runtime, device)
    return _measure(lambda: chosen.prepare(module, input_shape), chosen, seconds, reference_ms)


def measure_file(
    file: bytes,
    input_shape: Sequence[int],
    runtime: FileRuntime,
    *,
    seconds: float | None = None,
    reference_ms: float | None = None,
) -> Latency:
    """Time a file as it will lie on a phone, one input on one thread; the same measure as `measure_latency`.

    Args:
        file: What `runtime` exported or quantised.
        input_shape: One input without the batch.
        runtime: What runs it.
        seconds: See `measure_latency`.
        reference_ms: See `measure_latency`.

    Raises:
        ExportFailed: If the runtime cannot load it.
        UsageError: An argument is out of range.
    """
    image = np.random.default_rng(0).random((1, *input_shape), dtype=np.float32)

    def prepare() -> Callable[[], object]:
        run = runtime.load(file)
        return lambda: run(image)

    return _measure(prepare, runtime, seconds, reference_ms)


def _measure(
    prepare: Callable[[], Callable[[], object]], runtime: Runtime, seconds: float | None, reference_ms: float | None
) -> Latency:
    for name, value in (("seconds", seconds), ("reference_ms", reference_ms)):
        if value is not None and not (isfinite(value) and value > 0):
            raise UsageError(f"{name}: expected a finite number above 0, got {value}")
    if reference_ms is None:
        reference_ms = reference_latency_ms(runtime)
    with _quiet():
        passes = _alternate(_reference(runtime), prepare(), seconds or runtime.seconds)
    ratios = _window_ratios(passes)
    lower, middle, upper = quantiles(ratios, n=4, method="inclusive")
    return Latency(
        latency_ms=middle * reference_ms,
        spread_ms=(upper - lower) / 2 * reference_ms,
        ratio=middle,
        repeats=len(passes),
        runtime=runtime.name,
        device_fingerprint=device_fingerprint(runtime),
    )


def latency_ms(
    module: nn.Module,
    input_shape: Sequence[int],
    *,
    runtime: Runtime | None = None,
    device: str | None = None,
    seconds: float | None = None,
    reference_ms: float | None = None,
) -> float:
    """Milliseconds of one forward pass; see `measure_latency`, which also tells the spread."""
    return measure_latency(
        module, input_shape, runtime=runtime, device=device, seconds=seconds, reference_ms=reference_ms
    ).latency_ms


def reference_latency_ms(runtime: Runtime | None = None, device: str | None = None) -> float:
    """Milliseconds of the reference network when the processor is fast and undisturbed.

    The 10 % quantile over half a second, measured once a process for each runtime. Another process may get
    another value: a study keeps the one it began with.

    Raises:
        UsageError: Both `runtime` and another `device` are given, or there is no such device.
    """
    runtime = _choose(runtime, device)
    key = (runtime.name, runtime.device)
    if key not in _reference_ms:
        with _quiet():
            run = _reference(runtime)
            times = [pair[0] for pair in _alternate(run, run, _CALIBRATION_SECONDS)]
        _reference_ms[key] = quantiles(times, n=10)[0] * 1e3
    return _reference_ms[key]


def _choose(runtime: Runtime | None, device: str | None) -> Runtime:
    if runtime is None:
        return EagerRuntime(device or "cpu")
    if device not in (None, runtime.device):
        raise UsageError(f"device: expected {runtime.device!r}, the device of the runtime, got {device!r}")
    return runtime


def _reference(runtime: Runtime) -> Callable[[], object]:
    """The runner of the reference network, with its first slow passes behind it."""
    key = (runtime.name, runtime.device)
    if key not in _reference_runs:
        _reference_runs[key] = runtime.prepare(*reference_network())
    return _reference_runs[key]


def reference_network() -> tuple[nn.Module, tuple[int, int, int]]:
    """What all networks are timed against, and the shape of its input.

    Inverted residual blocks as in MobileNetV2, about 1 ms: never change it, old latencies depend on it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6()]
        for inputs, outputs, stride in ((16, 24, 2), (24, 24, 1), (24, 32, 2), (32, 32, 1)):
            wide = 3 * inputs
            layers += [nn.Conv2d(inputs, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()]
            layers += [nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False)]
            layers += [nn.BatchNorm2d(wide), nn.ReLU6()]
            layers += [nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)]
        return nn.Sequential(*layers, *head), _REFERENCE_SHAPE


def _alternate(
    reference: Callable[[], object], network: Callable[[], object], seconds: float
) -> list[tuple[float, float]]:
    """Seconds of a pass of the reference and of the pass of the network after it, over and over."""
    for _ in range(_WARM_UP_PASSES):
        reference()
        network()
    passes: list[tuple[float, float]] = []
    end = perf_counter() + seconds
    while len(passes) < _WINDOWS or perf_counter() < end:
        start = perf_counter()
        reference()
        between = perf_counter()
        network()
        passes.append((between - start, perf_counter() - between))
    return passes


def _window_ratios(passes: Sequence[tuple[float, float]]) -> list[float]:
    edges = [len(passes) * window // _WINDOWS for window in range(_WINDOWS + 1)]
    ratios = []
    for first, last in pairwise(edges):
        reference, network = zip(*passes[first:last], strict=True)
        ratios.append(min(network) / min(reference))
    return ratios


@contextmanager
def _quiet() -> Iterator[None]:
    """One thread and no garbage collection, until it is left."""
    threads, collecting = torch.get_num_threads(), gc.isenabled()
    torch.set_num_threads(THREADS)
    gc.disable()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if collecting:
            gc.enable()
