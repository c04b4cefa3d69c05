"""The encoding by hand, and the Gaussian process on functions that are known."""

import copy

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from optnas.sampler import surrogate
from optnas.sampler.encoding import Encoding, Features, similarities, similarity
from optnas.sampler.surrogate import GaussianProcess

DISTRIBUTIONS = {
    "a": CategoricalDistribution(["x", "y"]),
    "b": CategoricalDistribution(["x", "y"]),
    "n": IntDistribution(1, 5),
    "r": FloatDistribution(0.01, 1.0, log=True),
}
NETWORKS = [{"a": "x", "b": "y", "n": 1, "r": 0.01}, {"a": "y", "b": "y", "n": 3, "r": 0.1}, {"a": "y", "b": "x"}]


def features_of(count: int, seed: int = 0) -> tuple[Features, np.ndarray, np.ndarray]:
    """Random networks of six choices: features, choices, and log costs."""
    choices = np.random.default_rng(seed).integers(0, 3, (count, 6))
    networks = [{f"op{i}": int(option) for i, option in enumerate(row)} for row in choices]
    costs = 1.0 + choices.sum(axis=1, keepdims=True).astype(float)
    return Encoding(networks, costs, {})(networks, costs), choices, np.log(costs[:, 0])


def column(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, dtype=float)[:, None]


def test_similarities_by_hand() -> None:
    features = Encoding(NETWORKS, np.ones((3, 1)), DISTRIBUTIONS)(NETWORKS, np.ones((3, 1)))
    a, b, n, r = similarities(features, features)
    np.testing.assert_array_equal(a, [[1, 0, 0], [0, 1, 1], [0, 1, 1]])
    np.testing.assert_array_equal(b, [[1, 1, 0], [1, 1, 0], [0, 0, 1]])
    # Two of four steps apart; and half way in the logarithm; an absent choice is like an absent one only.
    np.testing.assert_allclose(n, [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]])
    np.testing.assert_allclose(r, [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]])


def test_counts_of_choices_with_the_same_options() -> None:
    features = Encoding(NETWORKS, np.ones((3, 1)), DISTRIBUTIONS)(NETWORKS, np.ones((3, 1)))
    # "x" occurs 1, 0, 1 times and "y" 1, 2, 1 times: centred, in standard deviations of sqrt(2) / 3.
    high, low = 1 / np.sqrt(2), -np.sqrt(2)
    np.testing.assert_allclose(features.counts, [[high, -high], [low, -low], [high, -high]])


def test_costs_are_logarithms_and_zero_is_allowed() -> None:
    networks = [{"a": "x"}] * 4
    costs = np.array([[0.0], [10.0], [100.0], [1000.0]])
    got = Encoding(networks, costs, {})(networks, costs).costs[:, 0]
    assert np.isfinite(got).all()
    assert got[2] - got[1] == pytest.approx(got[3] - got[2], rel=0.01)


def test_an_unknown_option_is_unlike_all_others() -> None:
    encoding = Encoding([{"a": "x"}, {"a": "y"}], np.ones((2, 1)), {})
    features = encoding([{"a": "x"}, {"a": "y"}, {"a": "new"}], np.ones((3, 1)))
    np.testing.assert_array_equal(next(similarities(features, features)), np.eye(3))


def test_numbers_of_many_values_are_rounded_and_a_constant_is_like_itself() -> None:
    distributions = {"one": IntDistribution(4, 4), "width": IntDistribution(0, 1000)}
    networks = [{"one": 4, "width": width} for width in (0, 250, 613, 1000)]
    features = Encoding(networks, np.ones((4, 1)), distributions)(networks, np.ones((4, 1)))
    one, width = similarities(features, features)
    np.testing.assert_allclose(one, 1, rtol=1e-6)
    # To the nearest of 33 levels, which is 1/64 of the range at most, for each of two networks.
    widths = np.array([0, 250, 613, 1000]) / 1000
    np.testing.assert_allclose(width, 1 - np.abs(widths[:, None] - widths), atol=2 / 64)
    np.testing.assert_allclose(np.diag(width), 1, rtol=1e-6)


def test_weighted_similarity_is_the_sum() -> None:
    features = Encoding(NETWORKS, np.ones((3, 1)), DISTRIBUTIONS)(NETWORKS, np.ones((3, 1)))
    weights = np.array([0.5, 1.0, 2.0, 4.0])
    expected = sum(w * alike for w, alike in zip(weights, similarities(features, features), strict=True))
    np.testing.assert_allclose(similarity(features, features, weights), expected, rtol=1e-6)


