"""Rewards by hand."""

import numpy as np
import pytest

from optnas.errors import UsageError
from optnas.sampler.fitness import draw_weights, rewards, terms_of

#: Errors and latencies of four networks; the median latency is 4.
LOSSES = np.array([[0.1, 8.0], [0.2, 4.0], [0.3, 4.0], [0.5, 1.0]])
FEASIBLE = np.zeros(4)


def test_terms_of_the_sum_are_accuracy_and_inverse_cost() -> None:
    expected = [[0.9, 0.5], [0.8, 1.0], [0.7, 1.0], [0.5, 4.0]]
    np.testing.assert_allclose(terms_of("sum")(LOSSES, 0), expected)


def test_terms_of_the_product_are_logarithms() -> None:
    """MnasNet's accuracy * (latency / 4)^-1 is the exponential of their sum."""
    terms = terms_of("product")(LOSSES, 0)
    np.testing.assert_allclose(np.exp(terms.sum(axis=1)), [0.9 * 0.5, 0.8, 0.7, 0.5 * 4])


def test_errors_in_percent_are_the_same() -> None:
    for form in ("sum", "product"):
        terms = terms_of(form)
        np.testing.assert_allclose(terms(LOSSES * [100, 1], 0), terms(LOSSES, 0))


def test_without_an_error_all_are_costs_and_what_may_be_negative_counts_as_it_is() -> None:
    losses = np.array([[1.0, -3.0], [2.0, 0.0], [4.0, 1.0]])
    np.testing.assert_allclose(terms_of("sum")(losses, None), [[2.0, 3.0], [1.0, 0.0], [0.5, -1.0]])


@pytest.mark.parametrize("form", ["sum", "product"])
def test_the_weights_say_who_is_best(form: str) -> None:
    worth = rewards(terms_of(form), LOSSES, FEASIBLE, 0, np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert worth.shape == (4, 2)
    assert worth[:, 0].argsort().tolist() == [3, 2, 1, 0]
    assert worth[:, 1].argmax() == 3
    assert worth[1, 1] == worth[2, 1]


def test_terms_count_in_units_of_their_spread() -> None:
    """Accuracies of 0 to 4 steps have quartiles at 1 and 3: a deviation is 2 / 1.349, whatever a step is."""
    for step in (0.01, 0.1):
        worth = rewards(terms_of("sum"), 0.5 - step * np.arange(5.0)[:, None], np.zeros(5), 0, np.ones((1, 1)))
        np.testing.assert_allclose(worth[:, 0], (np.arange(5) - 2) * 1.349 / 2)


def test_a_network_that_costs_next_to_nothing_does_not_outweigh_all() -> None:
    losses = np.vstack([LOSSES, [0.9, 1e-6]])
    worth = rewards(terms_of("sum"), losses, np.zeros(5), 0, np.array([[0.7, 0.3]]))
    assert worth[4, 0] < worth[0, 0]


def test_networks_that_break_constraints_are_worth_less_than_all_others() -> None:
    losses = np.vstack([LOSSES, [0.0, 0.1], [np.nan, np.nan]])
    worth = rewards(terms_of("sum"), losses, np.array([0, 0, 0, 0, 1.0, 3.0]), 0, np.array([[0.5, 0.5]]))[:, 0]
    # Half of a deviation below for a violation of 1, three quarters for 3.
    np.testing.assert_allclose(worth[4:], worth[:4].min() - [0.5, 0.75])
    alone = rewards(terms_of("sum"), losses[5:], np.array([3.0]), 0, np.array([[0.5, 0.5]]))
    assert alone.tolist() == [[-0.75]]


def test_equal_values_are_no_reason_to_prefer_any() -> None:
    assert rewards(terms_of("sum"), np.ones((3, 1)), np.zeros(3), None, np.ones((1, 1))).tolist() == [[0.0]] * 3


def test_weights_are_shares_and_even() -> None:
    weights = draw_weights(np.random.default_rng(0), 3, 4000)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights.mean(axis=0), 1 / 3, atol=0.02)
    assert draw_weights(np.random.default_rng(0), 1, 2).tolist() == [[1.0], [1.0]]


def test_unknown_forms_are_refused() -> None:
    with pytest.raises(UsageError, match="fitness: expected sum or product, got 'ratio'"):
        terms_of("ratio")
