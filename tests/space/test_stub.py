import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from optnas.errors import UsageError
from optnas.space import (
    RandomTrial,
    ReplayTrial,
    choose,
    crossover,
    enumerate_space,
    mutate,
    options_of,
    sample,
)


def conditional(trial):
    """2 * 3 networks with a, 1 with b."""
    if trial.suggest_categorical("kind", ["a", "b"]) == "a":
        trial.suggest_int("width", 8, 16, step=8)
        trial.suggest_categorical("op", ["x", "y", "z"])


def test_a_random_trial_draws_every_option_evenly():
    counts = {}
    generator = np.random.default_rng(0)
    for _ in range(3000):
        kind = sample(conditional, generator)["kind"]
        counts[kind] = counts.get(kind, 0) + 1
    assert abs(counts["a"] - 1500) < 4 * (3000 * 0.25) ** 0.5


def test_log_draws_are_uniform_in_the_logarithm():
    generator = np.random.default_rng(0)
    drawn = [sample(lambda trial: trial.suggest_float("x", 1e-4, 1.0, log=True), generator)["x"] for _ in range(2000)]
    below = sum(value < 1e-2 for value in drawn)
    assert abs(below - 1000) < 4 * (2000 * 0.25) ** 0.5
    ints = [sample(lambda trial: trial.suggest_int("n", 1, 100, log=True), generator)["n"] for _ in range(500)]
    assert min(ints) == 1
    assert max(ints) <= 100


def test_asking_twice_gives_the_same_and_another_distribution_is_refused():
    trial = RandomTrial(np.random.default_rng(0))
    assert trial.suggest_int("n", 0, 1000) == trial.suggest_int("n", 0, 1000)
    with pytest.raises(ValueError, match="'n' was asked with"):
        trial.suggest_int("n", 0, 10)


def test_enumeration_follows_conditional_choices():
    found = list(enumerate_space(conditional))
    assert len(found) == 2 * 3 + 1
    assert len({tuple(sorted(choices.items())) for choices in found}) == 7
    assert {"kind": "b"} in found


def test_enumeration_refuses_a_continuous_choice():
    with pytest.raises(UsageError, match="'lr' is continuous"):
        list(enumerate_space(lambda trial: trial.suggest_float("lr", 0, 1)))


def test_options():
    assert options_of(IntDistribution(1, 7, step=3)) == [1, 4, 7]
    assert options_of(FloatDistribution(0.0, 1.0, step=0.5)) == [0.0, 0.5, 1.0]
    assert options_of(FloatDistribution(0.0, 1.0)) is None


def test_replay_refuses_choices_of_another_space():
    with pytest.raises(UsageError, match="asks for 'kind'"):
        conditional(ReplayTrial({"op": "x"}))
    with pytest.raises(UsageError, match="'kind' is 'c'"):
        conditional(ReplayTrial({"kind": "c"}))


def test_mutation_changes_one_choice_and_what_depends_on_it():
    generator = np.random.default_rng(0)
    parent = {"kind": "a", "width": 8, "op": "x"}
    for _ in range(50):
        child = mutate(conditional, parent, generator)
        if child["kind"] == "b":
            assert child == {"kind": "b"}
        else:
            assert sum(child[name] != parent[name] for name in parent) == 1
    children = [mutate(conditional, {"kind": "b"}, generator) for _ in range(20)]
    assert {child["op"] for child in children} == {"x", "y", "z"}  # newly active: drawn


def test_mutation_where_nothing_can_change_gives_the_parent():
    def single(trial):
        trial.suggest_categorical("only", ["one"])

    assert mutate(single, {"only": "one"}, np.random.default_rng(0)) == {"only": "one"}


def test_crossover_takes_every_choice_from_a_parent():
    generator = np.random.default_rng(0)
    mother, father = {"kind": "a", "width": 8, "op": "x"}, {"kind": "a", "width": 16, "op": "y"}
    children = [crossover(conditional, mother, father, generator) for _ in range(40)]
    assert all(child["width"] in (8, 16) and child["op"] in ("x", "y") for child in children)
    assert {(child["width"], child["op"]) for child in children} == {(8, "x"), (8, "y"), (16, "x"), (16, "y")}
    other = [crossover(conditional, mother, {"kind": "b"}, generator) for _ in range(20)]
    assert all(child in ({"kind": "b"}, mother) for child in other)


def test_choose_builds_only_what_is_chosen():
    built = []
    options = {name: (lambda name=name: built.append(name)) for name in ("p", "q")}
    choose(ReplayTrial({"op": "q"}), "op", options)
    assert built == ["q"]
    with pytest.raises(UsageError, match="got no option"):
        choose(ReplayTrial({}), "op", {})


def test_a_stub_asks_as_optuna_does():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trial = study.ask()
    conditional(trial)
    stub = ReplayTrial(trial.params)
    conditional(stub)
    assert stub.params == trial.params
    assert stub.distributions == trial.distributions
