"""The process on logarithms: closed forms against drawing, differences against a function that is known."""

from itertools import product

import numpy as np
import pytest

from optnas.explain.surface import Effect, Surface
from optnas.sampler.encoding import Encoding


def features_of(choices):
    networks = [{f"op{i}": int(option) for i, option in enumerate(row)} for row in choices]
    return Encoding(networks, np.empty((len(networks), 0)), {})(networks, np.empty((len(networks), 0)))


def random_choices(count, seed=0):
    return np.random.default_rng(seed).integers(0, 3, (count, 5))


def test_moments_are_those_of_draws():
    """Log-normal values, drawn from the normal law of the logarithms."""
    choices = random_choices(40)
    features = features_of(choices)
    surface = Surface(features[:35], 0.1 + 0.02 * choices[:35, 0] + 0.05 * (choices[:35, 1] == 1))
    asked = features[35:]
    mean, covariance = surface.joint(asked)
    logs, spread = surface._process.joint(asked)
    spread = spread[0] + np.eye(5) * surface._process.noise_std[0] ** 2
    drawn = np.random.default_rng(0).multivariate_normal(logs[:, 0], spread, 400_000)
    values = surface._origin + np.exp(drawn)
    np.testing.assert_allclose(mean, values.mean(axis=0), rtol=2e-3)
    np.testing.assert_allclose(covariance, np.cov(values.T), rtol=0.03, atol=0.03 * covariance.max())
    weights = np.array([[1.0, -1.0, 0.0, 0.0, 0.0], [0.2, 0.2, 0.2, -0.6, 0.0]])
    for effect, column in zip(surface.combined(asked, weights), weights @ values.T, strict=True):
        assert effect.mean == pytest.approx(column.mean(), abs=0.01 * column.std())
        assert effect.std == pytest.approx(column.std(), rel=0.02)


def test_a_difference_is_better_known_than_either_value():
    choices = random_choices(60)
    rng = np.random.default_rng(2)
    errors = 0.3 + 0.1 * choices[:, 0] + 0.05 * choices[:, 1] + rng.normal(0, 0.005, 60)
    pair = np.array([[0, 1, 1, 2, 0], [2, 1, 1, 2, 0]])
    features = features_of(np.vstack([choices, pair]))
    surface = Surface(features[:60], errors)
    change, one, other = surface.combined(features[60:], np.array([[-1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]))
    assert change.mean == pytest.approx(0.2, abs=2.5 * change.std)
    assert change.told
    assert change.std < np.hypot(one.std, other.std)


def test_what_is_alike_in_every_pair_is_not_averaged_away():
    """The mean of many pairs has the noise of many trainings, but one and the same uncertain effect."""
    choices = random_choices(30)
    pairs = [[first, *rest, 0] for first in (0, 2) for rest in product(range(3), repeat=3)]
    features = features_of(np.vstack([choices, pairs]))
    surface = Surface(features[:30], 0.2 + np.random.default_rng(0).random(30))
    weights = np.hstack([-np.ones(27), np.ones(27)])[None, :] / 27
    (effect,) = surface.combined(features[30:], weights)
    singles = surface.combined(features[30:], np.hstack([-np.eye(27), np.eye(27)]))
    apart = np.sqrt(np.mean([one.std**2 for one in singles]) / 27)
    assert apart < effect.std < max(one.std for one in singles)


def test_useless_values_are_capped_and_costs_are_not():
    choices = random_choices(30)
    values = 1.0 + np.linspace(0, 0.2, 30)
    values[7] = 50.0
    surface = Surface(features_of(choices), values)
    # The best is 1, the median lies 0.1 or so above, and 8 times that is the cap.
    assert 1.5 < surface.cap < 2.0
    assert Surface(features_of(choices), values, positive=True).cap == np.inf


@pytest.mark.parametrize("values", [np.full(12, 0.5), np.zeros(12), -np.arange(12.0)])
def test_equal_zero_and_negative_values(values):
    surface = Surface(features_of(random_choices(12)), values, positive=True)
    mean, covariance = surface.joint(features_of(random_choices(12)))
    assert np.isfinite(mean).all()
    assert np.isfinite(covariance).all()


def test_how_much_is_foretold():
    choices = random_choices(80)
    additive = 1.0 + choices @ np.array([0.3, 0.2, 0.1, 0.1, 0.1])
    assert Surface(features_of(choices), additive).explained > 0.95
    assert Surface(features_of(choices), np.random.default_rng(0).random(80)).explained < 0.25


@pytest.mark.parametrize(("effect", "told"), [((0.2, 0.1), False), ((-0.21, 0.1), True), ((0.0, 0.0), False)])
def test_told_means_two_standard_deviations(effect, told):
    assert Effect(*effect).told is told
