"""Facts of a finished or running study: its front, hypervolume, and the best network under a budget.

Every function takes an ordinary `optuna.Study`. Values are turned so that smaller is better, whatever the
study's directions are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any
from weakref import WeakKeyDictionary

import moocore
import numpy as np
from numpy.typing import NDArray
from optuna import Study
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optnas.cost import COSTS, Constraint
from optnas.errors import UsageError
from optnas.objective import ATTRIBUTE, ERROR

__all__ = ["GrowingFront", "Network", "best", "candidates", "front", "hypervolume", "networks", "objective_names"]


_ACCURACY = "accuracy"
#: No study has a thousand million validation images.
_SHARE_DIGITS = 9


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


#: What a study called its objectives when they were first asked for. Optuna reads a study's notes for the dashboard
#: with them, which with a thousand trials takes 70 ms, and they are asked for several times a trial.
_names: WeakKeyDictionary[Study, tuple[str, ...]] = WeakKeyDictionary()


def objective_names(study: Study) -> tuple[str, ...]:
    """The names of the objectives; "value0", "value1" and so on where the study gives none."""
    if study not in _names:
        given = study.metric_names
        if given is None:  # they may come
            return tuple(f"value{index}" for index in range(len(study.directions)))
        _names[study] = tuple(given)
    return _names[study]


def networks(study: Study, budget: Sequence[Constraint] = ()) -> list[Network]:
    """All trained networks of a study that meet a budget, by trial number; repeats are left out.

    Raises:
        UsageError: If the budget names a cost that the study did not measure.
    """
    names = objective_names(study)
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    found = [_network(trial, names) for trial in trials if _is_network(trial)]
    if not budget:
        return found
    known = [_limited(network) for network in found]
    measured = {name for values in known for name in values}
    for constraint in budget:
        if found and constraint.cost not in measured:
            shown = ", ".join(name for name in (*COSTS, ERROR, _ACCURACY) if name in measured) or "none"
            raise UsageError(f"budget {constraint}: this study measured other costs: {shown}")
    return [
        network
        for network, values in zip(found, known, strict=True)
        if all(isfinite(values.get(c.cost, nan)) and c.violation(values) <= 0 for c in budget)
    ]


def candidates(study: Study, budget: Sequence[Constraint] = ()) -> list[Network]:
    """The networks that may be on the front: feasible, within the budget, and with finite values; by trial number.

    Raises:
        UsageError: If the budget names a cost that the study did not measure.
    """
    return [network for network in networks(study, budget) if _is_candidate(network)]


def front(study: Study, budget: Sequence[Constraint] = ()) -> list[Network]:
    """The feasible networks that no other one is as good as in all objectives and better in one.

    Of networks with equal values the first trial stays; one with a value that is not finite has no place. Sorted by
    the first objective, best first.

    Raises:
        UsageError: If the budget names a cost that the study did not measure.
    """
    return _non_dominated(study, candidates(study, budget))


class GrowingFront:
    """The front of a study that is searched: what has ended never changes, so only new trials are read.

    Of ten thousand trials `front` takes a tenth of a second, which after each of them is too long.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        self._members: list[Network] = []
        self._all_read = 0
        """So many trials, the first ones, have ended and are read."""
        self._read: set[int] = set()
        """The numbers of later ones."""

    def members(self) -> list[Network]:
        """What `front` gives of the study as it is now."""
        trials, names = self._study.get_trials(deepcopy=False), objective_names(self._study)
        new = []
        for trial in trials[self._all_read :]:
            if trial.state.is_finished() and trial.number not in self._read:
                self._read.add(trial.number)
                if trial.state == TrialState.COMPLETE and _is_network(trial):
                    new.append(_network(trial, names))
        while self._all_read in self._read:
            self._read.remove(self._all_read)
            self._all_read += 1
        new = [network for network in new if _is_candidate(network)]
        if new:
            found = sorted([*self._members, *new], key=lambda network: network.trial)
            self._members = _non_dominated(self._study, found)
        return list(self._members)


def best(study: Study, budget: Sequence[Constraint] = ()) -> Network | None:
    """The feasible network of least error (or first objective) that meets a budget; None if none does.

    Raises:
        UsageError: If the budget names a cost that the study did not measure.
    """
    found = candidates(study, budget)
    if not found:
        return None
    names = objective_names(study)
    column = names.index(ERROR) if ERROR in names else 0
    losses = _losses(study, found)
    return found[min(range(len(found)), key=lambda index: (losses[index, column], *losses[index]))]


def hypervolume(losses: NDArray[np.float64], reference: Sequence[float]) -> float:
    """The share of the box from 0 to `reference` that some row dominates, between 0 and 1.

    Args:
        losses: (n, k), smaller is better, none below 0. Rows beyond the reference add nothing; rows with a
            NaN are left out.
        reference: (k,) the worst values that count. One that is 0 leaves no box, of which nothing is covered.
    """
    worst = np.asarray(reference, dtype=float)
    if not (worst > 0).all():
        return 0.0
    losses = np.asarray(losses, dtype=float).reshape(-1, len(worst)) / worst
    losses = losses[np.all(losses < 1, axis=1)]
    if not len(losses):
        return 0.0
    return float(moocore.hypervolume(losses, ref=np.ones(len(worst))))


def _is_network(trial: FrozenTrial) -> bool:
    return ATTRIBUTE + "repeat_of" not in trial.user_attrs


def _limited(network: Network) -> Mapping[str, float]:
    """What a budget may limit, by name: costs, and a share of images without what rounding adds to 1 - accuracy."""
    shares = {name: value for name, value in network.values.items() if name in (ERROR, _ACCURACY) and 0 <= value <= 1}
    if ERROR in shares:
        shares.setdefault(_ACCURACY, 1 - shares[ERROR])
    return {**network.costs, **{name: round(value, _SHARE_DIGITS) for name, value in shares.items()}}


def _is_candidate(network: Network) -> bool:
    return network.feasible and all(map(isfinite, network.values.values()))


def _non_dominated(study: Study, found: list[Network]) -> list[Network]:
    """Those of the front among candidates by trial number, best first."""
    if not found:
        return []
    losses = _losses(study, found)
    # Stable: of several equal ones moocore keeps the first.
    kept = moocore.is_nondominated(losses) if len(found) > 1 else np.array([True])
    order = np.lexsort(losses.T[::-1])
    return [found[index] for index in order if kept[index]]


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


def _losses(study: Study, found: Sequence[Network]) -> NDArray[np.float64]:
    signs = [-1.0 if direction == StudyDirection.MAXIMIZE else 1.0 for direction in study.directions]
    return np.array([list(network.values.values()) for network in found]) * signs
