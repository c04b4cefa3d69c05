"""What became of every trial of a study, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import isfinite
from typing import Any

from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from optnas.cost import COSTS
from optnas.facts.reasons import reason_of
from optnas.front import front, objective_names
from optnas.objective import ATTRIBUTE

__all__ = ["STATES", "TrialFacts", "lanes", "read_trials", "trial_facts"]

STATES: Mapping[str, str] = {
    "front": "trained, and no other network is as good in everything and better in something",
    "beaten": "trained, and another network is as good in everything and better in something",
    "infeasible": "trained, and beyond a constraint",
    "pruned": "its training was stopped",
    "refused": "never trained: over the budget, or it does not work",
    "repeat": "the same network as an earlier trial",
    "failed": "its training failed",
    "running": "in training",
    "waiting": "not begun",
}
"""What a trial can be, in the order in which they matter to a person, with what it means."""


@dataclass(frozen=True)
class TrialFacts:
    """One trial, as plain values."""

    trial: int
    """Its number."""
    state: str
    """One of `STATES`."""
    values: Mapping[str, float]
    """What the study optimises, by name, in the study's order; empty unless it was trained to the end."""
    costs: Mapping[str, float]
    """Every cost that is known, by name, in its unit."""
    choices: Mapping[str, Any]
    """The trial's params."""
    curve: Sequence[float] = ()
    """Validation error after each epoch."""
    bounds: Sequence[float | None] = ()
    """The error of each epoch above which its pruner would have stopped it; None for any."""
    stop_epoch: int | None = None
    """The epoch after which the pruner stopped it, or would have, if it was audited."""
    why: str = ""
    """Why it was refused, pruned or failed, which network it repeats, or that it is an audit, see `reason_of`."""
    started: datetime | None = None
    """Of a trial that was interrupted, when it was run again."""
    ended: datetime | None = None
    known: Mapping[str, float] = field(init=False)
    """Costs and values together, by name; of a pruned trial the last error that was seen."""

    def __post_init__(self) -> None:
        error = {"error": self.curve[-1]} if self.state == "pruned" and self.curve else {}
        object.__setattr__(self, "known", {**error, **self.costs, **self.values})

    @property
    def trained(self) -> bool:
        """Whether a network was trained for it, to the end or until it was stopped."""
        return self.state in ("front", "beaten", "infeasible") or (self.state == "pruned" and bool(self.curve))

    @property
    def audited(self) -> bool:
        """Whether it was trained to the end although its pruner would have stopped it."""
        return self.stop_epoch is not None and self.state in ("front", "beaten", "infeasible")


def read_trials(study: Study) -> list[TrialFacts]:
    """Every trial of a study, by its number.

    Args:
        study: Any study; one that optnas did not make has no costs, curves and reasons.
    """
    names = objective_names(study)
    members = {network.trial for network in front(study)}
    return [trial_facts(trial, names, members) for trial in study.get_trials(deepcopy=False)]


def trial_facts(trial: FrozenTrial, names: Sequence[str], members: Set[int] = frozenset()) -> TrialFacts:
    """What became of one trial.

    Args:
        trial: Of any study.
        names: Of the objectives.
        members: The numbers of the trials on the front. Without them every feasible network that was trained to the
            end is "beaten".
    """
    kept = {key.removeprefix(ATTRIBUTE): value for key, value in trial.user_attrs.items() if key.startswith(ATTRIBUTE)}
    values = dict(zip(names, trial.values or (), strict=False)) if trial.state == TrialState.COMPLETE else {}
    costs = {**{name: value for name, value in values.items() if name in COSTS}, **kept.get("costs", {})}
    state = _state(trial, kept, members)
    why = _why_infeasible(trial) if state == "infeasible" else reason_of(trial, names)
    return TrialFacts(
        trial.number,
        state,
        values,
        costs,
        trial.params,
        tuple(kept.get("curve", ())),
        tuple(kept.get("bounds", ())),
        kept.get("pruned_epoch"),
        why,
        _began(trial, kept),
        trial.datetime_complete,
    )


def lanes(trials: Sequence[TrialFacts]) -> dict[int, int]:
    """By trial number the worker that it ran on, counted from 0, as far as times tell.

    A trial takes the first lane that is free when it starts; one without both times has none.
    """
    free: list[datetime] = []
    found = {}
    timed = [(trial.started, trial.ended, trial.trial) for trial in trials if trial.started and trial.ended]
    for start, end, number in sorted(timed):
        lane = next((index for index, until in enumerate(free) if until <= start), len(free))
        if lane == len(free):
            free.append(end)
        free[lane] = end
        found[number] = lane
    return found


def _began(trial: FrozenTrial, kept: Mapping[str, Any]) -> datetime | None:
    """Of a trial that was interrupted and run again, when that was: Optuna keeps the first time."""
    again = "starts" in kept and "seconds" in kept
    if not again or trial.datetime_start is None or trial.datetime_complete is None:
        return trial.datetime_start
    return max(trial.datetime_start, trial.datetime_complete - timedelta(seconds=kept["seconds"]))


def _state(trial: FrozenTrial, kept: Mapping[str, Any], members: Set[int]) -> str:
    if trial.state in (TrialState.RUNNING, TrialState.WAITING, TrialState.FAIL):
        return {TrialState.FAIL: "failed"}.get(trial.state, trial.state.name.lower())
    if "repeat_of" in kept:
        return "repeat"
    if trial.state == TrialState.PRUNED:
        # A study that optnas did not make says nothing of networks that were refused.
        refused = "fingerprint" not in kept and "curve" not in kept and ("costs" in kept or "reason" in kept)
        return "refused" if refused else "pruned"
    if trial.number in members:
        return "front"
    unusable = not all(isfinite(value) for value in trial.values)
    return "infeasible" if unusable or any(excess > 0 for excess in trial.constraints.values()) else "beaten"


def _why_infeasible(trial: FrozenTrial) -> str:
    broken = [name for name, excess in trial.constraints.items() if excess > 0]
    return f"beyond {', '.join(broken)}" if broken else "a value that is no finite number"
