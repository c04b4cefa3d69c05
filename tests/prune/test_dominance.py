import math
import time

import numpy as np
import pytest
from prune.conformance import EPOCHS, PrunerTests, crowd, falling

from optnas.errors import UsageError
from optnas.prune import DominancePruner, Finished


class TestDominance(PrunerTests):
    pruner = DominancePruner()

    def test_a_network_cheaper_than_all_in_one_cost_is_never_stopped(self):
        for costs in ({"macs": 0.5, "params": 1e9}, {"macs": 1e9, "params": 9.0}):
            assert (self.pruner.thresholds(costs, crowd()) == math.inf).all()

    def test_a_bad_dear_network_stops_early_and_a_good_one_never(self):
        bounds = self.pruner.thresholds(self.costs, crowd())
        assert (np.array(falling(0.6)) > bounds).argmax() <= 3
        assert (np.array(falling(0.05)) <= bounds).all()

    def test_never_stops_what_is_already_better_than_its_rivals_ended(self):
        finished = crowd()
        affordable = [trial.final for trial in finished if trial.costs["macs"] <= 35]
        assert (self.pruner.thresholds(self.costs, finished) >= min(affordable)).all()

    def test_the_better_the_rivals_the_lower_the_bounds(self):
        finished = crowd()
        better = [*finished, Finished({"macs": 1.0, "params": 1.0}, falling(0.05))]
        before, after = (self.pruner.thresholds(self.costs, some) for some in (finished, better))
        assert (after[:-1] < before[:-1]).all()

    def test_a_dearer_network_is_held_to_a_lower_bound(self):
        # The same curve shape for all costs, so that only the rivals differ.
        finished = [Finished({"macs": float(i)}, falling(0.5 - 0.01 * i)) for i in range(1, 31)]
        bounds = [self.pruner.thresholds({"macs": macs}, finished) for macs in (5.0, 15.0, 25.0)]
        assert (bounds[0][:-1] > bounds[1][:-1]).all()
        assert (bounds[1][:-1] > bounds[2][:-1]).all()

    def test_infeasible_and_unfinished_networks_are_no_rivals(self):
        finished = crowd()
        before = self.pruner.thresholds(self.costs, finished)
        rival = falling(0.01)
        cheap = {"macs": 1.0, "params": 1.0}
        pruned = Finished(cheap, rival[:-1], complete=False)
        assert (self.pruner.thresholds(self.costs, [*finished, pruned]) == before).all()
        infeasible = Finished(cheap, rival, feasible=False)
        feasible = Finished(cheap, rival)
        one, other = (self.pruner.thresholds(self.costs, [*finished, trial]) for trial in (infeasible, feasible))
        assert (one[:-1] > other[:-1]).all()


def exact(n: int = 30, seed: int = 0) -> list[Finished]:
    """Curves that are 0.3 + 2 (final - 0.3) + 0.5 t away from the end, without noise; cost 1 for all."""
    finals = 0.3 + 0.2 * np.random.default_rng(seed).random(n)
    return [Finished({"macs": 1.0}, (0.3 + 2 * (f - 0.3), 0.3 + 1.5 * (f - 0.3), f)) for f in finals]


def test_where_curves_follow_a_line_the_bound_is_on_it():
    finished = exact(200)
    bound = min(trial.final for trial in finished)
    bounds = DominancePruner(grace=0).thresholds({"macs": 1.0}, finished)
    line = [0.3 + 2 * (bound - 0.3), 0.3 + 1.5 * (bound - 0.3)]
    # The ridge flattens the line by a tenth, which the spread then covers.
    assert bounds[:2] == pytest.approx(line, abs=0.03)
    assert (bounds[:2] >= np.array(line)).all()


def test_a_cost_that_all_finished_networks_share_is_no_slope():
    finished = [Finished({"macs": 5.0}, falling(0.1 + 0.01 * i)) for i in range(12)]
    bounds = DominancePruner().thresholds({"macs": 6.0}, finished)
    assert (bounds[:-1] > falling(0.1)[:-1]).all()
    assert (bounds[:-1] < 0.1 + np.array(falling(0.2)[:-1])).all()


@pytest.mark.parametrize("quantile", [0.5, 0.8, 0.95])
def test_a_network_that_ends_at_the_bound_is_kept_with_the_promised_probability(quantile):
    """300 studies of 100 noisy curves and one more that ends exactly at the bound."""
    generator = np.random.default_rng(7)
    kept, studies = 0, 300
    t = np.arange(1, 21)

    def curve(final: float) -> np.ndarray:
        walk = 0.01 * generator.normal(size=20)[::-1].cumsum()[::-1]  # noise that fades towards the end
        walk -= walk[-1]
        return final + 0.5 / t - 0.5 / 20 + walk

    for _ in range(studies):
        finals = 0.2 + 0.1 * generator.random(100)
        finished = [Finished({"macs": 1.0}, tuple(curve(final))) for final in finals]
        bounds = DominancePruner(quantile=quantile).thresholds({"macs": 1.0}, finished)
        new = Finished({"macs": 1.0}, tuple(curve(min(finals))))
        kept += bool((new.best <= bounds).all())
    # Three standard errors of a share of 300; the running minimum may lie below the end, which keeps more.
    assert kept / studies > quantile - 3 * math.sqrt(quantile * (1 - quantile) / studies)
    assert kept / studies < quantile + 0.12


