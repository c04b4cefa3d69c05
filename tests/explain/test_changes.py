"""Advice by hand: on the additive space every cost is a sum, and all networks can be listed."""

from itertools import product

import additive
import optuna
import pytest

from optnas.cost import parse_constraints
from optnas.errors import UsageError
from optnas.explain import Foresight, advise, changes, read_trained
from optnas.space import enumerate_space

SPACE = additive.Additive()


@pytest.fixture(scope="module")
def foresight():
    return Foresight(read_trained(additive.trained_study(40, noise=0.0005)), SPACE)


def trial_of(foresight, **choices):
    """A trained network with these choices."""
    return next(one.trial for one in foresight.trained.networks if choices.items() <= one.choices.items())


def test_one_change_is_enough_and_the_least_error_is_taken(foresight):
    trial = trial_of(foresight, op="z", width=4)
    advice = advise(foresight, trial, parse_constraints(["macs<=250"]))
    # Only another op leads from 445 or 490 to 250 at once, to 140 by x or to 240 by y, which errs less.
    assert advice.smallest.changed == {"op": ("z", "y")}
    assert advice.smallest.costs["macs"] == 240
    assert advice.smallest.follows == ("more",)
    assert advice.smallest.learned.mean == pytest.approx(
        SPACE.error(advice.smallest.choices) - advice.value, abs=3 * advice.smallest.learned.std
    )
    assert not advice.within
    assert advice.most is None
    # Two other ops, three other widths, the other idle and the other more.
    assert advice.searched == "all 7 single changes"


def test_two_changes(foresight):
    trial = trial_of(foresight, op="z", width=4)
    advice = advise(foresight, trial, parse_constraints(["macs<=120"]))
    assert {name: after for name, (_, after) in advice.smallest.changed.items()} == {"op": "x", "width": 2}
    assert advice.searched.startswith("all ")
    assert advice.searched.endswith(" pairs of changes")


def test_nothing_leads_there(foresight):
    advice = advise(foresight, trial_of(foresight, op="z"), parse_constraints(["macs<=100"]))
    assert advice.smallest is None
    assert advice.searched


def test_three_changes_and_more_by_the_nearest(monkeypatch):
    class Many:
        def explore(self, trial):
            for index in range(5):
                trial.suggest_int(f"x{index}", 0, 3)

        def foresee(self, choices, also=()):
            return {"macs": 1.0 + sum(choices.values())}

    networks = additive.drawn(Many(), 30)
    values = [(0.5 - 0.01 * sum(params.values()), 1.0 + sum(params.values())) for params, _ in networks]
    top = ({f"x{index}": 3 for index in range(5)}, networks[0][1])
    study = additive.make_study([*networks, top], [*values, (0.3, 16.0)])
    advice = advise(Foresight(read_trained(study), Many()), 30, parse_constraints(["macs<=4"]))
    # From 16 to 4 takes four of five choices to 0.
    assert len(advice.smallest.changed) == 4
    assert all(after == 0 for _, after in advice.smallest.changed.values())
    assert "8 nearest networks" in advice.searched
    monkeypatch.setattr(changes, "_PRICED", 20)
    few = advise(Foresight(read_trained(study), Many()), 30, parse_constraints(["macs<=10"]))
    # The promise of sums is exact here: the pairs that lead there are among the 20 of 90.
    assert few.searched == "the 20 most promising of 90 pairs of changes"
    assert few.smallest.costs["macs"] == 10


def test_the_fewest_changes_of_all_networks(foresight):
    """Against all networks of the space, for many budgets."""
    everything = list(enumerate_space(SPACE.explore))
    for one, limit in product(foresight.trained.networks[:6], (150, 230, 320)):
        macs = SPACE.foresee(one.choices)["macs"]
        if macs <= limit:
            continue
        within = [other for other in everything if SPACE.foresee(other)["macs"] <= limit]
        # What comes up with op z is drawn, so it is no change of its own.
        apart = [sum(other.get(n) != v for n, v in one.choices.items() if n in other) for other in within]
        advice = advise(foresight, one.trial, parse_constraints([f"macs<={limit}"]))
        assert len(advice.smallest.changed) == min(apart)


def test_within_the_budget_the_most_and_the_bargain(foresight):
    trial = trial_of(foresight, op="x", width=1)
    advice = advise(foresight, trial, parse_constraints(["macs<=300"]))
    assert (advice.within, advice.smallest, advice.searched) == (True, None, "")
    # y brings 0.04 for 100, width 0.01 for each 10, worth it from 0.02 on; z would bring most but is beyond.
    assert advice.most.changed == {"op": ("x", "y")}
    assert advice.bargain.changed in ({"width": (1, 3)}, {"width": (1, 4)})
    assert advise(foresight, trial).most.changed["op"][1] == "z"


def test_what_costs_nothing_is_the_bargain():
    class Free(additive.Additive):
        def error(self, choices):
            return super().error(choices) - 0.08 * choices["idle"]

    space = Free()
    networks = additive.drawn(space, 60)
    values = [(space.error(params), space.foresee(params)["macs"]) for params, _ in networks]
    study = additive.make_study(networks, values)
    foresight = Foresight(read_trained(study), space)
    advice = advise(foresight, trial_of(foresight, op="x", idle=False, width=1))
    assert advice.bargain.changed == {"idle": (False, True)}


def test_a_network_that_was_trained_has_its_real_error(foresight):
    trained = {tuple(sorted(one.choices.items())): one for one in foresight.trained.networks}
    seen = 0
    for one in foresight.trained.networks[:15]:
        change = advise(foresight, one.trial).most
        if change is None:
            continue
        twin = trained.get(tuple(sorted(change.choices.items())))
        assert (change.trial, change.value) == ((None, None) if twin is None else (twin.trial, twin.error))
        seen += twin is not None
    assert seen


def test_which_network_is_asked_about(foresight):
    members = [foresight.trained.networks[row] for row in foresight.trained.front]
    assert advise(foresight).trial == members[0].trial
    beyond = [one for one in members if one.values["macs"] > 200]
    advice = advise(foresight, None, parse_constraints(["macs<=200"]))
    assert advice.trial == min(beyond, key=lambda one: one.values["macs"]).trial
    assert advise(foresight, None, parse_constraints(["macs<=10k"])).trial == members[0].trial


def test_a_study_without_costs(monkeypatch):
    study = optuna.create_study()
    study.optimize(lambda trial: trial.suggest_int("depth", 1, 8) / 10 + trial.suggest_float("rate", 0, 0.01), 40)
    nothing_known = Foresight(read_trained(study), None)
    worst = max(study.trials, key=lambda trial: trial.value)
    advice = advise(nothing_known, worst.number)
    assert set(advice.most.changed) == {"depth"}
    assert advice.bargain == advice.most
    with pytest.raises(UsageError, match="counted or estimated here, but there is none"):
        advise(nothing_known, worst.number, parse_constraints(["macs<=1"]))


def test_bad_input(foresight):
    with pytest.raises(UsageError, match="trial 99: expected one that trained a network to the end"):
        advise(foresight, 99)
    with pytest.raises(UsageError, match="budget latency_ms<=2: expected a cost that can be counted or estimated here"):
        advise(foresight, None, parse_constraints(["latency_ms<=2"]))
