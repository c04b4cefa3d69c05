"""REINFORCE as a sampler: Optuna's own cases, what it learns, and that it is made again from storage alone."""

import os
import pickle
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, MultiObjectiveSamplerTestCase
from optuna.trial import BaseTrial, TrialState

from optnas.errors import UsageError
from optnas.sampler.history import History, read_history
from optnas.sampler.reinforce import ReinforceSampler


class TestOptunaCases(BasicSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return ReinforceSampler


def branching(trial: BaseTrial) -> tuple[float, float]:
    """A deeper network has more choices; its error falls with kernel and depth, its cost grows."""
    depth = trial.suggest_int("depth", 1, 3)
    kernels = [trial.suggest_categorical(f"kernel{i}", [3, 5, 7]) for i in range(depth)]
    return 1.0 / sum(kernels), float(sum(kernel**2 for kernel in kernels))


def bits(trial: BaseTrial) -> tuple[float, float]:
    """Twenty bits; the error falls with the first ten, the cost grows with all, so the front has eleven networks."""
    values = [trial.suggest_categorical(f"b{i:02}", [0, 1]) for i in range(20)]
    return 1 - sum(values[:10]) / 11, 1.0 + sum(values)


def study_of(sampler: BaseSampler, names: Sequence[str] = ("error", "macs"), **fields: Any) -> optuna.Study:
    study = optuna.create_study(directions=["minimize"] * len(names), sampler=sampler, **fields)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names(list(names))
    return study


def params_of(study: optuna.Study) -> list[dict[str, Any]]:
    return [trial.params for trial in study.trials]


def waste(study: optuna.Study) -> float:
    """How many bits were set in vain, on average of the latest 40 trials; 5 at random."""
    return float(np.mean([sum(trial.params[f"b{i:02}"] for i in range(10, 20)) for trial in study.trials[-40:]]))


@pytest.mark.slow
def test_it_learns_a_toy_problem() -> None:
    found = {}
    for name, sampler in (("reinforce", ReinforceSampler(bits)), ("random", RandomSampler(seed=0))):
        study = study_of(sampler)
        study.optimize(bits, n_trials=200)
        found[name] = waste(study)
    assert found["reinforce"] < found["random"] - 2


@pytest.mark.slow
@pytest.mark.parametrize("space", [bits, None])
@pytest.mark.parametrize("fitness", ["sum", "product"])
def test_both_fitnesses_with_and_without_a_space(space: Callable[[BaseTrial], object] | None, fitness: str) -> None:
    study = study_of(ReinforceSampler(space, fitness=fitness))
    study.optimize(bits, n_trials=200)
    assert waste(study) < 3.5
    # The whole front, not one place of it: from few bits to many.
    errors = [trial.values[0] for trial in study.trials[100:]]
    assert np.quantile(errors, 0.9) - np.quantile(errors, 0.1) > 0.25


@pytest.mark.slow
@pytest.mark.parametrize("directions", [["minimize"], ["maximize"]])
def test_one_objective(directions: list[str]) -> None:
    sign = 1 if directions == ["minimize"] else -1
    study = optuna.create_study(directions=directions, sampler=ReinforceSampler())
    study.optimize(lambda trial: sign * bits(trial)[1], n_trials=120)
    assert np.mean([sign * trial.values[0] for trial in study.trials[-20:]]) < 6  # 11 at random, 1 at best


def test_three_objectives_without_names_and_numbers_of_all_kinds() -> None:
    def objective(trial: optuna.Trial) -> tuple[float, float, float]:
        x, lr = trial.suggest_float("x", 0, 1), trial.suggest_float("lr", 1e-4, 1, log=True)
        width = trial.suggest_int("width", 1, 100)
        return x + width / 100, (1 - x) ** 2, abs(np.log10(lr) + 2)

    study = optuna.create_study(directions=["minimize"] * 3, sampler=ReinforceSampler())
    study.optimize(objective, n_trials=100)
    early, late = (np.mean([trial.values[2] for trial in study.trials[part]]) for part in (slice(8), slice(60, 100)))
    assert late < early


def test_the_first_trials_are_uniform() -> None:
    """A quarter of 8 times 20 bits and more would be 5 deviations from a half."""
    study = study_of(ReinforceSampler(bits))
    for _ in range(40):
        bits(study.ask())
    assert np.mean([list(params.values()) for params in params_of(study)]) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("space", [branching, None])
@pytest.mark.parametrize("finished", [4, 16])
def test_restart_proposes_the_same(space: Callable[[BaseTrial], object] | None, finished: int) -> None:
    def objective(trial: optuna.Trial) -> tuple[float, float]:
        values = branching(trial)
        trial.set_user_attr("optnas:curve", [0.9, values[0]])
        trial.set_user_attr("optnas:costs", {"macs": values[1]})
        trial.set_constraint("macs<=100", values[1] / 100 - 1)
        if trial.number % 3 == 1:
            raise optuna.TrialPruned
        return values

    whole, half, other = (study_of(ReinforceSampler(space, seed=seed)) for seed in (3, 3, 4))
    whole.optimize(objective, n_trials=finished + 8)
    half.add_trials(whole.trials[:finished])
    half.optimize(objective, n_trials=8)
    assert params_of(half) == params_of(whole)
    other.optimize(objective, n_trials=8)
    assert params_of(other) != params_of(whole)[:8]


def test_a_trial_that_ended_early_and_was_stored_late_is_learned_from_in_its_place() -> None:
    """Trial 2 runs while others end, as with parallel workers; then all is as if read at once."""
    study, copy = study_of(ReinforceSampler(bits, seed=1)), study_of(ReinforceSampler(bits, seed=1))
    study.optimize(bits, n_trials=12)
    late = study.trials[2]
    copy.add_trials([trial for trial in study.trials if trial.number != 2])
    copy.sampler._learned(copy, _history(copy))
    copy.add_trial(late)
    fresh = ReinforceSampler(bits, seed=1)
    one, other = (sampler._learned(copy, _history(copy)).controller.state_dict() for sampler in (copy.sampler, fresh))
    assert all(bool((one[name] == other[name]).all()) for name in other)


def _history(study: optuna.Study) -> History:
    return read_history(study, -1, {})


SCRIPT = """
import sys, time, optuna
sys.path.insert(0, {folder!r})
from test_reinforce import bits, study_of
from optnas.sampler.reinforce import ReinforceSampler
optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.load_study(study_name="s", storage={storage!r}, sampler=ReinforceSampler(bits, seed=5))
study.optimize(bits, n_trials=1000)
"""


@pytest.mark.slow
def test_after_a_kill_it_goes_on_as_if_nothing_had_been(tmp_path) -> None:
    whole = study_of(ReinforceSampler(bits, seed=5))
    whole.optimize(bits, n_trials=40)
    storage = f"sqlite:///{tmp_path}/killed.db"
    study = study_of(ReinforceSampler(bits, seed=5), storage=storage, study_name="s")
    script = SCRIPT.format(folder=os.path.dirname(__file__), storage=storage)
    process = subprocess.Popen([sys.executable, "-c", script])
    try:
        while process.poll() is None and len(study.get_trials(states=(TrialState.COMPLETE,))) < 14:
            time.sleep(0.05)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)  # the one that was running keeps its number, not its outcome
    survived = len(study.trials)
    finished = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    assert 14 <= len(finished) < 40
    for trial in finished:
        assert trial.params == whole.trials[trial.number].params
    study.optimize(bits, n_trials=6)
    again = study_of(ReinforceSampler(bits, seed=5))
    again.add_trials(study.trials[:survived])
    again.optimize(bits, n_trials=6)
    assert params_of(study)[survived:] == params_of(again)[survived:]


