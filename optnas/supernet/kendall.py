"""Whether shared weights rank networks as training does: Kendall's tau with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from optnas.errors import UsageError

__all__ = ["LEAST_TAU", "Agreement", "SupernetAudit", "agreement", "audit_scores"]

#: Below it shared weights are not trusted. Of two networks that differ, a ranking with this tau puts 65 % the right
#: way round, where a coin reaches 50 %.
LEAST_TAU = 0.3
#: Nor are they if chance would do as well more often than this.
MOST_CHANCE = 0.1

_DRAWS, _FEW = 2000, 8
_CONFIDENCE = 0.9


@dataclass(frozen=True)
class Agreement:
    """How two rankings of the same networks agree."""

    tau: float
    """Kendall's tau-b: 1 for the same order, 0 for none in common, -1 for the opposite."""
    low: float
    high: float
    """90 % interval: 5 % and 95 % quantiles over networks drawn again with replacement."""
    networks: int

    def __str__(self) -> str:
        # Of a handful of networks a bootstrap knows nothing.
        interval = f"{self.low:.2f} to {self.high:.2f}, " if self.networks >= _FEW else ""
        return f"{self.tau:.2f} ({interval}{self.networks} networks)"


@dataclass(frozen=True)
class SupernetAudit:
    """What training from scratch says of the scores by shared weights."""

    overall: Agreement
    best_half: Agreement
    """Among those that training found better than the median: where a search has to tell networks apart."""
    macs: Agreement
    """Of the order by MACs alone, the dearest first: what a score has to beat to be worth its supernet."""
    beyond_macs: Agreement
    """What scores tell among networks of equal MACs: Kendall's partial tau (Kendall 1942, doi:10.2307/2332267)."""
    chance: float
    """How often a ranking by chance would agree as well overall: the p-value of Kendall's test."""
    scores: tuple[float, ...]
    """Errors with shared weights, by network."""
    errors: tuple[float, ...]
    """Errors after training from scratch, by network."""
    price: tuple[float, ...]
    """Multiply-adds, by network."""

    @property
    def trusted(self) -> bool:
        """Whether a search should go by these scores."""
        return self.overall.tau >= LEAST_TAU and self.chance <= MOST_CHANCE and self.beyond_macs.tau > 0

    def __str__(self) -> str:
        """Plain sentences for a person."""
        if self.overall.tau >= LEAST_TAU and self.chance > MOST_CHANCE:
            verdict = f"Chance does as well {self.chance:.0%} of the time, so shared weights are not used."
        elif self.overall.tau < LEAST_TAU:
            verdict = f"Shared weights mislead here: below {LEAST_TAU} they are not used."
        elif not self.trusted:
            verdict = "Shared weights mislead here: they only repeat what the MACs tell, and are not used."
        elif self.beyond_macs.low <= 0:
            verdict = "They can be used to choose what to train; that they tell more than the MACs is not certain."
        else:
            verdict = "They can be used to choose what to train."
        return (
            f"Shared weights and training from scratch agree by Kendall's tau {self.overall}; among the best half "
            f"{self.best_half}. The MACs alone would agree by {self.macs}; what shared weights tell beyond these is "
            f"{self.beyond_macs}. {verdict}"
        )


def audit_scores(scores: Sequence[float], errors: Sequence[float], macs: Sequence[float]) -> SupernetAudit:
    """Compare the scores of n networks by shared weights with their errors after training.

    Args:
        scores: Errors with shared weights, (n,).
        errors: Errors after training from scratch, (n,).
        macs: Multiply-adds, (n,).

    Raises:
        UsageError: If there are fewer than 4 networks, or lengths differ.
    """
    if not len(scores) == len(errors) == len(macs) or len(scores) < 4:
        raise UsageError(f"supernet audit: expected at least 4 networks with a score each, got {len(scores)}")
    known, learned, price = (np.asarray(values, dtype=float) for values in (scores, errors, macs))
    best = np.argsort(learned, kind="stable")[: max(3, (len(learned) + 1) // 2)]
    return SupernetAudit(
        agreement(known, learned),
        agreement(known[best], learned[best]),
        agreement(-price, learned),
        agreement(known, learned, given=price),
        _chance(known, learned),
        tuple(known.tolist()),
        tuple(learned.tolist()),
        tuple(price.tolist()),
    )


def agreement(
    one: NDArray[np.float64], other: NDArray[np.float64], given: NDArray[np.float64] | None = None
) -> Agreement:
    """Kendall's tau-b of two rankings, (n,) each, with a bootstrap interval (Efron 1979).

    Args:
        one: The first.
        other: The second.
        given: A third, which both may follow: the tau is then the partial one, without what it explains.
    """
    signs = [np.sign(values[:, None] - values[None, :]) for values in (one, other, given) if values is not None]
    generator, everyone = np.random.default_rng(0), np.arange(len(one))
    taus = [_tau(signs, generator.integers(len(one), size=len(one))) for _ in range(_DRAWS)]
    edge = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(taus, [edge, 1 - edge])
    return Agreement(_tau(signs, everyone), float(low), float(high), len(one))


def _chance(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 1.0
    return float(kendalltau(one, other, alternative="greater").pvalue)


def _tau(signs: Sequence[NDArray[np.float64]], rows: NDArray[np.int64]) -> float:
    """Tau-b of the networks in `rows`, from the signs of all differences, (n, n) each; partial if there are three."""
    flat = [one[np.ix_(rows, rows)].ravel() for one in signs]
    if len(flat) == 2:
        return _cosine(flat[0], flat[1])
    together, first, second = _cosine(flat[0], flat[1]), _cosine(flat[0], flat[2]), _cosine(flat[1], flat[2])
    left = (1 - first**2) * (1 - second**2)
    # Nothing is left to tell where the third explains one of them whole.
    return (together - first * second) / float(np.sqrt(left)) if left > 1e-12 else 0.0


def _cosine(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    size = np.sqrt((one @ one) * (other @ other))
    # Without order on one side, as where all draws are of one network, nothing agrees.
    return float(one @ other / size) if size else 0.0
