"""What a study says of its sampler, as arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from optnas.cost import Constraint, parse_constraints
from optnas.errors import UsageError
from optnas.front import objective_names
from optnas.objective import ATTRIBUTE, ERROR
from optnas.sampler.cost_aware import STARTUP
from optnas.sampler.history import read_history, violation_of
from optnas.sampler.replay import FIRST_LESSONS
from optnas.study import attribute, is_trained

__all__ = ["Evidence", "random_first", "read_evidence"]

Array = NDArray[np.float64]

#: How many trials a sampler proposes before it learns anything.
_BLIND: Mapping[str, Callable[[int], float]] = {
    "random": lambda population: float("inf"),
    "tpe": float,
    "nsga2": float,
    "evolution": float,
    "reinforce": lambda population: float(FIRST_LESSONS),
}


@dataclass(frozen=True)
class Evidence:
    """The n trained networks of a study, in the order in which they were proposed; smaller is better."""

    numbers: NDArray[np.int64]
    """(n,) of the trials."""
    params: Sequence[Mapping[str, Any]]
    """n mappings: their choices."""
    errors: Array
    """(n,) after the last epoch; for pruned ones the last error times what finished trials still gained."""
    reached: Array
    """(n,) the last error seen: of a pruned trial an upper bound, more or less, of what it would have had."""
    complete: NDArray[np.bool_]
    """(n,) whether they were trained to the end, so that they may be on the front."""
    costs: Array
    """(n, c) what the study optimises beside the error, then what its constraints limit besides."""
    priced: Sequence[Mapping[str, Any]]
    """p mappings: choices of the networks whose costs are known, refused ones too."""
    prices: Array
    """(p, c) their costs."""
    cost_names: Sequence[str]
    """c names, those of the objectives first, in their order."""
    constraints: Sequence[Constraint]
    distributions: Mapping[str, BaseDistribution]
    """Of all choices that a trial made."""
    reference: Array
    """(1 + costs optimised,) the corner of the box: error first."""
    epochs: int
    """Of all trainings together."""
    epochs_each: int
    """Of a training that is not stopped."""

    def losses(self, errors: Array) -> Array:
        """(n, 1 + costs optimised) with these errors."""
        return np.column_stack([errors, self.costs[:, : len(self.reference) - 1]])


def random_first(study: Study) -> int | None:
    """How many trials came before the sampler had learned anything, from the study's settings.

    A trial of a lower number than that is random, with any number of workers. None if it is not known, or if the
    study began with what another one had learned.
    """
    request = attribute(study, "request") or {}
    trials = study.get_trials(deepcopy=False)
    # A study may have gone on with another sampler: the first one proposed its first trials.
    samplers = attribute(study, "samplers") or [[0, request.get("sampler", ""), request.get("population", 20)]]
    _, sampler, population = samplers[0]
    end = samplers[1][0] if len(samplers) > 1 else len(trials)
    if request.get("warm_start") not in (None, "none"):
        return None
    if sampler == "cost-aware":
        # It counts trainings, which are random but spread over the costs; refused trials between them are random too.
        trained = [trial.number for trial in trials if is_trained(trial)]
        return min(end, trained[STARTUP - 1] + 1) if len(trained) >= STARTUP else end
    blind = _BLIND.get(sampler)
    return None if blind is None else int(min(blind(population), end))


def read_evidence(study: Study) -> Evidence:
    """Read a study; trials that were refused, failed or repeat another are no trainings.

    Raises:
        UsageError: If it does not minimise "error" and at least one cost, no network of known choices and costs was
            trained to the end, a constraint is not one of optnas, or it shared weights, whose training is in no trial.
    """
    names = objective_names(study)
    where = f"study {study.study_name!r}"
    shares = [one[1] for one in attribute(study, "samplers") or [] if one[1].endswith(("one-shot", "gradient"))]
    if shares:
        raise UsageError(
            f"{where} shared weights ({shares[0]}): expected a study whose epochs are all in its trials, as random "
            "search's are"
        )
    if ERROR not in names or len(names) < 2 or StudyDirection.MAXIMIZE in study.directions:
        raise UsageError(f"{where}: expected objectives error and costs, all minimised, got {', '.join(names)}")
    history = read_history(study, -1, {})
    extrapolated = {t.number: float(e) for t, e in zip(history.stopped, history.last_errors, strict=True)}
    column = names.index(ERROR)
    finished = {t.number: float(loss) for t, loss in zip(history.finished, history.losses[:, column], strict=True)}
    expected = finished | extrapolated
    everything = study.get_trials(deepcopy=False)
    trials = [t for t in everything if is_trained(t) and t.number in expected and violation_of(t) == 0]
    constraints = parse_constraints(dict.fromkeys(key for trial in trials for key in trial.constraints))
    cost_names = list(dict.fromkeys([n for n in names if n != ERROR] + [c.cost for c in constraints]))
    known = [(trial, _costs(trial, names)) for trial in everything]
    priced = [(trial, costs) for trial, costs in known if trial.params and all(n in costs for n in cost_names)]
    trials = [trial for trial in trials if any(trial is other for other, _ in priced)]
    if not any(trial.number in finished for trial in trials):
        raise UsageError(
            f"{where}: expected trained networks within its constraints, of known choices and costs, got none"
        )
    table = {trial.number: [costs[name] for name in cost_names] for trial, costs in priced}
    costs = np.array([table[trial.number] for trial in trials], dtype=float).reshape(len(trials), -1)
    curves = [trial.user_attrs.get(ATTRIBUTE + "curve") or (expected[trial.number],) for trial in trials]
    complete = np.array([trial.number in finished for trial in trials], dtype=bool)
    errors = np.array([expected[trial.number] for trial in trials], dtype=float)
    whole = Counter(len(curve) for curve, done in zip(curves, complete, strict=True) if done)
    distributions: dict[str, BaseDistribution] = {}
    for trial, _ in priced:
        distributions |= trial.distributions
    corner = attribute(study, "reference")
    used = [ERROR, *cost_names[: len(names) - 1]]
    worst = np.array([errors[complete].max(), *costs[complete].max(axis=0)])[: len(names)]
    return Evidence(
        np.array([trial.number for trial in trials]),
        [trial.params for trial in trials],
        errors,
        np.where(complete, errors, [curve[-1] for curve in curves]),
        complete,
        costs,
        [trial.params for trial, _ in priced],
        np.array([table[trial.number] for trial, _ in priced], dtype=float).reshape(len(priced), -1),
        cost_names,
        constraints,
        distributions,
        worst if corner is None else np.array([corner[name] for name in used], dtype=float),
        sum(map(len, curves)),
        max(whole, key=lambda length: (whole[length], length)),
    )


def _costs(trial: FrozenTrial, names: Sequence[str]) -> dict[str, float]:
    """All costs that are known of a trial."""
    values = dict(zip(names, trial.values, strict=True)) if trial.values else {}
    return {**trial.user_attrs.get(ATTRIBUTE + "costs", {}), **values}
