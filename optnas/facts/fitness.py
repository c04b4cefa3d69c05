"""One number for several wishes, after the search: "accuracy=1,1/latency_ms=0.2".

The fitness is that of `optnas.sampler.fitness`, alpha * accuracy + beta / latency + gamma / size, with each cost
divided by its median among the feasible networks of the study. So 1/latency_ms=0.2 says: a network of the median
latency earns 0.2 for it, one of half of it 0.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite

import numpy as np
from numpy.typing import NDArray
from optuna import Study
from optuna.study import StudyDirection

from optnas.cost import COSTS, Constraint, format_cost
from optnas.errors import UsageError
from optnas.facts.trained import LATENCY, latency_noise_of, read_trained
from optnas.front import Network, candidates, front, objective_names
from optnas.objective import ERROR
from optnas.sampler.fitness import accuracies, ratios

__all__ = ["ACCURACY", "Fitness", "Ranked", "chances", "in_words", "parse_fitness", "parts_of", "rank"]

Array = NDArray[np.float64]

ACCURACY = "accuracy"
_INVERSE = "1/"
_GRAMMAR = 'expected NAME=WEIGHT with commas between, like "accuracy=1,1/latency_ms=0.2"'
#: Networks that may be the best in truth are sought among so many that come first.
_FIRST = 50


@dataclass(frozen=True)
class Fitness:
    """What is wished for, and how much; larger is better."""

    weights: Mapping[str, float]
    """By term: "accuracy", "1/" and what is minimised, or what is maximised; from 0, one above 0."""

    def __str__(self) -> str:
        return ",".join(f"{term}={weight:g}" for term, weight in self.weights.items())


@dataclass(frozen=True)
class Ranked:
    """A network and what it is worth."""

    network: Network
    fitness: float
    """The sum of its parts."""
    parts: Mapping[str, float]
    """What each term adds, its weight included."""


def parse_fitness(text: str) -> Fitness:
    """Read a fitness such as "accuracy=1,1/latency_ms=0.2,1/size_bytes=0.1".

    Raises:
        UsageError: If it does not follow that grammar, a term is given twice, a weight is below 0 or not finite, or
            none is above 0.
    """
    weights: dict[str, float] = {}
    for part in text.split(","):
        term, equals, right = (piece.strip() for piece in part.partition("="))
        term = term.replace(" ", "")
        if not equals or not term:
            raise UsageError(f"fitness {text!r}: {_GRAMMAR}, got {part.strip()!r}")
        try:
            weight = float(right)
        except ValueError:
            weight = float("nan")
        if not isfinite(weight) or weight < 0:
            raise UsageError(f"fitness {text!r}: expected a finite weight of at least 0 for {term}, got {right!r}")
        if term in weights:
            raise UsageError(f"fitness {text!r}: expected each term once, got {term} twice")
        weights[term] = weight
    if not any(weights.values()):
        raise UsageError(f"fitness {text!r}: expected a weight above 0, got only zeros")
    return Fitness(weights)


def rank(study: Study, fitness: Fitness, budget: Sequence[Constraint] = ()) -> tuple[Ranked, ...]:
    """The feasible networks within a budget, the fittest first; of equal ones first those of the front, then by trial.

    A network of which a cost was not measured is left out. The budget does not change what a network is worth.

    Raises:
        UsageError: If a term is nothing that larger is better of in this study, has no inverse, or was not measured; or
            the budget names a cost that the study did not measure.
    """
    found, parts = parts_of(study, fitness)
    within = {network.trial for network in candidates(study, budget)}
    weighed = parts * list(fitness.weights.values())
    ranked = [
        Ranked(network, float(row.sum()), dict(zip(fitness.weights, row.tolist(), strict=True)))
        for network, row in zip(found, weighed, strict=True)
        if network.trial in within
    ]
    members = {network.trial for network in front(study, budget)}
    return tuple(sorted(ranked, key=lambda one: (-one.fitness, one.network.trial not in members, one.network.trial)))


def parts_of(study: Study, fitness: Fitness) -> tuple[list[Network], Array]:
    """The feasible networks of which all terms are known, and the terms (n, k) at a weight of 1.

    Raises:
        UsageError: As `rank`.
    """
    directions = dict(zip(objective_names(study), study.directions, strict=True))
    sources = {term: _source(term, directions, fitness) for term in fitness.weights}
    known = [(network, {**network.costs, **network.values}) for network in candidates(study)]
    for term, name in sources.items():
        if known and not any(name in values for _, values in known):
            measured = sorted({cost for _, values in known for cost in values if cost in COSTS}, key=COSTS.index)
            raise UsageError(
                f"fitness {fitness}: {term} was not measured; this study knows {', '.join(measured) or 'no cost'}"
            )
    known = [(n, values) for n, values in known if all(isfinite(values.get(s, np.nan)) for s in sources.values())]
    columns = [
        _column(term, name, np.array([values[name] for _, values in known]), fitness) for term, name in sources.items()
    ]
    return [network for network, _ in known], np.array(columns).reshape(len(columns), len(known)).T


def in_words(study: Study, fitness: Fitness) -> str:
    """What the weights of costs say, in a sentence each; empty if there are none.

    Raises:
        UsageError: As `rank`.
    """
    found, _ = parts_of(study, fitness)
    sentences = []
    for term, weight in fitness.weights.items():
        name = term.removeprefix(_INVERSE)
        if found and term != name:
            middle = float(np.median([{**network.costs, **network.values}[name] for network in found]))
            shown = format_cost(name, middle) if name in COSTS else f"{middle:.3g}"
            sentences.append(
                f"{term}={weight:g}: the median {name}, {shown}, earns {weight:g}, half of it {2 * weight:g}."
            )
    return " ".join(sentences)


def chances(
    study: Study, fitness: Fitness, budget: Sequence[Constraint] = (), *, draws: int = 2000, seed: int = 0
) -> dict[int, float]:
    """By trial the probability that a network is the fittest in truth, as far as it is not 0: what ties within noise.

    Errors and latencies are drawn as in `optnas.facts.certainty`, of the 50 networks that rank first.

    Raises:
        UsageError: As `rank`, and where the chance in the study's errors cannot be told, as `certainty`.
    """
    ranked = rank(study, fitness, budget)[:_FIRST]
    if not ranked:
        return {}
    trained = read_trained(study, {one.network.trial for one in ranked})
    rows = np.searchsorted(trained.trials, [one.network.trial for one in ranked])
    generator = np.random.default_rng(seed)
    moved = trained.model.draw(rows, draws, generator) - trained.errors[rows][:, None]
    worth = np.zeros((len(ranked), draws))
    for term, weight in fitness.weights.items():
        part = np.array([[one.parts[term]] for one in ranked])
        if term == ACCURACY and trained.learned == ERROR:
            # One unit of error is worth as much everywhere.
            worth += part - weight * moved / _unit(trained.errors)
        elif term == _INVERSE + LATENCY:
            chance = latency_noise_of([one.network for one in ranked])[:, None]
            worth += part * np.exp(-chance * generator.standard_normal((len(ranked), draws)))
        else:
            worth += part
    wins = np.bincount(worth.argmax(axis=0), minlength=len(ranked)) / draws
    return {one.network.trial: float(win) for one, win in zip(ranked, wins, strict=True) if win > 0}


def _unit(errors: Array) -> float:
    """How much error takes an accuracy from 1 to 0."""
    return float(errors.max() / (1 - accuracies(errors).min())) if errors.max() > 0 else 1.0


def _source(term: str, directions: Mapping[str, StudyDirection], fitness: Fitness) -> str:
    """The cost or objective that a term is made of."""
    name = term.removeprefix(_INVERSE)
    where = f"fitness {fitness}"
    if term == ACCURACY and term not in directions:
        if ERROR not in directions:
            raise UsageError(f"{where}: expected objectives of this study, got accuracy, and it has no error")
        return ERROR
    if name in (ERROR, ACCURACY) and term != ACCURACY:
        raise UsageError(f"{where}: expected terms that are better when larger, got {term}: write accuracy=1")
    if name not in directions and name not in COSTS:
        terms = [ACCURACY] * (ERROR in directions)
        terms += [n if d == StudyDirection.MAXIMIZE else _INVERSE + n for n, d in directions.items() if n != ERROR]
        terms += [_INVERSE + cost for cost in COSTS if _INVERSE + cost not in terms]
        close = get_close_matches(term, terms, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise UsageError(f"{where}: expected terms among {', '.join(terms)}, got {term}{hint}")
    maximised = directions.get(name) == StudyDirection.MAXIMIZE
    if maximised == term.startswith(_INVERSE):
        right, better = (name, "more") if maximised else (_INVERSE + name, "less")
        raise UsageError(f"{where}: {better} {name} is better: expected {right}, got {term}")
    return name


def _column(term: str, name: str, values: Array, fitness: Fitness) -> Array:
    if name == ERROR:
        return accuracies(values)
    if term == ACCURACY or not len(values):
        return values
    if values.min() <= 0:
        raise UsageError(f"fitness {fitness}: expected a {name} above 0 of every network, got {values.min():g}")
    return 1 / ratios(values) if term.startswith(_INVERSE) else ratios(values)
