"""How far latencies can be trusted on this machine: the same networks timed by several processes and runtimes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from optnas.cost import Prices, macs, params
from optnas.errors import UsageError, first_line
from optnas.space import Build, Choices, ReplayTrial, sample
from optnas.study.process_pool import ProcessPool
from optnas.threads import one_thread

__all__ = ["LatencyAudit", "RuntimeAudit", "audit_latency"]

Array = NDArray[np.float64]
_MOST_DRAWS = 20
"""For each network asked: so many random ones may be of no use, since they do not work."""


@dataclass(frozen=True)
class RuntimeAudit:
    """One runtime, by several processes. NaN stands for a network that it cannot take."""

    latency_ms: Array
    """(processes, networks)"""
    seconds: Array
    """(processes, networks): wall time of one measurement, export included."""
    fingerprint: Mapping[str, Any]
    problem: str = ""
    """Why the first network that it cannot take was refused."""

    @property
    def taus(self) -> list[float]:
        """Kendall's tau of each pair of processes."""
        return [tau(first, second) for first, second in combinations(self.latency_ms, 2)]

    @property
    def median_ms(self) -> Array:
        """(networks,): over the processes."""
        return np.median(self.latency_ms, axis=0)

    @property
    def spread(self) -> float:
        """The median over networks of the largest difference between two processes, as a share."""
        ranges = np.ptp(self.latency_ms, axis=0) / self.median_ms
        return float(np.nanmedian(ranges)) if np.isfinite(ranges).any() else math.nan


@dataclass(frozen=True)
class LatencyAudit:
    """The same random networks in every runtime."""

    runtimes: Mapping[str, RuntimeAudit]
    counted: Mapping[str, Array]
    """By the names of `macs` and `params`: (networks,)."""

    def agreement(self) -> dict[tuple[str, str], float]:
        """Kendall's tau of each pair of runtimes and counted costs, by the networks that both have."""
        orders = {name: audit.median_ms for name, audit in self.runtimes.items()} | dict(self.counted)
        return {(a, b): tau(orders[a], orders[b]) for a, b in combinations(orders, 2)}


@dataclass(frozen=True)
class _Job:
    build: Build
    input_shape: tuple[int, int, int]
    networks: tuple[Choices, ...]
    prices: Prices


def audit_latency(
    build: Build,
    input_shape: tuple[int, int, int],
    runtimes: Sequence[str],
    networks: int = 30,
    processes: int = 3,
    *,
    seconds: float | None = None,
    seed: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> LatencyAudit:
    """Time random networks in every runtime, by one process after the other: two at once would disturb each other.

    Args:
        build: The space.
        input_shape: (channels, height, width) of one image.
        runtimes: Some of `optnas.runtime.RUNTIMES`.
        networks: How many.
        processes: How many times, each in a fresh process.
        seconds: How long one network is timed; by default what the runtime needs.
        seed: Of the draws.
        say: Told how far it is.

    Raises:
        UsageError: If fewer than 3 networks or 2 processes are asked, a runtime is unknown or not installed, or
            networks of the space do not work.
    """
    if networks < 3 or processes < 2:
        raise UsageError(f"expected at least 3 networks and 2 processes, got {networks} and {processes}")
    for runtime in runtimes:
        Prices(runtime).fingerprint()  # refuses what is unknown or not installed
    drawn, counted = _draw(build, input_shape, networks, seed)
    audits = {}
    for runtime in runtimes:
        parts = []
        for process in range(processes):
            say(f"{runtime}: process {process + 1} of {processes}, {networks} networks")
            # All processes with one unit: a reference time of their own would be a difference of its own.
            job = _Job(build, input_shape, drawn, Prices(runtime, reference_ms=1.0, seconds=seconds))
            pool = ProcessPool(1)
            try:
                parts.append(pool.submit(_time, job).result())
            finally:
                pool.close()
        prices = Prices(runtime).calibrated()
        assert prices.reference_ms is not None
        latency_ms = np.array([part[0] for part in parts]) * prices.reference_ms
        problem = next((part[2] for part in parts if part[2]), "")
        audits[runtime] = RuntimeAudit(latency_ms, np.array([part[1] for part in parts]), prices.fingerprint(), problem)
    return LatencyAudit(audits, counted)


def tau(first: Array, second: Array) -> float:
    """Kendall's tau of the networks that both have; NaN where it does not exist."""
    both = np.isfinite(first) & np.isfinite(second)
    return float(kendalltau(first[both], second[both]).statistic) if both.sum() > 1 else math.nan


def _draw(
    build: Build, input_shape: tuple[int, int, int], networks: int, seed: int
) -> tuple[tuple[Choices, ...], dict[str, Array]]:
    """Random networks that work, and what is counted of them."""
    generator = np.random.default_rng(seed)
    drawn: list[Choices] = []
    counted: list[tuple[int, int]] = []
    problem = ""
    for _ in range(_MOST_DRAWS * networks):
        try:
            choices = sample(build, generator)
            module: Any = build(ReplayTrial(choices))
            counted.append((macs(module, input_shape), params(module)))
        except Exception as error:
            problem = problem or f"{type(error).__name__}: {first_line(error)}"
            continue
        drawn.append(choices)
        if len(drawn) == networks:
            break
    if len(drawn) < networks:
        raise UsageError(f"expected {networks} networks of the space that work, got {len(drawn)}; the first: {problem}")
    table = np.array(counted, dtype=float)
    return tuple(drawn), {"macs": table[:, 0], "params": table[:, 1]}


def _time(job: _Job) -> tuple[list[float], list[float], str]:
    """Milliseconds and seconds of each network, and why the first that failed did."""
    latency_ms, seconds, problem = [], [], ""
    with one_thread():
        runtime_ready: Any = job.build(ReplayTrial(job.networks[0]))
        try:
            job.prices.latency(runtime_ready, job.input_shape)  # imports and the reference are no network's time
        except Exception as error:
            problem = first_line(error)
        for choices in job.networks:
            began = perf_counter()
            module: Any = job.build(ReplayTrial(choices))
            try:
                latency_ms.append(job.prices.latency(module, job.input_shape).latency_ms)
            except Exception as error:
                problem = problem or first_line(error)
                latency_ms.append(math.nan)
            seconds.append(perf_counter() - began)
    return latency_ms, seconds, problem
