"""How much each choice decides whether a network is among the best, and whether that could be chance.

Conditional PED-ANOVA (Watanabe et al. 2023, arXiv 2304.10255; Baba et al. 2026, arXiv 2601.20800), as Optuna has it:
the importance of a choice is the Pearson divergence of its options among the best trials from those among all, within
the trials that make the choice. It asks what leads into the best part, not what explains the error everywhere; and it
looks at one choice at a time, so a choice that a sampler took together with a good one looks good as well.

A divergence is never below 0, and with few trials or many options chance alone makes it large. So what permuted values
give on average is taken off, and a choice counts only if its importance stands out of permuted ones more than the
most outstanding of all choices does in 95 of 100 permutations (Westfall & Young 1993: one false alarm in twenty
studies, not in twenty choices). Intervals come from random halves of the trials, whose spread about the whole is to
first order that of the whole about the truth (Politis & Romano 1994); a bootstrap would repeat trials, which a
divergence takes for structure.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial

from optnas.explain.foresight import LEAST
from optnas.explain.trained import Trained
from optnas.printable import counted

__all__ = ["Importance", "Importances", "importances"]

Array = NDArray[np.float64]

#: The best part of the trials: a tenth, but 10 trials where there are that many, and half of them at most.
_BEST, _BEST_TRIALS = 0.1, 10
#: How often chance may be taken for an importance, in a study.
_LEVEL = 0.05
#: Halves of the trials, and permutations: as many as about a second allows, within these limits.
_FEWEST, _MOST, _WORK = 40, 100, 600_000
#: Halves with permuted values, which tell what chance gives there on average.
_CHANCE = 10
#: Of the interval of a share.
_INTERVAL = (0.05, 0.95)


@dataclass(frozen=True)
class Importance:
    """Of one choice."""

    choice: str
    share: float
    """Of the importance of all choices, 0 to 1, beyond what chance gives; 0 where chance gives as much."""
    low: float
    """With `high` an interval of 90 %. On tables of all networks it held 94 to 98 % of the true shares; with 14 choices
    of 10 options that mean nothing 78 to 88 % of those of the 8 that do: what chance leaves the many makes these less.
    """
    high: float
    divergence: float
    """Optuna's figure: the conditional PED-ANOVA importance, not normalised, chance included."""
    p_value: float
    """How often the most outstanding choice of permuted values stands out as far."""

    @property
    def told(self) -> bool:
        """Whether it can be told from chance."""
        return self.p_value <= _LEVEL


@dataclass(frozen=True)
class Importances:
    """Of all choices of a study, the greatest share first."""

    choices: tuple[Importance, ...]
    """Empty if there are too few trials, or all are as good."""
    trials: int
    """Feasible networks that were trained to the end."""
    best: int
    """How many of them are the best part; more than meant where values are equal."""
    why: str
    """Why there is none; empty if there are."""


def importances(trained: Trained, seed: int = 0) -> Importances:
    """What decides whether a feasible network is among the best in what training tells.

    Args:
        trained: A study's networks. Those that were pruned are left out: they could hardly have been among the best.
        seed: Of halves and permutations.
    """
    rows = np.flatnonzero(trained.feasible)
    losses = trained.losses[rows]
    count = len(rows)
    best = min(max(round(_BEST * count), _BEST_TRIALS), count // 2)
    choices = [name for name in trained.movable() if any(name in trained.networks[row].choices for row in rows)]
    if count < LEAST:
        had = f"{counted(count, 'feasible network')} {'was' if count == 1 else 'were'}"
        return Importances((), count, 0, f"{had} trained to the end, and {LEAST} are needed")
    if not choices:
        return Importances((), count, 0, "no choice has two options")
    reached = int((losses <= np.sort(losses)[best - 1]).sum())
    if reached == count:
        return Importances((), count, 0, "none of the networks is better than most of them")
    measure = _Measure(trained, rows, choices, best / count)
    draws = int(np.clip(_WORK // (count * len(choices)), _FEWEST, _MOST))
    generator = np.random.default_rng([seed, 8])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna warns of few trials and of the direction, which are looked after here
        whole = measure(losses)
        permuted = np.array([measure(generator.permutation(losses)) for _ in range(draws)])
        halves = [_half(losses, generator) for _ in range(draws)]
        drawn = np.array([measure(half) for half in halves])
        chance = np.mean([measure(_shuffled(half, generator)) for half in halves[:_CHANCE]], axis=0)
    shares = _shares(whole - permuted.mean(axis=0))
    spread = np.quantile([_shares(row) for row in drawn - chance], _INTERVAL, axis=0)
    low, high = np.minimum(spread[0], shares), np.maximum(spread[1], shares)
    p_values = _p_values(whole, permuted)
    found = [
        Importance(name, *(float(one[index]) for one in (shares, low, high, whole, p_values)))
        for index, name in enumerate(choices)
    ]
    return Importances(tuple(sorted(found, key=lambda one: (-one.share, one.p_value))), count, reached, "")


class _Measure:
    """The divergences (d,) of d choices for losses (n,) of the networks `rows`; a loss of NaN leaves one out."""

    def __init__(self, trained: Trained, rows: NDArray[np.int64], choices: Sequence[str], best: float) -> None:
        self._choices = list(choices)
        self._evaluator = PedAnovaImportanceEvaluator(target_quantile=best)
        self._study = _study_of(trained, rows)

    def __call__(self, losses: Array) -> Array:
        found = get_param_importances(
            self._study,
            evaluator=self._evaluator,
            params=self._choices,
            target=lambda trial: float(losses[trial.number]),
            normalize=False,
        )
        return np.array([found[name] for name in self._choices])


def _study_of(trained: Trained, rows: NDArray[np.int64]) -> Study:
    """A study in memory with these networks as its trials 0, 1, 2 and so on; its values are not used."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # a study that nobody made needs no line
    try:
        study = optuna.create_study()
    finally:
        optuna.logging.set_verbosity(level)
    for row in rows:
        params = dict(trained.networks[row].choices)
        study.add_trial(create_trial(params=params, distributions=dict(trained.offered[row]), value=0.0))
    # Optuna asks of each trial whether its distributions are those of the others, which is at once seen of one object.
    shared: dict[str, BaseDistribution] = {}
    for trial in study.get_trials(deepcopy=False):
        trial.distributions = {name: shared.setdefault(repr(one), one) for name, one in trial.distributions.items()}
    return study


def _half(losses: Array, generator: np.random.Generator) -> Array:
    """The losses of a random half; of the others NaN."""
    left_out = generator.permutation(len(losses))[: len(losses) // 2]
    half = losses.copy()
    half[left_out] = np.nan
    return half


def _shuffled(losses: Array, generator: np.random.Generator) -> Array:
    """The losses of a half, in another order."""
    half = losses.copy()
    kept = np.flatnonzero(np.isfinite(half))
    half[kept] = generator.permutation(half[kept])
    return half


def _shares(beyond: Array) -> Array:
    """Of divergences beyond chance, (d,)."""
    beyond = np.maximum(beyond, 0.0)
    return np.asarray(beyond / (beyond.sum() or 1.0))


def _p_values(whole: Array, permuted: Array) -> Array:
    """(d,) how often the greatest of d standardised divergences of (r, d) permuted ones is as great as each.

    What came is one of all orders, so it counts among them (Phipson & Smyth 2010).
    """
    everything = np.vstack([whole, permuted])
    spread = everything.std(axis=0)
    standard = (everything - everything.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return np.asarray((standard.max(axis=1)[:, None] >= standard[0]).mean(axis=0))
