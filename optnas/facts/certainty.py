"""How sure it is that a network belongs on the front, given the chance in errors and latencies."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import moocore
import numpy as np
from numpy.typing import NDArray
from optuna import Study

from optnas.cost import Constraint
from optnas.errors import UsageError
from optnas.facts.summary import format_value
from optnas.facts.trained import Trained, read_trained
from optnas.front import candidates, front
from optnas.objective import ERROR

__all__ = ["Certainty", "Membership", "certainty", "expected_errors", "expected_sentence"]

Array = NDArray[np.float64]

#: By so many draws a probability is right within half a point (two standard errors) ...
_DRAWS = 50_000
#: ... and of more than 40 networks that may be on the front so many are drawn in all: less than a second.
_DRAWN, _LEAST_DRAWS = 2_000_000, 2000
#: Two networks whose errors are so many standard deviations each apart are surely in that order.
_SURE = 3.0
#: A network beside the front is told of from this probability on, and a tie too.
_PERHAPS = 0.05
#: What is expected is told where it lies so many standard deviations of one training from what was measured.
_APART = 0.5
#: Of networks beside the front so many are named.
_NAMED = 5


@dataclass(frozen=True)
class Membership:
    """One network and the front."""

    trial: int
    """The trial's number."""
    probability: float
    """That in truth no other trained network errs no more and costs no more."""
    measured: float
    """What training told, in the objective's unit."""
    expected: float
    """What another training should be expected to tell: the mean of what is repeatable, given all other networks."""
    on_front: bool
    """Whether it is on the front as measured."""
    ties_with: tuple[int, ...]
    """Members of the front that cost no more and, with a probability of at least 5 %, err no more: that it is worth
    what it costs beyond them is not shown."""


@dataclass(frozen=True)
class Certainty:
    """How sure the front of a study is."""

    networks: tuple[Membership, ...]
    """The front's members in its order, then others that belong there with a probability of at least 5 %, the most
    probable first."""
    learned: str
    """The objective that training tells."""
    noise_std: float
    """The chance in one training: the standard deviation of the median member's error, in the objective's unit. NaN
    without a member."""
    noise_source: str
    """Where that is known from."""
    latency_noise: float
    """The standard error of the median network's latency, as a share of it; 0 if latency is exact or no objective."""
    draws: int
    """How many times errors and latencies were drawn."""

    @property
    def false_members(self) -> float:
        """How many of the front's members are expected not to belong there."""
        return sum(1 - network.probability for network in self.networks if network.on_front)

    def of(self, trial: int) -> Membership | None:
        """What is known of one trial; None if it is not worth mentioning."""
        return next((network for network in self.networks if network.trial == trial), None)

    def _is_apart(self, one: Membership) -> bool:
        shown = {format_value(self.learned, value) for value in (one.measured, one.expected)}
        return len(shown) == 2 and abs(one.expected - one.measured) > _APART * self.noise_std

    def __str__(self) -> str:
        """A few plain sentences for a person."""
        members = [network for network in self.networks if network.on_front]
        if not members:
            return "There is no front to be sure of."
        varies = f"{100 * self.noise_std:.2f} points" if self.learned == ERROR else f"{self.noise_std:.3g}"
        clock = f", a latency by ±{self.latency_noise:.1%}" if self.latency_noise else ""
        text = (
            f"Of {len(members)} members about {len(members) - self.false_members:.1f} belong on the front in truth: "
            f"the {self.learned} of one training varies by ±{varies} ({self.noise_source}){clock}."
        )
        text += (
            " In truth means on average over many trainings and images, as far as can be told by pulling the "
            f"{'errors' if self.learned == ERROR else 'results'} of similar networks together; sure is the "
            "probability of a place there."
        )
        apart = [one for one in members if self._is_apart(one)]
        most = sorted(apart, key=lambda one: -abs(one.expected - one.measured))[:_NAMED]
        told = {one.trial: (one.measured, one.expected) for one in apart if one in most}
        if told:
            text += f" {expected_sentence(self.learned, told)}"
        ties = [f"{one.trial} with {', '.join(map(str, one.ties_with))}" for one in members if one.ties_with]
        if ties:
            text += f" Ties: {'; '.join(ties)}, which cost no more and may err no more."
        others = [f"{one.trial} ({one.probability:.0%})" for one in self.networks if not one.on_front]
        if others:
            more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
            text += f" May belong there too: {', '.join(others[:_NAMED])}{more}."
        return text


