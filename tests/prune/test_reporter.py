import math

import optuna
import pytest
from optuna.trial import TrialState
from prune.conformance import falling

from optnas.prune import DominancePruner, Finished, NoPruner, finished_trials, reporter

CURVE, COSTS = "optnas:curve", "optnas:costs"


def run(study: optuna.Study, pruner, curves, macs=None, constraint=None) -> None:
    """One trial for each curve, by the objective that a person would write."""
    remaining = iter(curves)

    def objective(trial: optuna.Trial):
        costs = {"macs": float(macs or trial.suggest_int("width", 1, 100))}
        if constraint is not None:
            trial.set_constraint("budget", constraint)
        report = reporter(trial, pruner, costs)
        error = 1.0
        for epoch, error in enumerate(next(remaining), 1):
            report(epoch, error)
        return error, costs["macs"]

    study.optimize(objective, n_trials=len(curves))


def two_objectives(**settings) -> optuna.Study:
    return optuna.create_study(directions=["minimize", "minimize"], **settings)


def test_a_study_of_two_objectives_is_pruned_with_the_reason():
    study = two_objectives()
    run(study, DominancePruner(), [falling(0.1 + 0.01 * i) for i in range(12)], macs=5)
    run(study, DominancePruner(), [falling(0.7), falling(0.05)], macs=6)
    bad, good = study.trials[-2:]
    assert bad.state == TrialState.PRUNED
    assert good.state == TrialState.COMPLETE
    epoch = bad.user_attrs["optnas:pruned_epoch"]
    assert len(bad.user_attrs[CURVE]) == epoch < 4
    assert bad.user_attrs[CURVE][-1] > bad.user_attrs["optnas:pruned_bound"]
    assert f"epoch {epoch}" in bad.user_attrs["optnas:reason"]
    assert f"bound {bad.user_attrs['optnas:pruned_bound']:.2%}" in bad.user_attrs["optnas:reason"]
    assert bad.user_attrs[COSTS] == {"macs": 6.0}
    assert good.user_attrs[CURVE] == pytest.approx(falling(0.05), abs=1e-6)
    assert all(not trial.intermediate_values for trial in study.trials)


def test_a_diverging_trial_is_pruned_and_poisons_nothing(tmp_path):
    # A database, which could not store NaN as JSON.
    study = two_objectives(storage=f"sqlite:///{tmp_path}/study.db")
    run(study, NoPruner(), [(0.9, math.nan), (math.inf,), (0.9, 0.5)])
    assert [trial.state for trial in study.trials] == [TrialState.PRUNED, TrialState.PRUNED, TrialState.COMPLETE]
    assert study.trials[0].user_attrs[CURVE] == [0.9]
    assert study.trials[1].user_attrs["optnas:reason"] == "the error after epoch 1 is inf, not a finite number"
    assert "optnas:pruned_bound" not in study.trials[0].user_attrs
    assert [trial.final for trial in finished_trials(study)] == [math.inf, 0.5]


def test_what_a_pruner_learns_from_a_study():
    study = two_objectives()
    run(study, NoPruner(), [(0.9, 0.5)], macs=3)
    run(study, NoPruner(), [(0.9, 0.4)], macs=4, constraint=0.5)
    run(study, NoPruner(), [(0.8, math.nan)], macs=5, constraint=-0.5)
    study.add_trial(optuna.create_trial(values=[0.1, 0.2]))  # of someone else: no curve
    study.ask()  # still running
    assert finished_trials(study) == [
        Finished({"macs": 3.0}, (0.9, 0.5)),
        Finished({"macs": 4.0}, (0.9, 0.4), feasible=False),
        Finished({"macs": 5.0}, (0.8,), complete=False),
    ]


def test_tpe_goes_on_when_most_trials_are_pruned():
    study = two_objectives(sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=5))
    curves = [falling(0.1 + 0.001 * i) for i in range(12)] + [falling(0.8)] * 30
    run(study, DominancePruner(), curves)
    assert len(study.trials) == 42
    assert sum(trial.state == TrialState.PRUNED for trial in study.trials) > 15
