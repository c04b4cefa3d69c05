"""The controller: its probabilities and gradient by hand, conditional choices, and what it keeps and does not touch."""

import numpy as np
import pytest
import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from optnas.sampler.controller import Controller
from optnas.sampler.episode import Batch, Episode

AB = CategoricalDistribution(["a", "b"])
ABC = CategoricalDistribution(["a", "b", "c"])
EVEN = np.array([[0.5, 0.5]])


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def probability(controller: Controller, steps: list[tuple[str, BaseDistribution, object]], weights=EVEN) -> float:
    """Of the last choice, after the others."""
    return float(np.exp(controller.recall(steps, np.asarray(weights)).log_probabilities[-1]))


def taught(advantages: list[float], steps: int = 60, **settings: float) -> Controller:
    """Options a, b, c of one choice, each with its advantage."""
    controller = Controller(2, **settings)
    episodes = [controller.recall([("op", ABC, value)], EVEN) for value in "abc"]
    for _ in range(steps):
        controller.learn(episodes, advantages)
    return controller


def test_a_new_controller_is_uniform() -> None:
    controller = Controller(2, seed=3)
    for _ in range(5):
        rollout = controller.begin([0.2, 0.8], generator())
        assert rollout.decide("op0", ABC) in ABC.choices
        assert rollout.decide("width", IntDistribution(1, 8)) in range(1, 9)
        np.testing.assert_allclose(np.exp(rollout.log_probabilities), [1 / 3, 1 / 8], rtol=1e-6)


def test_a_rollout_and_a_batch_agree_on_the_probabilities() -> None:
    """One is NumPy, the other torch."""
    controller = taught([1.0, 0.0, -1.0], entropy=0.5)
    for seed in range(4):
        weights = generator(seed).dirichlet([1, 1])
        rollout = controller.begin(weights, generator(seed))
        choices = [(name, ABC, rollout.decide(name, ABC)) for name in ("op", "late", "op2")]
        known = controller.recall(choices, weights[None])
        np.testing.assert_allclose(known.log_probabilities, rollout.log_probabilities, atol=1e-5)
        assert known.steps == rollout.steps


def test_the_mean_over_weights_is_that_of_probabilities() -> None:
    controller = Controller(2)
    one, other = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    episodes = [controller.recall([("op", AB, value)], weights) for value, weights in (("a", one), ("b", other))]
    for _ in range(30):
        controller.learn(episodes, [1.0, 1.0])
    alone = [probability(controller, [("op", AB, "a")], weights) for weights in (one, other)]
    assert alone[0] > 0.6 > 0.4 > alone[1]
    both = probability(controller, [("op", AB, "a")], np.concatenate([one, other]))
    assert both == pytest.approx(sum(alone) / 2, rel=1e-5)


def test_gradient_of_the_first_step_by_hand() -> None:
    """Where the policy is uniform, d(p_i / (1/3)) / d(bias_j) = [i = j] - 1/3, and entropy has no gradient. With
    advantages 2, 0, -1, the mean over three episodes gives (2, 0, -1) / 3 - 1/9 = (5, -1, -4) / 9 for the biases."""
    controller = Controller(2)
    episodes = [controller.recall([("op", ABC, value)], EVEN) for value in "abc"]
    batch = Batch(episodes, controller._parameters.rows)
    heads = controller._parameters["heads"].requires_grad_(True)
    loss = controller._loss(batch, torch.tensor([2.0, 0.0, -1.0]))
    (gradient,) = torch.autograd.grad(loss, heads)
    np.testing.assert_allclose(-gradient[:, -1], np.array([5, -1, -4]) / 9, atol=1e-6)
    assert loss.item() == pytest.approx(-1 / 3 - 0.1 * np.log(3), rel=1e-5)


def test_good_options_become_likely_and_bad_ones_rare() -> None:
    controller = taught([1.0, 0.0, -1.0])
    shares = [probability(controller, [("op", ABC, value)]) for value in "abc"]
    assert shares[0] > 0.6 > shares[1] > shares[2]
    assert sum(shares) == pytest.approx(1, rel=1e-4)


def test_it_learns_from_its_own_networks_without_a_study() -> None:
    controller, source = Controller(1), generator()
    for _ in range(40):
        rollouts = [controller.begin([1.0], source) for _ in range(8)]
        rewards = np.array([sum(rollout.decide(f"op{i}", ABC) == "b" for i in range(3)) for rollout in rollouts])
        controller.learn(rollouts, rewards - rewards.mean())
    assert probability(controller, [(f"op{i}", ABC, "b") for i in range(3)], [[1.0]]) > 0.8


def test_entropy_keeps_options_alive() -> None:
    shares = [probability(taught([1.0, 0.0, -1.0], 200, entropy=value), [("op", ABC, "a")]) for value in (0.0, 3.0)]
    assert shares[0] > 0.95
    assert shares[1] < 0.7


def test_an_episode_gains_no_more_once_it_is_likely_enough() -> None:
    """At a ratio of 1.5, from 1/3 to a half, its part of the loss is flat; that of a bad one is not."""
    controller = taught([1.0, 0.0, 0.0], 30, entropy=0.0)
    assert probability(controller, [("op", ABC, "a")]) > 0.7
    for value, advantage, flat in (("a", 1.0, True), ("a", -1.0, False), ("b", 1.0, False)):
        episode = Episode(EVEN[0], [("op", ("'a'", "'b'", "'c'"), "abc".index(value))], [float(np.log(1 / 3))])
        controller._clip = 0.5
        heads = controller._parameters["heads"].requires_grad_(True)
        loss = controller._loss(Batch([episode], controller._parameters.rows), torch.tensor([advantage]))
        (gradient,) = torch.autograd.grad(loss, heads)
        heads.requires_grad_(False)
        assert bool((gradient == 0).all()) == flat


