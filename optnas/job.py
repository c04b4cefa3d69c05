"""One training as plain values: what travels to a worker, what it does there, and what comes back."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from optuna import TrialPruned
from safetensors import SafetensorError
from torch import nn

from optnas.prune import Stopper
from optnas.space import Build, ReplayTrial
from optnas.task import Checkpoint, Learned, Task
from optnas.task.task import takes_checkpoint
from optnas.task.weights import pack_weights, save_weights

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
    """The file for the trained weights; None if the worker keeps none."""
    send_weights: bool = False
    """Whether the outcome brings the trained weights: the worker's disk may be that of another machine."""
    checkpoint: str | None = None
    """The file, named `*.safetensors`, from which the training goes on after a crash; None if it need not.

    It is still there when the job is done: whoever keeps the outcome removes it then.
    """
    checkpoint_bytes: int | None = None
    """A larger checkpoint is not written."""


@dataclass(frozen=True)
class Outcome:
    """What came of a job."""

    curve: tuple[float, ...]
    """Validation error after each epoch."""
    seconds: float
    """Wall time of the training, that before an interruption too."""
    error: float | None
    """After the last epoch; None if training was stopped before."""
    stop_epoch: int | None = None
    """The epoch after which the pruner stopped it, or would have, if it was audited."""
    bound: float | None = None
    """The error that it should have had by then."""
    reason: str = ""
    """Why it was stopped, or would have been."""
    resumed_epochs: int = 0
    """How many epochs of the curve were trained before an interruption."""
    warning: str = ""
    """A sentence if a checkpoint was refused or none could be written; the training is sound all the same."""
    weights: bytes | None = field(default=None, repr=False)
    """The content of a file of weights, if the job asked for it and the network was trained to the end."""


def run_job(job: Job) -> Outcome:
    """Build the network of a job again and train it, until its thresholds say stop; needs nothing but the job.

    If the job's checkpoint was written by the same training, it goes on from there.

    Raises:
        Whatever the task raises, such as `TrainingDiverged`.
    """
    return train_job(job)[1]


def train_job(job: Job) -> tuple[nn.Module, Outcome]:
    """As `run_job`, and hands back the network too, in eval mode if the task leaves it so."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        module = job.build(ReplayTrial(job.params))
    checkpoint = _checkpoint(job, module)
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

    def outcome(curve: tuple[float, ...], error: float | None) -> Outcome:
        seconds, resumed, warning = time.perf_counter() - began, 0, ""
        if checkpoint is not None:
            warning = checkpoint.warning
            if checkpoint.resumed is not None:
                seconds, resumed = seconds + checkpoint.resumed.seconds, len(checkpoint.resumed.curve)
        return Outcome(curve, seconds, error, **stopped, resumed_epochs=resumed, warning=warning)

    given = {} if checkpoint is None else {"checkpoint": checkpoint}
    try:
        learned = job.task.train(module, job.seed, on_epoch, **given)
    except TrialPruned as pruned:
        stopped.setdefault("reason", str(pruned) or "stopped by the task")
        return module, outcome(tuple(curve), None)
    _check_finite(learned.error, learned.epochs)
    return module, replace(outcome(learned.curve, learned.error), weights=_keep_weights(job, module, learned))


def _checkpoint(job: Job, module: nn.Module) -> Checkpoint | None:
    if job.checkpoint is None or not takes_checkpoint(job.task):
        return None
    # Without the addresses that a function in it may show, which change from process to process.
    layers = re.sub(r" at 0x[0-9A-Fa-f]+", "", repr(module))
    identity = {
        "choices": dict(job.params),
        "seed": job.seed,
        "task": [type(job.task).__qualname__, job.task.describe()],
        "layers": hashlib.blake2b(layers.encode(), digest_size=8).hexdigest(),
    }
    return Checkpoint(Path(job.checkpoint), identity, job.checkpoint_bytes)


def _keep_weights(job: Job, module: nn.Module, learned: Learned) -> bytes | None:
    """Write the weights to the job's file; returns them if they are to be sent."""
    if job.weights is None and not job.send_weights:
        return None
    notes = {"choices": dict(job.params), "seed": job.seed, "error": learned.error, "curve": list(learned.curve)}
    # A full disk costs no training: weights that are not kept can be trained again.
    with suppress(OSError, SafetensorError):
        if job.weights is not None:
            save_weights(module, Path(job.weights), notes)
        if job.send_weights:
            return pack_weights(module, notes)
    return None


def _check_finite(error: float, epoch: int) -> None:
    if not math.isfinite(error):
        raise FloatingPointError(f"the error after epoch {epoch} is {error}, expected a finite number")
