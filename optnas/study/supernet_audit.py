"""Shared weights beside training from scratch: the same networks, judged both ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from optuna import Study
from optuna.trial import TrialState

from optnas.job import Job, run_job
from optnas.objective import ERROR, Objective
from optnas.sampler import derive_seed
from optnas.sampler.ranked import RankedSampler
from optnas.space import Choices
from optnas.study.coordinator import Event, SearchStopped, run
from optnas.study.ending import Ending, first_of, never
from optnas.study.executor import Executor
from optnas.study.supernet import Supernet, fair_paths, one_shot_objective
from optnas.supernet import SupernetAudit, audit_scores

__all__ = ["audit_supernet"]


def audit_supernet(
    study: Study,
    objective: Objective,
    executor: Executor,
    supernet: Supernet,
    count: int,
    watch: Callable[[Event], None] = lambda event: None,
    ending: Ending = never,
) -> SupernetAudit:
    """Train some networks from scratch, as trials of `study`, and compare with their scores by shared weights.

    They are drawn fairly from those that meet the budget; those that the study has trained are not trained again.

    Args:
        study: For the trainings. A study that was stopped goes on.
        objective: Of the study, without a pruner: a training that was stopped tells too little.
        ending: Begins no more trainings.

    Raises:
        UsageError: If fewer than 4 could be trained.
    """
    sample = _sample(objective, count)

    def tried(study: Study) -> str | None:
        params = [trial.params for trial in study.get_trials(deepcopy=False)]
        return "all were tried" if all(choices in params for choices in sample) else None

    sampler, study.sampler = study.sampler, RankedSampler(sample, objective.explore, objective.seed)
    try:
        with suppress(SearchStopped):
            run(study, objective, executor, None, watch, first_of(tried, ending))
    finally:
        study.sampler = sampler
    trained = [(choices, error) for choices in sample if (error := _trained(study, choices)) is not None]
    scored = _scores(objective, executor, supernet, [choices for choices, _ in trained])
    rows = [
        (score, error, (objective.foresee(choices) or {"macs": 0.0})["macs"])
        for (choices, error), score in zip(trained, scored, strict=True)
        if score is not None
    ]
    scores, errors, macs = zip(*rows, strict=True) if rows else ((), (), ())
    return audit_scores(scores, errors, macs)


def _sample(objective: Objective, networks: int) -> list[Choices]:
    paths = fair_paths(objective, np.random.default_rng([objective.seed, 4]))
    drawn: list[Choices] = []
    for _ in range(20 * networks):
        with suppress(Exception):  # none of so many draws works
            choices, _ = paths.draw()
            beyond = objective.beyond(choices)
            if choices not in drawn and beyond is not None and beyond <= 0:
                drawn.append(choices)
        if len(drawn) == networks:
            break
    return drawn


def _trained(study: Study, choices: Mapping[str, Any]) -> float | None:
    """The error of a network that a study has trained to the end."""
    names = study.metric_names
    error = names.index(ERROR) if names and ERROR in names else 0
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        if trial.params == dict(choices):
            return float(trial.values[error])
    return None


def _scores(
    objective: Objective, executor: Executor, supernet: Supernet, networks: Sequence[Choices]
) -> list[float | None]:
    """The error of each with shared weights; None for one that fails."""
    scoring = one_shot_objective(objective, supernet)
    jobs = [
        Job(index, scoring.build, choices, scoring.task, derive_seed(objective.seed, index), {})
        for index, choices in enumerate(networks)
    ]
    outcomes = [executor.submit(run_job, job) for job in jobs]
    return [None if outcome.exception() else outcome.result().error for outcome in outcomes]
