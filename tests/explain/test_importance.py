"""Importances: Optuna's figure, taken apart from chance."""

import additive
import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from optnas.explain import importances, read_trained
from optnas.explain.importance import _p_values, _shares

CHOICES = {f"x{index}": CategoricalDistribution(list("abcd")) for index in range(6)}


def study_of(count, effects, noise=0.1, seed=0, sign=1.0):
    rng = np.random.default_rng(seed)
    networks, values = [], []
    for _ in range(count):
        params = {name: "abcd"[rng.integers(4)] for name in CHOICES}
        error = sum(effect * (params[name] == "a") for name, effect in effects.items()) + noise * rng.normal()
        networks.append((params, CHOICES))
        values.append((sign * error,))
    return additive.make_study(networks, values, ("error",), ["minimize" if sign > 0 else "maximize"])


def test_what_matters_is_told_and_the_rest_is_not():
    found = importances(read_trained(study_of(120, {"x1": -1.0, "x4": -0.6})))
    assert {one.choice for one in found.choices if one.told} == {"x1", "x4"}
    assert found.choices[0].choice == "x1"
    assert (found.trials, found.best, found.why) == (120, 12, "")
    assert sum(one.share for one in found.choices) == pytest.approx(1)
    assert all(0 <= one.low <= one.share <= one.high <= 1 for one in found.choices)


def test_the_divergence_is_that_of_optuna():
    study = study_of(50, {"x1": -1.0})
    found = importances(read_trained(study))
    with pytest.warns((UserWarning, optuna.exceptions.ExperimentalWarning)):
        theirs = get_param_importances(
            study, evaluator=PedAnovaImportanceEvaluator(target_quantile=10 / 50), normalize=False
        )
    assert {one.choice: one.divergence for one in found.choices} == pytest.approx(theirs)


def test_a_maximised_objective_is_the_same_turned():
    one = importances(read_trained(study_of(60, {"x1": -1.0})))
    assert importances(read_trained(study_of(60, {"x1": -1.0}, sign=-1.0))) == one


def test_pruned_infeasible_and_constant_trials_play_no_part():
    study = study_of(60, {"x1": -1.0})
    before = importances(read_trained(study))
    params = dict.fromkeys(CHOICES, "a")
    for state, constraints in ((optuna.trial.TrialState.PRUNED, {}), (optuna.trial.TrialState.COMPLETE, {"c": 1.0})):
        values = [-9.0] if state == optuna.trial.TrialState.COMPLETE else None
        study.add_trial(
            optuna.trial.create_trial(
                state=state, params=params, distributions=CHOICES, values=values, constraints=constraints
            )
        )
    assert importances(read_trained(study)) == before


def test_conditional_choices_and_numbers():
    rng = np.random.default_rng(0)
    networks, values = [], []
    for _ in range(150):
        params = {"op": "ab"[rng.integers(2)], "rate": float(rng.random())}
        made = {"op": CategoricalDistribution(["a", "b"]), "rate": FloatDistribution(0, 1)}
        if params["op"] == "b":
            params["inner"], made["inner"] = "pq"[rng.integers(2)], CategoricalDistribution(["p", "q"])
        networks.append((params, made))
        values.append((rng.normal() * 0.1 + (params.get("inner") == "q") - 0.0 * params["rate"],))
    found = {
        one.choice: one for one in importances(read_trained(additive.make_study(networks, values, ("error",)))).choices
    }
    assert set(found) == {"op", "rate", "inner"}
    assert found["inner"].told
    assert not found["rate"].told


@pytest.mark.parametrize(
    ("count", "effects", "noise", "why"),
    [
        (9, {"x1": 1.0}, 0.1, "9 feasible networks were trained to the end, and 10 are needed"),
        (30, {}, 0.0, "none of the networks is better than most of them"),
    ],
)
def test_when_it_cannot_be_told(count, effects, noise, why):
    found = importances(read_trained(study_of(count, effects, noise)))
    assert (found.choices, found.why) == ((), why)


def test_no_choices():
    networks = [({"one": "a"}, {"one": CategoricalDistribution(["a"])})] * 12
    study = additive.make_study(networks, [(float(index),) for index in range(12)], ("error",))
    assert importances(read_trained(study)).why == "no choice has two options"


def test_shares_and_p_values_by_hand():
    np.testing.assert_allclose(_shares(np.array([3.0, -1.0, 1.0])), [0.75, 0, 0.25])
    np.testing.assert_allclose(_shares(np.array([-3.0, -1.0])), [0, 0])
    permuted = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    # (5, 0) among them: of column 0 it is the greatest of all four rows, of column 1 a least one.
    assert _p_values(np.array([5.0, 0.0]), permuted).tolist() == [0.25, 1.0]


@pytest.mark.slow
def test_chance_is_rarely_taken_for_importance():
    """Of 60 studies of noise 3 may tell something; 8 or more has a probability of 1 %."""
    told = sum(
        any(one.told for one in importances(read_trained(study_of(40, {}, seed=seed))).choices) for seed in range(60)
    )
    assert told < 8