def test_enqueued_choices_are_kept_and_the_others_fit_them() -> None:
    study = study_of(ReinforceSampler(branching))
    study.optimize(branching, n_trials=12)
    study.enqueue_trial({"depth": 3, "kernel1": 5})
    study.optimize(branching, n_trials=1)
    params = study.trials[-1].params
    assert (params["depth"], params["kernel1"]) == (3, 5)
    assert set(params) == {"depth", "kernel0", "kernel1", "kernel2"}


def test_no_network_twice_with_threads_and_whatever_became_of_it() -> None:
    study = study_of(ReinforceSampler(branching))
    study.optimize(branching, n_trials=20, n_jobs=4)
    for number in range(10):  # of 3 + 9 + 27 networks
        trial = study.ask()
        branching(trial)
        if number % 3:
            study.tell(trial, state=TrialState.PRUNED if number % 3 == 1 else TrialState.FAIL)
    assert len({tuple(sorted(params.items())) for params in params_of(study)}) == 30


def test_networks_over_a_budget_are_drawn_again() -> None:
    """Half of the networks have at most ten bits set; of eight draws all are beyond in one of 256."""
    sampler = ReinforceSampler(
        bits, cost_of=lambda params: {"macs": sum(params.values())}, excess=lambda costs: costs["macs"] - 10
    )
    study = study_of(sampler)
    study.optimize(bits, n_trials=30)
    assert max(sum(params.values()) for params in params_of(study)) <= 10