def test_a_schedule_that_drops_at_the_end_is_followed():
    """All stand at about 0.5 until the rate drops; before that nothing can be known, and nothing is stopped."""
    generator = np.random.default_rng(1)

    def stepped(final: float) -> tuple[float, ...]:
        return (*(0.5 + 0.02 * generator.normal(size=15)), *(final + 0.002 * generator.normal(size=4)), final)

    finished = [Finished({"macs": 1.0}, stepped(final)) for final in np.linspace(0.1, 0.3, 40)]
    bounds = DominancePruner().thresholds({"macs": 1.0}, finished)
    assert (bounds[:15] > 0.47).all()
    assert (bounds[15:19] < 0.13).all()


def test_warm_up_and_grace():
    finished = crowd(30)
    costs = {"macs": 1e6, "params": 1e6}
    assert (DominancePruner(warmup_trials=31).thresholds(costs, finished) == math.inf).all()
    assert np.isfinite(DominancePruner(warmup_trials=30).thresholds(costs, finished)[:-1]).all()
    finite = [np.isfinite(DominancePruner(grace=g).thresholds(costs, finished)) for g in (0, 0.25, 0.95)]
    # Of 12 epochs a quarter is 3: the first look is after the third.
    assert [list(row).index(True) + 1 if row.any() else None for row in finite] == [1, 3, None]


def test_a_higher_quantile_and_no_slack_are_safer():
    finished = crowd()
    costs = {"macs": 35.0, "params": 350.0}
    low, high = (DominancePruner(quantile=q).thresholds(costs, finished) for q in (0.6, 0.9))
    assert (high[:-1] > low[:-1]).all()
    strict, slack = (DominancePruner(slack=s).thresholds(costs, finished) for s in (0.0, 0.02))
    assert (slack[1:-1] < strict[1:-1]).all()


def test_a_difference_under_the_spread_is_a_tie():
    finished = [Finished({"latency_ms": 1.01}, falling(0.1 + 0.01 * i)) for i in range(20)]
    costs = {"latency_ms": 1.0}
    assert (DominancePruner().thresholds(costs, finished) == math.inf).all()
    assert np.isfinite(DominancePruner(ties={"latency_ms": 0.02}).thresholds(costs, finished)[:-1]).all()
    assert (DominancePruner(ties={"latency_ms": 0.005}).thresholds(costs, finished) == math.inf).all()


def test_only_objectives_must_be_no_worse():
    finished = crowd()
    costs = {"macs": 35.0, "params": 1.0}  # fewer parameters than any
    assert (DominancePruner().thresholds(costs, finished) == math.inf).all()
    bounds = DominancePruner(objectives=("macs",)).thresholds(costs, finished)
    assert np.isfinite(bounds[:-1]).all()
    with pytest.raises(UsageError, match=r"objectives: expected some of the trial's costs \(macs, params\), got 'ms'"):
        DominancePruner(objectives=("ms",)).thresholds(costs, finished)


def test_the_unit_of_errors_and_costs_does_not_matter():
    finished = crowd()
    scaled = [
        Finished({"macs": t.costs["macs"] ** 3, "params": t.costs["params"]}, tuple(100 * e - 7 for e in t.curve))
        for t in finished
    ]
    plain = DominancePruner().thresholds({"macs": 35.0, "params": 350.0}, finished)
    other = DominancePruner().thresholds({"macs": 35.0**3, "params": 350.0}, scaled)
    assert other[:-1] == pytest.approx(100 * plain[:-1] - 7)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"quantile": 1.0}, "quantile: expected a number between 0 and 1, got 1.0"),
        ({"warmup_trials": 1}, "warmup_trials: expected at least 2, got 1"),
        ({"grace": 1.0}, "grace: expected a share"),
        ({"slack": -0.1}, "slack: expected a finite error"),
        ({"ties": {"ms": math.nan}}, "ties: expected a relative difference of at least 0 for ms, got nan"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        DominancePruner(**settings)


def test_a_decision_takes_less_than_five_milliseconds():
    """With 1000 finished trials of 100 epochs and 3 costs; time of this thread, the best of ten."""
    generator = np.random.default_rng(0)
    finished = [
        Finished(dict(zip("abc", generator.random(3).tolist(), strict=True)), falling(f, 100, noise=0.01, seed=i))
        for i, f in enumerate(0.1 + 0.3 * generator.random(1000))
    ]
    seconds = []
    for _ in range(10):
        start = time.thread_time()
        bounds = DominancePruner().thresholds({"a": 0.9, "b": 0.9, "c": 0.9}, finished)
        seconds.append(time.thread_time() - start)
    assert np.isfinite(bounds[5:-1]).all()
    assert min(seconds) < 0.005


def test_epochs_are_inferred_or_given():
    finished = crowd()
    costs = {"macs": 35.0, "params": 350.0}
    given = DominancePruner(n_epochs=EPOCHS).thresholds(costs, finished)
    assert (given == DominancePruner().thresholds(costs, finished)).all()
    # Whole trainings of another length do not take part in the fit, and here none is left.
    assert DominancePruner(n_epochs=30).thresholds(costs, finished).tolist() == [math.inf] * 30
