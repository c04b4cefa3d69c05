import optuna
import pytest
from optuna.samplers import NSGAIISampler
from optuna.trial import TrialState

from optnas.sampler import make_sampler
from optnas.sampler.pruned import CountingPruned


def study_with(sampler):
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        study.set_metric_names(["error", "macs"])
    return study


def objective(trial, prune=0.8):
    """Ones cost; a trial in five is trained to the end, the others leave the error they had reached."""
    bits = [trial.suggest_categorical(f"b{i}", [0, 1]) for i in range(16)]
    macs, error = 1.0 + sum(bits[:8]), 1.0 + sum(bits[8:])
    trial.set_user_attr("optnas:costs", {"macs": macs})
    trial.set_user_attr("optnas:curve", [error + 1, error])
    if trial.number % 100 < 100 * prune and trial.number % 5:
        raise optuna.TrialPruned
    return error, macs


def generation(study):
    return max(value for t in study.trials for name, value in t.system_attrs.items() if name.endswith("generation"))


def test_generations_do_not_starve_when_most_trials_are_pruned():
    counted = study_with(CountingPruned(NSGAIISampler(population_size=10, seed=0)))
    plain = study_with(NSGAIISampler(population_size=10, seed=0))
    for study in (counted, plain):
        study.optimize(lambda trial: objective(trial, 1.0), n_trials=100)
        assert sum(trial.state == TrialState.PRUNED for trial in study.trials) == 80
    assert generation(counted) >= 9
    assert generation(plain) <= 2


def test_pruned_parents_lead_on():
    best = {}
    for name in ("nsga2", "random"):
        study = study_with(make_sampler(name, 0, 10))
        study.optimize(lambda trial: objective(trial, 1.0), n_trials=150)
        best[name] = min(sum(trial.params.values()) for trial in study.trials)
    assert best["nsga2"] < best["random"]


def test_trials_without_an_error_or_names_are_left_alone():
    study = optuna.create_study(
        directions=["minimize", "minimize"], sampler=CountingPruned(NSGAIISampler(population_size=4, seed=0))
    )
    study.optimize(lambda trial: objective(trial, 1.0), n_trials=20)
    named = study_with(CountingPruned(NSGAIISampler(population_size=4, seed=0)))

    def refused(trial):
        trial.suggest_int("x", 0, 9)
        if trial.number % 2:
            raise optuna.TrialPruned
        return 1.0, 1.0

    named.optimize(refused, n_trials=20)
    assert len(study.trials) == len(named.trials) == 20
    assert all(trial.values is None for trial in named.trials if trial.state == TrialState.PRUNED)
