"""How a study went: how much its front covered after each training, epoch and second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import moocore
import numpy as np
from numpy.typing import NDArray
from optuna import Study
from optuna.study import StudyDirection

from optnas.facts.trials import TrialFacts, read_trials
from optnas.front import objective_names
from optnas.study import attribute

__all__ = ["Box", "Moment", "box_of", "course", "fronts_after", "seconds_at_work"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Box:
    """What a hypervolume is a share of. Values are turned so that smaller is better."""

    names: tuple[str, ...]
    """The objectives."""
    best: tuple[float, ...]
    worst: tuple[float, ...]
    fixed: bool
    """Whether it was set when the study was made; if not, it is that of the values seen so far and grows."""

    def shares(self, losses: Array) -> Array:
        """(n, k) losses as shares of the way from best to worst; beyond the worst they are above 1."""
        best, worst = np.array(self.best), np.array(self.worst)
        return np.asarray((losses - best) / np.where(worst > best, worst - best, 1.0))


@dataclass(frozen=True)
class Moment:
    """Where a study stood when a training had ended."""

    trial: int
    """Whose training it was."""
    trainings: int
    """Networks trained until then, this one counted."""
    epochs: int
    """Epochs spent on them."""
    seconds: float
    """Of work: pauses between two runs of a search are left out."""
    hypervolume: float
    """The share of the box that the front covers, 0 to 1."""
    front: int
    """How many networks are on the front."""


def box_of(study: Study) -> Box | None:
    """The box of a study's hypervolume: that which `optnas search` set when it made the study, or else from the best to
    the worst value of each objective among feasible finished trials.

    None if no trial has finite values to make one from.
    """
    names, signs = objective_names(study), _signs(study)
    reference = attribute(study, "reference")
    if reference is not None and all(name in reference for name in names):
        return Box(names, (0.0,) * len(names), tuple(float(reference[name]) for name in names), True)
    finished = [trial for trial in read_trials(study) if trial.state in ("front", "beaten")]
    if not finished:
        return None
    losses = _losses(finished, names, signs)
    return Box(names, tuple(losses.min(axis=0).tolist()), tuple(losses.max(axis=0).tolist()), False)


def course(study: Study) -> list[Moment]:
    """Where the study stood after each of its trainings, in the order in which they ended."""
    box, names, signs = box_of(study), objective_names(study), _signs(study)
    trained = _by_end([trial for trial in read_trials(study) if trial.trained])
    seconds = seconds_at_work(trained)
    moments: list[Moment] = []
    front = np.empty((0, len(names)))
    epochs, volume = 0, 0.0
    for count, (trial, at) in enumerate(zip(trained, seconds, strict=True), 1):
        epochs += max(1, len(trial.curve))
        if box is not None and trial.state in ("front", "beaten"):
            row = box.shares(_losses([trial], names, signs))
            if not (front <= row).all(axis=1).any():
                front = np.concatenate([front[~(row <= front).all(axis=1)], row])
                volume = _volume(front)
        moments.append(Moment(trial.trial, count, epochs, at, volume, len(front)))
    return moments


def fronts_after(study: Study, shares: Sequence[float] = (0.25, 0.5, 1.0)) -> dict[int, Array]:
    """The front as it was when a share of the trainings had ended: by their number the values (n, k) of its members.

    Values are as the study has them, not turned; sorted by the first objective.
    """
    names, signs = objective_names(study), _signs(study)
    trained = _by_end([trial for trial in read_trials(study) if trial.trained])
    found: dict[int, Array] = {}
    for share in shares:
        count = max(1, round(share * len(trained)))
        losses = _losses([t for t in trained[:count] if t.state in ("front", "beaten")], names, signs)
        kept = moocore.is_nondominated(losses) if len(losses) > 1 else np.ones(len(losses), dtype=bool)
        members = losses[kept] * signs
        found[count] = members[np.argsort(members[:, 0], kind="stable")]
    return found if trained else {}


def seconds_at_work(trials: Sequence[TrialFacts]) -> list[float]:
    """For each trial, in the order of their ends, the seconds during which some trial had run until its end."""
    spans = sorted((t.started, t.ended) for t in trials if t.started and t.ended)
    merged: list[tuple[datetime, datetime]] = []
    for start, end in spans:
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    seconds: list[float] = []
    done, index = 0.0, 0
    for trial in trials:
        if not (trial.started and trial.ended):
            seconds.append(seconds[-1] if seconds else 0.0)
            continue
        while merged[index][1] < trial.ended:
            done += (merged[index][1] - merged[index][0]).total_seconds()
            index += 1
        seconds.append(done + (trial.ended - merged[index][0]).total_seconds())
    return seconds


def _by_end(trials: Sequence[TrialFacts]) -> list[TrialFacts]:
    """Trials without times, which only a person's own study has, come in the order of their numbers."""
    timed = all(trial.ended for trial in trials)
    return sorted(trials, key=lambda trial: (trial.ended if timed else None, trial.trial)) if timed else list(trials)


def _losses(trials: Sequence[TrialFacts], names: Sequence[str], signs: Array) -> Array:
    return np.array([[trial.values[name] for name in names] for trial in trials]).reshape(-1, len(names)) * signs


def _signs(study: Study) -> Array:
    return np.array([-1.0 if direction == StudyDirection.MAXIMIZE else 1.0 for direction in study.directions])


def _volume(shares: Array) -> float:
    """Of (n, k) shares of the box; what lies beyond it adds nothing."""
    inside = shares[np.all(shares < 1, axis=1)]
    return float(moocore.hypervolume(np.maximum(inside, 0.0), ref=np.ones(shares.shape[1]))) if len(inside) else 0.0
