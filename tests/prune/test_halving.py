import math

import numpy as np
import pytest
from prune.conformance import EPOCHS, PrunerTests, crowd

from optnas.errors import UsageError
from optnas.prune import Finished, ParetoHalvingPruner


class TestHalving(PrunerTests):
    pruner = ParetoHalvingPruner()

    def test_a_network_cheaper_than_all_in_one_cost_is_never_stopped(self):
        assert (self.pruner.thresholds({"macs": 0.5, "params": 1e9}, crowd()) == math.inf).all()

    def test_looks_at_the_rungs_alone(self):
        bounds = self.pruner.thresholds(self.costs, crowd())
        assert (np.flatnonzero(np.isfinite(bounds)) + 1).tolist() == [1, 3, 9]
        later = ParetoHalvingPruner(min_epochs=2, reduction_factor=2).thresholds(self.costs, crowd())
        assert (np.flatnonzero(np.isfinite(later)) + 1).tolist() == [2, 4, 8]


def at_rung(*rows: tuple[float, float], complete: bool = True) -> list[Finished]:
    return [Finished({"macs": macs}, (error, error), complete) for error, macs in rows]


def test_the_bound_counted_by_hand():
    # Fronts: {(.1, 4), (.2, 2), (.4, 1)}, {(.3, 4), (.3, 3)}: the second of these dominates the first, so
    # three fronts {a, b, c}, {(.3, 3)}, {(.3, 4)}.
    finished = at_rung((0.1, 4), (0.2, 2), (0.4, 1), (0.3, 4), (0.3, 3))
    pruner = ParetoHalvingPruner(reduction_factor=3)
    # Six with the new one, so two go on: the first front alone has fewer than two before it. The new one
    # is on it if no member that costs no more has less error.
    bounds = [pruner.thresholds({"macs": macs}, finished)[0] for macs in (0.5, 1, 2, 3, 4, 9)]
    assert bounds == [math.inf, 0.4, 0.2, 0.2, 0.1, 0.1]
    # One of two: three go on, and the second front has three before it, which is not fewer.
    half = ParetoHalvingPruner(reduction_factor=2)
    assert half.thresholds({"macs": 4}, finished)[0] == 0.1
    # Two more on the first front's far side: eight, four go on, so the second front goes on too, and only
    # who is dominated by it is stopped.
    more = finished + at_rung((0.05, 8), (0.9, 0.5))
    assert [half.thresholds({"macs": macs}, more)[0] for macs in (2, 3, 4)] == [0.2, 0.2, 0.1]
    third = ParetoHalvingPruner(reduction_factor=2).thresholds({"macs": 4}, at_rung((0.1, 1), (0.2, 2), (0.3, 3)))
    # Ranks 0, 1, 2; two of four go on, so rank 1 does: stopped is who is dominated by rank 1.
    assert third[0] == 0.2


def test_a_bound_agrees_with_ranking_the_trial_among_the_others():
    """Insert the trial and sort into fronts, the slow way; ties of error are left out."""
    generator = np.random.default_rng(3)
    for _ in range(40):
        table = generator.random((25, 3))
        finished = [Finished({"a": a, "b": b}, (e, e)) for e, a, b in table.tolist()]
        own = generator.random(2)
        bound = ParetoHalvingPruner().thresholds({"a": own[0], "b": own[1]}, finished)[0]
        for error in generator.random(10):
            points = np.vstack([table, [error, *own]])
            rank = slow_ranks(points)
            assert (error <= bound) == (int((rank[:-1] < rank[-1]).sum()) < (25 + 1) // 3)


def slow_ranks(points: np.ndarray) -> np.ndarray:
    rank = np.full(len(points), -1)
    for front in range(len(points)):
        left = np.flatnonzero(rank < 0)
        for i in left:
            dominators = [j for j in left if (points[j] <= points[i]).all() and (points[j] < points[i]).any()]
            if not dominators:
                rank[i] = -2
        rank[rank == -2] = front
    return rank


def test_pruned_trials_count_at_the_rungs_that_they_reached():
    finished = crowd()
    worse = [Finished({"macs": 99.0, "params": 999.0}, (0.99,), complete=False)] * 60
    costs = {"macs": 35.0, "params": 350.0}
    before, after = (ParetoHalvingPruner().thresholds(costs, some) for some in (finished, finished + worse))
    assert after[0] > before[0]  # among more trials, more go on
    assert (after[1:] == before[1:]).all()


def test_infeasible_trials_are_no_rivals():
    finished = at_rung((0.1, 1), (0.2, 2), (0.3, 3))
    unfeasible = [Finished({"macs": 0.1}, (0.01, 0.01), feasible=False)]
    pruner = ParetoHalvingPruner()
    bounds = [pruner.thresholds({"macs": 5}, some)[0] for some in (finished, finished + unfeasible)]
    assert bounds[0] == bounds[1] == 0.1


def test_settings_out_of_range_are_refused():
    with pytest.raises(UsageError, match="min_epochs: expected at least 1, got 0"):
        ParetoHalvingPruner(min_epochs=0)
    with pytest.raises(UsageError, match="reduction_factor: expected at least 2, got 1"):
        ParetoHalvingPruner(reduction_factor=1)
    assert len(ParetoHalvingPruner().thresholds({}, crowd())) == EPOCHS
