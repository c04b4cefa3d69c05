"""NSGA-II for networks: Optuna's own cases, the ranking by hand, and which trials become parents."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, MultiObjectiveSamplerTestCase
from optuna.trial import BaseTrial, FrozenTrial, TrialState, create_trial

from optnas.errors import UsageError
from optnas.sampler.nsga2 import NSGA2Sampler, crowding_distance, sparse_first, survivors

LETTERS = "abcdef"


class TestOptunaCases(BasicSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: NSGA2Sampler(population=5)


def flat(trial: BaseTrial) -> None:
    for i in range(8):
        trial.suggest_categorical(f"op{i}", list(LETTERS))


def branching(trial: BaseTrial) -> tuple[float, float]:
    """A deeper network has more choices; its error falls with kernel and depth, its cost grows."""
    depth = trial.suggest_int("depth", 1, 3)
    kernels = [trial.suggest_categorical(f"kernel{i}", [3, 5, 7]) for i in range(depth)]
    return 1.0 / sum(kernels), float(sum(kernel**2 for kernel in kernels))


def two_kinds(trial: BaseTrial) -> None:
    """Eight choices of six options in each of two branches."""
    kind = trial.suggest_categorical("kind", ["cell", "chain"])
    for i in range(8):
        trial.suggest_categorical(f"{kind}.op{i}", list(LETTERS))


def study_of(sampler: BaseSampler, names: Sequence[str] = ("error", "macs")) -> optuna.Study:
    study = optuna.create_study(directions=["minimize"] * len(names), sampler=sampler)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names(list(names))
    return study


def network(letter: str, prefix: str = "") -> dict[str, Any]:
    return {f"{prefix}op{i}": letter for i in range(8)}


def trial_of(params: dict[str, Any], values: Sequence[float] | None, **fields: Any) -> FrozenTrial:
    options = {name: ["cell", "chain"] if name == "kind" else list(LETTERS) for name in params}
    return create_trial(
        params=params,
        distributions={name: CategoricalDistribution(choices) for name, choices in options.items()},
        values=values,
        **{"state": TrialState.PRUNED if values is None else TrialState.COMPLETE} | fields,
    )


def pruned(params: dict[str, Any], error: float, costs: dict[str, float]) -> FrozenTrial:
    return trial_of(params, None, user_attrs={"optnas:curve": [0.9, error], "optnas:costs": costs})


def letters_of_children(study: optuna.Study, objective: Callable[[BaseTrial], object] = flat) -> dict[str, float]:
    """The share of each letter in 40 children, none of which has an outcome."""
    letters = []
    for _ in range(40):
        trial = study.ask()
        objective(trial)
        letters += [value for name, value in trial.params.items() if name != "kind"]
    return {letter: letters.count(letter) / len(letters) for letter in LETTERS}


def test_crowding_distance_by_hand() -> None:
    """Of the second: (2 - 0) / 4 along one axis and (4 - 1) / 4 along the other."""
    losses = np.array([[0.0, 4.0], [1.0, 2.0], [2.0, 1.0], [4.0, 0.0]])
    np.testing.assert_array_equal(crowding_distance(losses), [np.inf, 1.25, 1.25, np.inf])
    np.testing.assert_array_equal(crowding_distance(losses[:1]), [np.inf])
    assert crowding_distance(np.ones((4, 2)))[1:3].tolist() == [0.0, 0.0]


def test_survivors_come_by_constraints_then_rank() -> None:
    losses = np.array([[3.0, 3.0], [1.0, 2.0], [0.0, 0.0], [np.nan, np.nan], [2.0, 1.0], [2.0, 2.5]])
    violations = np.array([0.0, 0.0, 0.2, 0.1, 0.0, 0.0])
    order = survivors(losses, violations, 6)
    assert set(order[:2]) == {1, 4}
    assert order[2:].tolist() == [5, 0, 3, 2]
    assert survivors(losses, violations, 3).tolist() == order[:3].tolist()
    assert survivors(losses[:0], violations[:0], 3).tolist() == []


def test_neighbours_do_not_go_together() -> None:
    """On a line at 0, 2, 4.9, 5.1, 8, 10: with 4.9 gone 5.1 has most room, where distances of before, 2.9 + 0.2
    on either side, would drop both and leave a gap of 6."""
    line = np.array([0.0, 2.0, 4.9, 5.1, 8.0, 10.0])
    losses = np.column_stack([line, 10 - line])
    assert sorted(line[survivors(losses, np.zeros(6), 4)]) == [0.0, 2.0, 5.1, 10.0]


def test_single_objective_ranks_by_value() -> None:
    assert survivors(np.array([[3.0], [1.0], [2.0]]), np.zeros(3), 2).tolist() == [1, 2]


@pytest.mark.parametrize("space", [flat, None])
def test_imported_trials_are_parents_and_children_mix_them(space: Callable[[BaseTrial], None] | None) -> None:
    """One choice of eight is mutated on average, which brings one of the four other letters in four of five."""
    study = study_of(NSGA2Sampler(space, population=2))
    study.add_trials([trial_of(network("a"), [0.0, 1.0]), trial_of(network("b"), [1.0, 0.0])])
    share = letters_of_children(study)
    assert share["a"] > 0.3
    assert share["b"] > 0.3
    assert 0.02 < sum(share[letter] for letter in "cdef") < 0.2


@pytest.mark.parametrize("space", [two_kinds, None])
def test_conditional_choices_follow_the_parents(space: Callable[[BaseTrial], None] | None) -> None:
    """Optuna's NSGA-II would draw them, six letters evenly."""
    study = study_of(NSGA2Sampler(space, population=2))
    study.add_trials(
        [
            trial_of({"kind": "cell", **network("a", "cell.")}, [0.0, 1.0]),
            trial_of({"kind": "chain", **network("b", "chain.")}, [1.0, 0.0]),
        ]
    )
    share = letters_of_children(study, two_kinds)
    assert share["a"] + share["b"] > 0.75


