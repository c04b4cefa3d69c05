"""One training as plain values: what travels to a worker, what it does there, and what comes back."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from optuna import TrialPruned
from safetensors import SafetensorError
from torch import nn

from optnas.prune import Stopper
from optnas.space import Build, ReplayTrial
from optnas.task import Learned, Task
from optnas.task.weights import save_weights

__all__ = ["Job", "Outcome", "run_job", "train_job"]


@dataclass(frozen=True)
class Job:
    """One training, as plain values: what travels to a worker."""

    number: int
    """The trial's number."""
    build: Build
    """The space, bound to the task's input."""
    params: Mapping[str, Any]
    """The trial's choices."""
    task: Task
    """What to learn, with the training hyperparameters that the trial chose."""
    seed: int
    """Of the initial weights, the order of the images and their augmentation."""
    costs: Mapping[str, float]
    """The costs measured before training."""
    thresholds: tuple[float, ...] = ()
    """The error of each epoch above which training stops; it is not asked for again while it trains."""
    audited: bool = False
    """Whether it is trained to the end all the same, to learn what pruning loses."""
    weights: str | None = None
    """The file for the trained weights; None if they are not kept."""


@dataclass(frozen=True)
class Outcome:
    """What came of a job."""

    curve: tuple[float, ...]
    """Validation error after each epoch."""
    seconds: float
    """Wall time of the training."""
    error: float | None
    """After the last epoch; None if training was stopped before."""
    stop_epoch: int | None = None
    """The epoch after which the pruner stopped it, or would have, if it was audited."""
    bound: float | None = None
    """The error that it should have had by then."""
    reason: str = ""
    """Why it was stopped, or would have been."""


def run_job(job: Job) -> Outcome:
    """Build the network of a job again and train it, until its thresholds say stop; needs nothing but the job.

    Raises:
        Whatever the task raises, such as `TrainingDiverged`.
    """
    return train_job(job)[1]


def train_job(job: Job) -> tuple[nn.Module, Outcome]:
    """As `run_job`, and hands back the network too, in eval mode if the task leaves it so."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        module = job.build(ReplayTrial(job.params))
    stopper, began = Stopper(job.thresholds), time.perf_counter()
    curve: list[float] = []
    stopped: dict[str, Any] = {}

    def on_epoch(epoch: int, error: float) -> None:
        _check_finite(error, epoch)
        curve.append(error)
        reason = stopper(epoch, error)
        if reason is not None and not stopped:
            stopped.update(stop_epoch=epoch, bound=stopper.bound(epoch), reason=reason)
            if not job.audited:
                raise TrialPruned(reason)

    try:
        learned = job.task.train(module, job.seed, on_epoch)
    except TrialPruned as pruned:
        stopped.setdefault("reason", str(pruned) or "stopped by the task")
        return module, Outcome(tuple(curve), time.perf_counter() - began, None, **stopped)
    _check_finite(learned.error, learned.epochs)
    _keep_weights(job, module, learned)
    return module, Outcome(learned.curve, time.perf_counter() - began, learned.error, **stopped)


def _keep_weights(job: Job, module: nn.Module, learned: Learned) -> None:
    if job.weights is None:
        return
    notes = {"choices": dict(job.params), "seed": job.seed, "error": learned.error, "curve": list(learned.curve)}
    # A full disk costs no training: weights that are not kept can be trained again.
    with suppress(OSError, SafetensorError):
        save_weights(module, Path(job.weights), notes)


def _check_finite(error: float, epoch: int) -> None:
    if not math.isfinite(error):
        raise FloatingPointError(f"the error after epoch {epoch} is {error}, expected a finite number")
