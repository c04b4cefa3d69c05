"""Expected improvement against closed forms, the definition of the hypervolume, and Monte Carlo."""

import moocore
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from optnas.sampler.acquisition import Mixture, Prediction, expected_improvement, nondominated_boxes


def front_of(count: int, objectives: int, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).random((count, objectives)) ** 2
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True))


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_boxes_are_disjoint_and_fill_what_is_not_dominated(objectives: int) -> None:
    front = np.concatenate([front_of(12, objectives), [[0.99] * objectives], [[2.0] * objectives]])
    reference = np.full(objectives, 1.1)
    lower, upper = nondominated_boxes(front, reference)
    points = np.random.default_rng(1).random((2000, objectives)) * 1.1
    inside = np.all((points[:, None] >= lower) & (points[:, None] < upper), axis=2).sum(axis=1)
    dominated = np.any(np.all(front[None] <= points[:, None], axis=2), axis=1)
    np.testing.assert_array_equal(inside, np.where(dominated, 0, 1))
    volume = np.prod(upper - np.maximum(lower, 0.0), axis=1).sum()
    covered = float(moocore.hypervolume(front, ref=reference))
    assert volume == pytest.approx(1.1**objectives - covered, rel=1e-12)


def test_two_objectives_have_one_box_more_than_the_front() -> None:
    assert len(nondominated_boxes(front_of(40, 2), np.full(2, 1.1))[0]) == 41


def test_below_is_the_expected_improvement_of_a_normal() -> None:
    # E[max(0, t - y)] at t = mean is std / sqrt(2 pi); three deviations above, it is 3 std + 0.000382 std.
    got = Prediction(np.array([2.0]), np.array([0.5])).below(np.array([-np.inf, 2.0, 3.5]))
    np.testing.assert_allclose(got, [[0.0, 0.5 / np.sqrt(2 * np.pi), 1.5 + 0.5 * 0.000382]], rtol=1e-4)


def test_below_is_the_integral_of_the_distribution_of_a_log_normal() -> None:
    prediction = Prediction(np.array([-0.3]), np.array([0.7]), origin=-1.0)
    for threshold in (-0.9, 0.0, 0.4, 3.0):
        expected, _ = quad(lambda t: norm.cdf((np.log(t + 1.0) + 0.3) / 0.7), -1.0, threshold)
        assert prediction.below(np.array([threshold]))[0, 0] == pytest.approx(expected, abs=1e-9)
    np.testing.assert_array_equal(prediction.below(np.array([-np.inf, -1.0, -5.0])), 0.0)


@pytest.mark.parametrize("origin", [None, -0.4])
@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_agrees_with_monte_carlo(objectives: int, origin: float | None) -> None:
    front, reference = front_of(8, objectives), np.full(objectives, 1.1)
    # For one objective the front is a single best value.
    generator = np.random.default_rng(2)
    costs = generator.random((3, objectives - 1)) * 0.7
    mean, std = np.array([0.2, 0.5, 0.9]), np.array([0.05, 0.3, 0.2])
    center = mean if origin is None else np.log(mean - origin)
    got = expected_improvement(
        nondominated_boxes(front, reference),
        {column + 1: costs[:, column] for column in range(objectives - 1)},
        {0: Prediction(center, std, origin)},
    )
    base = float(moocore.hypervolume(front, ref=reference))
    for index in range(3):
        drawn = center[index] + std[index] * generator.standard_normal(4000)
        errors = drawn if origin is None else origin + np.exp(drawn)
        gains = np.array(
            [
                float(moocore.hypervolume(np.vstack([front, [error, *costs[index]]]), ref=reference)) - base
                for error in errors
            ]
        )
        spread = gains.std() / np.sqrt(len(gains))
        assert abs(got[index] - gains.mean()) < 4 * spread + 1e-12


def test_two_unknown_objectives_agree_with_monte_carlo() -> None:
    front, reference = front_of(8, 3), np.full(3, 1.1)
    predictions = {0: Prediction(np.array([0.4]), np.array([0.2])), 2: Prediction(np.array([0.3]), np.array([0.1]))}
    got = expected_improvement(nondominated_boxes(front, reference), {1: np.array([0.5])}, predictions)[0]
    drawn = np.random.default_rng(3).standard_normal((6000, 2))
    points = np.column_stack([0.4 + 0.2 * drawn[:, 0], np.full(6000, 0.5), 0.3 + 0.1 * drawn[:, 1]])
    base = float(moocore.hypervolume(front, ref=reference))
    gains = np.array([float(moocore.hypervolume(np.vstack([front, point]), ref=reference)) - base for point in points])
    assert abs(got - gains.mean()) < 4 * gains.std() / np.sqrt(len(gains))


def test_certain_predictions_give_the_improvement_itself() -> None:
    front, reference = np.array([[0.2, 0.8], [0.6, 0.3]]), np.ones(2)
    # (0.4, 0.5) adds the box from itself to (0.6, 0.8).
    got = expected_improvement(
        nondominated_boxes(front, reference), {1: np.array([0.5])}, {0: Prediction(np.array([0.4]), np.array([1e-9]))}
    )
    assert got[0] == pytest.approx(0.2 * 0.3, rel=1e-6)


def test_a_mixture_improves_as_much_as_its_parts_on_average() -> None:
    boxes = nondominated_boxes(front_of(10, 3), np.full(3, 1.1))
    known = {1: np.array([0.1, 0.4]), 2: np.array([0.3, 0.2])}
    parts = (
        Prediction(np.array([0.2, 0.4]), np.array([0.1, 0.3])),
        Prediction(np.array([-1.0, 0.0]), np.array([0.5, 0.2]), origin=-0.3),
    )
    each = [expected_improvement(boxes, known, {0: part}) for part in parts]
    np.testing.assert_allclose(
        expected_improvement(boxes, known, {0: Mixture(parts)}), np.mean(each, axis=0), rtol=1e-12
    )
    # Medians 0.2 and -0.3 + 1/e, 0.4 and 0.7.
    np.testing.assert_allclose(Mixture(parts).median, [(0.2 - 0.3 + np.exp(-1)) / 2, 0.55])


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = nondominated_boxes(front_of(10, 2), np.full(2, 1.1))
    known, unknown = {1: np.linspace(0, 1, 30)}, {0: Prediction(np.linspace(0, 1, 30), np.full(30, 0.2))}
    whole = expected_improvement(boxes, known, unknown)
    monkeypatch.setattr("optnas.sampler.acquisition._CHUNK", 50)
    np.testing.assert_allclose(expected_improvement(boxes, known, unknown), whole, rtol=1e-12)
