"""How the workers of a study train its shared weights, in a file from which training goes on."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from optnas.errors import UsageError
from optnas.objective import Objective
from optnas.sampler import derive_seed
from optnas.space import Choices
from optnas.space.graph import fixed_seed
from optnas.study.executor import Executor
from optnas.study.supernet import Networks, Supernet, fair_paths, image_task
from optnas.supernet import (
    FairPaths,
    Lesson,
    SupernetDiverged,
    SupernetState,
    Taught,
    largest_like,
    load_notes,
    save_state,
    teach,
)
from optnas.supernet.shared import shared_names
from optnas.supernet.state import average, load_state, load_weights
from optnas.task import ImageTask

__all__ = ["PASSES", "train_supernet"]

#: Networks that are looked at to know which weights there are, and as many of their kind at full width.
_LOOKS = 64
#: Steps of a worker between two averagings: short enough that the copies stay close.
_LESSON_STEPS = 24
#: The share of the steps in which the networks move away from the first one.
_WIDENING = 0.8
#: Passes over the training images, in epochs of a training from scratch.
PASSES = 6
#: A learning rate is halved where a loss is not finite, but not below this share of it.
_LEAST_FACTOR = 1 / 32
#: Weights, averages and a copy while they are read may take this share of the memory.
_SHARE_OF_MEMORY = 0.25


def train_supernet(
    objective: Objective,
    executor: Executor,
    path: Path,
    *,
    passes: int | None = None,
    seconds: float | None = None,
    share: float = 1.0,
    networks: Networks | None = None,
    keep: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Supernet:
    """Train the weights that the networks of a space share, or go on where the file at `path` stands.

    Each step trains one network that meets the budget, drawn fairly. The first is the largest; they move away from
    it as training goes on (progressive shrinking, Cai et al. 2020), which from the start would teach little. The
    workers' copies are averaged every few steps. Where a loss is not finite the last steps are done again at half
    the learning rate.

    Args:
        objective: Tells the space, the task, the budget and the seed.
        executor: Trains; all its slots are used.
        path: Of the file; half a training is kept there if it is killed.
        passes: Over the training images; by default six times the epochs of a training.
        seconds: Plan what is left for no more than these. Weights whose training ended stay as they are, unless there
            is more time now, or more passes.
        share: Stop after this share of the training, from 0 to 1.
        networks: Draws the networks of some steps in the place of fair drawing.
        keep: Leave weights as they are whose training has ended, by whatever plan.
        say: Told what is done.

    Raises:
        UsageError: If the space cannot be shared or is too large to hold, or every worker fails.
        SupernetDiverged: If a loss is not finite at a small learning rate either.
    """
    task = image_task(objective)
    settings, images = task.settings, len(task.images.train_y)
    # Half of the batch of a single network: more steps for the same images.
    batch = max(8, settings.batch_size // 2)
    lessons = replace(task, batch_size=batch, lr=settings.lr)
    total = max(1, math.ceil((passes or PASSES * settings.epochs) * images / batch))
    for leftover in path.parent.glob(f"{path.name}.*"):
        leftover.unlink(missing_ok=True)
    notes = dict(load_notes(path)) if path.exists() else {}
    if not notes:
        notes = _begin(objective, path)
        say(f"shared weights: {_count(notes['weights'])} weights, {notes['size_bytes'] / 1e6:.0f} MB; "
            f"{total} steps of {batch} images")  # fmt: skip
    elif networks is None and notes["steps"] < share * total:
        say(f"shared weights: going on at step {notes['steps']} of {total}")
    training = _Training(objective, executor, lessons, path, notes, networks)
    began, paces, planned = time.perf_counter(), [], total
    plan = [total, math.inf if seconds is None else seconds]
    done = _is_done(notes, plan) or (keep and "done" in notes)
    if seconds is not None and not done:
        notes["seconds_given"] = max(seconds, notes.get("seconds_given", 0.0))
    while not done and notes["steps"] < share * planned:
        before, clock, quarter = notes["steps"], time.perf_counter(), 4 * notes["steps"] // planned
        loss = training.round(planned)
        now = time.perf_counter()
        if seconds is not None:
            # The first round is no measure: workers start in it.
            paces.append((now - clock) / (notes["steps"] - before))
            pace = float(np.median(paces[1:] or paces))
            left = max(0.0, seconds - (now - began))
            planned = max(notes["steps"], min(total, notes["steps"] + math.floor(left / pace)))
        if quarter < 4 * notes["steps"] // planned:
            say(f"shared weights: {notes['steps'] / planned:.0%} trained, loss {loss:.2f}, {now - began:.0f} s")
    if share == 1 and not done:
        # In the file, so that the same command takes them as they are.
        notes["done"] = plan if seconds is None else [total, notes["seconds_given"]]
        save_state(load_state(path), path, notes)
    return Supernet(
        str(path),
        load_weights(path).digest,
        notes["weights"],
        notes["size_bytes"],
        notes["steps"],
        notes["images"],
        notes["seconds"],
        notes["peak_memory_bytes"],
    )


def _is_done(notes: Mapping[str, Any], plan: Sequence[float]) -> bool:
    """Whether weights were trained by a plan, [steps, seconds], that went at least as far."""
    return "done" in notes and all(now <= then for now, then in zip(plan, notes["done"], strict=True))


def _begin(objective: Objective, path: Path) -> dict[str, Any]:
    """Write weights that hold those of all networks, as each network would begin with."""
    generator = np.random.default_rng([objective.seed, 0])
    paths, state = FairPaths(objective.build, generator), SupernetState()
    start: tuple[bool, float, Choices] | None = None
    limit, size_bytes = _SHARE_OF_MEMORY * _memory_bytes(), 0
    with fixed_seed():
        for _ in range(_LOOKS):
            choices, module = _drawn(paths)
            held = [module]
            # Not every space has a network of its greatest numbers; the store grows where it has to.
            with suppress(Exception):
                held.append(largest_like(objective.build, choices, generator)[1])
            for module in held:
                for name, parameter in shared_names(module).items():
                    state.weights.fit(name, parameter)
            # Twice more for the averages.
            size_bytes = 3 * state.weights.size_bytes
            if size_bytes > limit:
                raise UsageError(
                    f"shared weights: expected a space whose weights fit into {limit / 1e6:.3g} MB, a quarter of the "
                    f"memory, got more than {size_bytes / 1e6:.3g} MB with the optimizer's averages"
                )
            costs = objective.foresee(choices)
            if costs is not None:
                found = objective.excess(costs) <= 0, costs["macs"], choices
                start = found if start is None or found[:2] > start[:2] else start
    if start is None:
        raise UsageError(f"shared weights: none of {_LOOKS} random networks of the space works")
    if not state.weights.tensors:
        raise UsageError("shared weights: the networks of the space have no weights")
    weights = sum(tensor.numel() for tensor in state.weights.tensors.values())
    notes = {
        "steps": 0, "images": 0, "seconds": 0.0, "peak_memory_bytes": None, "lr_factor": 1.0,
        "weights": weights, "size_bytes": size_bytes, "start": start[2],
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    save_state(state, path, notes)
    return notes


@dataclass
class _Training:
    objective: Objective
    executor: Executor
    task: ImageTask
    path: Path
    notes: dict[str, Any]
    networks: Networks | None
    failed: bool = False
    """Whether every worker failed in the round before."""

    def round(self, total: int) -> float:
        """One lesson for each worker, and the mean of what they learned; returns that of their losses."""
        began, notes, slots = time.perf_counter(), self.notes, self.executor.slots
        count = min(_LESSON_STEPS, -(-(total - notes["steps"]) // slots))
        after = [self.path.with_name(f"{self.path.name}.{slot}") for slot in range(slots)]
        futures = [self.executor.submit(teach, self._lesson(slot, after[slot], count, total)) for slot in range(slots)]
        taught, trouble = self._results(futures)
        if any(isinstance(error, SupernetDiverged) for error in trouble):
            notes["lr_factor"] /= 2
            if notes["lr_factor"] < _LEAST_FACTOR:
                raise next(error for error in trouble if isinstance(error, SupernetDiverged))
            save_state(load_state(self.path), self.path, notes)
            return self.round(total)
        if not taught:
            if self.failed:
                raise UsageError(f"shared weights: every worker failed: {type(trouble[0]).__name__}: {trouble[0]}")
            self.failed = True
            return self.round(total)
        self.failed = False
        notes["steps"] += count * slots
        notes["images"] += sum(one.images for one in taught.values())
        notes["seconds"] = round(notes["seconds"] + time.perf_counter() - began, 2)
        peaks = [one.peak_memory_bytes for one in taught.values() if one.peak_memory_bytes]
        notes["peak_memory_bytes"] = max([*peaks, notes["peak_memory_bytes"] or 0]) or None
        save_state(average([load_state(after[slot]) for slot in taught]), self.path, notes)
        for file in after:
            file.unlink(missing_ok=True)
        return float(np.mean([loss for one in taught.values() for loss in one.losses]))

    def _lesson(self, slot: int, after: Path, count: int, total: int) -> Lesson:
        notes, slots = self.notes, self.executor.slots
        # After a failure others than those that failed are drawn.
        seed = derive_seed(self.objective.seed, notes["steps"] + slot + (10**6 if self.failed else 0))
        generator = np.random.default_rng(seed)
        drawn = list(self.networks(generator, count)) if self.networks is not None else []
        if len(drawn) < count:
            drawn += _fair(self.objective, notes, total, slots, generator, count - len(drawn))
        task = replace(self.task, lr=self.task.settings.lr * notes["lr_factor"])
        return Lesson(self.objective.build, task, drawn, str(self.path), str(after), notes["steps"], slots, total, seed)

    @staticmethod
    def _results(futures: Sequence[Future[Taught]]) -> tuple[dict[int, Taught], list[Exception]]:
        taught: dict[int, Taught] = {}
        trouble: list[Exception] = []
        for slot, future in enumerate(futures):
            try:
                taught[slot] = future.result()
            except Exception as error:
                trouble.append(error)
        return taught, trouble


def _fair(
    objective: Objective, notes: Mapping[str, Any], total: int, slots: int, generator: np.random.Generator, count: int
) -> Sequence[Choices]:
    """Networks that move away from the largest one as the training goes on."""
    paths = fair_paths(objective, generator, objective.explore)
    with fixed_seed():
        return [
            _drawn(paths, notes["start"], (notes["steps"] + slots * step) / (_WIDENING * total))[0]
            for step in range(count)
        ]


def _drawn(paths: FairPaths, start: Choices | None = None, freedom: float = 1.0) -> tuple[Choices, torch.nn.Module]:
    try:
        return paths.draw(start, freedom)
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "")
        raise UsageError(
            f"shared weights: the space raised for each network that was drawn: {type(error).__name__}: {reason}"
        ) from error


def _count(weights: int) -> str:
    return f"{weights / 1e6:.2f} M" if weights >= 1e5 else str(weights)


def _memory_bytes() -> float:
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):  # Windows
        return 8e9
