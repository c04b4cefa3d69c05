"""What pruning saved and what it cost, measured on trials that were trained to the end all the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import moocore
import numpy as np
from numpy.typing import NDArray

from optnas.errors import UsageError
from optnas.printable import counted

__all__ = ["Audit", "Audited", "audit", "is_audited"]

#: Keeps the draw apart from every other use of the study's seed.
_STREAM = 0xA0D17


@dataclass(frozen=True)
class Audited:
    """What an audit has to know of one trial that began to train and is feasible."""

    values: tuple[float, ...] | None
    """What the study optimises, all to be minimised; None if the trial was pruned."""
    epochs: int
    """How many epochs it trained, as far as it reported any."""
    stop_epoch: int | None = None
    """The epoch after which the pruner stopped it, or would have, if it was audited; None if it never would."""
    untold: bool = False
    """Whether it was pruned after an epoch that is not known."""

    @property
    def spared(self) -> bool:
        """Whether it was trained to the end only because it was chosen for the audit."""
        return self.stop_epoch is not None and self.values is not None


@dataclass(frozen=True)
class Audit:
    """The account of one study."""

    trials: int
    """Feasible trials that began to train."""
    pruned: int
    """Trials that were stopped early."""
    audited: int
    """Trials that would have been stopped and were trained to the end."""
    epochs_used: int
    """Epochs trained, those of the audit included."""
    epochs_saved: int
    """Epochs of a whole training that pruned trials were not given."""
    epochs_audit: int
    """Epochs that the audit itself took."""
    front_size: int
    """Members of the front, audited trials included."""
    lost: int
    """Audited trials on that front: members that pruning would have lost."""
    lost_share: tuple[float, float]
    """Confidence interval of the share of trials to be stopped that would be on the front."""
    front_lost: tuple[float, float, float]
    """The share of the front that pruning has lost: best guess, and its interval. (0, 0, 1) without an audit."""
    hypervolume_regret: float
    """Share of the hypervolume that would be missing if the audited trials had been stopped."""
    confidence: float
    """Of the intervals."""
    accepted: float
    """The share of the front that may be lost."""
    share: float = 0.0
    """The share of trials that the audit was to draw; 0 without one."""
    untold: int = 0
    """Pruned trials that reported no epochs, so that what they saved is not known."""
    pruner: str = ""
    """The pruner's name on the command line; empty if it is not known."""

    @property
    def verdict(self) -> str:
        """Whether the loss is accepted: "accepted", "too much" or "not known"."""
        guess, _, high = self.front_lost
        if self.pruned + self.audited == 0 or high <= self.accepted:
            return "accepted"
        return "too much" if guess > self.accepted else "not known"

    def __str__(self) -> str:
        """A few plain sentences for a person."""
        whole = self.epochs_used + self.epochs_saved
        if self.pruned + self.audited == 0:
            if self.trials and not self.epochs_used:
                return f"No trial was pruned; {counted(self.trials, 'trial')} reported no epochs."
            trained = f"{counted(self.trials, 'trial')} trained {counted(self.epochs_used, 'epoch')}"
            return f"No trial was pruned: {trained}."
        text = f"{self.pruned} of {counted(self.trials, 'trial')} {'was' if self.pruned == 1 else 'were'} pruned"
        if self.untold:
            return f"{text}, and reported no epochs: what that saved and what it cost is not known."
        text += f", which saved {self.epochs_saved} of {whole} epochs ({self.epochs_saved / max(whole, 1):.0%}). "
        if self.audited == 0:
            drawn = f"The audit of {self.share:.0%} of the trials drew none of these" if self.share else ""
            advice = "more trials or a larger --audit will tell" if self.share else "search with --audit 0.1"
            return text + f"{drawn or 'No pruned trial was audited'}, so what it cost is not known: {advice}."
        guess, low, high = self.front_lost
        text += (
            f"Of {self.audited} more that were trained to the end as an audit ({self.epochs_audit} epochs), "
            f"{self.lost} {'is' if self.lost == 1 else 'are'} on the front"
        )
        if self.lost and self.pruned:
            missing = self.lost / self.audited * self.pruned
            text += f", so about {missing:.{0 if missing >= 1 else 1}f} of the {self.pruned} pruned would be too"
        text += (
            f". Pruning has lost about {guess:.0%} of the front "
            f"({self.confidence:.0%} interval {low:.0%} to {high:.0%}); without the audit "
            f"{_rounded(self.hypervolume_regret)} of the hypervolume would be missing. "
        )
        if self.verdict == "accepted":
            return text + f"That is within the accepted {self.accepted:.0%}."
        if self.verdict == "too much":
            return text + f"That is more than the accepted {self.accepted:.0%}: {self._advice}."
        return text + (
            f"Whether it is within the accepted {self.accepted:.0%} takes a larger audit to say: search with a larger "
            "--audit, or longer."
        )

    @property
    def _advice(self) -> str:
        """What to do about it, in the words of `optnas search`."""
        if self.pruner == "dominance":
            return "search with --pruner none, which stops no trial"
        return "search with --pruner dominance, which stops fewer good trials, or --pruner none"


