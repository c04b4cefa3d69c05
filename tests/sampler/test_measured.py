"""Limits on what only measuring tells: few networks beyond them are proposed once some were measured."""

import numpy as np
import optuna
import pytest

from optnas.sampler import CostAwareSampler
from optnas.sampler.encoding import Encoding
from optnas.sampler.measured import Limits, broken
from optnas.space import sample

KERNELS = [1, 3, 5, 7]


def space(trial):
    for i in range(8):
        trial.suggest_categorical(f"kernel{i}", KERNELS)


def macs(params):
    return float(sum(kernel**2 for kernel in params.values()))


def latency(params):
    """Not what the MACs say: large kernels are quick here, and a 3 takes as long as it likes."""
    return sum({1: 1.0, 3: 3.0, 5: 0.8, 7: 1.2}[kernel] for kernel in params.values())


def test_only_broken_constraints_are_worth_a_model():
    assert broken([{"a": -0.5, "b": 0.0}, {"a": -1.0, "b": 0.1, "c": -2.0}]) == ["b"]
    assert broken([]) == []


def test_chances_follow_the_limit():
    generator = np.random.default_rng(0)
    networks = [sample(space, generator) for _ in range(120)]
    costs = np.array([[macs(network)] for network in networks])
    features = Encoding(networks, costs, {})(networks, costs)
    violations = np.array([[latency(network) / 11 - 1] for network in networks])
    violations[5] = np.nan
    chance = Limits(features[:40], violations[:40]).chance(features[40:])
    feasible = violations[40:, 0] <= 0
    assert 0.1 < feasible.mean() < 0.6
    assert ((chance >= 0) & (chance <= 1)).all()
    assert np.mean((chance > 0.5) == feasible) > 0.9
    assert abs(chance.mean() - feasible.mean()) < 0.1


def proposals(trials, **settings):
    """Violations of what is proposed, of a study that refuses what is beyond the limit."""
    sampler = CostAwareSampler(
        lambda params: {"macs": macs(params)}, space=space, objectives=["error", "macs"], candidates=128, **settings
    )
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
    for _ in range(trials):
        trial = study.ask()
        space(trial)
        trial.set_constraint("latency", latency(trial.params) / 10 - 1)
        if latency(trial.params) > 10:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, [1 / (1 + macs(trial.params)), macs(trial.params)])
    return np.array([trial.constraints["latency"] for trial in study.trials])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_proposals_beyond_the_limit_become_rare(seed):
    generator = np.random.default_rng(seed)
    assert np.mean([latency(sample(space, generator)) > 10 for _ in range(200)]) > 0.7
    assert (proposals(40, seed=seed)[10:] > 0).mean() < 0.2