def test_learns_an_additive_function_from_few() -> None:
    features, choices, logs = features_of(140)
    effects = np.random.default_rng(1).normal(size=(6, 3))
    target = sum(effects[i][choices[:, i]] for i in range(6)) - 2 * logs
    process = GaussianProcess(features[:60], column(target[:60]))
    mean, std = (part[:, 0] for part in process.predict(features[60:]))
    assert np.sqrt(np.mean((mean - target[60:]) ** 2)) < 0.1 * target.std()
    assert np.mean(np.abs(mean - target[60:]) < 3 * np.hypot(std, process.noise_std)) > 0.95


def test_several_units_share_hyperparameters_only() -> None:
    """Twice the same unit, once turned and stretched: the same process as with one."""
    features, choices, _ = features_of(50)
    target = column(choices[:, 0] * choices[:, 1])
    mean, std = GaussianProcess(features[:30], target[:30]).predict(features[30:])
    both = GaussianProcess(features[:30], np.hstack([target, 5 - 3 * target])[:30])
    np.testing.assert_allclose(both.predict(features[30:])[0], np.hstack([mean, 5 - 3 * mean]), atol=1e-3)
    np.testing.assert_allclose(both.predict(features[30:])[1], np.hstack([std, 3 * std]), rtol=1e-2)


@pytest.mark.slow
def test_estimates_the_noise() -> None:
    features, choices, _ = features_of(200)
    noise = np.random.default_rng(1).normal(0, 0.3, 200)
    process = GaussianProcess(features, column(choices[:, 0] + 0.5 * choices[:, 1] + noise))
    assert process.noise_std[0] == pytest.approx(0.3, rel=0.2)


def test_gradient_is_that_of_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    features, choices, logs = features_of(25)
    losses = []

    def capture(loss, start, **settings):  # type: ignore[no-untyped-def]
        losses.append((loss, start))
        return type("Result", (), {"x": start})

    monkeypatch.setattr(surrogate, "minimize", capture)
    GaussianProcess(features, np.column_stack([choices[:, 0] - logs, choices[:, 1] ** 2]))
    loss, start = losses[0]
    point = start + np.random.default_rng(2).normal(0, 0.3, len(start))
    for index, slope in enumerate(loss(point)[1]):
        step = np.zeros(len(point))
        step[index] = 1e-5
        assert (loss(point + step)[0] - loss(point - step)[0]) / 2e-5 == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_belief_keeps_the_mean_and_takes_the_uncertainty() -> None:
    features, choices, _ = features_of(60)
    process = GaussianProcess(features[:40], column(choices[:40, 0] * choices[:40, 1]))
    before, wide = process.predict(features[40:])
    believed = process.believe(features[40:45])
    after, narrow = process.predict(features[40:])
    np.testing.assert_allclose(believed, before[:5])
    np.testing.assert_allclose(after, before, atol=1e-6)
    assert np.all(narrow[:5] < 0.7 * wide[:5])
    assert np.all(narrow <= wide + 1e-9)


def test_networks_believed_at_once_are_believed_as_one_after_the_other() -> None:
    features, choices, _ = features_of(60)
    at_once, one_by_one = (GaussianProcess(features[:40], column(choices[:40, 0] ** 2)) for _ in range(2))
    believed = at_once.believe(features[40:50])
    for row in range(40, 50):
        np.testing.assert_allclose(one_by_one.believe(features[row : row + 1]), believed[row - 40 : row - 39])
    for told, expected in zip(at_once.predict(features), one_by_one.predict(features), strict=True):
        np.testing.assert_allclose(told, expected, rtol=1e-6)


def test_equal_targets_and_single_network_are_no_error() -> None:
    features, _, _ = features_of(5)
    np.testing.assert_allclose(GaussianProcess(features, np.full((5, 1), 2.0)).predict(features)[0], 2.0)
    np.testing.assert_allclose(GaussianProcess(features[:1], np.full((1, 1), 3.0)).predict(features)[0], 3.0)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    features, choices, _ = features_of(50)
    process = GaussianProcess(features, column(choices[:, 0]))
    whole = process.predict(features)
    monkeypatch.setattr(surrogate, "_CHUNK", 200)
    np.testing.assert_allclose(process.predict(features), whole, rtol=1e-9)


