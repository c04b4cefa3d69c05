"""What a measured latency belongs to: the processor and the software that ran it."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

import torch

from optnas.runtime import EagerRuntime, Runtime

__all__ = ["THREADS", "device_fingerprint"]

THREADS = 1
"""Latency is measured on one thread: a phone gives a network no more, and more vary more."""


def device_fingerprint(runtime: Runtime | None = None) -> dict[str, str | int]:
    """What must be the same for two latencies to be compared, as plain values for JSON.

    Args:
        runtime: What runs the network, by default PyTorch; the name of the GPU is added if its device is "cuda".

    Returns:
        processor, machine, cores, torch, threads (those of a latency measurement), runtime, runtime_version; gpu
        for "cuda".
    """
    runtime = runtime or EagerRuntime()
    return {**_fingerprint(runtime.device), "runtime": runtime.name, "runtime_version": runtime.version}


@cache
def _fingerprint(device: str) -> dict[str, str | int]:
    facts: dict[str, str | int] = {
        "processor": _processor(),
        "machine": platform.machine(),
        "cores": os.cpu_count() or 1,
        "torch": torch.__version__,
        "threads": THREADS,
    }
    if torch.device(device).type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(device)
    return facts


def _processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The model as Linux names it (x86 "model name", some ARM boards "Hardware" or "Model")."""
    lines = cpuinfo.read_text(errors="replace").splitlines() if cpuinfo.exists() else []
    named = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    facts = {key.strip(): value.strip() for key, value in named.items()}
    for key in ("model name", "Hardware", "Model"):
        if facts.get(key):
            return facts[key]
    return platform.processor() or platform.machine() or "unknown"
