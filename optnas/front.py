"""Facts of a finished or running study: its front, hypervolume, and the best network under a budget.

Every function takes an ordinary `optuna.Study`. Values are turned so that smaller is better, whatever the
study's directions are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import moocore
import numpy as np
from numpy.typing import NDArray
from optuna import Study
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optnas.cost import COSTS, Constraint
from optnas.errors import UsageError
from optnas.objective import ATTRIBUTE, ERROR

__all__ = ["Network", "best", "front", "hypervolume", "networks", "objective_names"]


@dataclass(frozen=True)
class Network:
    """A trained network of a study."""

    trial: int
    """The trial's number."""
    values: Mapping[str, float]
    """What the study optimises, by name, in the study's order."""
    costs: Mapping[str, float]
    """Every cost that was measured, by name, in its unit."""
    choices: Mapping[str, Any]
    """The trial's params."""
    feasible: bool
    """Whether it meets all constraints of the study."""
    curve: Sequence[float]
    """Validation error after each epoch; empty for trials that optnas did not train."""

    @property
    def error(self) -> float:
        """1 - accuracy on validation data; NaN if the study does not have it."""
        return self.values.get(ERROR, float("nan"))


def objective_names(study: Study) -> tuple[str, ...]:
    """The names of the objectives; "value0", "value1" and so on where the study gives none."""
    return tuple(study.metric_names or (f"value{index}" for index in range(len(study.directions))))


def networks(study: Study, budget: Sequence[Constraint] = ()) -> list[Network]:
    """All trained networks of a study that meet a budget, by trial number; repeats are left out.

    Raises:
        UsageError: If the budget names a cost that the study did not measure.
    """
    names = objective_names(study)
    found = [
        _network(trial, names)
        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if ATTRIBUTE + "repeat_of" not in trial.user_attrs
    ]
    measured = {name for network in found for name in network.costs}
    for constraint in budget:
        if found and constraint.cost not in measured:
            shown = ", ".join(name for name in COSTS if name in measured) or "none"
            raise UsageError(f"budget {constraint}: this study measured other costs: {shown}")
    return [
        network for network in found if all(c.cost in network.costs and c.violation(network.costs) <= 0 for c in budget)
    ]


def front(study: Study, budget: Sequence[Constraint] = ()) -> list[Network]:
    """The feasible networks that no other one is as good as in all objectives and better in one.

    Of networks with equal values the first trial stays. Sorted by the first objective, best first.

    Raises:
        UsageError: If the budget names a cost that the study did not measure.
    """
    candidates = [network for network in networks(study, budget) if network.feasible]
    if not candidates:
        return []
    losses = _losses(study, candidates)
    # Stable: of several equal ones moocore keeps the first.
    kept = moocore.is_nondominated(losses) if len(candidates) > 1 else np.array([True])
    order = np.lexsort(losses.T[::-1])
    return [candidates[index] for index in order if kept[index]]


def best(study: Study, budget: Sequence[Constraint] = ()) -> Network | None:
    """The feasible network of least error (or first objective) that meets a budget; None if none does.

    Raises:
        UsageError: If the budget names a cost that the study did not measure.
    """
    candidates = [network for network in networks(study, budget) if network.feasible]
    if not candidates:
        return None
    names = objective_names(study)
    column = names.index(ERROR) if ERROR in names else 0
    losses = _losses(study, candidates)
    return candidates[min(range(len(candidates)), key=lambda index: (losses[index, column], *losses[index]))]


def hypervolume(losses: NDArray[np.float64], reference: Sequence[float]) -> float:
    """The share of the box from 0 to `reference` that some row dominates, between 0 and 1.

    Args:
        losses: (n, k), smaller is better, none below 0. Rows beyond the reference add nothing; rows with a
            NaN are left out.
        reference: (k,), above 0: the worst values that count.
    """
    worst = np.asarray(reference, dtype=float)
    losses = np.asarray(losses, dtype=float).reshape(-1, len(worst)) / worst
    losses = losses[np.all(losses < 1, axis=1)]
    if not len(losses):
        return 0.0
    return float(moocore.hypervolume(losses, ref=np.ones(len(worst))))


def _network(trial: FrozenTrial, names: Sequence[str]) -> Network:
    values = dict(zip(names, trial.values, strict=True))
    attributes = trial.user_attrs
    known = {name: value for name, value in values.items() if name in COSTS}
    return Network(
        trial.number,
        values,
        {**known, **attributes.get(ATTRIBUTE + "costs", {})},
        trial.params,
        all(violation <= 0 for violation in trial.constraints.values()),
        tuple(attributes.get(ATTRIBUTE + "curve", ())),
    )


def _losses(study: Study, candidates: Sequence[Network]) -> NDArray[np.float64]:
    signs = [-1.0 if direction == StudyDirection.MAXIMIZE else 1.0 for direction in study.directions]
    return np.array([list(network.values.values()) for network in candidates]) * signs
