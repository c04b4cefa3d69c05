"""Prices by hand, on a space whose costs and errors are sums."""

import additive
import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from optnas.explain import Foresight, price_list, read_trained
from optnas.explain.prices import labels_of


@pytest.fixture(scope="module")
def prices():
    foresight = Foresight(read_trained(additive.trained_study()), additive.Additive())
    return {(one.choice, one.usual, one.option): one for one in price_list(foresight, 400)}


def test_costs_are_exact_by_hand(prices):
    (op,) = {usual for choice, usual, _ in prices if choice == "op"}
    others = {option for choice, _, option in prices if choice == "op"}
    assert {op, *others} == {"x", "y", "z"}
    for option in others:
        change = prices["op", op, option].costs["macs"]
        # z brings 5 or 50 for `more`, which x and y do not have.
        more = (5, 50) if option == "z" else (-50, -5) if op == "z" else (0, 0)
        plain = additive.MACS[option] - additive.MACS[op]
        assert plain + more[0] <= change.low <= change.mean <= change.high <= plain + more[1]
        assert change.exact
        assert prices["op", op, option].costs["params"].mean == 0
    (width,) = {usual for choice, usual, _ in prices if choice == "width"}
    for option in {"1", "2", "3", "4"} - {width}:
        price = prices["width", width, option]
        step = int(option) - int(width)
        assert (price.costs["macs"].low, price.costs["macs"].mean, price.costs["macs"].high) == (10 * step,) * 3
        assert price.costs["params"].mean == 7 * step


def test_errors_are_expected_with_their_uncertainty(prices):
    for (choice, usual, option), price in prices.items():
        if choice == "width":
            truth = -0.01 * (int(option) - int(usual))
        elif choice == "idle":
            truth = 0.0
        elif choice == "more":
            truth = 0.03 * (1 if usual == "much" else -1)
        else:
            continue
        assert price.learned.mean == pytest.approx(truth, abs=3 * price.learned.std)
        assert price.learned.told == (choice != "idle")
        assert price.learned.std < 0.005


def test_a_conditional_choice_is_tried_where_it_is_made(prices):
    (price,) = [one for one in prices.values() if one.choice == "more"]
    assert 0 < price.networks < max(one.networks for one in prices.values())
    assert abs(price.costs["macs"].mean) == 45


def test_the_same_seed_has_the_same_prices():
    study = additive.trained_study(20)
    one, other = (price_list(Foresight(read_trained(study), additive.Additive()), 200) for _ in range(2))
    assert one == other


def test_a_maximised_objective_keeps_its_direction():
    study = additive.trained_study(40)
    networks = [(trial.params, trial.distributions) for trial in study.trials]
    values = [(1 - trial.values[0], trial.values[1]) for trial in study.trials]
    turned = additive.make_study(networks, values, ("accuracy", "macs"), ["maximize", "minimize"])
    foresight = Foresight(read_trained(turned), additive.Additive())
    prices = [one for one in price_list(foresight, 200) if one.choice == "width"]
    assert all((one.learned.mean > 0) == (int(one.option) > int(one.usual)) for one in prices)


def test_with_few_networks_only_costs_have_prices():
    foresight = Foresight(read_trained(additive.trained_study(9)), additive.Additive())
    prices = price_list(foresight, 200)
    assert prices
    assert all(one.learned is None and one.costs["macs"].exact for one in prices)


def test_without_the_space_costs_are_estimated_and_said_to_be():
    networks = [({"a": a, "b": b}, {"a": CategoricalDistribution(["p", "q"]), "b": IntDistribution(1, 3)})
                for a in "pq" for b in (1, 2, 3) for _ in range(4)]  # fmt: skip
    values = [(0.5 - 0.1 * params["b"], (2.0 if params["a"] == "q" else 1.0) * params["b"]) for params, _ in networks]
    foresight = Foresight(
        read_trained(additive.make_study(networks, values, ("error", "latency_ms"))), None, ["latency_ms"]
    )
    assert (foresight.exact, foresight.costs) == ((), ("latency_ms",))
    (price,) = [one for one in price_list(foresight, 100) if one.choice == "a"]
    change = price.costs["latency_ms"]
    assert not change.exact
    # Of b from 1 to 3 equally often, q costs 2 more on average, with an uncertainty that is told.
    assert change.mean == pytest.approx(2.0 if price.option == "q" else -2.0, abs=3 * change.std + 0.3)


@pytest.mark.parametrize(
    ("distribution", "names"),
    [
        (CategoricalDistribution(["a", None, 3]), ["a", "None", "3"]),
        (CategoricalDistribution(["1", 1]), ["'1'", "1"]),
        (IntDistribution(2, 8, step=2), ["2", "4", "6", "8"]),
        (IntDistribution(1, 30), ["1..10", "11..20", "21..30"]),
        (FloatDistribution(1e-3, 1.0, log=True), ["0.001..0.01", "0.01..0.1", "0.1..1"]),
    ],
)
def test_options_have_names(distribution, names):
    assert labels_of(distribution)[1] == names


def test_a_long_range_is_priced_in_thirds():
    class Wide:
        def explore(self, trial):
            trial.suggest_int("width", 1, 30)

        def foresee(self, choices, also=()):
            return {"macs": 100.0 * choices["width"]}

    values = [(1 / (1 + width), 100.0 * width) for width in range(1, 31)]
    networks = [({"width": width}, {"width": IntDistribution(1, 30)}) for width in range(1, 31)]
    prices = price_list(Foresight(read_trained(additive.make_study(networks, values)), Wide()), 300)
    assert len(prices) == 2
    for price in prices:
        places = {"1..10": 0, "11..20": 1, "21..30": 2}
        thirds = places[price.option] - places[price.usual]
        # From the middle of a third to that of another: 1000 each, on average over what is drawn.
        assert price.costs["macs"].mean == pytest.approx(1000 * thirds, abs=200)


def test_networks_that_fail_are_left_out():
    class Misfit(additive.Additive):
        def foresee(self, choices, also=()):
            return None if choices["width"] == 3 else super().foresee(choices)

    trials = [trial for trial in additive.trained_study(60).trials if trial.params["width"] != 3]
    networks = [(trial.params, trial.distributions) for trial in trials]
    study = additive.make_study(networks, [trial.values for trial in trials])
    foresight = Foresight(read_trained(study), Misfit())
    options = {one.option for one in price_list(foresight, 200) if one.choice == "width"}
    assert options | {"3"} < {"1", "2", "3", "4"}
    assert "3" not in options


def test_bases_are_within_the_constraints_and_of_the_front():
    study = additive.trained_study(40)
    networks = [(trial.params, trial.distributions) for trial in study.trials]
    values = [trial.values for trial in study.trials]
    limits = [{"macs<=300": (value[1] - 300) / 300} for value in values]
    limited = additive.make_study(networks, values, constraints=limits)
    foresight = Foresight(read_trained(limited), additive.Additive())
    members = [trial.params for trial in limited.best_trials]
    bases = foresight.bases()
    assert all(member in bases for member in members)
    assert len(bases) > len(members)
    assert np.all(foresight.excess(bases) <= 0)
    assert all(additive.Additive().foresee(base)["macs"] <= 300 for base in bases)
