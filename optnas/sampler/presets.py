"""The samplers by name, with settings that fit a few dozen to a few hundred trainings of conditional spaces."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import partial

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import BaseTrial

from optnas.errors import UsageError
from optnas.sampler.cost_aware import CostAwareSampler
from optnas.sampler.evolution import EvolutionSampler
from optnas.sampler.nsga2 import NSGA2Sampler
from optnas.sampler.planner import CostOf, Excess
from optnas.sampler.reinforce import ReinforceSampler
from optnas.sampler.seeded import SeededSampler
from optnas.sampler.warm import Experience, silent

__all__ = ["SAMPLERS", "check_sampler", "make_sampler"]


def _random(seed: int, population: int) -> BaseSampler:
    return RandomSampler(seed=seed)


def _tpe(seed: int, population: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        # Multivariate, or it repeats two networks of three; grouped, or conditional choices are drawn alone.
        return TPESampler(
            n_startup_trials=population,
            multivariate=True,
            group=True,
            constant_liar=True,
            seed=seed,
        )


_OPTUNAS: dict[str, Callable[..., BaseSampler]] = {
    "tpe": _tpe,
    "random": _random,
}

#: What `make_sampler` knows, the default first.
SAMPLERS = ("cost-aware", "tpe", "nsga2", "evolution", "reinforce", "random")


def check_sampler(name: str, also: tuple[str, ...] = ()) -> None:
    """Refuse a name that is not in `SAMPLERS`, nor in `also`.

    Raises:
        UsageError: With the names that there are.
    """
    known = (*SAMPLERS, *also)
    if name not in known:
        close = get_close_matches(name, known, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise UsageError(f"unknown sampler {name!r}: expected {', '.join(known)}{hint}")


def make_sampler(
    name: str,
    seed: int,
    population: int = 20,
    *,
    space: Callable[[BaseTrial], object] | None = None,
    cost_of: CostOf | None = None,
    excess: Excess | None = None,
    objectives: Sequence[str] | None = None,
    experience: Experience | None = None,
    say: Callable[[str], None] = silent,
) -> BaseSampler:
    """The sampler of that name, safe to resume.

    Args:
        name: One of `SAMPLERS`.
        seed: The study's seed.
        population: How many trials `nsga2` and `evolution` breed from; for these and TPE, how many random trials
            come first.
        space: Makes the choices of a trial, for samplers that look at networks before they propose one.
        cost_of: See `CostAwareSampler`, which needs it; as is `excess`.
        objectives: The names of the study's values, if the study has no metric names.

    Raises:
        UsageError: If the name is unknown, the population is smaller than 2, or costs are needed and not known.
    """
    check_sampler(name)
    if population < 2:
        raise UsageError(f"population: expected at least 2, got {population}")
    if experience is not None and name != "cost-aware":
        raise UsageError(f"warm start: expected sampler cost-aware, got {name}")
    if name == "evolution":
        return EvolutionSampler(space, population=population, tournament=min(5, population), seed=seed)
    if name == "nsga2":
        return NSGA2Sampler(space, population=population, objectives=objectives, seed=seed)
    if name == "reinforce":
        return ReinforceSampler(space, cost_of=cost_of, excess=excess, objectives=objectives, seed=seed)
    if name != "cost-aware":
        return SeededSampler(partial(_OPTUNAS[name], population=population), seed)
    if cost_of is None:
        raise UsageError("sampler cost-aware: expected cost_of, which tells what a network costs, got None")
    return CostAwareSampler(
        cost_of, space=space, excess=excess, objectives=objectives, seed=seed, experience=experience, say=say
    )
