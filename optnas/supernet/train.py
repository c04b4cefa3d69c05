"""Training of shared weights: one network a step, in lessons that are jobs for workers."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.adamw import adamw

from optnas.space import Build, ReplayTrial
from optnas.supernet.shared import shared_names
from optnas.supernet.state import SupernetState, load_state, save_state
from optnas.task import ImageTask
from optnas.task.batches import Batches
from optnas.task.memory import freed_memory_kept, peak_bytes
from optnas.task.train import TrainSettings, autocast, rise_and_fall
from optnas.threads import one_thread

__all__ = ["Lesson", "SharedOptimizer", "SupernetDiverged", "Taught", "check_finite", "teach"]

#: The gradient of a step is shortened to this length. Networks of one store differ a lot, and one step of an
#: unlucky path must not undo those of the others.
_LONGEST_GRADIENT = 5.0


class SupernetDiverged(RuntimeError):
    """A loss was infinite or NaN; the message tells the step and the network."""


@dataclass(frozen=True)
class Lesson:
    """Some steps of training, as plain values: what travels to a worker."""

    build: Build
    """The space, bound to the task's input."""
    task: ImageTask
    """The images, and how networks are trained."""
    networks: Sequence[Mapping[str, Any]]
    """The choices of the network of each step."""
    before: str
    """The file with the state to begin with."""
    after: str
    """The file for the state in the end."""
    first_step: int
    """How many steps all workers took before, for the learning rate."""
    stride: int
    """How many of them are taken at once."""
    total_steps: int
    """How many steps there will be in all."""
    seed: int
    """Of the order of the images and their augmentation."""


@dataclass(frozen=True)
class Taught:
    """What a lesson left beside the state."""

    losses: tuple[float, ...]
    """Of each step."""
    images: int
    """How many images were seen."""
    seconds: float
    """Wall time of the steps."""
    peak_memory_bytes: int | None
    """As in `optnas.task.Learned`."""


def teach(lesson: Lesson) -> Taught:
    """Train the shared weights of `lesson.before` for some steps and write them to `lesson.after`.

    Raises:
        SupernetDiverged: If a loss is not finite.
        Whatever the networks raise.
    """
    settings = lesson.task.settings
    device = torch.device(settings.device)
    forked = [device] if device.type == "cuda" else []
    with one_thread(), freed_memory_kept(), torch.random.fork_rng(devices=forked):
        torch.manual_seed(lesson.seed)
        state = load_state(lesson.before, device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        began = time.perf_counter()
        losses, images = _steps(lesson, state, settings, device)
        seconds = time.perf_counter() - began
        save_state(state, Path(lesson.after))
        return Taught(tuple(losses), images, seconds, peak_bytes(device))


def _steps(
    lesson: Lesson, state: SupernetState, settings: TrainSettings, device: torch.device
) -> tuple[list[float], int]:
    batches = Batches(
        lesson.task.images,
        batch_size=settings.batch_size,
        crop_padding=settings.crop_padding,
        flip=settings.flip,
        device=device,
        generator=torch.Generator().manual_seed(lesson.seed),
    )
    optimizer = SharedOptimizer(state, settings)
    factor = rise_and_fall(lesson.total_steps, settings.warmup)
    losses, images, some = [], 0, batches.epoch()
    for index, choices in enumerate(lesson.networks):
        step = lesson.first_step + index * lesson.stride
        batch = next(some, None)
        if batch is None:
            some = batches.epoch()
            batch = next(some)
        x, y = batch
        module = lesson.build(ReplayTrial(choices)).train()
        module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        where = f"shared weights is not finite at step {step + 1}, in {choices}"
        losses.append(optimizer.learn(module, x, y, settings.lr * factor(step), where))
        images += len(y)
    return losses, images


def check_finite(loss: Tensor, where: str) -> None:
    """Raise `SupernetDiverged`, with `where` as the end of its sentence, if a loss is infinite or NaN."""
    if not math.isfinite(loss.item()):
        raise SupernetDiverged(f"the loss of the {where}")


class SharedOptimizer:
    """AdamW on the weights that a network has of the store; the others stay as they are, their averages too.

    Args:
        state: Changed in place.
        settings: Of these the weight decay and the smoothing of labels.
    """

    def __init__(self, state: SupernetState, settings: TrainSettings) -> None:
        self._state, self._settings = state, settings

    def learn(self, module: nn.Module, x: Tensor, y: Tensor, lr: float, where: str) -> float:
        """One step of the weights that a network has, on images (b, c, h, w) and labels (b,); returns the loss.

        Raises:
            SupernetDiverged: If that is not finite; `where` ends its sentence.
        """
        parameters = self.lend(module)
        with autocast(x.device):
            loss = F.cross_entropy(module(x), y, label_smoothing=self._settings.label_smoothing)
        check_finite(loss, where)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters.values(), _LONGEST_GRADIENT)
        self.step(parameters, lr)
        return loss.item()

    def lend(self, module: nn.Module) -> dict[str, nn.Parameter]:
        """Give a network its weights of the store; returns its parameters by their shared names."""
        parameters = shared_names(module)
        for name, parameter in parameters.items():
            parameter.data = self._state.weights.take(name, parameter)
        return parameters

    def step(self, parameters: Mapping[str, nn.Parameter], lr: float) -> None:
        """Change the weights by their gradients, and keep them in the store."""
        trained = {name: parameter for name, parameter in parameters.items() if parameter.grad is not None}
        for decays in (True, False):
            # As in a training of its own: biases and batch norm do not decay.
            group = {name: parameter for name, parameter in trained.items() if (parameter.ndim > 1) == decays}
            self._update(group, lr, self._settings.weight_decay if decays else 0.0)

    def _update(self, group: Mapping[str, nn.Parameter], lr: float, weight_decay: float) -> None:
        if not group:
            return
        state = self._state
        zeros = {name: torch.zeros_like(p, memory_format=torch.contiguous_format) for name, p in group.items()}
        means = {name: state.means.take(name, zero) for name, zero in zeros.items()}
        squares = {name: state.squares.take(name, zero) for name, zero in zeros.items()}
        counts = {name: state.counts.setdefault(name, torch.zeros((), device=p.device)) for name, p in group.items()}
        with torch.no_grad():
            # The fused kernel takes memory for dense without a look: all tensors are contiguous here.
            adamw(
                [parameter.data for parameter in group.values()],
                [parameter.grad.contiguous() for parameter in group.values() if parameter.grad is not None],
                list(means.values()),
                list(squares.values()),
                [],
                list(counts.values()),
                fused=True,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=lr,
                weight_decay=weight_decay,
                eps=1e-8,
                maximize=False,
            )
        for name, parameter in group.items():
            state.weights.put(name, parameter.data)
            state.means.put(name, means[name])
            state.squares.put(name, squares[name])
