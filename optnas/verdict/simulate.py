"""What random search would have reached, by a model of the networks that a study trained.

A Gaussian process on all trainings of the study (`optnas.sampler.surrogate`) predicts the error of a random
network, others its costs. What a training adds to the prediction, noise among it, is drawn from the leave-one-out
residuals (Rasmussen & Williams 2006, section 5.4.2) of the trainings most alike in predicted error and in costs:
errors are skewed and their spread depends on the costs, which normal noise would miss (the nearest-neighbour
residual bootstrap; Efron & Tibshirani 1993, chapter 9, has the bootstrap of residuals).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.trial import BaseTrial

from optnas.errors import UsageError
from optnas.front import hypervolume
from optnas.sampler.candidates import Explorer, build_of
from optnas.sampler.encoding import Encoding
from optnas.sampler.surrogate import GaussianProcess
from optnas.space import Choices
from optnas.verdict.evidence import Evidence

__all__ = ["Simulated", "simulate"]

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

#: Random networks within the constraints, from which searches draw; and how many are looked at to find them.
_POOL = 500
_LOOKED_AT = 4000
#: Trainings that lend their residual.
_NEIGHBOURS = 5
#: Errors beyond so many times the way from the best to the median are useless networks: how bad they are
#: teaches nothing of the others.
_CAP = 8.0
#: Errors are modelled as logarithms above an origin that lies below the best by so much of that way.
_ORIGIN = 0.5


@dataclass(frozen=True)
class Simulated:
    """Hypervolumes, (searches,) each: shares of the study's box."""

    random: Array
    """Of random searches."""
    own: Array
    """Of the study's own finished networks, their errors drawn anew from the same model."""


def simulate(
    evidence: Evidence,
    trainings: int,
    space: Callable[[BaseTrial], object] | None = None,
    searches: int = 400,
    seed: int = 0,
) -> Simulated:
    """Random searches of so many trainings of networks within the constraints; others are refused for free.

    Args:
        evidence: Of the study.
        trainings: Of each search.
        space: Makes the choices of a network; without it those that the trials recorded are drawn, which a
            space with conditional choices does not allow.
        searches: How many to simulate.
        seed: Of the draws.

    Raises:
        UsageError: If choices are conditional and no space is given, or no random network is expected to be
            within the constraints.
    """
    rng = np.random.default_rng([seed, 7])
    networks, costs = _random_networks(evidence, space, rng, seed)
    own = len(evidence.params)
    choices = [*evidence.params, *networks]
    all_costs = np.concatenate([evidence.costs, costs])
    features = Encoding(choices, all_costs, evidence.distributions)(choices, all_costs)
    errors = evidence.errors
    best, median = errors.min(), np.median(errors)
    way = (median - best) or max(abs(best), 1e-12)
    capped = np.minimum(errors, best + _CAP * way)
    origin = best - _ORIGIN * way
    process = GaussianProcess(features[:own], np.log(capped - origin)[:, None])
    residuals = process.leave_one_out()[:, 0]
    foretold = np.log(capped - origin) - residuals
    mean = process.predict(features[own:])[0][:, 0]

    seen = np.column_stack([foretold, features.costs[:own]])
    unit = np.where(seen.std(axis=0) > 0, seen.std(axis=0), 1.0)
    lenders = _nearest(np.column_stack([mean, features.costs[own:]]) / unit, seen / unit)
    own_lenders = _nearest(seen / unit, seen / unit, but_itself=True)
    k = len(evidence.reference)

    def volume(expected: Array, lender: Rows, cost: Array) -> float:
        learned = origin + np.exp(expected + residuals[lender])
        learned = np.where(errors[lender] > capped[lender], errors[lender], learned)
        return hypervolume(np.column_stack([np.maximum(learned, 0.0), cost[:, : k - 1]]), list(evidence.reference))

    done = np.flatnonzero(evidence.complete)
    random, again = np.empty(searches), np.empty(searches)
    for index in range(searches):
        # As often as a training is in a bootstrap sample it lends its residual: they are a sample themselves.
        weights = np.bincount(rng.integers(0, own, own), minlength=own) + 1e-9
        chosen = rng.choice(len(networks), trainings, replace=trainings > len(networks))
        random[index] = volume(mean[chosen], _lend(lenders[chosen], weights, rng), costs[chosen])
        again[index] = volume(foretold[done], _lend(own_lenders[done], weights, rng), evidence.costs[done])
    return Simulated(random, again)