def is_audited(seed: int, number: int, share: float) -> bool:
    """Whether a trial is to be trained to the end even if its pruner says stop.

    Decided by the study's seed and the trial's number alone, so before anything is known of the trial, and
    again the same when a study is resumed. A trial that is chosen for a share is chosen for any larger one.

    Raises:
        UsageError: If the share is not in [0, 1].
    """
    if not 0 <= share <= 1:
        raise UsageError(f"audit: expected a share of the trials from 0 to 1, got {share}")
    return bool(np.random.default_rng([_STREAM, seed, number]).random() < share)


def audit(
    trials: Sequence[Audited],
    n_epochs: int,
    *,
    reference: Sequence[float] | None = None,
    share: float = 0.0,
    accepted: float = 0.05,
    confidence: float = 0.95,
    pruner: str = "",
) -> Audit:
    """Account for what pruning did in a study.

    Audited trials are a random sample of those that the pruner stops. If k of n of them are on the front, the
    share of stopped trials that belong there lies in the interval of Clopper and Pearson (1934), which holds
    for any n. Times the number of pruned trials that gives the members that are missing. Without k > 0 the
    interval's upper end is about 3/n, so a small audit cannot prove much, and says so.

    Args:
        trials: Every feasible trial that began to train. Refused, failed and repeated ones are left out.
        n_epochs: Epochs of a whole training.
        reference: (k,) the worst values that count for the hypervolume, which is that of the box from 0; by
            default the worst of each value among the whole trainings.
        share: Of all trials that was to be drawn, for the sentences.
        accepted: The share of the front's members that may be lost.
        confidence: Of the intervals, in (0, 1).
        pruner: Its name on the command line, for the advice.

    Raises:
        UsageError: If `accepted` or `confidence` is not between 0 and 1.
    """
    if not 0 <= accepted <= 1:
        raise UsageError(f"accepted: expected a share from 0 to 1, got {accepted}")
    if not 0 < confidence < 1:
        raise UsageError(f"confidence: expected a number between 0 and 1, got {confidence}")
    whole = [trial for trial in trials if trial.values is not None and np.all(np.isfinite(trial.values))]
    told = [trial for trial in trials if trial.values is None and trial.stop_epoch is not None]
    untold = sum(trial.untold for trial in trials)
    pruned = len(told) + untold
    spared = [trial for trial in whole if trial.spared]
    values = np.array([trial.values for trial in whole], dtype=float)
    stopped = np.array([trial.spared for trial in whole], dtype=bool)
    on_front = _on_front(values)
    lost = int((on_front & stopped).sum())
    front_size = int(on_front.sum())
    low, high = _clopper_pearson(lost, len(spared), confidence)
    rate = lost / len(spared) if spared else 0.0
    return Audit(
        trials=len(trials),
        pruned=pruned,
        audited=len(spared),
        epochs_used=sum(trial.epochs for trial in trials),
        epochs_saved=sum(n_epochs - trial.epochs for trial in told),
        epochs_audit=sum(trial.epochs - (trial.stop_epoch or 0) for trial in spared),
        front_size=front_size,
        lost=lost,
        lost_share=(low, high),
        front_lost=(
            _share_missing(rate * pruned, front_size),
            _share_missing(low * pruned, front_size),
            _share_missing(high * pruned, front_size),
        ),
        hypervolume_regret=_regret(values, stopped, reference),
        confidence=confidence,
        accepted=accepted,
        share=share,
        untold=untold,
        pruner=pruner,
    )


def _rounded(share: float) -> str:
    """A share in per cent, without figures that chance makes."""
    return f"{share:.0%}" if share >= 0.1 or share == 0 else f"{share:.1%}"


def _share_missing(missing: float, found: int) -> float:
    return missing / (missing + found) if missing else 0.0


def _on_front(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    if len(values) < 2:
        return np.ones(len(values), dtype=bool)
    return np.asarray(moocore.is_nondominated(values), dtype=bool)


def _regret(values: NDArray[np.float64], stopped: NDArray[np.bool_], reference: Sequence[float] | None) -> float:
    if not len(values):
        return 0.0
    worst = np.asarray(values.max(axis=0) if reference is None else reference, dtype=float)
    everything, kept = (_hypervolume(rows, worst) for rows in (values, values[~stopped]))
    return 1 - kept / everything if everything else 0.0


def _hypervolume(values: NDArray[np.float64], worst: NDArray[np.float64]) -> float:
    inside = values[np.all(values < worst, axis=1)]
    return float(moocore.hypervolume(inside / worst, ref=np.ones(len(worst)))) if len(inside) else 0.0


def _clopper_pearson(successes: int, draws: int, confidence: float) -> tuple[float, float]:
    """The exact interval of a share of which `successes` of `draws` were seen."""
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else _solve(lambda p: 1 - _at_most(successes - 1, draws, p) >= tail)
    high = 1.0 if successes == draws else _solve(lambda p: _at_most(successes, draws, p) <= tail)
    return low, high


def _at_most(successes: int, draws: int, p: float) -> float:
    return sum(math.comb(draws, k) * p**k * (1 - p) ** (draws - k) for k in range(successes + 1))


def _solve(reached: Callable[[float], bool]) -> float:
    """The least share in [0, 1] at which a condition that stays true becomes true."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high