def test_the_population_are_the_best_of_all_trials_not_the_latest() -> None:
    study = study_of(NSGA2Sampler(flat, population=2))
    study.add_trials([trial_of(network("a"), [0.0, 1.0]), trial_of(network("b"), [1.0, 0.0])])
    study.add_trials([trial_of(network(letter), [2.0, 2.0]) for letter in "cdef"])
    share = letters_of_children(study)
    assert share["a"] + share["b"] > 0.8


@pytest.mark.parametrize("names", ["metric names", "objectives", "none"])
def test_pruned_trials_are_parents_by_the_error_they_would_have_reached(names: str) -> None:
    """Others halved their errors from the second epoch on: a pruned 0.4 is a 0.2 at the end."""
    sampler = NSGA2Sampler(flat, population=2, objectives=("error", "macs") if names == "objectives" else None)
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
    if names == "metric names":
        study = study_of(sampler)
    curve = {"optnas:curve": [0.9, 0.6, 0.3]}
    study.add_trials(
        [
            trial_of(network("a"), [0.3, 1.0], user_attrs=curve),
            trial_of(network("c"), [0.3, 4.0], user_attrs=curve),
            pruned(network("b"), 0.4, {"macs": 3.0}),
        ]
    )
    share = letters_of_children(study)
    assert (share["b"] > share["c"]) == (names != "none")


def test_pruned_trials_without_the_costs_are_no_parents() -> None:
    study = study_of(NSGA2Sampler(flat, population=2))
    study.add_trials([trial_of(network("a"), [0.0, 1.0]), trial_of(network("c"), [1.0, 0.0])])
    study.add_trials([pruned(network("b"), 0.1, {"params": 1.0}), trial_of(network("d"), None)])
    share = letters_of_children(study)
    assert share["b"] + share["d"] < 0.2


