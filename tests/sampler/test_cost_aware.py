"""The cost-aware sampler: Optuna's own cases, then what it promises of costs, limits, repeats and restarts."""

import pickle
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import moocore
import numpy as np
import optuna
import pytest
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
)
from optuna.trial import BaseTrial, FrozenTrial, TrialState, create_trial

from optnas.errors import UsageError
from optnas.sampler.candidates import Catalogue
from optnas.sampler.cost_aware import CostAwareSampler
from optnas.sampler.history import read_history
from optnas.sampler.judge import Judge
from optnas.space import sample

pytestmark = pytest.mark.slow  # seconds each: a surrogate is fitted for every proposal

NAMES = ["error", "macs"]
KERNELS = (1, 3, 5, 7)
OPS = ("skip", "small", "large", "huge")


class TestOptunaCases(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: CostAwareSampler(lambda params: {}, startup=3, candidates=32)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


def tower(trial: BaseTrial) -> None:
    """1 to 3 blocks, each with a kernel, and with a width if the kernel is 3: 4 + 3 = 7 options of a block."""
    for block in range(trial.suggest_int("depth", 1, 3)):
        if trial.suggest_categorical(f"kernel{block}", KERNELS) == 3:
            trial.suggest_int(f"width{block}", 8, 32, step=8)


def tower_cost(params: Mapping[str, Any]) -> dict[str, float]:
    kernels = [params[f"kernel{block}"] for block in range(params["depth"])]
    widths = [params.get(f"width{block}", 16) for block in range(params["depth"])]
    return {"macs": float(sum(k * k * w for k, w in zip(kernels, widths, strict=True)))}


def tower_error(params: Mapping[str, Any]) -> float:
    odd = sum(params[f"kernel{block}"] == 5 for block in range(params["depth"]))
    return float(1.0 / (1.0 + np.log1p(tower_cost(params)["macs"])) + 0.05 / (1 + odd))


def tower_study(sampler: BaseSampler) -> optuna.Study:
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names(NAMES)
    return study


def train(trial: optuna.Trial) -> tuple[float, float]:
    tower(trial)
    return tower_error(trial.params), tower_cost(trial.params)["macs"]


def key(trial: BaseTrial | FrozenTrial) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(trial.params.items()))


def make(**settings: Any) -> CostAwareSampler:
    return CostAwareSampler(tower_cost, **{"space": tower, "startup": 6, "candidates": 64} | settings)


def many(trial: BaseTrial) -> None:
    """Four billion networks."""
    for i in range(16):
        trial.suggest_categorical(f"op{i}", OPS)


def many_cost(params: Mapping[str, Any]) -> dict[str, float]:
    return {"macs": float(sum({"skip": 0, "small": 1, "large": 3, "huge": 9}[value] for value in params.values()))}


def many_error(params: Mapping[str, Any]) -> float:
    return float(sum({"skip": 1.0, "small": 0.5, "large": 0.4, "huge": 0.35}[value] for value in params.values()) / 16)


def test_no_network_twice_until_there_is_no_other() -> None:
    networks = [{"a": a, "b": b} for a, b in product("xyz", "uvw")]
    costs = {"x": 1.0, "y": 2.0, "z": 3.0, "u": 1.0, "v": 4.0, "w": 9.0}
    sampler = CostAwareSampler(lambda p: {"macs": costs[p["a"]] + costs[p["b"]]}, networks=networks, startup=3)
    study = tower_study(sampler)

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        cost = costs[trial.suggest_categorical("a", "xyz")] + costs[trial.suggest_categorical("b", "uvw")]
        return 1.0 / cost, cost

    study.optimize(objective, n_trials=9)
    assert len({key(trial) for trial in study.trials}) == 9
    study.optimize(objective, n_trials=1)
    assert key(study.trials[-1]) in {key(trial) for trial in study.trials[:9]}


def test_conditional_space_gets_whole_networks_and_no_repeats() -> None:
    study = tower_study(make())
    study.optimize(train, n_trials=30)
    for trial in study.trials:
        blocks = range(trial.params["depth"])
        wide = {f"width{block}" for block in blocks if trial.params[f"kernel{block}"] == 3}
        assert set(trial.params) == {"depth", *(f"kernel{block}" for block in blocks)} | wide
    assert len({key(trial) for trial in study.trials}) == 30


