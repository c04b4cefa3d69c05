"""All studies of a storage at a glance: what each is, how far it is, what it found, what it keeps on the disk."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna import Study
from optuna.storages import BaseStorage

from optnas.facts.trials import trial_facts
from optnas.front import best, front, objective_names
from optnas.keeping.beside import checkpoints_of, kept_in, searched_now, size_of
from optnas.objective import ERROR
from optnas.study import attribute, storage_file, study_names, weights_folder
from optnas.study.search import hypervolume_so_far

__all__ = ["StudyRow", "overview", "storage_bytes"]

_TRAINED = ("front", "beaten", "infeasible")


@dataclass(frozen=True)
class StudyRow:
    """One study."""

    name: str
    data: str | None
    """What it learns; None if optnas search did not make it."""
    objectives: tuple[str, ...]
    trials: int
    trained: int
    """Networks trained to the end."""
    pruned: int
    refused: int
    repeats: int
    failed: int
    running: int
    waiting: int
    front: int
    """Networks on the front."""
    least_error: float | None
    """Of a feasible network, in [0, 1]."""
    hypervolume: float | None
    """The share of the study's box, see `hypervolume_so_far`."""
    last_activity: datetime | None
    """When a trial began or ended last, in the time of this place."""
    searched: bool | None
    """Whether a search runs here now; None if that cannot be told."""
    weights: int
    """Networks whose trained weights are kept."""
    weights_bytes: int
    checkpoints: int
    """Trials in training that have kept how far they are."""
    checkpoints_bytes: int
    part_of: str | None = None
    """The study that it belongs to."""


def overview(opened: BaseStorage, storage: str) -> list[StudyRow]:
    """The studies of a storage, the newest activity first; one without any comes last.

    Args:
        opened: The storage.
        storage: Its address.
    """
    rows = [_row(optuna.load_study(study_name=name, storage=opened), storage) for name in study_names(opened)]
    return sorted(rows, key=lambda row: row.last_activity or datetime.min, reverse=True)


def storage_bytes(storage: str) -> int | None:
    """What the file of a storage takes, with the log beside it that SQLite has; None for one without."""
    path = storage_file(storage)
    return None if path is None else size_of(path) + size_of(Path(f"{path}-wal"))


def _row(study: Study, storage: str) -> StudyRow:
    trials = study.get_trials(deepcopy=False)
    names = objective_names(study)
    states = Counter(trial_facts(trial, names).state for trial in trials)
    task: dict[str, Any] = (attribute(study, "settings") or {}).get("task") or {}
    least = best(study) if ERROR in names else None
    times = [time for trial in trials for time in (trial.datetime_start, trial.datetime_complete) if time is not None]
    weights = kept_in(weights_folder(storage, study.study_name))
    checkpoints = kept_in(checkpoints_of(study, storage))
    return StudyRow(
        name=study.study_name,
        data=None if "data" not in task else str(task["data"]),
        objectives=tuple(names),
        trials=len(trials),
        trained=sum(states[state] for state in _TRAINED),
        pruned=states["pruned"],
        refused=states["refused"],
        repeats=states["repeat"],
        failed=states["failed"],
        running=states["running"],
        waiting=states["waiting"],
        front=len(front(study)),
        least_error=None if least is None else least.error,
        hypervolume=hypervolume_so_far(study),
        last_activity=max(times, default=None),
        searched=searched_now(storage, study.study_name),
        weights=len(weights.files),
        weights_bytes=weights.size_bytes,
        checkpoints=len(checkpoints.files),
        checkpoints_bytes=checkpoints.size_bytes,
        part_of=attribute(study, "part_of"),
    )
