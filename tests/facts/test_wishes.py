"""Shares of wishes against hand-computed borders and against trying many mixtures."""

import numpy as np
import pytest
from handmade import add, awkward, new_study

from optnas.facts.wishes import wishes


def study_of(rows, names=("error", "macs"), directions=None):
    study = new_study(names, directions)
    for row in rows:
        add(study, row)
    return study


#: Quartiles of the errors are .175 and .325, of the MACs 175 and 325: a thousandth of an error weighs as much as a MAC.
#: Counted so, (error, macs) are (1, 4), (2, 2), (3, 1), (4, 3), and the last is beaten.
ROWS = [(0.1, 400.0), (0.2, 200.0), (0.3, 100.0), (0.4, 300.0)]


def test_two_objectives_by_hand():
    """With a share w of the MACs the first two are equally good where (1 - w) (2 - 1) = w (4 - 2), so at w = 1/3, and
    the next two where (1 - w) (3 - 2) = w (2 - 1), so at w = 1/2."""
    assert wishes(study_of(ROWS)) == pytest.approx({0: 1 / 3, 1: 1 / 6, 2: 1 / 2})


def test_what_is_maximised_is_turned():
    rows = [(1 - error, macs) for error, macs in ROWS]
    found = wishes(study_of(rows, ("accuracy", "macs"), ["maximize", "minimize"]))
    assert found == pytest.approx({0: 1 / 3, 1: 1 / 6, 2: 1 / 2})


def test_a_cost_counts_as_it_is_and_not_by_its_inverse():
    """Quartiles of five are .2 apart for errors and 200 for MACs: (.5, 2), (1, 1), (1.5, .5), (2, 1.5), (2.5, .005).

    The last border is where (1 - w) 1 = w 0.495. By inverses of the MACs the tiniest would have nearly every wish.
    """
    border = 1 / 1.495
    found = wishes(study_of([*ROWS, (0.5, 1.0)]))
    assert found == pytest.approx({0: 1 / 3, 1: 1 / 6, 2: border - 1 / 2, 4: 1 - border})


def test_three_objectives_agree_with_trying():
    generator = np.random.default_rng(0)
    rows = np.abs(generator.normal(size=(30, 3))) + 0.1
    found = wishes(study_of(rows.tolist(), ("error", "macs", "latency_ms")))
    low, high = np.quantile(rows, [0.25, 0.75], axis=0)
    mixtures = generator.dirichlet(np.ones(3), 40_000)
    tried = np.bincount((mixtures @ (rows / (high - low)).T).argmin(axis=1), minlength=30) / 40_000
    assert sum(found.values()) == pytest.approx(1)
    assert [found.get(trial, 0.0) for trial in range(30)] == pytest.approx(tried.tolist(), abs=0.01)


@pytest.mark.parametrize("name", awkward())
def test_awkward_studies(name):
    found = wishes(awkward()[name])
    assert not found or sum(found.values()) == pytest.approx(1)
    assert not found or len(awkward()[name].directions) > 1
