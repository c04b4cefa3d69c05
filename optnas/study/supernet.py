"""The shared weights of a study: where they are kept, and which networks they are for."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from optuna import Study
from optuna.trial import BaseTrial

from optnas.errors import UsageError
from optnas.objective import Objective
from optnas.prune import NoPruner
from optnas.space import Choices
from optnas.study.addresses import storage_file
from optnas.study.create import attribute
from optnas.supernet import FairPaths, OneShotTask
from optnas.task import ImageTask

__all__ = ["Networks", "Supernet", "fair_paths", "image_task", "one_shot_objective", "supernet_path"]

#: Draws so many networks.
Networks = Callable[[np.random.Generator, int], Sequence[Choices]]


@dataclass(frozen=True)
class Supernet:
    """Shared weights that are trained."""

    path: str
    """The file."""
    digest: str
    """Of the weights: `SharedTensors.digest`."""
    weights: int
    """How many numbers all networks share."""
    size_bytes: int
    """In memory while they are trained: with the averages of the optimizer."""
    steps: int
    """Steps of training, of all workers."""
    images: int
    """Images seen in them."""
    seconds: float
    """Wall time."""
    peak_memory_bytes: int | None
    """Of the largest worker."""

    def __str__(self) -> str:
        memory = "" if self.peak_memory_bytes is None else f", at most {self.peak_memory_bytes / 1e6:.0f} MB a process"
        return (
            f"{self.weights / 1e6:.2f} M shared weights ({self.size_bytes / 1e6:.0f} MB with the optimizer's) "
            f"trained on {self.images} images in {self.seconds:.0f} s{memory}"
        )


def image_task(objective: Objective) -> ImageTask:
    """The task of an objective, if weights can be shared in it.

    Raises:
        UsageError: If it is not an `ImageTask`, or its networks choose how they are trained.
    """
    task = objective.task.task if isinstance(objective.task, OneShotTask) else objective.task
    if not isinstance(task, ImageTask):
        raise UsageError(f"shared weights: expected an ImageTask, got {type(task).__name__}")
    if task.tune:
        raise UsageError(
            f"shared weights: expected one training for all networks, got tune {','.join(task.tune)}: leave it out"
        )
    return task


def supernet_path(study: Study, storage: str, objective: Objective) -> Path:
    """Where the shared weights of a study are: in a folder beside its storage, a file for each way to make them.

    For a storage in memory they are in a temporary folder that goes with the study.
    """
    path = storage_file(storage)
    if storage == "memory":
        folder = Path(tempfile.mkdtemp(prefix="optnas-"))
        weakref.finalize(study, shutil.rmtree, folder, ignore_errors=True)
    else:
        folder = Path("optnas-supernets") if path is None else path.with_name(f"{path.name}-supernets")
    made = attribute(study, "settings") or {}
    task, constraints = image_task(objective).describe(), sorted(map(str, objective.constraints))
    where = storage if path is None else ""  # the folder tells a file; it may be moved
    identity = [where, study.study_name, made.get("space"), objective.seed, sorted(task.items()), constraints]
    digest = hashlib.blake2b(repr(identity).encode(), digest_size=6).hexdigest()
    # Names may be long, and hold what no file name can; the digest tells them apart.
    name = "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in study.study_name)[:60]
    return folder / f"{name}-{digest}.safetensors"


def one_shot_objective(objective: Objective, supernet: Supernet) -> Objective:
    """The same objective, whose networks are scored by shared weights instead of trained."""
    task = OneShotTask(image_task(objective), supernet.path, supernet.digest)
    return objective.variant(task=task, pruner=NoPruner())


def fair_paths(
    objective: Objective, generator: np.random.Generator, build: Callable[[BaseTrial], Any] | None = None
) -> FairPaths:
    """Fair networks within the budget of an objective."""
    return FairPaths(build or objective.build, generator, objective.beyond)
