"""Noise by closed forms, by order statistics, and where a study keeps it."""

import numpy as np
import pytest
from handmade import add, new_study
from optuna.distributions import CategoricalDistribution

from optnas.facts.noise import Noise, latency_noise, training_noise
from optnas.facts.repeatable import Repeatable
from optnas.sampler.encoding import Encoding


def made(count: int, noise: float, seed: int = 0, choices: int = 8):
    """Networks of binary choices with additive effects: features, truth, and errors with noise."""
    generator = np.random.default_rng(seed)
    bits = generator.integers(0, 2, (count, choices))
    networks = [{f"c{index}": int(bit) for index, bit in enumerate(row)} for row in bits]
    distributions = {f"c{index}": CategoricalDistribution([0, 1]) for index in range(choices)}
    truth = 0.15 + 0.03 * bits @ np.linspace(-1, 1, choices)
    costs = 1.0 + bits.sum(axis=1, keepdims=True)
    features = Encoding(networks, costs, distributions)(networks, costs)
    return features, truth, np.clip(truth + generator.normal(0, noise, count), 0.001, 1)


def settings(study, images):
    study.set_user_attr("optnas:settings", {"task": {"n_val": images}})


def retrained(study, errors, images):
    kept = {
        str(trial): {"trainings": [{"error": error} for error in row], "data": {"n_val": images}}
        for trial, row in enumerate(errors)
    }
    study.set_user_attr("optnas:retrained", kept)


def test_an_error_is_as_noisy_as_its_images() -> None:
    """The standard deviation of a binomial share, one image more right and one more wrong."""
    share = (10 + 1) / (100 + 2)
    found = Noise(1 / 100, True, "").std(np.array([0.1, 0.0, 1.0]))
    assert found[0] == pytest.approx(np.sqrt(share * (1 - share) / 100))
    assert found[1] == pytest.approx(found[2])
    assert found[1] > 0
    assert Noise(0.04, False, "").std(np.array([5.0, -3.0])).tolist() == [0.2, 0.2]


def test_retrained_seeds_tell_the_noise_beyond_the_images() -> None:
    """Errors of 0.1 and 0.2 with a variance of (rate) * e * (1 - e) at 4 / images: three parts of it are excess."""
    images = 1000
    study = new_study()
    settings(study, images)
    rows = []
    for mean in (0.1, 0.2):
        smooth = (mean * images + 1) / (images + 2)
        step = np.sqrt(4 / images * smooth * (1 - smooth))
        rows.append([mean - step, mean, mean + step])
    retrained(study, rows, images)
    features, _, errors = made(20, 0.01)
    noise = training_noise(study, "error", features, errors)
    assert noise.rate == pytest.approx(4 / images)
    assert noise.source == "the spread of 6 retrained seeds"
    # A search that judged by fewer images has their noise besides.
    settings(study, 100)
    assert training_noise(study, "error", features, errors).rate == pytest.approx(3 / images + 1 / 100)
    # Seeds that agree better than images allow are luck: the images' noise stays.
    retrained(study, [[0.1, 0.1, 0.1], [0.2, 0.2, 0.2]], images)
    assert training_noise(study, "error", features, errors).rate == pytest.approx(1 / 100)


def test_too_few_seeds_tell_nothing() -> None:
    study = new_study()
    settings(study, 500)
    retrained(study, [[0.1, 0.2], [0.3], [0.1, 0.15]], 500)
    features, _, errors = made(30, 0.01)
    assert "seeds" not in training_noise(study, "error", features, errors).source


def test_what_is_given_is_that_of_the_median_network() -> None:
    features, _, errors = made(31, 0.01)
    noise = training_noise(new_study(), "error", features, errors, 0.02)
    assert noise.std(np.array([np.median(errors)]))[0] == pytest.approx(0.02, rel=0.01)
    other = training_noise(new_study(), "loss", features, 100 * errors, 3.0)
    assert other.std(errors).tolist() == pytest.approx([3.0] * 31)


