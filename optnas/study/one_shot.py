"""A search by shared weights: train them once, score many networks with them, train the best from scratch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from optuna import Study
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from optnas.errors import UsageError
from optnas.front import networks
from optnas.objective import ATTRIBUTE, Objective, is_trained
from optnas.prune import NoPruner
from optnas.sampler import Experience
from optnas.sampler.history import violation_of
from optnas.sampler.nsga2 import survivors
from optnas.sampler.ranked import RankedSampler
from optnas.sampler.reinforce import ReinforceSampler
from optnas.sampler.warm import LEAST_SHARED, silent
from optnas.space import Choices, space_name
from optnas.study.coordinator import Event, SearchStopped, run
from optnas.study.create import attribute, open_study
from optnas.study.ending import Ending, first_of, never
from optnas.study.executor import Executor
from optnas.study.settings import Settings
from optnas.study.supernet import Networks, Supernet, image_task, one_shot_objective, supernet_path
from optnas.study.supernet_audit import audit_supernet
from optnas.study.supernet_training import train_supernet

__all__ = ["best_scored", "check_one_shot", "one_shot"]

Say = Callable[[str], None]

#: Networks that are trained from scratch before shared weights are believed, if the search trains twice as many;
#: they are results as well.
AUDITED, _FEWEST = 10, 4
#: How many networks are scored by shared weights.
CANDIDATES = 500
#: Scoring ends after so many proposals in a row that brought no new network: the space is small.
_FRUITLESS = 50
#: How often a controller and the shared weights learn in turn.
_TURNS = 4
#: The shares of a search's time in which shared weights are trained, audited by new trainings, and used to score.
_TRAINING, _AUDIT, _SCORING = 0.35, 0.15, 0.2


def one_shot(
    study: Study,
    objective: Objective,
    executor: Executor,
    settings: Settings,
    watcher: Callable[[Event], None],
    say: Say,
    clock: Callable[[float], Ending] = lambda share: never,
) -> BaseSampler | None:
    """Prepare a search by shared weights; what it trains from then on is proposed by the sampler returned.

    The weights are trained, then compared with some trainings from scratch, which are trials of the study. If they
    agree, the study's sampler proposes networks that are scored with these weights in a study of their own, and the
    best of them are proposed. Whatever was done before a kill is not done again.

    Args:
        clock: What ends something after a share of the time, from when it is asked.

    Returns:
        None where shared weights mislead.

    Raises:
        UsageError: As `train_supernet`.
        SupernetDiverged: As `train_supernet`.
    """
    if settings.limit is not None and sum(map(is_trained, study.get_trials(deepcopy=False))) >= settings.limit:
        return None
    path = supernet_path(study, settings.storage, objective)
    seconds = settings.seconds and _TRAINING * settings.seconds
    train = partial(train_supernet, objective, executor, path, passes=settings.supernet_epochs, say=say)
    candidates = settings.candidates or CANDIDATES
    policy: Networks | None = None
    if settings.sampler == "reinforce":
        supernet, policy = _in_turn(study, objective, executor, settings, train, candidates // 2, seconds, clock)
        candidates = -(-candidates // 2)
    else:
        supernet = train(seconds=seconds)
    say(f"shared weights: {supernet}")
    if not _is_trusted(study, objective, executor, supernet, settings, watcher, say, clock(_AUDIT)):
        say(f"the search goes on without them, by {settings.sampler} and training from scratch")
        return None
    scoring = one_shot_objective(objective, supernet)
    sampler = scoring.sampler(settings.sampler, settings.population)
    if policy is not None:
        drawn = policy(np.random.default_rng([objective.seed, 5]), 2 * candidates)
        sampler = RankedSampler(drawn, objective.explore, objective.seed)
    name = f"{study.study_name} one-shot {supernet.digest[:6]}"
    scored = _scores_of(study, scoring, settings, name, sampler, {"weights": supernet.digest})
    _score_networks(scored, scoring, executor, candidates, say, clock(_SCORING / 2 if policy else _SCORING))
    ranked = best_scored(scored)
    if not ranked:
        say(f"shared weights: no network was scored; the search goes on by {settings.sampler}")
        return None
    if settings.sampler == "cost-aware" and len(ranked) >= LEAST_SHARED:
        # Its model learns from the trainings how far to believe the scores.
        trained = networks(scored)
        experience = Experience(
            scored.study_name, [dict(one.choices) for one in trained], [one.error for one in trained]
        )
        return objective.sampler("cost-aware", settings.population, experience, say)
    return RankedSampler(ranked, objective.explore, objective.seed)


def _is_trusted(
    study: Study,
    objective: Objective,
    executor: Executor,
    supernet: Supernet,
    settings: Settings,
    watcher: Callable[[Event], None],
    say: Say,
    ending: Ending,
) -> bool:
    """Whether an audit, now or in an earlier run, found that shared weights rank networks as training does."""
    known = attribute(study, "supernet_audit") or {}
    if known.get("digest") != supernet.digest:
        trained = sum(map(is_trained, study.get_trials(deepcopy=False)))
        count = AUDITED if settings.limit is None else min(AUDITED, max(_FEWEST, (settings.limit - trained) // 2))
        say(f"shared weights: {count} networks are trained from scratch to see if these can be trusted")
        plain = objective.variant(pruner=NoPruner())
        try:
            audit = audit_supernet(study, plain, executor, supernet, count, watcher, ending)
        except UsageError as error:
            say(str(error))
            return False
        known = {"digest": supernet.digest, "trusted": audit.trusted, "sentence": str(audit), **asdict(audit)}
        study.set_user_attr(ATTRIBUTE + "supernet_audit", known)
    say(known["sentence"])
    return bool(known["trusted"])


def check_one_shot(settings: Settings) -> None:
    """Refuse a search by shared weights that cannot be one.

    Raises:
        UsageError: If so few trainings are asked for that nothing is left after the audit.
    """
    if settings.limit is not None and settings.limit <= _FEWEST:
        raise UsageError(
            f"evaluator one-shot: expected more than {_FEWEST} trials, as so many are trained from scratch to see if "
            f"shared weights can be trusted, got {settings.limit}"
        )


def _score_networks(
    study: Study, objective: Objective, executor: Executor, candidates: int, say: Say, ending: Ending
) -> None:
    fruitless = 0

    def watch(event: Event) -> None:
        nonlocal fruitless
        fruitless = 0 if event.kind in ("started", "trained") else fruitless + 1
        if event.kind == "trained":
            scored = sum(map(is_trained, study.get_trials(deepcopy=False)))
            if scored % max(1, candidates // 5) == 0:
                say(f"shared weights: {scored} of {candidates} networks scored")

    def exhausted(study: Study) -> str | None:
        return f"{fruitless} proposals in a row were not new" if fruitless >= _FRUITLESS else None

    try:
        run(study, objective, executor, candidates, watch, first_of(exhausted, ending))
    except SearchStopped as stopped:
        say(f"shared weights: scoring ended, {stopped}")


def best_scored(study: Study) -> list[Choices]:
    """The networks of a study in the order in which to train them: rank by rank, the most different first."""
    scored = [trial for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)) if is_trained(trial)]
    losses = np.array([trial.values for trial in scored], dtype=float).reshape(len(scored), len(study.directions))
    violations = np.array([violation_of(trial) for trial in scored])
    return [scored[index].params for index in survivors(losses, violations, len(scored))]


def _in_turn(
    study: Study,
    objective: Objective,
    executor: Executor,
    settings: Settings,
    train: Callable[..., Supernet],
    candidates: int,
    seconds: float | None,
    clock: Callable[[float], Ending],
) -> tuple[Supernet, Networks]:
    """Let a controller and the shared weights learn from each other (ENAS, Pham et al. 2018, arXiv:1802.03268).

    After half of their training the weights score networks that the controller proposes, it learns from these, and
    the weights go on with networks that it draws; some times in turn. Its scores are trials of a study of their own.

    Returns:
        The shared weights, and the controller's policy.
    """
    share = 0.5
    supernet = train(share=share, seconds=seconds)
    sampler = objective.sampler("reinforce")
    assert isinstance(sampler, ReinforceSampler)
    taught = _scores_of(study, one_shot_objective(objective, supernet), settings, f"{study.study_name} enas", sampler)

    def policy(generator: np.random.Generator, count: int) -> Sequence[Choices]:
        return sampler.imagine(taught, count, generator)

    for turn in range(1, _TURNS + 1):
        scoring = one_shot_objective(objective, supernet)
        _score_networks(taught, scoring, executor, candidates * turn // _TURNS, silent, clock(_SCORING / 2 / _TURNS))
        left = None if seconds is None else (1 - share) * seconds
        share += 0.5 / _TURNS
        supernet = train(share=share, seconds=left, networks=policy)
    return supernet, policy


def _scores_of(
    study: Study,
    objective: Objective,
    settings: Settings,
    name: str,
    sampler: BaseSampler,
    identity: Mapping[str, Any] | None = None,
) -> Study:
    """A study of scores, beside the study of the trainings."""
    return open_study(
        study._storage,
        name,
        objective.objectives,
        {
            "task": image_task(objective).describe(),
            "evaluator": "one-shot",
            "space": (attribute(study, "settings") or {}).get("space", space_name(settings.space)),
            "objectives": list(objective.objectives),
            "constraints": sorted(map(str, objective.constraints)),
            "seed": objective.seed,
            **(identity or {}),
        },
        sampler,
        part_of=study.study_name,
    )
