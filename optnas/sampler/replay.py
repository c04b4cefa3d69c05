"""How finished trials teach a controller: under many weights, again and again, in the order in which they ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution

from optnas.sampler.controller import Controller
from optnas.sampler.episode import Episode
from optnas.sampler.fitness import Terms, draw_weights, rewards
from optnas.sampler.seeded import derive_seed

__all__ = ["FIRST_LESSONS", "Choice", "Lesson", "Replay", "advantages"]

Array = NDArray[np.float64]
#: Name, distribution and value.
Choice = tuple[str, BaseDistribution, Any]

#: The controller begins to learn when so many trials have an outcome; until then it draws uniformly.
FIRST_LESSONS = 8
#: Steps of the optimiser after each trial, episodes in each, and how many of these are the trial itself.
_STEPS, _BATCH, _NEWEST = 2, 64, 8
#: A trial is half as likely to be replayed, and counts half in the baseline, as one so many trials later.
_REPLAY_HALF, _BASELINE_HALF = 100.0, 30.0
#: Weights that stand for all a trial may have been proposed under.
_MIXTURE = 8
#: Advantages are cut here, in standard deviations: a network at chance level is just a bad one.
_LARGEST = 3.0
#: Rewards are about 1 in size: what deviates by less are equal ones.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Lesson:
    """A trial with an outcome."""

    number: int
    choices: Sequence[Choice]
    """In the order in which they were asked."""
    losses: Array
    """(k,), smaller is better; NaN if it was refused for breaking a constraint."""
    violation: float
    """The sum of what it exceeds its constraints by."""


class Replay:
    """Teaches a controller lesson by lesson; the same lessons in the same order make the same controller.

    After each lesson the controller learns from a batch of all lessons so far, the later ones more often, each under
    weights drawn for the occasion. A network was drawn under weights that were drawn themselves, so importance ratios
    are relative to the mean probability over weights.

    Args:
        controller: Fresh.
        objectives: How many losses a lesson has, k.
        learned: Which of them is the error; None if none is.
        terms: The form of fitness.
        seed: The study's seed.
    """

    def __init__(self, controller: Controller, objectives: int, learned: int | None, terms: Terms, seed: int) -> None:
        self.controller, self.objectives = controller, objectives
        self._learned, self._terms, self._seed = learned, terms, seed
        self._lessons: list[Lesson] = []
        self._episodes: list[Episode] = []

    def add(self, lesson: Lesson) -> None:
        """Learn from one more trial, and again from those before it."""
        generator = np.random.default_rng([derive_seed(self._seed, lesson.number), 1])
        mixture = draw_weights(generator, self.objectives, _MIXTURE)
        self._lessons.append(lesson)
        self._episodes.append(self.controller.recall(lesson.choices, mixture))
        if len(self._lessons) < FIRST_LESSONS:
            return
        losses = np.array([one.losses for one in self._lessons])
        violations = np.array([one.violation for one in self._lessons])
        odds = _fading(len(self._lessons), _REPLAY_HALF)
        for _ in range(_STEPS):
            weights = draw_weights(generator, self.objectives, _BATCH)
            worth = advantages(rewards(self._terms, losses, violations, self._learned, weights))
            rows = generator.choice(len(odds), _BATCH, p=odds)
            rows[:_NEWEST] = len(odds) - 1
            episodes = [replace(self._episodes[row], weights=one) for row, one in zip(rows, weights, strict=True)]
            self.controller.learn(episodes, worth[rows, np.arange(_BATCH)])


def advantages(worth: Array) -> Array:
    """Rewards (n, m) of n trials, the latest last, less a moving baseline and divided by the deviation from it.

    Baseline and deviation are exponentially weighted, of each of the m columns by itself: the better the latest
    trials are, the more an early one has to be worth.
    """
    shares = _fading(len(worth), _BASELINE_HALF)
    beyond = worth - shares @ worth
    deviation = np.sqrt(shares @ beyond**2)
    return np.clip(beyond / np.where(deviation > _ROUNDING, deviation, 1.0), -_LARGEST, _LARGEST)


def _fading(count: int, half: float) -> Array:
    """(count,) shares that add up to 1 and halve every `half` places towards the front."""
    shares = 0.5 ** (np.arange(count)[::-1] / half)
    return np.asarray(shares / shares.sum())
