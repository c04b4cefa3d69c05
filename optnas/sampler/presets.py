"""Samplers by name, with the settings that fit a few dozen to a few hundred trainings of conditional spaces."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import BaseTrial

from optnas.errors import UsageError
from optnas.sampler.nsga2 import NSGA2Sampler
from optnas.sampler.seeded import SeededSampler

__all__ = ["SAMPLERS", "check_sampler", "make_sampler"]


Build = Callable[[BaseTrial], object]


def _random(seed: int, population: int, space: Build | None) -> BaseSampler:
    return SeededSampler(RandomSampler, seed)


def _nsga2(seed: int, population: int, space: Build | None) -> BaseSampler:
    return NSGA2Sampler(space, population=population, seed=seed)


def _tpe(seed: int, population: int, space: Build | None) -> BaseSampler:
    return SeededSampler(partial(_tpe_of_trial, population), seed)


def _tpe_of_trial(population: int, seed: int) -> BaseSampler:
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


SAMPLERS: dict[str, Callable[[int, int, Build | None], BaseSampler]] = {
    "tpe": _tpe,
    "nsga2": _nsga2,
    "random": _random,
}


def check_sampler(name: str) -> None:
    """Refuse a name that is not in `SAMPLERS`.

    Raises:
        UsageError: With the names that there are.
    """
    if name not in SAMPLERS:
        close = get_close_matches(name, SAMPLERS, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise UsageError(f"unknown sampler {name!r}: expected {', '.join(SAMPLERS)}{hint}")


def make_sampler(name: str, seed: int, population: int = 20, space: Build | None = None) -> BaseSampler:
    """The sampler called `tpe`, `nsga2` or `random`, safe to resume.

    Args:
        name: One of `SAMPLERS`.
        seed: The study's seed.
        population: How many trials can be parents in NSGA-II; for both it and TPE, how many random trials come
            first.
        space: Makes all choices of a trial, as `Objective.suggest` does; what it returns is not used. NSGA-II
            explores it, so that conditional choices follow the parents.

    Raises:
        UsageError: If the name is unknown or the population is smaller than 2.
    """
    check_sampler(name)
    if population < 2:
        raise UsageError(f"population: expected at least 2, got {population}")
    return SAMPLERS[name](seed, population, space)
