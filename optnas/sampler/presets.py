"""Optuna's samplers with the settings that fit a few dozen to a few hundred trainings of conditional spaces."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler

from optnas.errors import UsageError
from optnas.sampler.pruned import CountingPruned
from optnas.sampler.seeded import SeededSampler

__all__ = ["SAMPLERS", "check_sampler", "make_sampler"]


def _random(seed: int, population: int) -> BaseSampler:
    return RandomSampler(seed=seed)


def _nsga2(seed: int, population: int) -> BaseSampler:
    return CountingPruned(NSGAIISampler(population_size=population, seed=seed))


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


SAMPLERS: dict[str, Callable[..., BaseSampler]] = {
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


def make_sampler(name: str, seed: int, population: int = 20) -> BaseSampler:
    """The sampler called `tpe`, `nsga2` or `random`, safe to resume.

    Args:
        name: One of `SAMPLERS`.
        seed: The study's seed.
        population: The size of a generation of NSGA-II; for TPE, how many random trials come first.

    Raises:
        UsageError: If the name is unknown or the population is smaller than 2.
    """
    check_sampler(name)
    if population < 2:
        raise UsageError(f"population: expected at least 2, got {population}")
    return SeededSampler(partial(SAMPLERS[name], population=population), seed)
