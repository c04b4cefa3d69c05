import math

import numpy as np
import pytest
from prune.conformance import EPOCHS, PrunerTests, crowd, falling

from optnas.errors import UsageError
from optnas.prune import PRUNERS, Finished, NoPruner, Stopper, kept_error, make_pruner
from optnas.prune.base import beyond


class TestNoPruner(PrunerTests):
    pruner = NoPruner()

    def test_never_stops(self):
        assert NoPruner().thresholds(self.costs, crowd()).tolist() == [math.inf] * EPOCHS


def test_the_lowest_error_so_far():
    trial = Finished({}, (0.9, math.nan, 0.7, 0.8, math.inf, 0.6))
    assert trial.best.tolist() == [0.9, 0.9, 0.7, 0.7, 0.7, 0.6]
    assert Finished({}, (math.nan, 0.5)).best.tolist() == [math.inf, 0.5]
    with pytest.raises(ValueError, match="read-only"):
        trial.best[0] = 0


@pytest.mark.parametrize(
    ("curve", "complete", "final"),
    [
        ((0.9, 0.5), True, 0.5),
        ((0.5, 0.9), True, 0.9),
        ((0.9, 0.5), False, math.inf),
        ((0.9, math.nan), True, math.inf),
        ((), True, math.inf),
    ],
)
def test_the_final_error_is_the_last_of_a_whole_training(curve, complete, final):
    assert Finished({}, curve, complete).final == final


def test_epochs_are_the_most_common_length_of_whole_trainings():
    lengths = [8, 8, 5, 5, 20]
    finished = [Finished({}, falling(0.1, length)) for length in lengths]
    finished += [Finished({}, falling(0.1, 2), complete=False)] * 9
    assert NoPruner().epochs(finished) == 8
    assert NoPruner(n_epochs=3).epochs(finished) == 3
    assert NoPruner().epochs([]) == 0
    with pytest.raises(UsageError, match="n_epochs: expected at least 1, got 0"):
        NoPruner(n_epochs=0)


def test_a_stopper_compares_the_lowest_error_so_far():
    stopper = Stopper([math.inf, 0.5, 0.5, 0.3])
    assert stopper(1, 0.9) is None
    assert stopper(2, 0.5) is None  # at the bound is not above it
    assert stopper(3, 0.8) is None  # 0.5 was reached
    assert stopper(4, 0.4) == "the lowest error until epoch 4 is 40.00%, above the bound 30.00%"


def test_a_stopper_never_stops_beyond_its_bounds_but_does_when_training_diverged():
    stopper = Stopper(np.array([]))
    assert stopper(1, 0.9) is None
    assert stopper(7, 0.9) is None
    assert stopper(8, math.nan) == "the error after epoch 8 is nan, not a finite number"
    assert "inf" in stopper(9, math.inf)


def test_presets():
    for name, kind in PRUNERS.items():
        assert make_pruner(name, 7) == kind(n_epochs=7)
    with pytest.raises(UsageError, match=r"unknown pruner 'dominanz': .*did you mean dominance[?]"):
        make_pruner("dominanz")


def test_an_error_at_the_bound_that_an_equal_one_has_set_is_not_above_it() -> None:
    """323 of 359 images wrong; the bound is made of the curve as a trial keeps it."""
    error = 323 / 359
    assert kept_error(error) < error
    assert Stopper([kept_error(error)])(1, error) is None
    assert Stopper([kept_error(error)])(1, 324 / 359) is not None
    assert Stopper([2 / 3])(1, 2 / 3) is None


def test_reasons_are_in_per_cent_where_errors_are_shares():
    assert beyond(3, 2.5, 1.25) == "the lowest error until epoch 3 is 2.5, above the bound 1.25"
    assert beyond(1, 0.8997214, 0.8997213) == "the lowest error until epoch 1 is 89.97%, just above the bound"