def test_finds_the_front_of_a_large_space_sooner_than_chance() -> None:
    aware = tower_study(CostAwareSampler(many_cost, space=many, startup=8, candidates=128))
    chance = tower_study(optuna.samplers.RandomSampler(seed=0))
    shares = []
    for study in (aware, chance):
        for _ in range(30):
            trial = study.ask()
            many(trial)
            study.tell(trial, [many_error(trial.params), many_cost(trial.params)["macs"]])
        values = np.array([trial.values for trial in study.trials])
        shares.append(_dominated(values / [1.0, 144.0]))
    assert shares[0] > shares[1] + 0.1


def _dominated(values: np.ndarray) -> float:
    """The hypervolume below (1, 1)."""
    order = values[np.argsort(values[:, 1])]
    best = np.minimum.accumulate(order[:, 0])
    widths = np.diff(np.append(order[:, 1], 1.0))
    return float(((1.0 - best) * widths).sum())


@pytest.mark.parametrize("finished", [3, 20])
def test_restart_proposes_the_same(finished: int) -> None:
    whole = tower_study(make(seed=5))
    whole.optimize(train, n_trials=finished + 3)
    half = tower_study(make(seed=5))
    half.add_trials(whole.trials[:finished])
    half.optimize(train, n_trials=3)
    assert [trial.params for trial in half.trials] == [trial.params for trial in whole.trials]


def test_another_seed_proposes_others() -> None:
    studies = [tower_study(make(seed=seed)) for seed in (0, 1)]
    for study in studies:
        study.optimize(train, n_trials=6)
    assert [key(trial) for trial in studies[0].trials] != [key(trial) for trial in studies[1].trials]


def test_no_proposal_is_beyond_the_limits() -> None:
    study = tower_study(make(excess=lambda costs: costs["macs"] - 300))
    study.optimize(train, n_trials=25)
    assert max(trial.values[1] for trial in study.trials) <= 300


def test_limits_that_one_network_in_thousands_meets() -> None:
    sampler = CostAwareSampler(many_cost, space=many, startup=4, candidates=64, excess=lambda costs: costs["macs"] - 20)
    study = tower_study(sampler)
    for _ in range(8):
        trial = study.ask()
        many(trial)
        study.tell(trial, [many_error(trial.params), many_cost(trial.params)["macs"]])
    assert max(trial.values[1] for trial in study.trials) <= 20


def test_limits_that_no_network_meets_are_refused() -> None:
    study = tower_study(make(excess=lambda costs: 1.0))
    with pytest.raises(UsageError, match="networks within the limits, got none"):
        study.optimize(train, n_trials=1)


def test_networks_that_cannot_be_built_are_never_proposed() -> None:
    def cost_of(params: Mapping[str, Any]) -> dict[str, float] | None:
        return tower_cost(params) if params["depth"] < 3 else None

    study = tower_study(CostAwareSampler(cost_of, space=tower, startup=6, candidates=64))
    study.optimize(train, n_trials=15)
    assert {trial.params["depth"] for trial in study.trials} == {1, 2}


def test_first_trainings_are_spread_over_the_costs() -> None:
    networks = [{"n": n} for n in range(100)]
    study = tower_study(CostAwareSampler(lambda p: {"macs": float(p["n"])}, networks=networks, startup=10))
    study.optimize(lambda t: (1.0, float(t.suggest_int("n", 0, 99))), n_trials=10)
    # One of each ten; the tenths shift by at most the few that are gone.
    ranks = sorted(trial.params["n"] for trial in study.trials)
    assert all(abs(rank - (10 * i + 4.5)) < 7 for i, rank in enumerate(ranks))


def test_parallel_workers_get_different_networks() -> None:
    study = tower_study(make())
    study.optimize(train, n_trials=12)
    pending = [study.ask() for _ in range(6)]
    for trial in pending:
        tower(trial)
    assert len({key(trial) for trial in pending}) == 6


def test_workers_that_propose_at_the_same_moment_get_different_networks() -> None:
    """Each with a sampler of its own, before any has stored a choice."""
    study = tower_study(make())
    study.optimize(train, n_trials=12)
    trials = [study.ask() for _ in range(3)]
    plans = []
    for trial in trials:
        sampler = make()
        plan = sampler._planned(study, study.trials[trial.number])
        plans.append(tuple(sorted(plan.items())))
    assert len(set(plans)) == 3


def test_a_worker_that_died_before_its_first_choice_costs_nothing() -> None:
    study, other = tower_study(make()), tower_study(make())
    study.optimize(train, n_trials=12)
    other.add_trials(study.trials)
    for kept in (study, other):
        if kept is other:
            kept.ask()  # never says what
        else:
            kept.add_trial(create_trial(state=TrialState.FAIL))
        kept.add_trial(create_trial(state=TrialState.FAIL))
    proposals = []
    for kept in (study, other):
        trial = kept.ask()
        tower(trial)
        proposals.append(trial.params)
    assert proposals[0] == proposals[1]