def test_most_trials_pruned_does_not_starve_it() -> None:
    """Ones cost; one trial in five is trained to the end, the others leave the error they had reached."""

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        bits = [trial.suggest_categorical(f"b{i}", [0, 1]) for i in range(16)]
        macs, error = 1.0 + sum(bits[:8]), 1.0 + sum(bits[8:])
        trial.set_user_attr("optnas:costs", {"macs": macs})
        trial.set_user_attr("optnas:curve", [error + 1, error])
        if trial.number % 5:
            raise optuna.TrialPruned
        return error, macs

    best = {}
    for sampler in (NSGA2Sampler(population=10), RandomSampler(seed=0)):
        study = study_of(sampler)
        study.optimize(objective, n_trials=100)
        best[type(sampler)] = np.mean([sum(trial.params.values()) for trial in study.trials[60:]])
    assert best[NSGA2Sampler] < best[RandomSampler] - 3  # of 8, a standard deviation of 2


def test_refused_trials_lead_to_a_tight_budget() -> None:
    """Of random networks 0.6 % have at most 4 ones of 20: 6196 of 1048576."""

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        bits = [trial.suggest_categorical(f"b{i}", [0, 1]) for i in range(20)]
        trial.set_constraint("macs<=4", sum(bits) / 4 - 1)
        if sum(bits) > 4:
            raise optuna.TrialPruned
        return float(sum(bits[:10])), float(sum(bits[10:]))

    study = study_of(NSGA2Sampler(population=10))
    study.optimize(objective, n_trials=100)
    assert sum(trial.state == TrialState.COMPLETE for trial in study.trials) > 20


def test_no_network_twice_whatever_became_of_it() -> None:
    study = study_of(NSGA2Sampler(branching, population=5))
    for number in range(30):  # of 3 + 9 + 27 networks
        trial = study.ask()
        values = branching(trial)
        if number % 4 == 0:
            study.tell(trial, values)
        elif number % 4 < 3:
            study.tell(trial, state=TrialState.PRUNED if number % 4 == 1 else TrialState.FAIL)
    assert sum(trial.state == TrialState.RUNNING for trial in study.trials) == 7
    assert len({tuple(sorted(trial.params.items())) for trial in study.trials}) == 30
    for trial in study.trials:
        assert set(trial.params) == {"depth", *(f"kernel{i}" for i in range(trial.params["depth"]))}


@pytest.mark.parametrize("space", [branching, None])
@pytest.mark.parametrize("finished", [4, 13])
def test_restart_proposes_the_same(space: Callable[[BaseTrial], object] | None, finished: int) -> None:
    def objective(trial: optuna.Trial) -> tuple[float, float]:
        values = branching(trial)
        trial.set_user_attr("optnas:curve", [0.9, values[0]])
        trial.set_user_attr("optnas:costs", {"macs": values[1]})
        if trial.number % 3 == 1:
            raise optuna.TrialPruned
        return values

    whole, half, other = (study_of(NSGA2Sampler(space, population=6, seed=seed)) for seed in (3, 3, 4))
    whole.optimize(objective, n_trials=finished + 6)
    half.add_trials(whole.trials[:finished])
    half.optimize(objective, n_trials=6)
    assert [trial.params for trial in half.trials] == [trial.params for trial in whole.trials]
    other.optimize(objective, n_trials=6)
    assert [trial.params for trial in other.trials] != [trial.params for trial in whole.trials[:6]]


@pytest.mark.parametrize("finished", [2, 12])
def test_enqueued_choices_are_kept_and_the_others_fit_them(finished: int) -> None:
    study = study_of(NSGA2Sampler(branching, population=6))
    study.optimize(branching, n_trials=finished)
    study.enqueue_trial({"depth": 3, "kernel1": 5})
    study.optimize(branching, n_trials=1)
    params = study.trials[-1].params
    assert (params["depth"], params["kernel1"]) == (3, 5)
    assert set(params) == {"depth", "kernel0", "kernel1", "kernel2"}
    assert params not in [trial.params for trial in study.trials[:-1]]


