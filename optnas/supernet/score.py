"""What a network would learn, by the weights that all share: an estimate in the time of a few forward passes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from optnas.supernet.shared import SharedTensors, shared_names
from optnas.supernet.state import load_weights
from optnas.task import Checkpoint, ImageTask, Learned, Task
from optnas.task.batches import Normalise
from optnas.task.data import Images
from optnas.task.memory import peak_bytes
from optnas.task.train import OnEpoch, autocast, evaluate
from optnas.threads import one_thread

__all__ = ["OneShotTask", "inherit", "recalibrate"]

#: Training images that tell batch norm its statistics, and how many at a time.
_RECALIBRATION, _BATCH = 512, 128


@dataclass(frozen=True)
class OneShotTask(Task):
    """Judges a network with inherited weights instead of training it."""

    task: ImageTask
    """The images."""
    weights: str
    """The file of the shared weights."""
    digest: str
    """What tells these weights from others."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return self.task.input_shape

    @property
    def num_classes(self) -> int:
        return self.task.num_classes

    def train(
        self,
        module: nn.Module,
        seed: int,
        on_epoch: OnEpoch | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Learned:
        """The validation error of `module` with the shared weights and its own batch-norm statistics.

        `module` has to come from a stub trial of `optnas.space`, which marks what `choose` built. It takes a moment,
        so no checkpoint is written.
        """
        began = time.perf_counter()
        images, device = self.task.images, torch.device(self.task.settings.device)
        with one_thread():
            inherit(module, _weights(self.weights, self.digest, str(device)))
            module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            recalibrate(module, images)
            error = evaluate(module, images, images.val_x, images.val_y)
        if on_epoch is not None:
            on_epoch(1, error)
        seconds = time.perf_counter() - began
        return Learned(error, (error,), 1, seconds, len(images.val_y) / seconds, peak_bytes(device))

    def describe(self) -> dict[str, Any]:
        return {**self.task.describe(), "evaluator": "one-shot", "weights": self.digest}


@lru_cache(maxsize=2)
def _weights(path: str, digest: str, device: str) -> SharedTensors:
    return load_weights(path, device)


def inherit(module: nn.Module, weights: SharedTensors) -> None:
    """Give a network its parts of the shared weights; one that these do not cover stays as it is."""
    for name, parameter in shared_names(module).items():
        if weights.covers(name, parameter):
            parameter.data = weights.take(name, parameter).clone()


def recalibrate(module: nn.Module, images: Images) -> None:
    """Set the statistics of batch norm to those of training images under the weights as they are.

    The running averages of the training are of no use: every step was another network (Guo et al. 2020; Yu & Huang
    2019, arXiv:1903.05134). Modules without batch norm stay as they are. Left in eval mode.
    """
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm) and part.track_running_stats]
    module.eval()
    if not norms:
        return
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    normalise, momenta = Normalise(images, device), [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
        norm.train()
    # Spread over the training images, whatever their order.
    chosen = torch.linspace(0, len(images.train_x) - 1, min(_RECALIBRATION, len(images.train_x))).long()
    with torch.inference_mode(), autocast(device):
        for some in torch.tensor_split(images.train_x[chosen], -(-len(chosen) // _BATCH)):
            module(normalise(some.to(device)))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    module.eval()
