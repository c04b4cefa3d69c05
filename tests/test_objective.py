import numpy as np
import optuna
import pytest
import toy
from optuna.trial import TrialState

from optnas.cost import parse_constraints
from optnas.errors import UsageError
from optnas.job import Job, run_job
from optnas.objective import Objective, Refused, Repeat
from optnas.prune import Pruner
from optnas.task import ImageTask


def ask(study, **params):
    study.enqueue_trial(params)
    return study.ask()


def test_a_plain_study_optimizes_it_and_keeps_what_optuna_has_no_place_for():
    objective = toy.objective()
    study = toy.study(objective, sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=5)
    for trial in study.trials:
        width, depth = trial.params["width"], trial.params["depth"]
        params = 5 * width + (depth - 1) * (width + 1) * width + 3 * (width + 1)
        assert trial.values == [1 / (1 + params), params]
        attributes = trial.user_attrs
        macs = 4 * width + (depth - 1) * width * width + 3 * width
        assert attributes["optnas:costs"] == {"params": params, "macs": macs}
        assert len(attributes["optnas:fingerprint"]) == 16
    seeds = {trial.user_attrs["optnas:seed"] for trial in study.trials if "optnas:seed" in trial.user_attrs}
    assert len(seeds) == sum("optnas:repeat_of" not in trial.user_attrs for trial in study.trials)


def test_over_budget_is_pruned_before_training_with_its_constraint_set(tmp_path):
    log = tmp_path / "trained"
    objective = toy.objective(task=toy.ToyTask(log=str(log)), constraints=parse_constraints(["params<=20"]))
    study = toy.study(objective)
    study.enqueue_trial({"width": 6, "depth": 6})
    study.enqueue_trial({"width": 1, "depth": 1})
    study.optimize(objective, n_trials=2)
    over, within = study.trials
    assert over.state == TrialState.PRUNED
    # 5*6 + 5*42 + 3*7 = 261 parameters.
    assert over.constraints == {"params<=20": (261 - 20) / 20}
    assert over.user_attrs["optnas:reason"] == "over budget: params is 261, allowed is params<=20"
    assert within.state == TrialState.COMPLETE
    assert within.constraints == {"params<=20": (11 - 20) / 20}
    assert len(log.read_text().split()) == 1


def test_every_trial_has_every_constraint_also_those_not_measured():
    objective = toy.objective(constraints=parse_constraints(["params<=20", "latency_ms<=1000"]))
    study = toy.study(objective)
    gate = objective.admit(ask(study, width=6, depth=6))
    assert isinstance(gate, Refused)
    assert "latency_ms" not in gate.costs
    assert set(study.trials[0].constraints) == {"params<=20", "latency_ms<=1000"}


def test_an_invalid_network_is_refused_with_the_reason():
    objective = toy.objective(toy.misfit_space, constraints=parse_constraints(["params<=1k"]))
    study = toy.study(objective)
    gate = objective.admit(ask(study, width=3))
    assert isinstance(gate, Refused)
    assert gate.reason.startswith("invalid network: RuntimeError: mat1 and mat2 shapes cannot be multiplied")
    assert study.trials[0].constraints == {"params<=1000": 1.0}  # never feasible, whatever its parameters


def test_an_output_of_the_wrong_shape_is_refused():
    class Wide(toy.ToyTask):
        num_classes = 7

    gate = toy.objective(task=Wide()).admit(ask(toy.study(toy.objective()), width=1, depth=1))
    assert isinstance(gate, Refused)
    assert "expected an output of shape (1, 7), got (1, 3)" in gate.reason


def test_the_same_network_under_another_name_is_told_what_is_known(tmp_path):
    log = tmp_path / "trained"
    objective = toy.objective(toy.twofold_space, toy.ToyTask(log=str(log)))
    study = toy.study(objective)
    for name in ("a", "b", "a"):
        study.enqueue_trial({"name": name, "width": 2})
    study.optimize(objective, n_trials=3)
    assert [trial.values for trial in study.trials] == [study.trials[0].values] * 3
    assert [trial.user_attrs.get("optnas:repeat_of") for trial in study.trials] == [None, 0, 0]
    assert len(log.read_text().split()) == 1