def test_different_weights_lead_to_different_choices() -> None:
    controller = Controller(2)
    weights = generator().dirichlet([1, 1], 32)
    episodes = [
        Episode(one, [("op", ("'a'", "'b'"), place)], [float(np.log(0.5))]) for one in weights for place in (0, 1)
    ]
    advantages = [one[0] - 0.5 if place == 0 else 0.5 - one[0] for one in weights for place in (0, 1)]
    for _ in range(100):
        controller.learn(episodes, advantages)
    assert probability(controller, [("op", AB, "a")], [[0.9, 0.1]]) > 0.7
    assert probability(controller, [("op", AB, "a")], [[0.1, 0.9]]) < 0.3


def test_later_choices_depend_on_earlier_ones() -> None:
    """Equal choices are good, different ones bad: neither choice matters by itself."""
    controller = Controller(1)
    one = np.ones((1, 1))
    pairs = [(first, second) for first in "ab" for second in "ab"]
    episodes = [controller.recall([("x", AB, first), ("y", AB, second)], one) for first, second in pairs]
    for _ in range(150):
        controller.learn(episodes, [1.0 if first == second else -1.0 for first, second in pairs])
    for first, second in pairs:
        share = probability(controller, [("x", AB, first), ("y", AB, second)], one)
        assert (share > 0.8) == (first == second)


def test_branches_of_different_lengths_are_learned_in_one_batch() -> None:
    """A cell asks for three more, a chain for one; what is padded has no part in it."""
    controller = Controller(2)
    cell = controller.recall([("kind", AB, "a"), *((f"op{i}", ABC, "b") for i in range(3))], EVEN)
    chain = controller.recall([("kind", AB, "b"), ("width", IntDistribution(1, 100), 70)], EVEN)
    for _ in range(40):
        controller.learn([cell, chain], [1.0, 1.0])
    assert probability(controller, [("kind", AB, "a"), ("op0", ABC, "b")]) > 0.6
    assert probability(controller, [("kind", AB, "b"), ("width", IntDistribution(1, 100), 71)]) > 0.4
    assert probability(controller, [("other", ABC, "a")]) == pytest.approx(1 / 3, rel=1e-5)


def test_padding_changes_nothing() -> None:
    alone, beside = Controller(2), Controller(2)
    short = [("op", ABC, "a")]
    long = [("op", ABC, "c"), ("deep", AB, "b")]
    batches = []
    for controller, all_steps in ((alone, [short]), (beside, [short, long])):
        controller.recall(long, EVEN)
        batch = Batch([controller.recall(steps, EVEN) for steps in all_steps], controller._parameters.rows)
        batches.append(controller._evaluate(batch))
    np.testing.assert_allclose(batches[0][0][0, 0], batches[1][0][0, 0], rtol=1e-6)


def test_a_choice_or_an_option_that_comes_late_changes_nothing_else() -> None:
    """Asked for while proposing, or learned from afterwards."""
    quiet, curious = (taught([1.0, 0.0, -1.0], 20) for _ in range(2))
    curious.begin([0.5, 0.5], generator()).decide("late", ABC)
    before = [probability(curious, [("op", ABC, value)]) for value in "abc"]
    curious.recall([("op", CategoricalDistribution(["a", "b", "c", "d"]), "d"), ("later", AB, "a")], EVEN)
    assert [probability(curious, [("op", ABC, value)]) for value in "abc"] == before
    for controller in (quiet, curious):
        episodes = [controller.recall([("op", ABC, value)], EVEN) for value in "abc"]
        controller.learn(episodes, [1.0, 0.0, -1.0])
    assert [probability(curious, [("op", ABC, value)]) for value in "abc"] == [
        probability(quiet, [("op", ABC, value)]) for value in "abc"
    ]


def test_what_another_controller_learned_is_taken_over(tmp_path) -> None:
    first = taught([1.0, 0.0, -1.0], 20)
    torch.save(first.state_dict(), tmp_path / "controller.pt")
    second = Controller(2, seed=9)
    second.load_state_dict(torch.load(tmp_path / "controller.pt", weights_only=True))
    for controller in (first, second):
        controller.learn([controller.recall([("op", ABC, "b")], EVEN)], [1.0])
    assert [probability(first, [("op", ABC, value)]) for value in "abc"] == [
        probability(second, [("op", ABC, value)]) for value in "abc"
    ]
    with pytest.raises(ValueError, match=r"condition: expected a tensor of \(32, 3\), got \(32, 2\)"):
        Controller(3).load_state_dict(first.state_dict())


def test_the_global_random_state_and_the_threads_are_left_alone() -> None:
    torch.manual_seed(5)
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    taught([1.0, 0.0, -1.0], 2).begin([0.5, 0.5], generator()).decide("op", ABC)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_nothing_is_learned_from_networks_without_choices() -> None:
    controller = Controller(2)
    controller.learn([controller.recall([], EVEN)], [1.0])
    assert not any(tensor[1:].any() for tensor in controller.state_dict().values())