def _random_networks(
    evidence: Evidence, space: Callable[[BaseTrial], object] | None, rng: np.random.Generator, seed: int
) -> tuple[list[Choices], Array]:
    """Networks of the space within the constraints, and their expected costs."""
    if space is None and any(len(params) < len(evidence.distributions) for params in evidence.params):
        raise UsageError("verdict: this space has conditional choices: expected the space itself, got none")
    explorer = Explorer(space or build_of(evidence.distributions), seed)
    unlimited = not evidence.constraints
    drawn = explorer.draws(_POOL if unlimited else _LOOKED_AT)
    drawn = [drawn[index] for index in rng.permutation(len(drawn))][: _POOL if unlimited else _LOOKED_AT]
    costs = _expected_costs(evidence, drawn)
    allowed = [
        all(
            c.violation(dict(zip(evidence.cost_names, map(float, row), strict=True))) <= 0 for c in evidence.constraints
        )
        for row in costs
    ]
    kept = np.flatnonzero(allowed)[:_POOL]
    if not len(kept):
        raise UsageError(f"verdict: none of {len(drawn)} random networks is expected to be within the constraints")
    return [drawn[index] for index in kept], costs[kept]


def _expected_costs(evidence: Evidence, networks: Sequence[Choices]) -> Array:
    """(m, c) from the costs of all networks that were priced.

    Some costs are sums over the choices and some are products: whichever unit foretells them better is taken.
    """
    known, choices = len(evidence.priced), [*evidence.priced, *networks]
    none = np.empty((len(choices), 0))
    features = Encoding(choices, none, evidence.distributions)(choices, none)
    columns = []
    for prices in evidence.prices.T:
        if not np.ptp(prices):
            columns.append(np.full(len(networks), prices[0]))
            continue
        floor = max(float(prices[prices > 0].min()) / 2 if (prices > 0).any() else 0.0, 1e-12)
        logs = np.log(np.maximum(prices, floor))
        plain, logarithmic = (GaussianProcess(features[:known], unit[:, None]) for unit in (prices, logs))
        foretold = np.maximum(prices - plain.leave_one_out()[:, 0], floor)
        if np.mean((logs - np.log(foretold)) ** 2) < np.mean(logarithmic.leave_one_out() ** 2):
            columns.append(np.maximum(plain.predict(features[known:])[0][:, 0], floor))
        else:
            columns.append(np.exp(logarithmic.predict(features[known:])[0][:, 0]))
    return np.column_stack(columns)


def _nearest(places: Array, lenders: Array, but_itself: bool = False) -> Rows:
    """(m, up to 5) the rows of the lenders nearest to each place."""
    distances = np.abs(places[:, None, :] - lenders[None, :, :]).sum(axis=2)
    if but_itself:
        distances[np.diag_indices(len(places))] = np.inf
    return np.asarray(np.argsort(distances, axis=1, kind="stable")[:, : min(_NEIGHBOURS, len(lenders) - but_itself)])


def _lend(lenders: Rows, weights: NDArray[np.floating], rng: np.random.Generator) -> Rows:
    """(m,) one lender for each network, drawn by weight."""
    share = np.cumsum(weights[lenders], axis=1)
    chosen = (share < rng.random((len(lenders), 1)) * share[:, -1:]).sum(axis=1)
    return np.asarray(lenders[np.arange(len(lenders)), chosen])