def test_the_same_network_with_another_learning_rate_is_no_repeat():
    def build(trial):
        return toy.nn.Sequential(toy.nn.Flatten(), toy.nn.Linear(64, 10))

    objective = Objective(build, ImageTask("digits", tune=("lr",)), ("params",), objectives=("error", "params"))
    study = toy.study(objective)
    first = study.ask()
    gate = objective.admit(first)
    assert isinstance(gate, Job)
    assert gate.task.settings.lr == first.params["train.lr"]
    study.tell(first, [0.1, 650.0])
    assert isinstance(objective.admit(ask(study, **{"train.lr": first.params["train.lr"] * 1.01})), Job)
    assert isinstance(objective.admit(ask(study, **first.params)), Repeat)


def test_a_job_is_a_function_of_itself():
    def build(trial):
        width = trial.suggest_int("width", 4, 8)
        return toy.nn.Sequential(toy.nn.Flatten(), toy.nn.Linear(64, width), toy.nn.ReLU(), toy.nn.Linear(width, 10))

    objective = Objective(build, ImageTask("digits", epochs=1), ("params",), objectives=("error", "params"))
    job = objective.admit(toy.study(objective).ask())
    assert run_job(job).curve == run_job(job).curve


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        (("error", "speed"), "unknown objective 'speed'"),
        (("macs",), "expected 'error' and costs, each once, got 'macs'"),
        (("error", "macs", "macs"), "each once"),
        (("error", "mac"), "did you mean macs?"),
    ],
)
def test_objectives_are_checked(objectives, message):
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        toy.objective(objectives=objectives)


def test_a_space_that_returns_no_module_is_refused():
    objective = toy.objective(lambda trial: "net")
    with pytest.raises(UsageError, match=r"must return a torch\.nn\.Module, got str"):
        objective.admit(toy.study(objective).ask())


class StopAt(Pruner):
    """Stops networks of more than a number of parameters after the first epoch."""

    def thresholds(self, costs, finished):
        return np.array([0.5 if costs["params"] > 50 else np.inf, np.inf])


def test_a_network_that_the_pruner_stops_is_pruned_with_its_curve_reason_and_bound():
    objective = toy.objective(pruner=StopAt())
    study = toy.study(objective)
    study.enqueue_trial({"width": 6, "depth": 6})
    study.enqueue_trial({"width": 1, "depth": 1})
    study.optimize(objective, n_trials=2)
    stopped, trained = study.trials
    assert stopped.state == TrialState.PRUNED
    assert stopped.user_attrs["optnas:curve"] == [0.9]
    assert stopped.user_attrs["optnas:pruned_epoch"] == 1
    assert stopped.user_attrs["optnas:pruned_bound"] == 0.5
    assert "above the bound 50.00%" in stopped.user_attrs["optnas:reason"]
    assert stopped.intermediate_values == {}
    assert trained.state == TrialState.COMPLETE
    assert len(trained.user_attrs["optnas:curve"]) == 2


def test_an_audited_trial_is_trained_to_the_end_and_remembers_that_it_would_have_been_stopped():
    objective = toy.objective(pruner=StopAt(), audit=1.0)
    study = toy.study(objective)
    study.enqueue_trial({"width": 6, "depth": 6})
    study.optimize(objective, n_trials=1)
    (trial,) = study.trials
    assert trial.state == TrialState.COMPLETE
    assert len(trial.user_attrs["optnas:curve"]) == 2
    assert trial.user_attrs["optnas:pruned_epoch"] == 1


def test_a_repeat_of_a_pruned_network_is_pruned_without_training(tmp_path):
    log = tmp_path / "trained"
    objective = toy.objective(task=toy.ToyTask(log=str(log)), pruner=StopAt())
    study = toy.study(objective)
    for _ in range(2):
        study.enqueue_trial({"width": 6, "depth": 6})
    study.optimize(objective, n_trials=2)
    assert [trial.state for trial in study.trials] == [TrialState.PRUNED] * 2
    assert study.trials[1].user_attrs["optnas:repeat_of"] == 0
    assert "optnas:curve" not in study.trials[1].user_attrs
    assert len(log.read_text().split()) == 1