def test_the_scatter_about_a_smooth_truth_is_its_noise() -> None:
    estimates = []
    for seed in range(5):
        features, _, errors = made(120, 0.02, seed)
        noise = training_noise(new_study(), "error", features, errors)
        estimates.append(noise.std(np.array([np.median(errors)]))[0])
    assert np.mean(estimates) == pytest.approx(0.02, rel=0.15)


def test_validation_images_are_the_least_noise() -> None:
    features, _, errors = made(60, 1e-4)
    study = new_study()
    settings(study, 250)
    noise = training_noise(study, "error", features, errors)
    assert noise.rate >= 1 / 250
    assert noise.source == "binomial noise of 250 validation images"


def test_equal_errors_and_errors_in_percent_are_no_trouble() -> None:
    features, _, errors = made(20, 0.01)
    assert training_noise(new_study(), "error", features, np.full(20, 0.1)).rate > 0
    percent = training_noise(new_study(), "error", features, 100 * errors)
    assert not percent.share


def test_the_standard_error_of_a_latency_is_that_of_a_median_of_five() -> None:
    """Windows as `optnas.cost.latency` makes them: latency is their median, spread half their interquartile range."""
    generator = np.random.default_rng(0)
    true, sigma = 2.0, 0.03
    windows = true * (1 + generator.normal(0, sigma, (4000, 5)))
    low, middle, high = np.quantile(windows, [0.25, 0.5, 0.75], axis=1)
    found = latency_noise(middle, (high - low) / 2)
    off = (middle - true) / true
    # In the quadratic mean the claimed error is the real one, within the few per cent that the median leaves.
    assert np.sqrt(np.mean(found**2)) == pytest.approx(off.std(), rel=0.08)


def test_latencies_without_a_spread_are_exact_and_a_missing_one_is_the_median() -> None:
    assert latency_noise(np.ones(3), np.full(3, np.nan)).tolist() == [0, 0, 0]
    found = latency_noise(np.array([1.0, 2.0, 4.0]), np.array([0.01, 0.02, np.nan]))
    assert found == pytest.approx([0.01] * 3)


def test_the_lucky_are_believed_less() -> None:
    """What is repeatable is nearer to the truth than what was measured, most of all for the best that was measured."""
    gains = []
    for seed in range(6):
        features, truth, errors = made(100, 0.03, seed)
        model = Repeatable(features, errors, Noise(0.03**2, False, "").std)
        drawn = model.draw(np.arange(100), 500, np.random.default_rng(0))
        best = errors.argmin()
        gains.append(
            [
                np.abs(drawn.mean(axis=1) - truth).mean() / np.abs(errors - truth).mean(),
                drawn[best].mean() - errors[best],
                ((drawn.mean(axis=1) - truth) / drawn.std(axis=1)).std(),
            ]
        )
    nearer, raised, calibrated = np.mean(gains, axis=0)
    assert nearer < 0.7
    assert raised > 0.01
    assert 0.8 < calibrated < 1.25


def test_exact_results_stay_as_they_are() -> None:
    features, _, errors = made(40, 0.0)
    model = Repeatable(features, errors, Noise(1e-12, False, "").std)
    drawn = model.draw(np.arange(40), 50, np.random.default_rng(0))
    np.testing.assert_allclose(drawn, np.repeat(errors[:, None], 50, axis=1), atol=1e-3)
    low, high = model.interval(4.0)
    assert np.all(low <= high)


def test_an_enqueued_study_of_one_error() -> None:
    study = new_study()
    add(study, (0.0, 1.0))
    assert Repeatable.width_of(np.array([0.0])) == 1.0
    assert Repeatable.width_of(np.array([0.1, 0.1, 0.1, 0.5])) == pytest.approx(0.1)
    assert Repeatable.width_of(np.array([0.1, 0.2, 0.5])) == pytest.approx(0.1)