def test_workers_that_propose_at_the_same_moment_get_different_networks() -> None:
    """Each with a sampler of its own, before any has stored a choice."""
    study = study_of(NSGA2Sampler(flat, population=4))
    study.add_trials([trial_of(network(letter), [i, -i]) for i, letter in enumerate("abcd")])
    trials = [study.ask() for _ in range(4)]
    plans = [NSGA2Sampler(flat, population=4)._plan(study, study.trials[trial.number]) for trial in trials]
    assert len({tuple(plan.items()) for plan in plans}) == 4


def test_threads_of_one_study_get_different_networks() -> None:
    study = study_of(NSGA2Sampler(branching, population=5))
    study.optimize(branching, n_trials=30, n_jobs=4)
    assert len({tuple(sorted(trial.params.items())) for trial in study.trials}) == 30


def test_maximised_accuracy_finds_what_minimised_error_finds() -> None:
    proposals = []
    for sign, direction in ((1.0, "minimize"), (-1.0, "maximize")):
        study = optuna.create_study(directions=[direction, "minimize"], sampler=NSGA2Sampler(branching, population=5))
        study.optimize(lambda trial, sign=sign: (sign * branching(trial)[0], branching(trial)[1]), n_trials=20)
        proposals.append([trial.params for trial in study.trials])
    assert proposals[0] == proposals[1]


def test_a_space_that_refuses_some_networks_is_explored_all_the_same() -> None:
    def picky(trial: BaseTrial) -> tuple[float, float]:
        if trial.suggest_int("depth", 1, 3) == 2:
            raise optuna.TrialPruned("no network of depth 2")
        return branching(trial)

    study = study_of(NSGA2Sampler(picky, population=5))
    study.optimize(picky, n_trials=25)
    refused = [trial for trial in study.trials if trial.state == TrialState.PRUNED]
    assert [trial.params for trial in refused] in ([], [{"depth": 2}])  # once was enough
    assert sum(trial.state == TrialState.COMPLETE for trial in study.trials) >= 24


def test_a_space_without_choices_goes_on() -> None:
    study = study_of(NSGA2Sampler(lambda trial: None, population=2))
    study.optimize(lambda trial: (1.0, 1.0), n_trials=4)
    assert len(study.trials) == 4


def test_three_objectives_and_floats() -> None:
    def objective(trial: optuna.Trial) -> tuple[float, float, float]:
        x, lr = trial.suggest_float("x", 0, 1), trial.suggest_float("lr", 1e-4, 1, log=True)
        return x, (1 - x) ** 2, abs(np.log10(lr) + 2)

    study = study_of(NSGA2Sampler(population=8), ["error", "macs", "latency_ms"])
    study.optimize(objective, n_trials=60)
    early, late = (np.median([trial.values[2] for trial in study.trials[part]]) for part in (slice(8), slice(30, 60)))
    assert late < early


def test_refuses_a_population_of_one() -> None:
    with pytest.raises(UsageError, match="population of at least 2, got 1"):
        NSGA2Sampler(population=1)


@pytest.mark.parametrize("kind", ["apart", "on a grid", "one value in an objective"])
@pytest.mark.parametrize("objectives", [2, 3])
def test_the_sparsest_of_a_rank_are_those_that_removal_one_by_one_leaves(kind: str, objectives: int) -> None:
    """Distances of all members computed anew after each removal, which takes quadratic time, give the same order."""
    generator = np.random.default_rng(objectives)
    for count in range(1, 40):
        losses = generator.random((count, objectives))
        if kind == "on a grid":
            losses = np.round(4 * losses)
        if kind == "one value in an objective":
            losses[:, 0] = 1.0
        left, removed = list(range(count)), []
        while left:
            removed.append(left.pop(int(np.argmin(crowding_distance(losses[left])))))
        assert sparse_first(losses, list(range(count))) == removed[::-1]
