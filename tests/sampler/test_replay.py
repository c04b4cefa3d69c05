"""Baseline and advantages by hand; lessons in the same order make the same controller."""

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution

from optnas.sampler.controller import Controller
from optnas.sampler.fitness import draw_weights, terms_of
from optnas.sampler.replay import FIRST_LESSONS, Lesson, Replay, advantages

BITS = [(f"b{i}", CategoricalDistribution([0, 1])) for i in range(4)]


def lesson(number: int) -> Lesson:
    """Of a random network."""
    return outcome(number, [int(bit) for bit in np.random.default_rng(number).integers(0, 2, 4)])


def outcome(number: int, bits: list[int]) -> Lesson:
    """Error and cost of four bits, of which the first two are worth their cost."""
    losses = np.array([1 - 0.3 * bits[0] - 0.3 * bits[1], 1.0 + sum(bits)])
    choices = [(name, distribution, bit) for (name, distribution), bit in zip(BITS, bits, strict=True)]
    return Lesson(number, choices, losses, 0.0)


def drawn(controller: Controller, weights: list[float], seed: int) -> list[int]:
    rollout = controller.begin(weights, np.random.default_rng(seed))
    return [rollout.decide(name, distribution) for name, distribution in BITS]


def replay(lessons: list[Lesson], seed: int = 0) -> Replay:
    made = Replay(Controller(2, seed=seed), 2, 0, terms_of("sum"), seed)
    for one in lessons:
        made.add(one)
    return made


def state(made: Replay) -> dict[str, list[float]]:
    return {name: tensor.tolist() for name, tensor in made.controller.state_dict().items()}


def test_advantages_by_hand() -> None:
    """Of two trials in a row the later counts r = 2 ** (1 / 30) times as much. Of rewards 0 and 1 the baseline is
    r / (1 + r) and the deviation sqrt(r) / (1 + r), so the advantages are -sqrt(r) and 1 / sqrt(r)."""
    root = 2 ** (1 / 60)
    np.testing.assert_allclose(advantages(np.array([[0.0], [1.0]]))[:, 0], [-root, 1 / root])


def test_each_weight_has_a_baseline_of_its_own() -> None:
    worth = np.array([[0.0, 5.0], [1.0, -5.0]])
    found = advantages(worth)
    np.testing.assert_allclose(found[:, 0], -found[:, 1])


def test_equal_rewards_are_no_advantage_and_large_ones_are_cut() -> None:
    np.testing.assert_allclose(advantages(np.ones((4, 2))), 0, atol=1e-9)
    worth = np.zeros((50, 1))
    worth[20] = -100.0
    assert advantages(worth).min() == -3.0


def test_nothing_is_learned_before_enough_trials_have_ended() -> None:
    made = replay([lesson(number) for number in range(FIRST_LESSONS - 1)])
    rollout = made.controller.begin([0.5, 0.5], np.random.default_rng(0))
    for name, distribution in BITS:
        rollout.decide(name, distribution)
    np.testing.assert_allclose(np.exp(rollout.log_probabilities), 0.5, rtol=1e-6)
    made.add(lesson(FIRST_LESSONS))
    assert any(tensor[1:].any() for tensor in made.controller.state_dict().values())


def test_the_same_lessons_make_the_same_controller_whatever_was_proposed_between() -> None:
    lessons = [lesson(number) for number in range(14)]
    quiet, busy = replay(lessons), replay(lessons[:10])
    for name in ("b1", "unheard"):
        busy.controller.begin([0.5, 0.5], np.random.default_rng(0)).decide(name, CategoricalDistribution([0, 1, 2]))
    for one in lessons[10:]:
        busy.add(one)
    assert state(quiet) == state(busy)
    assert state(quiet) != state(replay(lessons[::-1]))
    assert state(quiet) != state(replay(lessons, seed=1))


def test_it_learns_which_choices_are_worth_their_cost() -> None:
    """With nearly all weight on the error the first two bits matter, with nearly all on the cost none is worth it."""
    made = replay([])
    for number in range(100):
        weights = draw_weights(np.random.default_rng(number), 2, 1)[0]
        made.add(outcome(number, drawn(made.controller, list(weights), number)))
    for weights, expected in (([0.95, 0.05], [1, 1]), ([0.05, 0.95], [0, 0, 0, 0])):
        networks = np.array([drawn(made.controller, weights, seed) for seed in range(40)])
        assert (networks[:, : len(expected)] == expected).mean(axis=0).min() > 0.6


@pytest.mark.parametrize("violation", [0.1, 5.0])
def test_refused_networks_become_rare(violation: float) -> None:
    lessons = []
    for number in range(60):
        one = lesson(number)
        if one.choices[3][2] == 1:
            one = Lesson(number, one.choices, np.full(2, np.nan), violation)
        lessons.append(one)
    seen = replay(lessons).controller.recall([*lessons[0].choices[:3], (*BITS[3], 0)], np.array([[0.5, 0.5]]))
    assert np.exp(seen.log_probabilities[3]) > 0.7