def test_pruned_and_failed_trials_are_not_repeated() -> None:
    study = tower_study(make())
    for number in range(24):
        trial = study.ask()
        values = train(trial)
        if number % 3 == 0:
            study.tell(trial, values)
        else:
            study.tell(trial, state=TrialState.PRUNED if number % 3 == 1 else TrialState.FAIL)
    assert len({key(trial) for trial in study.trials}) == 24


@pytest.mark.parametrize("state", [TrialState.PRUNED, TrialState.FAIL])
def test_only_a_pruned_trial_with_a_curve_informs(state: TrialState) -> None:
    """Networks with a >= 6 stopped at a bad error: the next such one falls behind one that is as cheap."""
    networks = [{"a": a, "b": b} for a, b in product(range(8), range(8))]
    options = {name: optuna.distributions.IntDistribution(0, 7) for name in "ab"}

    def rank(curve: list[float]) -> int:
        study = tower_study(optuna.samplers.RandomSampler())
        for a, b in [(0, 0), (1, 3), (2, 6), (3, 5), (4, 1), (5, 2)]:
            study.add_trial(
                create_trial(params={"a": a, "b": b}, distributions=options, values=[0.5 - 0.05 * a, 1.0 + b])
            )
        for a, b in [(6, 0), (7, 2), (6, 4), (7, 6)]:
            attributes = {"optnas:curve": curve} if curve else {}
            study.add_trial(
                create_trial(params={"a": a, "b": b}, distributions=options, state=state, user_attrs=attributes)
            )
        catalogue = Catalogue(networks, lambda p: (np.array([1.0 + p["b"]]), True), 1, options)
        history = read_history(study, 99, {})
        partly = np.column_stack([history.last_errors, np.full(len(history.stopped), np.nan)])
        stopped = [trial.params for trial in history.stopped]
        judge = Judge(catalogue, history, (stopped, partly), {1: 0}, np.ones(2), learned=0, startup=4)
        return int(np.flatnonzero(judge.best(catalogue.first) == networks.index({"a": 7, "b": 1}))[0])

    difference = rank([0.9, 0.9]) - rank([])
    assert difference > 5 if state == TrialState.PRUNED else difference == 0


def test_the_last_error_of_a_curve_is_extended_by_what_others_still_gained() -> None:
    """The finished ones halved, and lost a tenth, from epoch 2 to the end: the median factor is 0.7."""
    study = optuna.create_study()
    for curve in ([0.9, 0.8, 0.4], [0.9, 0.5, 0.45]):
        study.add_trial(create_trial(value=curve[-1], user_attrs={"optnas:curve": curve}))
    study.add_trial(create_trial(state=TrialState.PRUNED, user_attrs={"optnas:curve": [0.9, 0.6]}))
    study.add_trial(create_trial(state=TrialState.PRUNED))
    np.testing.assert_allclose(read_history(study, 99, {}).last_errors, [0.42])


def test_enqueued_params_are_kept_and_completed() -> None:
    study = tower_study(make())
    study.optimize(train, n_trials=8)
    study.enqueue_trial({"depth": 2})
    trial = study.ask()
    tower(trial)
    assert trial.params["depth"] == 2


def test_maximised_accuracy_finds_what_minimised_error_finds() -> None:
    proposals = []
    for sign, direction in ((1.0, "minimize"), (-1.0, "maximize")):
        study = optuna.create_study(directions=[direction, "minimize"], sampler=make(objectives=["quality", "macs"]))
        study.optimize(lambda trial, sign=sign: (sign * train(trial)[0], train(trial)[1]), n_trials=14)
        proposals.append([trial.params for trial in study.trials])
    assert proposals[0] == proposals[1]


def test_single_objective_without_costs() -> None:
    study = optuna.create_study(sampler=CostAwareSampler(lambda params: {}, space=many, startup=6, candidates=64))
    for _ in range(25):
        trial = study.ask()
        many(trial)
        study.tell(trial, many_error(trial.params))
    chance = np.mean([1.0, 0.5, 0.4, 0.35])
    assert study.best_value < chance - 0.1


def test_costs_that_are_no_objective_are_refused() -> None:
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=make())
    with pytest.raises(UsageError, match="expected the names of the study's values, to know which of them are costs"):
        study.optimize(train, n_trials=1)


