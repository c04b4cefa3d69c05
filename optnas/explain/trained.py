"""What a study tells of the networks that it trained, as arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import moocore
import numpy as np
from numpy.typing import NDArray
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from optnas.cost import COSTS, Constraint, parse_constraint
from optnas.errors import UsageError
from optnas.front import Network, networks, objective_names
from optnas.objective import ATTRIBUTE, ERROR
from optnas.sampler.history import read_history
from optnas.space import Choices

__all__ = ["Trained", "read_trained"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Trained:
    """The n networks that a study trained to the end, by trial number.

    Repeats are left out, and networks with a value that is not finite.
    """

    study: str
    """Its name."""
    learned: str
    """The objective that only training tells: "error" if there is one, else the first that is no cost."""
    sign: float
    """-1 if that objective is maximised, else 1: times the objective it is a loss, smaller is better."""
    known: tuple[str, ...]
    """The other objectives, in their order."""
    networks: tuple[Network, ...]
    offered: tuple[Mapping[str, BaseDistribution], ...]
    """n mappings: what each network's choices were made from."""
    losses: Array
    """(n,) of the learned objective."""
    front: NDArray[np.int64]
    """Which of the networks are on the front, the least loss first."""
    stopped: tuple[tuple[Choices, Mapping[str, float], float], ...]
    """Of pruned trials: choices, costs, and the error that they would probably have reached."""
    refused: tuple[tuple[Choices, Mapping[str, float]], ...]
    """Of networks that were not trained: choices, and the costs that were measured of them."""
    distributions: Mapping[str, BaseDistribution]
    """Of all choices that a trial made."""
    constraints: tuple[Constraint, ...]
    """The limits of the study that optnas can read."""

    @property
    def feasible(self) -> NDArray[np.bool_]:
        """(n,) whether the networks meet the constraints."""
        return np.array([network.feasible for network in self.networks], dtype=bool)

    @property
    def conditional(self) -> bool:
        """Whether some networks make choices that others do not make."""
        return any(len(network.choices) < len(self.distributions) for network in self.networks)

    def movable(self) -> list[str]:
        """The choices with more than one option, in the order in which trials made them."""
        return [name for name, distribution in self.distributions.items() if not distribution.single()]


def read_trained(study: Study) -> Trained:
    """Read any study.

    Raises:
        UsageError: If no network was trained to the end with finite values, or all objectives are costs.
    """
    names = objective_names(study)
    learned = ERROR if ERROR in names else next((name for name in names if name not in COSTS), None)
    if learned is None:
        raise UsageError(
            f"study {study.study_name!r}: expected an objective that training tells, got costs: {', '.join(names)}"
        )
    found = [network for network in networks(study) if np.isfinite(list(network.values.values())).all()]
    if not found:
        states = Counter(trial.state.name.lower() for trial in study.get_trials(deepcopy=False))
        got = ", ".join(f"{count} {state}" for state, count in states.items()) or "no trial"
        raise UsageError(
            f"study {study.study_name!r}: expected a network that was trained to the end, with finite values, got {got}"
        )
    column = names.index(learned)
    signs = np.array([-1.0 if direction == StudyDirection.MAXIMIZE else 1.0 for direction in study.directions])
    losses = np.array([list(network.values.values()) for network in found]) * signs
    history = read_history(study, -1, {})
    offered = {trial.number: trial.distributions for trial in history.finished}
    # Errors alone have a curve, from which the rest of a training can be guessed.
    stopped = list(zip(history.stopped, history.last_errors, strict=True)) if learned == ERROR else []
    return Trained(
        study.study_name,
        learned,
        float(signs[column]),
        tuple(name for name in names if name != learned),
        tuple(found),
        tuple(offered[network.trial] for network in found),
        losses[:, column],
        _front(losses, np.array([network.feasible for network in found]), column),
        tuple((trial.params, _costs(trial), float(loss)) for trial, loss in stopped if np.isfinite(loss)),
        tuple((trial.params, _costs(trial)) for trial in history.refused),
        history.distributions,
        _constraints([*history.finished, *history.stopped, *history.refused]),
    )


def _front(losses: Array, feasible: NDArray[np.bool_], column: int) -> NDArray[np.int64]:
    rows = np.flatnonzero(feasible)
    if len(rows) > 1:
        rows = rows[moocore.is_nondominated(losses[rows])]
    return rows[np.argsort(losses[rows, column], kind="stable")]


def _costs(trial: FrozenTrial) -> Mapping[str, float]:
    return dict(trial.user_attrs.get(ATTRIBUTE + "costs", {}))


def _constraints(trials: Sequence[FrozenTrial]) -> tuple[Constraint, ...]:
    read = {}
    for key in dict.fromkeys(key for trial in trials for key in trial.constraints):
        with suppress(UsageError):  # one that optnas did not make says nothing of costs
            read[key] = parse_constraint(key)
    return tuple(read.values())
