"""Memory of the training process: kept between steps, and its peak."""

import ctypes
import sys
from functools import lru_cache

import torch

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h of glibc


@lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """Have glibc keep what it frees, for the rest of the process. Elsewhere nothing happens.

    A step of training frees its activations and the next asks for as much again. By default glibc gives large
    blocks back to the system each time, and a quarter of a mobile net's step is then spent in page faults.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


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