def test_a_cost_that_is_measured_is_learned_from_trials_without_values() -> None:
    """The latency is an objective that is not known beforehand; refused and pruned trials tell theirs too."""

    def latency(params: Mapping[str, Any]) -> float:
        return 1.0 + sum(value == "large" for value in params.values())

    def hypervolume_after(attributes: bool) -> float:
        sampler = CostAwareSampler(
            many_cost, space=many, startup=4, candidates=64, objectives=["error", "latency_ms"], seed=1
        )
        study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
        told = []
        for number in range(26):
            trial = study.ask()
            many(trial)
            if attributes:
                trial.set_user_attr("optnas:costs", {"latency_ms": latency(trial.params)})
            if number % 2:
                trial.set_constraint("c", 1.0)
                study.tell(trial, state=TrialState.PRUNED)
                continue
            told.append([many_error(trial.params), latency(trial.params)])
            study.tell(trial, told[-1])
        return float(moocore.hypervolume(np.array(told), ref=[1.0, 17.0]))

    assert hypervolume_after(attributes=True) > hypervolume_after(attributes=False)


def test_the_error_of_what_is_foreseen_is_said() -> None:
    """The latency is twice the MACs, give or take 5 %: nobody can foresee it better than that."""
    generator = np.random.default_rng(0)
    sampler = CostAwareSampler(many_cost, space=many, objectives=["error", "latency_ms"], candidates=64)
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
    assert sampler.foresight(study, "latency_ms") is None
    for _ in range(60):
        params = sample(many, generator)
        measured = 2 * many_cost(params)["macs"] * float(np.exp(generator.normal(0, 0.05)))
        study.add_trial(
            create_trial(
                params=params,
                distributions={name: optuna.distributions.CategoricalDistribution(OPS) for name in params},
                state=TrialState.PRUNED,
                user_attrs={"optnas:costs": {"latency_ms": measured}},
            )
        )
    assert sampler.foresight(study, "latency_ms") == pytest.approx(0.055, abs=0.02)


def slow_where_wide(params: Mapping[str, Any]) -> float:
    """A latency that the MACs say nothing of."""
    return 1.0 + sum(value == "large" for value in params.values())


def surveyed(params: Mapping[str, Any]) -> dict[str, Any]:
    latency_ms = slow_where_wide(params)
    return {"params": dict(params), "costs": {"latency_ms": latency_ms}, "constraints": {"c": latency_ms - 4.5}}


def keep(study: optuna.Study, networks: list[dict[str, Any]]) -> None:
    study._storage.set_study_system_attr(study._study_id, "optnas:surveyed", networks)


def test_networks_measured_before_the_first_trial_tell_of_a_measured_cost() -> None:
    """After as many trainings the front is larger if 24 networks were timed before."""

    def hypervolume_after(timed: int, seed: int) -> float:
        sampler = CostAwareSampler(
            many_cost, space=many, startup=4, candidates=64, objectives=["error", "latency_ms"], seed=seed
        )
        study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
        study._storage.set_study_system_attr(
            study._study_id, "optnas:surveyed", [surveyed(params) for params in sampler.spread(study, timed)]
        )
        for _ in range(16):
            trial = study.ask()
            many(trial)
            study.tell(trial, [many_error(trial.params), slow_where_wide(trial.params)])
        return float(moocore.hypervolume(np.array([trial.values for trial in study.trials]), ref=[1.0, 17.0]))

    gains = [hypervolume_after(24, seed) - hypervolume_after(1, seed) for seed in range(3)]
    assert np.median(gains) > 0


def test_networks_measured_before_tell_of_limits_from_the_first_trial() -> None:
    """Nearly all random networks break the limit; of the first trials that are spread at random nearly none does."""
    networks = [{f"op{i}": op for i, op in enumerate(row)} for row in product(OPS, repeat=6)]
    beyond = np.mean([slow_where_wide(network) > 2 for network in networks])

    def broken_by(timed: Sequence[int]) -> int:
        sampler = CostAwareSampler(many_cost, networks=networks, startup=12, objectives=["error", "macs"])
        study = tower_study(sampler)
        drawn = [surveyed(networks[place]) for place in timed]
        for one in drawn:
            one["constraints"] = {"c": one["costs"]["latency_ms"] - 2}
        keep(study, drawn)
        count = 0
        for _ in range(12):
            trial = study.ask()
            for i in range(6):
                trial.suggest_categorical(f"op{i}", OPS)
            count += slow_where_wide(trial.params) > 2
            trial.set_constraint("c", slow_where_wide(trial.params) - 2)
            study.tell(trial, [many_error(trial.params), many_cost(trial.params)["macs"]])
        return count

    assert beyond > 0.4
    assert broken_by(np.random.default_rng(0).choice(len(networks), 60, replace=False)) < broken_by([]) / 2


