"""Memory of the training process: kept between steps, and its peak."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h of glibc


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Have glibc keep what is freed until this is left, then give it back. Elsewhere nothing happens.

    A step of training frees its activations and the next asks for as much again. By default glibc gives large
    blocks back to the system each time, and a quarter of a mobile net's step is then spent in page faults.
    Between trainings it must not keep them: networks of other shapes would find the heap in pieces.
    """
    libc = _glibc()
    if libc is None:
        yield
        return
    libc.mallopt(_M_MMAP_MAX, 0)
    libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        libc.malloc_trim(0)


@lru_cache(maxsize=1)
def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None  # musl has neither


def peak_bytes(device: torch.device) -> int | None:
    """Most memory held so far: by the process, or on CUDA since its counter was reset; None where unknown."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # macOS counts bytes, Linux KiB
