"""Did a study beat random search at equal training cost? Two kinds of evidence, one sentence.

**Shuffle.** Samplers begin with random trials. If what came later were no better, the order of the trainings would
mean nothing, and the random first ones would be dominated by as many others as any. A permutation test of that
(Fisher 1935; Phipson & Smyth 2010 for its p-value; the statistic is the mean rank of dominance, Fonseca & Fleming
1993) errs in at most one case in twenty whatever the space, the noise and the luck of the best are, so it decides. A
pruned training counts with the last error that it had, which is too much if anything. Early trials, with fewer
finished ones to judge them, are pruned less, so pruning makes the random ones look better than they are, and "beat"
rarer.

**Model.** What random search would have covered, had it spent all epochs on trainings to the end, is simulated (see
`optnas.verdict.simulate`). The model says it of the study's own networks as well, with results drawn anew; by what
that differs from the hypervolume that the study has, the simulated ones are moved: errors of the model, and the
luck that the best of many noisy results have, then cancel. All of it rests on one study of that size, so its own
error is taken to be as large as the spread of random searches: the interval is wider by the square root of two.

"beat" and "worse" need both: a shuffle that random search survives in one case of twenty, and an expected random
search on that side. The hypervolume is that of `hypervolume_so_far`.

Replayed with noise of 0.5 points in the error and ten random trials first, 12 searches of each sampler and 40 of
random search, the shuffle alone said "beat" after 30 / 60 / 100 trainings: on NAS-Bench-Macro (macs) of random search
in .03 / .05 / .07 of cases, of TPE in .83 / .92 / .92 and of cost-aware in 1 / .92 / 1; on NAS-Bench-201 (Pixel 3
latency) in 0 / .03 / 0, .33 / .92 / .92 and .92 / 1 / 1. (The hypervolume of the first trials as the statistic found
half as many.) The interval held 93 % of real random searches of 100 trainings on the first table and 75 % on the
second: there it is too narrow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna import Study
from optuna.trial import BaseTrial

from optnas.errors import UsageError
from optnas.front import hypervolume
from optnas.verdict.evidence import Evidence, random_first, read_evidence
from optnas.verdict.simulate import simulate

__all__ = ["METHOD", "Verdict", "judge_study", "shuffle_test"]

Array = NDArray[np.float64]

METHOD = "permutation test of the random first trials; random search simulated by a Gaussian process"
#: How often "beat" may be said of a random search.
_LEVEL = 0.05
#: The interval leaves as much out on each side.
_INTERVAL = (0.05, 0.95)
#: Fewer trainings, or fewer random or proposed ones among them, cannot show anything.
_LEAST, _LEAST_OF_A_KIND = 15, 5
_SHUFFLES = 2000


@dataclass(frozen=True)
class Verdict:
    """Whether a study beat random search."""

    verdict: str
    """"beat", "not shown", "worse" or "too few"."""
    why: str
    """What stood in the way of an answer; empty if nothing did."""
    hypervolume: float
    """Share of the study's box that its front covers, 0 to 1."""
    random_hypervolume: float | None
    """What a random search of equal epochs is expected to cover (its median); None with too few trainings."""
    interval: tuple[float, float] | None
    """Nine random searches in ten are expected to lie in it."""
    probability: float | None
    """That a random search of equal epochs covers less than the study."""
    p_value: float | None
    """Of the permutation test: how often as many trainings from anywhere in the study are dominated as often as its
    random first ones, or more often (as rarely, or more rarely, where the verdict is "worse"); None where none or
    all are random, or it is not known which are."""
    epochs: int
    """Of all trainings."""
    trainings: int
    """Networks that the study trained, to the end or until they were pruned."""
    random_first: int | None
    """How many of these came before the sampler learned; None if it is not known."""
    random_trainings: int
    """Networks that random search trains to the end in as many epochs."""
    method: str = METHOD

    def __str__(self) -> str:
        known = f"its front covers {self.hypervolume:.3f} of the box"
        if self.random_hypervolume is None or self.interval is None:
            return f"Too few: {self.why}; {known}."
        low, high = self.interval
        plural = "network" if self.random_trainings == 1 else "networks"
        random = (
            f"a random search of the same {self.epochs} epochs ({self.random_trainings} {plural}) would cover "
            f"{self.random_hypervolume:.3f} ({low:.3f} to {high:.3f} in nine of ten)"
        )
        if self.p_value is None:
            return f"Not shown: {self.why}; {known}, {random}."
        start, chance, side = {
            "beat": ("The study beat random search", "no better", "often"),
            "worse": ("The study did worse than random search", "no worse", "rarely"),
            "not shown": ("Not shown that the study beat random search", "no better", "often"),
        }[self.verdict]
        percent = "less than 1%" if self.p_value < 0.01 else f"{self.p_value:.0%}"
        return (
            f"{start}: {known}, {random}, and were its proposals {chance} than chance, others would beat its "
            f"{self.random_first} random first trainings as {side} as they do in {percent} of cases."
        )