def certainty(
    study: Study,
    budget: Sequence[Constraint] = (),
    *,
    std: float | None = None,
    draws: int | None = None,
    seed: int = 0,
) -> Certainty:
    """The probability of each network to be on the front, in truth.

    The truth is what a network would reach on average over many seeds and validation images, and its real cost.
    Errors are drawn from what is repeatable of them (`optnas.facts.repeatable`), all together, since what is unknown
    of similar networks is alike; latencies lognormally by their standard error (`optnas.facts.noise`); other costs are
    exact. In each draw the networks that no other one beats are counted. `studies/front_certainty.py` checks it
    against networks whose truth is known.

    Args:
        study: With one objective that training tells, "error" or the only one that is not in `optnas.cost.COSTS`.
        budget: Only networks within it count.
        std: The standard deviation of the median network's error from one training to another, in the objective's
            unit, where that is known better than the study can tell.
        draws: How many; None for 50 000, fewer where many networks may be on the front.
        seed: Of the draws.

    Raises:
        UsageError: If the study has not one objective of that kind or too few trained networks, a number is out of
            range, or the budget names a cost that the study did not measure.
    """
    if (draws is not None and draws < 1) or (std is not None and not (isfinite(std) and std > 0)):
        raise UsageError(f"certainty: expected draws from 1 and a finite std above 0, got {draws} and {std}")
    counted = {network.trial for network in candidates(study, budget)}
    members = [network.trial for network in front(study, budget)]
    trained = read_trained(study, counted, std)
    on_front = np.isin(trained.trials, members)
    rows = np.flatnonzero(on_front | _possible(trained, np.isin(trained.trials, list(counted))))
    draws = draws or min(_DRAWS, max(_LEAST_DRAWS, _DRAWN // max(len(rows), 1)))
    generator = np.random.default_rng(seed)
    errors = trained.model.draw(rows, draws, generator)
    chance = trained.cost_noise[rows, :, None]
    # One column is enough of costs that are exact.
    shape = (len(rows), chance.shape[1], draws if chance.any() else 1)
    costs = trained.costs[rows, :, None] * np.exp(chance * generator.standard_normal(shape))
    told = trained.sign * np.column_stack([trained.errors, trained.model.expected()])[rows]
    found = _memberships(trained.trials[rows], on_front[rows], told, errors, costs)
    found.sort(key=lambda one: (not one.on_front, members.index(one.trial) if one.on_front else -one.probability))
    middle = np.median(trained.errors[on_front], keepdims=True) if members else np.array([np.nan])
    return Certainty(
        tuple(one for one in found if one.on_front or one.probability >= _PERHAPS),
        trained.learned,
        float(trained.noise.std(middle)[0]),
        trained.noise.source,
        float(np.median(trained.cost_noise.max(axis=1, initial=0.0))),
        draws,
    )


def expected_errors(study: Study, trials: Collection[int]) -> dict[int, tuple[float, float]]:
    """By trial what training told, and what another training should be expected to tell, in the objective's unit.

    Of more trials than a model can see (`optnas.facts.trained`) some may be left out.

    Raises:
        UsageError: As `certainty`.
    """
    trained = read_trained(study, trials)
    told = trained.sign * np.column_stack([trained.errors, trained.model.expected()])
    return {
        trial: (measured, expected)
        for trial, (measured, expected) in zip(trained.trials.tolist(), told.tolist(), strict=True)
        if trial in trials
    }


def expected_sentence(learned: str, told: Mapping[int, tuple[float, float]]) -> str:
    """Of trials what is expected beside what was measured, as in "trial 5: 1.32% (1.39%)", in a sentence."""
    parts = [
        f"trial {trial}: {format_value(learned, expected)} ({format_value(learned, measured)})"
        for trial, (measured, expected) in told.items()
    ]
    return f"Expected {learned}, and in brackets the measured one: {', '.join(parts)}."


def _possible(trained: Trained, counted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n,) whether a network that counts may be on the front at all.

    One that is surely beaten by another is needed for nothing: whatever it beats, the other beats as well.
    """
    low, high = trained.model.interval(_SURE)
    margin = np.exp(_SURE * trained.cost_noise)
    ends = np.stack([trained.costs / margin, trained.costs * margin])
    least, most = ends.min(axis=0), ends.max(axis=0)
    rows = np.flatnonzero(counted)
    possible = np.zeros(len(low), dtype=bool)
    for row in rows:
        possible[row] = not ((most[rows] <= least[row]).all(axis=1) & (high[rows] < low[row])).any()
    return possible


def _memberships(
    trials: NDArray[np.int64], on_front: NDArray[np.bool_], told: Array, errors: Array, costs: Array
) -> list[Membership]:
    """From draws of m networks: errors (m, s) and costs (m, k, s), or (m, k, 1) where all are exact.

    `told` is (m, 2): what was measured, and what is expected.
    """
    count, draws = errors.shape
    kept = np.zeros(count)
    for draw in range(draws if count > 1 else 0):
        values = np.column_stack([errors[:, draw], costs[:, :, min(draw, costs.shape[2] - 1)]])
        # Two trials of one network are equal in every draw, and neither beats the other.
        kept += moocore.is_nondominated(values, keep_weakly=True)
    probabilities = kept / draws if count > 1 else np.ones(count)
    ties: dict[int, tuple[int, ...]] = {}
    for row in np.flatnonzero(on_front).tolist():
        rivals = np.flatnonzero(on_front & (np.arange(count) != row))
        beats = (costs[rivals] <= costs[row]).all(axis=1) & (errors[rivals] <= errors[row])
        ties[row] = tuple(map(int, trials[rivals[beats.mean(axis=1) >= _PERHAPS]]))
    return [
        Membership(
            int(trials[row]), float(probabilities[row]), measured, expected, bool(on_front[row]), ties.get(row, ())
        )
        for row, (measured, expected) in enumerate(told.tolist())
    ]
