"""Knees of fronts whose shape is known."""

import math

import numpy as np
import pytest
from handmade import add, awkward, new_study

from optnas.cost import parse_constraints
from optnas.facts.knee import depths, knee

ANGLES = np.linspace(0, np.pi / 2, 9)
#: A quarter of a circle about (1, 1), bulging towards the ideal.
CIRCLE = np.column_stack([1 - np.cos(ANGLES), 1 - np.sin(ANGLES)])


def study_of(rows, names=("error", "macs"), directions=None):
    study = new_study(names, directions)
    for row in rows:
        add(study, list(row))
    return study


def test_a_circle_is_deepest_in_the_middle() -> None:
    """There both objectives are 1 - sqrt(1/2), and half on the straight line."""
    found = depths(CIRCLE)
    assert found.argmax() == 4
    assert found.max() == pytest.approx((math.sqrt(2) - 1) / 2)
    assert found[[0, 8]] == pytest.approx([0, 0], abs=1e-12)


def test_two_objectives_are_the_distance_from_the_line() -> None:
    """Das's: the ends are (0, 1) and (1, 0), so along the diagonal a point is (1 - x - y) / 2 from their line."""
    rows = np.array([(0.0, 1.0), (0.1, 0.5), (0.2, 0.3), (0.6, 0.2), (1.0, 0.0)])
    assert depths(rows) == pytest.approx((1 - rows.sum(axis=1)) / 2, abs=1e-12)


def test_units_and_order_change_nothing() -> None:
    found = depths(CIRCLE)
    assert depths(CIRCLE * [0.03, 5e6] + [0.1, 4e6]) == pytest.approx(found)
    assert depths(CIRCLE[::-1]) == pytest.approx(found[::-1])


def test_a_cost_of_decades_counts_by_its_logarithm() -> None:
    """Error falling evenly with log cost is a straight front, though in plain units it bends sharply."""
    rows = [(0.5 - 0.1 * index, 10.0**index) for index in range(5)]
    assert depths(np.array(rows)) == pytest.approx(np.zeros(5), abs=1e-12)
    found = knee(study_of(rows))
    assert found.network is None
    assert "it is nearly straight" in str(found)


def test_a_bulge_outwards_has_no_knee() -> None:
    found = knee(study_of(1 - CIRCLE + 0.1))
    assert found.network is None
    assert found.depth == pytest.approx(0, abs=1e-12)


def test_three_objectives() -> None:
    """On an eighth of a sphere about (1, 1, 1) the ends are (0, 1, 1) and so on, whose mixture is 2/3 in all; the
    middle has 1 - sqrt(1/3)."""
    points = np.abs(np.random.default_rng(0).normal(size=(40, 3)))
    points = np.vstack([points / np.linalg.norm(points, axis=1)[:, None], np.eye(3), np.full(3, math.sqrt(1 / 3))])
    found = depths(1 - points)
    assert found.argmax() == 43
    assert found.max() == pytest.approx(2 / 3 - (1 - math.sqrt(1 / 3)))
    # A plane has none, whichever of equal members are its ends.
    plane = np.random.default_rng(1).dirichlet(np.ones(3), 40)
    for front in (plane, np.vstack([plane, np.eye(3)])):
        assert depths(front).max() == pytest.approx(0, abs=1e-9)


def test_two_costs_that_go_together_count_once() -> None:
    """Doubling a cost as a third objective moves neither the knee nor its depth; a sum would move both."""
    doubled = np.column_stack([CIRCLE, CIRCLE[:, 1]])
    assert depths(doubled) == pytest.approx(depths(CIRCLE), abs=1e-9)


def test_what_the_knee_gives_and_takes_in_words() -> None:
    found = knee(study_of([(0.10, 1000.0), (0.12, 300.0), (0.30, 200.0)]))
    assert found.network is not None
    assert found.network.trial == 1
    # Both scaled and their sum: 0.1 + log(1.5) / log(5) without the logarithm 0.1 + 0.125; the range is below ten.
    assert found.depth == pytest.approx((1 - 0.1 - 0.125) / 2)
    assert str(found) == (
        "The knee is trial 1: it beats a straight front between the ends by 39% of its range in both objectives. "
        "Trial 0 has 2.00 points less error at 3.3 times the MACs; trial 2 has 33% less MACs at 18.00 points more "
        "error."
    )


def test_near_twins_are_named() -> None:
    found = knee(study_of([(0.1, 90.0), (0.12, 30.0), (0.121, 29.8), (0.3, 20.0)]))
    assert found.network is not None
    assert {found.network.trial, *found.alike} == {1, 2}
    assert "Nearly as good a bargain: trial" in str(found)


def test_maximised_objectives_are_turned() -> None:
    rows = [(1 - error, macs) for error, macs in CIRCLE]
    found = knee(study_of(rows, ("accuracy", "macs"), ["maximize", "minimize"]))
    assert found.network is not None
    assert found.network.trial == 4


def test_a_budget_cuts_the_front_first() -> None:
    study = study_of([(0.10, 1000.0), (0.12, 300.0), (0.13, 240.0), (0.30, 200.0)])
    assert knee(study).network.trial in (1, 2)  # type: ignore[union-attr]
    assert knee(study, parse_constraints(["macs<=250"])).network is None


def test_ends_alone_and_awkward_studies_are_told_in_a_sentence() -> None:
    assert "two networks: a knee lies between" in str(knee(study_of([(0.1, 9.0), (0.2, 5.0)])))
    for name, study in awkward().items():
        found = knee(study)
        # That of the plain study is drawn at random.
        assert found.network is None or name == "plain"
        assert found.sentence.endswith("."), name
    assert "one objective" in str(knee(awkward()["bare"]))
