"""Pruners that look at the error alone: the comparisons that everyone asks for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.pruners import BasePruner, PatientPruner
from optuna.storages import InMemoryStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from optnas.errors import UsageError
from optnas.prune.base import Finished, Pruner

__all__ = ["AccuracyPruner", "MedianPruner"]


@dataclass(frozen=True)
class MedianPruner(Pruner):
    """Stops a trial whose lowest error is above the median of the errors of whole trainings at that epoch.

    Optuna's `MedianPruner`, costs ignored, in closed form: `AccuracyPruner(optuna.pruners.MedianPruner())`
    gives the same bounds, a thousand times slower.

    Raises:
        UsageError: If a setting is out of range.
    """

    warmup_trials: int = 5
    """How many whole curves it takes before a trial is pruned."""
    warmup_epochs: int = 0
    """How many epochs every trial is given."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("warmup_trials", "warmup_epochs"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name}: expected at least 0, got {getattr(self, name)}")

    def thresholds(self, costs: Mapping[str, float], finished: Sequence[Finished]) -> NDArray[np.float64]:
        bounds = np.full(self.epochs(finished), np.inf)
        curves = [trial.errors for trial in finished if trial.complete and len(trial.curve)]
        if not curves or len(curves) < self.warmup_trials:
            return bounds
        table = np.full((len(curves), len(bounds)), np.nan)
        for row, curve in zip(table, curves, strict=True):
            row[: len(curve)] = curve[: len(row)]
        looks = slice(max(self.warmup_epochs - 1, 0), max(len(bounds) - 1, 0))
        bounds[looks] = _nan_median(table[:, looks])
        return bounds


@dataclass(frozen=True)
class AccuracyPruner(Pruner):
    """Lets any of Optuna's pruners for one objective decide on the error, the costs ignored.

    The finished trials are replayed in a study in memory, where Optuna's pruner sees each of their epochs in
    order and keeps its own books. For each epoch the bound is then found by bisection: the largest constant
    error that the pruner would let pass. So the pruner must judge the level of a curve, more error being no
    better: Median, Percentile, Threshold, SuccessiveHalving, Hyperband, Wilcoxon do; `PatientPruner` judges
    its shape and is refused. Epochs are Optuna's steps, counted from 1.

    For comparisons, not for long studies: 8 epochs and 60 trials take a tenth of a second, 100 epochs and
    1000 trials minutes.

    Raises:
        UsageError: If the pruner is not one of Optuna's, or judges the shape of a curve.
    """

    optuna_pruner: BasePruner | None = None
    """The one that decides, by default Optuna's `MedianPruner`; it is copied."""
    tolerance: float = 1e-6
    """How far at most the bound lies above the exact one, as a share of the range of errors seen."""

    def __post_init__(self) -> None:
        super().__post_init__()
        pruner = self.optuna_pruner
        if pruner is not None and not isinstance(pruner, BasePruner):
            raise UsageError(f"optuna_pruner: expected one of optuna.pruners, got {type(pruner).__name__}")
        if isinstance(pruner, PatientPruner):
            raise UsageError("optuna_pruner: expected one that judges the level of a curve, got PatientPruner")

    def thresholds(self, costs: Mapping[str, float], finished: Sequence[Finished]) -> NDArray[np.float64]:
        bounds = np.full(self.epochs(finished), np.inf)
        seen = [error for trial in finished for error in trial.curve if math.isfinite(error)]
        if not seen:
            return bounds
        # A copy: some pruners fix a setting when they first see a trial.
        pruner = deepcopy(self.optuna_pruner) or optuna.pruners.MedianPruner()
        study = _replay(finished, pruner)
        low, high = min(seen), max(seen)
        margin = max(high - low, abs(high), 1e-12)

        for epoch in range(1, len(bounds)):

            def stops(error: float, epoch: int = epoch) -> bool:
                return pruner.prune(study, _probe(study, error, epoch))

            bounds[epoch - 1] = _largest_kept(stops, low - margin, high + margin, self.tolerance * margin)
        return bounds


class _Books(InMemoryStorage):
    """Lets a pruner note what it likes about trials that are stored; a probe that is not leaves no trace."""

    def set_trial_system_attr(self, trial_id: int, key: str, value: object) -> None:
        if trial_id < len(self.get_all_trials(0, deepcopy=False)):
            super().set_trial_system_attr(trial_id, key, value)  # type: ignore[arg-type]


def _nan_median(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """(epochs,) The median over trials (n, epochs) of what is not NaN; inf where nothing is."""
    known = np.sum(~np.isnan(table), axis=0)
    if (known == len(table)).all():
        return np.asarray(np.median(table, axis=0))  # several times faster, and the usual case
    medians = np.full(table.shape[1], np.inf)
    medians[known > 0] = np.nanmedian(table[:, known > 0], axis=0)
    return medians


def _replay(finished: Sequence[Finished], pruner: BasePruner) -> Study:
    books = _Books()
    books.create_new_study([StudyDirection.MINIMIZE], "optnas")
    study = optuna.load_study(study_name="optnas", storage=books, pruner=pruner)
    for past in finished:
        trial = study.ask()
        for epoch, error in enumerate(past.curve, 1):
            if math.isfinite(error):
                trial.report(float(error), epoch)
                trial.should_prune()  # for what the pruner notes; the trial did go on
        if past.complete and math.isfinite(past.final):
            study.tell(trial, past.final)
        else:
            study.tell(trial, state=TrialState.FAIL if past.complete else TrialState.PRUNED)
    return study


def _probe(study: Study, error: float, epoch: int) -> FrozenTrial:
    """A trial of this error after each epoch so far, that the study does not hold."""
    number = len(study.get_trials(deepcopy=False))
    probe = create_trial(state=TrialState.RUNNING, intermediate_values=dict.fromkeys(range(1, epoch + 1), error))
    probe.number = probe._trial_id = number
    return probe


def _largest_kept(stops: Callable[[float], bool], low: float, high: float, tolerance: float) -> float:
    """Where `stops` turns from false to true, or up to `tolerance` more."""
    if not stops(high):
        return math.inf
    if stops(low):
        return -math.inf
    while high - low > tolerance:
        middle = (low + high) / 2
        low, high = (low, middle) if stops(middle) else (middle, high)
    return high
