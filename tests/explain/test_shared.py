"""The hypergeometric law and Holm's steps, by hand."""

from math import comb

import additive
import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution

from optnas.explain import read_trained, sharing
from optnas.explain.shared import Shared, _holm, _two_sided

OPS = {"op": CategoricalDistribution(["a", "b", "c"])}


def study_of(members, others, distributions=OPS):
    """Members trade error for MACs; the others are beaten by all of them."""
    networks = [(params, {name: distributions[name] for name in params}) for params in (*members, *others)]
    values = [(0.1 + 0.01 * index, 100.0 - index) for index in range(len(members))]
    return additive.make_study(networks, values + [(0.9, 1000.0)] * len(others))


def test_all_members_and_nobody_else_by_hand():
    study = study_of([{"op": "a"}] * 5, [{"op": "b"}] * 8 + [{"op": "c"}] * 7)
    found = sharing(read_trained(study))
    (one,) = [shared for shared in found.found if shared.option == "a"]
    assert (one.members, one.members_of, one.trained, one.trained_of) == (5, 5, 5, 20)
    # One of comb(20, 5) ways, two-sided, and the least of three.
    assert one.p_value == pytest.approx(3 * 2 / comb(20, 5))
    assert one.often
    assert (found.tested, found.members, found.trained, found.tellable) == (3, 5, 20, True)


def test_what_members_avoid():
    study = study_of([{"op": "a"}] * 6, [{"op": "a"}] * 2 + [{"op": "b"}] * 12)
    found = {one.option: one for one in sharing(read_trained(study)).found}
    # Of 14 others 12 have b: no member has it in comb(8, 6) of comb(20, 6) ways, times two sides and two options.
    assert not found["b"].often
    assert found["b"].p_value == pytest.approx(2 * 2 * comb(8, 6) / comb(20, 6))


def test_nothing_shared():
    study = study_of([{"op": op} for op in "abcabc"], [{"op": op} for op in "abc" * 5])
    found = sharing(read_trained(study))
    assert (found.found, found.tellable) == ((), True)


def test_too_few_members_cannot_tell():
    study = study_of([{"op": "a"}] * 2, [{"op": "b"}] * 4 + [{"op": "c"}] * 3)
    found = sharing(read_trained(study))
    # 2 / comb(9, 2) is 6 % for one option already.
    assert (found.found, found.tellable) == ((), False)


def test_a_conditional_choice_is_compared_where_it_is_made():
    choices = {**OPS, "inner": IntDistribution(0, 1)}
    members = [{"op": "a", "inner": 1}] * 5 + [{"op": "b"}]
    others = [{"op": "a", "inner": 0}] * 12 + [{"op": "c"}] * 6
    (one,) = [shared for shared in sharing(read_trained(study_of(members, others, choices))).found
              if shared.choice == "inner"]  # fmt: skip
    assert (one.option, one.members, one.members_of, one.trained, one.trained_of) == ("1", 5, 5, 5, 17)


def test_the_law_sums_to_one():
    shared = Shared("op", "a", 0, 4, 5, 12, 1.0)
    chances = _two_sided(shared)
    law = np.array([comb(5, k) * comb(7, 4 - k) for k in range(5)]) / comb(12, 4)
    upper = law[::-1].cumsum()[::-1]
    np.testing.assert_allclose(chances, np.minimum(1, 2 * np.minimum(law.cumsum(), upper)))


def test_holm_by_hand():
    # Sorted .01, .02, .03, .5: times 4, 3, 2, 1, and never less than the one before.
    np.testing.assert_allclose(_holm(np.array([0.03, 0.5, 0.01, 0.02])), [0.06, 0.5, 0.04, 0.06])
    assert len(_holm(np.empty(0))) == 0


def test_random_fronts_share_nothing():
    """Of 60 studies where the front is any networks, 3 may report something; 8 or more has a probability of 1 %."""
    rng = np.random.default_rng(0)
    reports = 0
    for _ in range(60):
        draw = [{"op": str(rng.choice(list("abc")))} for _ in range(40)]
        reports += bool(sharing(read_trained(study_of(draw[:10], draw[10:]))).found)
    assert reports < 8
