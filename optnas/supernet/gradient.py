"""Search by gradients: the weights of all networks and the logits of all choices learn in turn (DARTS, first order).

Half of the training images teach the weights, the other half the logits, whose loss is

    cross-entropy + weight * expected cost / reference

The cost enters as it is, not by its logarithm: cross-entropy falls about with the logarithm of the cost, so that a
sum with another logarithm is about straight and has its least value at one end, the smallest network or the largest,
whereas this sum has it in between, where the cost is inversely proportional to the weight. And its mean over the
choices that are drawn is the expected cost of all networks, which is not true of a logarithm.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from optnas.errors import UsageError
from optnas.space import RandomTrial
from optnas.supernet.architecture import Architecture, MostProbable
from optnas.supernet.descent import Descended, Descent
from optnas.supernet.expected import ExpectedCost
from optnas.supernet.mixture import MixtureTrial
from optnas.supernet.state import load_state, save_state
from optnas.supernet.train import SharedOptimizer, check_finite
from optnas.task.batches import Batches
from optnas.task.data import Images
from optnas.task.memory import freed_memory_kept, peak_bytes
from optnas.task.parts import Labels, stratified
from optnas.task.train import autocast, rise_and_fall
from optnas.threads import one_thread

__all__ = ["Descended", "Descent", "descend"]

#: What the running means of loss and cost, the baselines of the score function, keep of themselves at each step.
_BASELINE = 0.9
#: How often a network that the space refuses is drawn again.
_DRAWS = 50
#: Networks that are looked at before the search, for the reference and for what cannot be searched this way.
_LOOKED_AT = 8


def descend(job: Descent) -> Descended:
    """Search one network by gradients; on a CPU the same job gives the same result bit for bit.

    Raises:
        UsageError: If the space has no `choose`, or looks into the modules that it gives, or mixes options whose
            outputs differ in shape, or the cost is none of a descent.
        SupernetDiverged: If a loss is not finite.
        Whatever the networks raise.
    """
    device = torch.device(job.task.settings.device)
    forked = [device] if device.type == "cuda" else []
    with one_thread(), freed_memory_kept(), torch.random.fork_rng(devices=forked):
        torch.manual_seed(job.seed)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        return _Search(job, device).result()


class _Search:
    def __init__(self, job: Descent, device: torch.device) -> None:
        self._job, self._device, self._settings = job, device, job.task.settings
        self._state = load_state(job.before, device)
        self._optimizer = SharedOptimizer(self._state, self._settings)
        self._architecture = Architecture(job.lr)
        self._generator = torch.Generator().manual_seed(job.seed)
        self._expected = ExpectedCost(job.build, job.task.input_shape, job.cost, self._settings.device)
        self._usual: tuple[float, float] | None = None
        self._reference = self._look()

    def result(self) -> Descended:
        job, rows = self._job, []
        taught, judged = self._halves()
        rise = rise_and_fall(job.steps, self._settings.warmup)
        began = time.perf_counter()
        for step in range(job.steps):
            first, last = job.temperature
            temperature = first * (last / first) ** (step / max(1, job.steps - 1))
            weight_loss = self._teach(next(taught), step, temperature, self._settings.lr * rise(step))
            loss, cost = self._judge(next(judged), step, temperature)
            rows.append((self._architecture.entropy(), cost, loss, weight_loss))
        seconds = time.perf_counter() - began
        if job.after is not None:
            save_state(self._state, Path(job.after))
        trial = self._likeliest()
        entropy, costs, losses, weight_losses = (tuple(column) for column in zip(*rows, strict=True))
        return Descended(
            choices=trial.params,
            probabilities=self._architecture.probabilities(),
            entropy=entropy,
            expected_cost=costs,
            reference=self._reference,
            losses=losses,
            weight_losses=weight_losses,
            steps_per_second=job.steps / seconds,
            peak_memory_bytes=peak_bytes(self._device),
            ended_free=trial.ended_free,
        )

    def _look(self) -> float:
        """The reference; refuses what cannot be searched this way before anything is learned."""
        generator, costs, mixes = torch.Generator().manual_seed(0), [], False
        x = torch.zeros(2, *self._job.task.input_shape, device=self._device)
        for _ in range(_LOOKED_AT):
            trial, module = self._draw(generator=generator, prices=self._expected.prices, learns=False)
            module.eval()
            with torch.no_grad():
                costs.append(float(self._expected.run(trial, module, x)[1]))
            for mixture in trial.mixtures:
                mixes = True
                if not mixture.runs:
                    raise UsageError(
                        f"expected a space whose networks run the module of choose({mixture.choice!r}), got one "
                        "that leaves it aside"
                    )
        if not mixes:
            raise UsageError("expected a space with a choose() to descend by gradients, got one without")
        return sum(costs) / len(costs) if self._job.reference is None else self._job.reference

    @property
    def _paths(self) -> int:
        return sys.maxsize if self._job.paths is None else self._job.paths

    def _draw(self, generator: torch.Generator | None = None, **settings: Any) -> tuple[MixtureTrial, nn.Module]:
        """A network by the logits; one that the space refuses is drawn again."""
        for attempt in range(_DRAWS):
            trial = MixtureTrial(self._architecture, generator or self._generator, paths=self._paths, **settings)
            try:
                return trial, self._build(trial)
            except UsageError:
                raise
            except Exception:
                if attempt == _DRAWS - 1:
                    raise
        raise AssertionError

    def _likeliest(self) -> MostProbable:
        """The network of the most probable values; where the space refuses it, the likeliest of some draws."""
        trial = MostProbable(self._architecture)
        try:
            self._job.build(trial)
            return trial
        except Exception as error:
            trouble = error
        drawn = []
        for _ in range(_DRAWS):
            with suppress(Exception):
                drawn.append(self._draw(learns=False)[0])
        if not drawn:
            raise trouble
        best = max(drawn, key=lambda one: self._architecture.log_probability(one.params))
        trial = MostProbable(self._architecture, best.params)
        self._job.build(trial)
        return trial

    def _build(self, trial: MixtureTrial) -> nn.Module:
        try:
            module = self._job.build(trial)
        except UsageError:
            raise
        except Exception as error:
            try:
                self._job.build(RandomTrial(np.random.default_rng(0), trial.params))
            except Exception:
                raise error from None
            raise UsageError(
                "expected a space that uses the modules of choose() as they are, got one that looks into them: "
                f"{type(error).__name__}: {error}"
            ) from error
        return module.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def _halves(self) -> tuple[Iterator[tuple[Tensor, Tensor]], Iterator[tuple[Tensor, Tensor]]]:
        """Batches without an end, of the images for the weights and of those for the logits."""
        images, settings = self._job.task.images, self._settings
        first, second = stratified(images.train_y.numpy(), (0.5, 0.5), self._job.seed)
        return (
            self._batches(images, first, settings.crop_padding, settings.flip, 0),
            self._batches(images, second, 0, False, 1),
        )

    def _batches(
        self, images: Images, chosen: Labels, crop_padding: int, flip: bool, stream: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        half = torch.from_numpy(chosen)
        batches = Batches(
            replace(images, train_x=images.train_x[half], train_y=images.train_y[half]),
            batch_size=self._settings.batch_size,
            crop_padding=crop_padding,
            flip=flip,
            device=self._device,
            generator=torch.Generator().manual_seed(2 * self._job.seed + stream),
        )
        while True:
            yield from batches.epoch()

    def _teach(self, batch: tuple[Tensor, Tensor], step: int, temperature: float, lr: float) -> float:
        """A step of the weights; returns the loss."""
        trial, module = self._draw(temperature=temperature, learns=False)
        module.train()
        return self._optimizer.learn(module, *batch, lr, _where("weights", step, trial))

    def _judge(self, batch: tuple[Tensor, Tensor], step: int, temperature: float) -> tuple[float, float]:
        """A step of the logits; returns the cross-entropy and the expected cost."""
        trial, module = self._draw(
            straight_through=self._job.straight_through, temperature=temperature, prices=self._expected.prices
        )
        module.train()
        for parameter in self._optimizer.lend(module).values():
            parameter.requires_grad_(False)
        with autocast(self._device):
            output, cost = self._expected.run(trial, module, batch[0])
            loss = F.cross_entropy(output, batch[1])
        check_finite(loss, _where("logits", step, trial))
        price = self._job.weight / self._reference
        self._architecture.zero_grad()
        surprise = self._surprise(trial, loss.item(), cost.item(), price)
        (loss + price * cost + surprise).backward()  # type: ignore[no-untyped-call]
        self._architecture.step()
        return loss.item(), cost.item()

    def _surprise(self, trial: MixtureTrial, loss: float, cost: float, price: float) -> Tensor:
        """Its gradient is an estimate of that of the loss in the logits of the choices that were drawn."""
        usual_loss, usual_cost = self._usual or (loss, cost)
        self._usual = (
            _BASELINE * usual_loss + (1 - _BASELINE) * loss,
            _BASELINE * usual_cost + (1 - _BASELINE) * cost,
        )
        surprise = torch.zeros(())
        for drawn in trial.drawn:
            beyond = loss - usual_loss
            if not drawn.in_mixture:
                # Within an option a choice matters where that option is taken, not with the probability that it is.
                within = sum(trial.excess[name].item() for name in drawn.inside if name in trial.excess)
                beyond += price * (cost - within - usual_cost)
            surprise = surprise + beyond * drawn.log_probability
        return surprise


def _where(what: str, step: int, trial: MixtureTrial) -> str:
    return f"{what} is not finite at step {step + 1}, in {trial.params}"