@pytest.mark.slow
def test_refused_trials_lead_to_a_tight_budget() -> None:
    """Of random networks 0.6 % have at most 4 ones of 20: 6196 of 1048576."""

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        error, cost = bits(trial)
        trial.set_constraint("macs<=5", cost / 5 - 1)
        if cost > 5:
            raise optuna.TrialPruned
        return error, cost

    study = study_of(ReinforceSampler(bits))
    study.optimize(objective, n_trials=150)
    assert sum(trial.state == TrialState.COMPLETE for trial in study.trials) > 30


@pytest.mark.slow
def test_pruned_trials_teach_and_worthless_values_do_not() -> None:
    """One trial in five ends, one is not finite; the others leave the error they had reached."""

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        error, macs = bits(trial)
        trial.set_user_attr("optnas:costs", {"macs": macs})
        trial.set_user_attr("optnas:curve", [1.0, error])
        if trial.number % 5 == 1:
            return float("inf"), macs
        if trial.number % 5:
            raise optuna.TrialPruned
        return error, macs

    study = study_of(ReinforceSampler(bits))
    study.optimize(objective, n_trials=200)
    assert waste(study) < 3.5


def test_it_can_be_pickled() -> None:
    study = study_of(ReinforceSampler(branching, seed=2))
    study.optimize(branching, n_trials=12)
    copy = pickle.loads(pickle.dumps(study.sampler))
    trials = [study.ask() for _ in range(2)]
    plans = [sampler._plan(study, study.trials[trials[0].number]) for sampler in (study.sampler, copy)]
    assert plans[0] == plans[1]


def test_a_space_without_choices_and_one_that_refuses_go_on() -> None:
    def picky(trial: BaseTrial) -> tuple[float, float]:
        if trial.suggest_int("depth", 1, 3) == 2:
            raise optuna.TrialPruned("no network of depth 2")
        return branching(trial)

    study = study_of(ReinforceSampler(lambda trial: None))
    study.optimize(lambda trial: (1.0, 1.0), n_trials=12)
    study = study_of(ReinforceSampler(picky))
    study.optimize(picky, n_trials=25)
    assert sum(trial.state == TrialState.COMPLETE for trial in study.trials) >= 24


def test_unknown_fitness_is_refused() -> None:
    with pytest.raises(UsageError, match="expected sum or product, got 'ratio'"):
        ReinforceSampler(fitness="ratio")