def test_leaving_one_out_equals_a_process_that_never_saw_it() -> None:
    features, choices, _ = features_of(20)
    process = GaussianProcess(features, column(choices[:, 0] + 0.1 * choices[:, 1] ** 2))
    targets = process._targets * process._scale + process._centre
    residuals = process.leave_one_out()
    for left_out in (0, 7, 19):
        rest = np.arange(20) != left_out
        other = copy.copy(process)
        other._features, other._targets = features[rest], process._targets[rest]
        other._condition()
        foretold = other.predict(features[[left_out]])[0][0]
        np.testing.assert_allclose(residuals[left_out], targets[left_out] - foretold, rtol=1e-6)


def test_networks_without_choices_are_told_apart_by_their_costs() -> None:
    costs = np.array([[1.0], [2.0], [4.0], [8.0], [16.0], [32.0]])
    features = Encoding([{}] * 6, costs, {})([{}] * 6, costs)
    assert len(features) == 6
    mean, _ = GaussianProcess(features, np.log(costs)).predict(features)
    np.testing.assert_allclose(mean[:, 0], np.log(costs[:, 0]), atol=0.3)


def test_known_noise_is_that_of_each_network() -> None:
    """The mean and covariance of the textbook (Rasmussen & Williams 2006, equations 2.22 to 2.24), by brute force."""
    features, choices, _ = features_of(30)
    targets = column(3.0 + choices[:, 0] * choices[:, 1])
    noise = np.linspace(0.05, 1.5, 30)
    process = GaussianProcess(features, targets, noise_std=noise)
    scale, centre = targets.std(), targets.mean()
    assert process.scale == pytest.approx([scale])
    assert process.noise_std == pytest.approx([np.sqrt(np.mean(noise**2))])
    prior = surrogate._covariance(process._theta, features, features) * scale**2
    gain = prior @ np.linalg.inv(prior + np.diag(noise**2 + 1e-6 * scale**2))
    mean, covariance = process.joint(features)
    np.testing.assert_allclose(mean[:, 0], centre + gain @ (targets[:, 0] - centre), rtol=1e-6)
    np.testing.assert_allclose(covariance[0], prior - gain @ prior, atol=1e-8)
    # What is noisy is believed less: the first network moves less from its target than the last would for as much.
    assert np.diag(gain)[0] > np.diag(gain)[-1]


def test_gradient_where_the_noise_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    features, choices, logs = features_of(25)
    losses = []

    def capture(loss, start, **settings):  # type: ignore[no-untyped-def]
        losses.append((loss, start))
        return type("Result", (), {"x": start})

    monkeypatch.setattr(surrogate, "minimize", capture)
    GaussianProcess(features, column(choices[:, 0] - logs), noise_std=np.linspace(0.1, 0.9, 25))
    loss, start = losses[0]
    point = start + np.random.default_rng(2).normal(0, 0.3, len(start))
    for index, slope in enumerate(loss(point)[1]):
        step = np.zeros(len(point))
        step[index] = 1e-5
        assert (loss(point + step)[0] - loss(point - step)[0]) / 2e-5 == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_the_joint_law_is_the_textbook_formula() -> None:
    """Rasmussen & Williams 2006, equation 2.24, with a plain inverse."""
    features, choices, _ = features_of(30)
    process = GaussianProcess(features[:20], np.column_stack([choices[:20, 0], -3.0 * choices[:20, 0] ** 2]))
    mean, covariance = process.joint(features[20:])
    theta = process._theta
    inside = surrogate._covariance(theta, features[:20], features[:20])
    across = surrogate._covariance(theta, features[20:], features[:20])
    inverse = np.linalg.inv(inside + (np.exp(theta[-1]) + 1e-6) * np.eye(20))
    expected = surrogate._covariance(theta, features[20:], features[20:]) - across @ inverse @ across.T
    np.testing.assert_allclose(covariance, process._scale[:, None, None] ** 2 * expected, atol=1e-7)
    predicted, std = process.predict(features[20:])
    np.testing.assert_allclose(mean, predicted)
    np.testing.assert_allclose(np.sqrt(np.diagonal(covariance, axis1=1, axis2=2).T), std, rtol=1e-3)


def test_more_noise_can_be_expected() -> None:
    features, choices, _ = features_of(40)
    target = column(choices[:, 0] + np.random.default_rng(1).normal(0, 0.3, 40))
    little, much = (GaussianProcess(features, target, noise=noise).noise_std[0] for noise in (1e-3, 0.1))
    assert little < much < 0.6
