"""Who ties with the best."""

import numpy as np
import pytest

from optnas.deploy.ties import ties_with_best


def test_clear_and_unclear_differences():
    # Spread 0.001 within: 0.010 apart is clear, 0.001 is not.
    best, close, far = [0.100, 0.101, 0.102], [0.101, 0.102, 0.103], [0.110, 0.111, 0.112]
    assert ties_with_best([best, close, far]) == [True, True, False]
    assert ties_with_best([far, close, best]) == [False, True, True]


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([], []),
        ([[]], [False]),
        ([[0.1]], [True]),
        ([[0.1], [0.1]], [True, True]),
        ([[0.1], [0.2]], [True, False]),  # without a second seed nothing is known of the noise
        ([[0.1, 0.1], [0.1, 0.1], [0.2, 0.2]], [True, True, False]),
        ([[0.1, 0.1], [], [0.2]], [True, False, False]),
        ([[0.1, 0.3], [0.15, 0.35], [0.2, 0.4]], [True, True, True]),
    ],
)
def test_little_to_go_by(errors, expected):
    assert ties_with_best(errors) == expected


@pytest.mark.slow
def test_equal_networks_are_rarely_called_different():
    generator = np.random.default_rng(0)
    trials = [ties_with_best(generator.normal(0.1, 0.01, (4, 3)).tolist()) for _ in range(300)]
    # At most 5 % of the groups of four have any pair called different; 300 of them within about 2.5 points.
    assert sum(not all(ties) for ties in trials) / 300 < 0.075
