"""Cores and GPUs of this machine, and how trials share them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import torch

from optnas.errors import UsageError

__all__ = ["assign_gpus", "check_share", "cores", "trials_at_a_time", "visible_gpus"]


def cores() -> int:
    """How many cores this process may use: in a container those of the machine are not all ours."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, by what `CUDA_VISIBLE_DEVICES` calls them. No context is made on them."""
    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(number) for number in range(count)] if named is None else [n.strip() for n in named.split(",")]
    return tuple(names[:count])


def check_share(name: str, value: object) -> None:
    """Raises UsageError unless `value` is a share of one, or a whole number: what a trial can have of a resource."""
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and (0 < value <= 1 or (value > 1 and value % 1 == 0))
    ):
        return
    raise UsageError(f"{name}: expected a share such as 0.25, or a whole number from 1, got {value!r}")


def trials_at_a_time(gpus: int, gpus_per_trial: float) -> int:
    """How many trials so many GPUs hold: a share is of one GPU, so 0.4 leaves a fifth of each idle.

    Raises:
        UsageError: If there are fewer GPUs than one trial takes.
    """
    fit = gpus * math.floor(1 / gpus_per_trial + 1e-9) if gpus_per_trial <= 1 else gpus // int(gpus_per_trial)
    if fit < 1:
        raise UsageError(
            f"gpus_per_trial: expected at most the GPUs that torch finds here, {gpus}, got {gpus_per_trial:g}"
        )
    return fit


def assign_gpus(visible: Sequence[str], workers: int, gpus_per_trial: float) -> tuple[str, ...]:
    """`CUDA_VISIBLE_DEVICES` of each of so many workers, round robin over the GPUs, or over groups of them.

    More workers than `trials_at_a_time` go round again and share.

    Args:
        visible: See `visible_gpus`.
        workers: How many.
        gpus_per_trial: Up to 1: a worker has one GPU, with others; above, as many, for itself.
    """
    size = max(1, int(gpus_per_trial))
    groups = [",".join(visible[first : first + size]) for first in range(0, len(visible) - size + 1, size)]
    return tuple(groups[worker % len(groups)] for worker in range(workers))