def judge_study(
    study: Study,
    space: Callable[[BaseTrial], object] | None = None,
    *,
    random: int | None = None,
    seed: int = 0,
) -> Verdict:
    """Whether a study beat random search at equal epochs.

    Args:
        study: A study whose trials `optnas.Objective` trained; one whose trials keep no curve counts each as
            one epoch.
        space: Makes the choices of a network on a trial; needed only if choices are conditional.
        random: Trials of a lower number were proposed at random; by default what the study's settings say.
        seed: Of shuffles and simulated searches.

    Raises:
        UsageError: If the study does not minimise "error" and a cost, has no trained network within its
            constraints, or has conditional choices and no space is given.
    """
    if random is not None and random < 0:
        raise UsageError(f"random: expected a number of trials from 0, got {random}")
    evidence = read_evidence(study)
    first = random_first(study) if random is None else random
    trained = len(evidence.numbers)
    blind = None if first is None else int((evidence.numbers < first).sum())
    equal = max(1, round(evidence.epochs / evidence.epochs_each))
    own = hypervolume(evidence.losses(evidence.errors)[evidence.complete], list(evidence.reference))
    why = _too_few(evidence, blind)
    if why:
        return Verdict("too few", why, own, None, None, None, None, evidence.epochs, trained, blind, equal)

    simulated = simulate(evidence, equal, space, seed=seed)
    median = np.median(simulated.random)
    searches = own - simulated.own.mean() + median + np.sqrt(2) * (simulated.random - median)
    searches = np.clip(searches, 0.0, 1.0)
    middle, (low, high) = float(np.median(searches)), np.quantile(searches, _INTERVAL)
    # Of equal ones half count: a front of one network may be the same in many searches.
    probability = float(np.mean(searches < own) + np.mean(searches == own) / 2)

    verdict, p_value = "not shown", None
    if not blind:
        why = "which of its trials were random is not known" if blind is None else "none of its trials was random"
    elif blind == trained:
        why = "all its trials were random"
    else:
        p_value, p_worse = shuffle_test(evidence.losses(evidence.reached), blind, seed)
        if p_value <= _LEVEL and own > middle:
            verdict = "beat"
        elif p_worse <= _LEVEL and own < middle:
            verdict, p_value = "worse", p_worse
    interval = (float(low), float(high))
    return Verdict(verdict, why, own, middle, interval, probability, p_value, evidence.epochs, trained, blind, equal)


def shuffle_test(losses: Array, first: int, seed: int = 0) -> tuple[float, float]:
    """How often `first` rows from anywhere are dominated as often as the first ones, and how often as rarely.

    If the rows are exchangeable, either is at most p with a probability of at most p.

    Args:
        losses: (n, k), smaller is better.
        first: How many rows, 1 to n.
        seed: Of the shuffles.
    """
    rng = np.random.default_rng([seed, 11])
    no_worse = (losses[:, None] <= losses).all(axis=2)
    dominated = (no_worse & ~no_worse.T).sum(axis=0)
    seen = dominated[:first].sum()
    sums = np.array([rng.permutation(dominated)[:first].sum() for _ in range(_SHUFFLES)])
    # The order that came is one of all orders, so it counts.
    often, rarely = (sums >= seen).sum(), (sums <= seen).sum()
    return float(often + 1) / (_SHUFFLES + 1), float(rarely + 1) / (_SHUFFLES + 1)


def _too_few(evidence: Evidence, blind: int | None) -> str:
    trained, finished = len(evidence.numbers), int(evidence.complete.sum())
    if finished < _LEAST:
        return f"{finished} of {trained} networks were trained to the end, and {_LEAST} are needed"
    if blind and min(blind, trained - blind) < _LEAST_OF_A_KIND and blind < trained:
        return (
            f"{blind} of {trained} trainings were random, and at least {_LEAST_OF_A_KIND} random and "
            f"{_LEAST_OF_A_KIND} others are needed"
        )
    return ""
