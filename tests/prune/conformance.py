"""What every pruner must do. A test class sets `pruner` and inherits the cases."""

from __future__ import annotations

import copy
import math
import pickle
from typing import ClassVar

import numpy as np

from optnas.prune import Finished, Pruner

EPOCHS = 12


def falling(final: float, epochs: int = EPOCHS, start: float = 0.9, noise: float = 0.0, seed: int = 0):
    """A curve from `start` to exactly `final`, halfway after a quarter of the epochs."""
    t = np.arange(1, epochs + 1)
    share = (t**-0.5 - epochs**-0.5) / (1 - epochs**-0.5) if epochs > 1 else np.zeros(1)
    wiggle = noise * np.random.default_rng(seed).normal(size=epochs)
    wiggle[-1] = 0
    return tuple(final + (start - final) * share + wiggle)


def crowd(n: int = 40, epochs: int = EPOCHS, seed: int = 0) -> list[Finished]:
    """Finished trials with costs 1 to n; the dearer a network, the better it ends, more or less."""
    generator = np.random.default_rng(seed)
    return [
        Finished(
            {"macs": float(cost), "params": float(10 * cost)},
            falling(0.4 - 0.3 * cost / n + 0.1 * generator.random(), epochs, noise=0.01, seed=cost),
        )
        for cost in generator.permutation(np.arange(1, n + 1))
    ]


class PrunerTests:
    pruner: Pruner
    """The pruner under test, with n_epochs not set."""

    costs: ClassVar = {"macs": 35.0, "params": 350.0}

    def test_one_bound_for_each_epoch_and_none_for_the_last(self):
        bounds = self.pruner.thresholds(self.costs, crowd())
        assert bounds.shape == (EPOCHS,)
        assert bounds.dtype == np.float64
        assert not np.isnan(bounds).any()
        assert bounds[-1] == math.inf

    def test_is_pure(self):
        finished = crowd()
        before = copy.deepcopy(finished)
        costs = dict(self.costs)
        first = self.pruner.thresholds(costs, finished)
        first[:] = -1  # what a caller does with the answer is not seen by the next
        second = self.pruner.thresholds(costs, finished)
        again = pickle.loads(pickle.dumps(self.pruner)).thresholds(costs, before)
        assert (second == again).all()
        assert finished == before
        assert costs == self.costs

    def test_without_finished_trials_nothing_stops(self):
        assert self.pruner.thresholds(self.costs, []).shape == (0,)
        known = type(self.pruner)(n_epochs=EPOCHS)
        assert known.thresholds(self.costs, []).tolist() == [math.inf] * EPOCHS

    def test_one_finished_trial_is_no_evidence_against_its_equal(self):
        trial = crowd(1)[0]
        bounds = self.pruner.thresholds(trial.costs, [trial])
        assert (trial.best <= bounds).all()

    def test_diverged_trials_change_no_bound_to_nan_or_below_the_rest(self):
        sound = crowd()
        diverged = [
            Finished(self.costs, (0.9, math.nan, math.nan), complete=False),
            Finished(self.costs, (math.nan,) * EPOCHS, complete=False),
            Finished(self.costs, (0.5,) * (EPOCHS - 1) + (math.inf,)),
            Finished(self.costs, (math.nan,) * EPOCHS),
        ]
        bounds = self.pruner.thresholds(self.costs, sound + diverged)
        assert bounds.shape == (EPOCHS,)
        assert not np.isnan(bounds).any()
        assert (bounds >= min(min(trial.curve) for trial in sound)).all()

    def test_old_trials_without_a_cost(self):
        finished = crowd()
        old = [Finished({"params": 1.0}, falling(0.01)), Finished({}, falling(0.01))]
        bounds = self.pruner.thresholds(self.costs, old + finished)
        assert bounds.shape == (EPOCHS,)
        assert not np.isnan(bounds).any()

    def test_curves_of_unequal_length(self):
        finished = crowd()
        short = [Finished(trial.costs, trial.curve[:3], complete=False) for trial in crowd(seed=1)]
        longer = [Finished(self.costs, falling(0.2, EPOCHS + 5))]
        bounds = self.pruner.thresholds(self.costs, short + finished + longer)
        assert bounds.shape == (EPOCHS,)
        assert not np.isnan(bounds).any()
        empty = [Finished(self.costs, (), complete=False)]
        assert self.pruner.thresholds(self.costs, empty + finished).shape == (EPOCHS,)

    def test_a_single_epoch_leaves_nothing_to_save(self):
        assert self.pruner.thresholds(self.costs, crowd(epochs=1)).tolist() == [math.inf]

    def test_equal_trials(self):
        finished = [Finished(self.costs, falling(0.2)) for _ in range(30)]
        bounds = self.pruner.thresholds(self.costs, finished)
        assert (np.array(falling(0.2)) <= bounds + 1e-12).all()

    def test_any_number_of_costs_of_any_sign(self):
        finished = [
            Finished({"a": -trial.costs["macs"], "b": 0.0, "c": 1e-9 * i, "d": 1e12}, trial.curve)
            for i, trial in enumerate(crowd())
        ]
        for names in ((), ("a",), ("a", "b", "c", "d")):
            bounds = self.pruner.thresholds({name: finished[5].costs[name] for name in names}, finished)
            assert bounds.shape == (EPOCHS,)
            assert not np.isnan(bounds).any()
