"""A study explained as a whole, and studies of every kind."""

import json
import math
from dataclasses import asdict

import additive
import numpy as np
import optuna
import pytest
import toy
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from optnas.cost import parse_constraints
from optnas.errors import UsageError
from optnas.explain import Foresight, explain, read_trained

CHOICES = {"op": CategoricalDistribution(["a", "b", "c"]), "width": IntDistribution(1, 40)}


def plain_study(count, names=("error", "macs"), directions=None, seed=0, choices=CHOICES):
    """Random networks; every objective grows with the width."""
    rng = np.random.default_rng(seed)
    networks = [({"op": "abc"[rng.integers(3)], "width": int(rng.integers(1, 41))}, choices) for _ in range(count)]
    values = [[1.0 + params["width"] * (1 + index) for index in range(len(names))] for params, _ in networks]
    return additive.make_study(networks, values, names, directions)


def test_the_additive_study_in_sentences():
    explanation = explain(additive.trained_study(), additive.Additive(), parse_constraints(["macs<=250"]))
    text = " ".join(explanation.sentences)
    assert "60 networks trained to the end" in explanation.sentences[0]
    assert "goes with more (share" in text
    assert "comes within macs<=250 by 1 change: " in text
    assert "error -" in text
    assert " points, " in text
    assert "± is one standard deviation" in text
    assert explanation.estimated == ()
    assert explanation.objective_costs == ("macs",)
    assert explanation.foretold > 0.9
    assert explanation.notes == ()
    assert json.loads(json.dumps(asdict(explanation)))["advice"]["smallest"]["costs"]["macs"] <= 250


def test_an_objective_of_optnas():
    objective = toy.objective(objectives=("error", "params"))
    study = toy.study(objective)
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        study.set_metric_names(["error", "params"])
    study.optimize(objective, n_trials=30)
    explanation = explain(study, objective, parse_constraints(["params<=20"]))
    assert explanation.priced > 0
    assert explanation.objective_costs == ("params",)
    prices = [one for one in explanation.prices if one.choice == "depth"]
    # Networks of one width and another depth: each layer adds width * (width + 1) parameters, at least 2.
    for price in prices:
        layers = int(price.option) - int(price.usual)
        assert price.costs["params"].exact
        assert price.costs["params"].mean * np.sign(layers) >= 2 * abs(layers)


def test_equal_calls_are_equal():
    study = additive.trained_study(30)
    assert explain(study, additive.Additive(), seed=3) == explain(study, additive.Additive(), seed=3)


@pytest.mark.parametrize("count", [1, 2, 9, 15])
@pytest.mark.parametrize("names", [("error",), ("error", "macs", "params"), ("error", "macs", "params", "latency_ms")])
def test_few_networks_and_one_three_and_four_objectives(count, names):
    explanation = explain(plain_study(count, names))
    assert all(sentence.endswith(".") for sentence in explanation.sentences)
    assert (explanation.foretold is None) == (count < 10)
    assert f"{count} network" in explanation.sentences[0]
    if count < 10:
        had = "1 feasible network was" if count == 1 else f"{count} feasible networks were"
        assert f"{had} trained to the end, and 10 are needed" in explanation.importances.why


def test_a_study_that_optnas_did_not_make():
    study = plain_study(30, ("accuracy", "seconds"), ["maximize", "minimize"])
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        study.set_metric_names(["accuracy", "seconds"])
    explanation = explain(study, absent="study 'x' was not made by optnas search")
    assert (explanation.learned, explanation.direction) == ("accuracy", "maximize")
    assert explanation.estimated == ("seconds",)
    text = " ".join(explanation.sentences)
    assert "was not made by optnas search" in text
    assert "seconds is estimated from what trials measured" in text


def test_objectives_without_names():
    study = optuna.create_study(directions=["minimize", "minimize"])
    for trial in plain_study(12).trials:
        study.add_trial(create_trial(params=trial.params, distributions=CHOICES, values=trial.values))
    assert explain(study).learned == "value0"


def test_conditional_choices_without_the_space_have_no_price_list():
    explanation = explain(additive.trained_study(30), absent="gone")
    assert explanation.prices == ()
    assert explanation.importances.choices
    assert explanation.sentences[-1].startswith("The space is not at hand (gone)")
    with pytest.raises(UsageError, match="what to change cannot be said"):
        explain(additive.trained_study(30), None, parse_constraints(["macs<=100"]))


def test_all_infeasible():
    study = plain_study(20)
    limited = additive.make_study(
        [(trial.params, CHOICES) for trial in study.trials],
        [trial.values for trial in study.trials],
        constraints=[{"macs<=1": trial.values[1] - 1} for trial in study.trials],
    )
    explanation = explain(limited)
    assert explanation.front == ()
    assert "0 feasible networks" in explanation.importances.why
    assert "0 members of 0 feasible networks are too few" in " ".join(explanation.sentences)


def test_values_that_are_not_finite_are_left_out():
    study = plain_study(20)
    for values in ([math.inf, 1.0], [0.5, -math.inf]):  # Optuna itself refuses NaN
        study.add_trial(create_trial(params={"op": "a", "width": 1}, distributions=CHOICES, values=values))
    assert explain(study).trained == 20


@pytest.mark.parametrize(
    ("states", "got"), [([], "no trial"), ([TrialState.PRUNED] * 3, "3 pruned"), ([TrialState.FAIL], "1 fail")]
)
def test_nothing_trained_is_one_sentence(states, got):
    study = optuna.create_study(directions=["minimize"] * 2)
    for state in states:
        study.add_trial(create_trial(state=state, params={"op": "a", "width": 1}, distributions=CHOICES))
    with pytest.raises(UsageError, match=f"expected a network that was trained to the end.*got {got}"):
        explain(study)


def test_costs_alone_cannot_be_explained():
    with pytest.raises(UsageError, match="expected an objective that training tells, got costs: macs, params"):
        explain(plain_study(12, ("macs", "params")))


def test_a_space_that_raises_is_not_at_hand():
    class Broken(additive.Additive):
        def explore(self, trial):
            raise KeyError("nothing here")

    explanation = explain(plain_study(20), Broken())
    assert "nothing here" in explanation.notes[0]
    assert explanation.prices


def test_pruned_networks_inform_the_model():
    study = plain_study(12)
    attributes = {"optnas:curve": [5.0, 4.0], "optnas:costs": {"macs": 9.0}}
    params = {"op": "a", "width": 3}
    study.add_trial(create_trial(state=TrialState.PRUNED, params=params, distributions=CHOICES, user_attrs=attributes))
    trained = read_trained(study)
    assert trained.stopped == ((params, {"macs": 9.0}, 4.0),)
    assert len(Foresight(trained, None, ["macs"]).errors._logs) == 13


def test_a_choice_that_is_always_the_same():
    choices = {"op": CategoricalDistribution(["a"])}
    networks = [({"op": "a"}, choices)] * 12
    study = additive.make_study(networks, [(0.1 * index, 1.0 + index) for index in range(12)])
    assert "they had no choice" in explain(study).notes[0]


def test_a_budget_that_no_network_met_to_the_end_of_its_training():
    study = additive.trained_study(30)
    least = min(trial.values[1] for trial in study.trials)
    explanation = explain(study, additive.Additive(), parse_constraints([f"macs<={least - 1:.0f}"]))
    assert f"No network within macs<={least - 1:.0f} was trained to the end." in explanation.sentences