def test_what_is_looked_at_first_is_spread_over_what_may_be_proposed() -> None:
    sampler = make(excess=lambda costs: costs["macs"] - 1500)
    costs = [tower_cost(params)["macs"] for params in sampler.spread(tower_study(sampler), 8)]
    assert len(costs) == 8
    assert max(costs) <= 1500
    assert min(costs) < 0.2 * max(costs)
    assert costs != sorted(costs)  # who runs out of time has seen more than the least ones
    strict = make(excess=lambda costs: 1.0)
    assert strict.spread(tower_study(strict), 8) == []


def test_costs_for_all_objectives_are_refused() -> None:
    study = optuna.create_study(sampler=make(objectives=["macs"]))
    with pytest.raises(UsageError, match="got costs for all of macs"):
        study.optimize(lambda trial: train(trial)[0], n_trials=1)


def test_less_and_less_is_expected_to_be_gained() -> None:
    sampler = make()
    study = tower_study(sampler)
    expected = []
    for _ in range(30):
        expected.append(sampler.expected_gain(study))
        study.optimize(train, n_trials=1)
    assert expected[:6] == [None] * 6
    assert all(gain is not None and 0 <= gain < 1 for gain in expected[6:])
    assert max(expected[-3:]) < 0.2 * max(expected[6:9])
    # It asks, and leaves no trace in the study.
    undisturbed = tower_study(make())
    undisturbed.optimize(train, n_trials=30)
    assert [key(trial) for trial in study.trials] == [key(trial) for trial in undisturbed.trials]


@pytest.mark.parametrize(
    "settings", [{"networks": [{"depth": 1}]}, {"space": None, "networks": []}, {"startup": 1}, {"candidates": 3}]
)
def test_bad_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="cost-aware sampler: expected"):
        make(**settings)


def test_plain_optuna_learns_the_choices_from_the_trials() -> None:
    sampler = CostAwareSampler(lambda p: {"macs": p["x"] ** 2 + p["y"]}, startup=3, candidates=64)
    study = tower_study(sampler)

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_int("y", 1, 8, log=True)
        return (x - 0.7) ** 2 + 1 / y, x**2 + y

    study.optimize(objective, n_trials=15)
    assert len({key(trial) for trial in study.trials}) == 15


def test_a_sampler_that_has_proposed_can_be_pickled() -> None:
    sampler = make()
    study = tower_study(sampler)
    study.optimize(train, n_trials=8)
    again = pickle.loads(pickle.dumps(sampler))
    other = optuna.create_study(directions=["minimize"] * 2, sampler=again)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        other.set_metric_names(NAMES)
    other.add_trials(study.trials)
    for one in (study, other):
        one.optimize(train, n_trials=1)
    assert key(other.trials[8]) == key(study.trials[8])


def test_networks_without_finite_costs_are_never_proposed() -> None:
    networks = [{"n": n} for n in range(30)]
    sampler = CostAwareSampler(
        lambda p: {"macs": float("nan") if p["n"] % 3 else float(p["n"])}, networks=networks, objectives=NAMES
    )
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
    study.optimize(lambda t: (1 / (1 + t.suggest_int("n", 0, 29)), float(t.params["n"])), n_trials=9)
    assert all(trial.params["n"] % 3 == 0 for trial in study.trials)


def test_trials_outside_the_networks_do_not_count_as_known() -> None:
    networks = [{"n": n} for n in range(30)]
    sampler = CostAwareSampler(
        lambda p: {"macs": float(p["n"])} if p["n"] < 30 else None, networks=networks, objectives=NAMES
    )
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
    for n in range(30, 38):
        study.enqueue_trial({"n": n})
    study.optimize(lambda t: (1 / (1 + t.suggest_int("n", 0, 40)), float(t.params["n"])), n_trials=16)
    assert all(trial.params["n"] < 30 for trial in study.trials[8:])
    assert sampler.foresight(study, "latency_ms") is None


def test_what_is_to_be_gained_is_not_known_of_a_study_without_trials_and_space() -> None:
    sampler = CostAwareSampler(lambda params: {"macs": float(params["depth"])}, startup=3)
    assert sampler.expected_gain(tower_study(sampler)) is None
