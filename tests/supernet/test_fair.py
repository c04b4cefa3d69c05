"""Fair paths: every option as often as any other, within the budget, near a network where that is asked."""

from collections import Counter

import numpy as np
import pytest

from optnas.supernet import FairPaths, largest_like


def space(trial):
    kind = trial.suggest_categorical("kind", ["a", "b", "c"])
    width = trial.suggest_int("width", 1, 4)
    deep = trial.suggest_categorical("inner", ["x", "y"]) if kind == "a" else None
    trial.suggest_float("rate", 0.1, 1.0, log=True)
    return kind, width, deep


def draws(count, excess=lambda choices: 0.0, **near):
    paths = FairPaths(space, np.random.default_rng(3), excess)
    return [paths.draw(**near)[0] for _ in range(count)]


@pytest.mark.parametrize("count", [7, 12, 25])
def test_options_differ_by_one_in_how_often_they_come(count):
    networks = draws(count)
    for name, options in (("kind", 3), ("width", 4)):
        counts = Counter(network[name] for network in networks)
        assert len(counts) == options
        assert max(counts.values()) - min(counts.values()) <= 1


def test_conditional_options_are_fair_among_those_that_ask_for_them():
    counts = Counter(network["inner"] for network in draws(24) if "inner" in network)
    assert counts == {"x": 4, "y": 4}


def test_the_module_is_the_one_that_the_space_built():
    choices, made = FairPaths(space, np.random.default_rng(0)).draw()
    assert made == (choices["kind"], choices["width"], choices.get("inner"))


def test_networks_over_the_budget_are_drawn_again():
    # The last four draws miss a budget that half of the networks meet once in 16, and only if the first ones did.
    networks = draws(60, lambda choices: max(0.0, choices["width"] - 2.0))
    assert sum(network["width"] > 2 for network in networks) <= 4


def test_where_none_meets_the_budget_the_nearest_is_taken():
    networks = draws(60, lambda choices: float(choices["width"]))
    assert Counter(network["width"] for network in networks).most_common(1)[0][0] == 1


def test_networks_that_do_not_work_are_never_drawn():
    networks = draws(40, lambda choices: None if choices["kind"] == "b" else 0.0)
    assert {network["kind"] for network in networks} == {"a", "c"}


def test_what_the_space_raises_comes_through_if_it_always_does():
    def broken(trial):
        raise RuntimeError("no such layer")

    with pytest.raises(RuntimeError, match="no such layer"):
        FairPaths(broken, np.random.default_rng(0)).draw()
    with pytest.raises(ValueError, match="can be priced"):
        draws(1, lambda choices: None)


def test_freedom_is_the_share_of_choices_that_are_drawn():
    start = {"kind": "a", "width": 4, "inner": "x", "rate": 0.5}
    assert draws(3, start=start, freedom=0.0) == [start] * 3
    moved = [
        sum(network.get(name) != value for name, value in start.items())
        for network in draws(80, start=start, freedom=0.3)
    ]
    # A choice that is drawn may come out as it was: 0.3 x (2/3 + 3/4 + 1/2 x its being asked + 1) of four.
    assert 0.4 < np.mean(moved) < 1.2


def test_the_largest_network_of_a_kind_has_the_greatest_numbers():
    choices, made = largest_like(space, {"kind": "a", "width": 2, "inner": "y", "rate": 0.2}, np.random.default_rng(0))
    assert choices == {"kind": "a", "width": 4, "inner": "y", "rate": 1.0}
    assert made == ("a", 4, "y")
