import math

import numpy as np
import optuna
import pytest
from prune.conformance import EPOCHS, PrunerTests, crowd

from optnas.errors import UsageError
from optnas.prune import AccuracyPruner, Finished, MedianPruner


class TestMedian(PrunerTests):
    pruner = MedianPruner()

    def test_the_bound_is_the_median_of_whole_trainings(self):
        finished = crowd()
        pruned = [Finished(self.costs, (0.01,) * 5, complete=False)]
        bounds = MedianPruner().thresholds(self.costs, finished + pruned)
        assert (bounds[:-1] == np.median([trial.curve for trial in finished], axis=0)[:-1]).all()

    def test_warm_up(self):
        finished = crowd()
        assert (MedianPruner(warmup_trials=41).thresholds(self.costs, finished) == math.inf).all()
        bounds = MedianPruner(warmup_epochs=4).thresholds(self.costs, finished)
        assert (np.flatnonzero(np.isfinite(bounds)) + 1).tolist() == [4, 5, 6, 7, 8, 9, 10, 11]
        with pytest.raises(UsageError, match="warmup_epochs: expected at least 0, got -1"):
            MedianPruner(warmup_epochs=-1)


class TestOptunaMedian(PrunerTests):
    pruner = AccuracyPruner()


class TestOptunaHalving(PrunerTests):
    pruner = AccuracyPruner(optuna.pruners.SuccessiveHalvingPruner())


@pytest.mark.parametrize("n", [4, 5, 20, 21])
def test_optunas_median_is_the_median(n):
    finished = crowd(n)
    costs = {"macs": 1.0, "params": 1.0}
    assert AccuracyPruner().thresholds(costs, finished)[:-1] == pytest.approx(
        MedianPruner().thresholds(costs, finished)[:-1], abs=1e-5
    )


def test_a_bound_agrees_with_what_optuna_does_to_a_live_trial():
    """Curves that never rise, so that the error of an epoch is the lowest so far, as the bound assumes."""
    generator = np.random.default_rng(0)
    curves = np.minimum.accumulate(generator.random((35, 9)), axis=1).round(4)
    for make in (
        lambda: optuna.pruners.PercentilePruner(30.0, n_startup_trials=3, n_warmup_steps=2, interval_steps=2),
        lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=2, reduction_factor=2),
        lambda: optuna.pruners.ThresholdPruner(upper=0.4),
    ):
        study = optuna.create_study(pruner=make())
        finished: list[Finished] = []
        for curve in curves.tolist():
            bounds = AccuracyPruner(make(), n_epochs=9).thresholds({}, finished)
            trial = study.ask()
            stopped = None
            for epoch, error in enumerate(curve, 1):
                trial.report(error, epoch)
                stop = trial.should_prune()
                if stopped is None and stop:
                    stopped = epoch
            study.tell(trial, curve[-1])
            ours = next((epoch for epoch in range(1, 9) if curve[epoch - 1] > bounds[epoch - 1]), None)
            if finished:  # without a finished trial there is no bound, whatever the pruner
                assert ours == (stopped if stopped != 9 else None)
            finished.append(Finished({}, tuple(curve)))


def test_what_is_given_is_not_changed():
    halving = optuna.pruners.SuccessiveHalvingPruner()  # fixes its first rung when it first sees a trial
    before = dict(vars(halving))
    AccuracyPruner(halving).thresholds({}, crowd())
    assert vars(halving) == before


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_only_pruners_that_judge_a_level():
    with pytest.raises(UsageError, match="got PatientPruner"):
        AccuracyPruner(optuna.pruners.PatientPruner(None, patience=3))
    with pytest.raises(UsageError, match=r"expected one of optuna\.pruners, got str"):
        AccuracyPruner("median")
    assert len(AccuracyPruner(optuna.pruners.HyperbandPruner()).thresholds({}, crowd())) == EPOCHS
