import math
from itertools import pairwise

import pytest
from handmade import add, awkward, large, new_study

from optnas.facts.workers import timeline


def study_of(*spans):
    study = new_study()
    for index, span in enumerate(spans):
        add(study, (0.5, 10.0 + index), seconds=span)
    return study


def test_two_workers_by_hand():
    facts = timeline(study_of((0, 10), (0, 6), (6, 10)))
    assert [(bar.trial, bar.lane, bar.start, bar.end) for bar in facts.bars] == [
        (1, 0, 0, 6),
        (0, 1, 0, 10),
        (2, 0, 6, 10),
    ]
    assert (facts.workers, facts.seconds, facts.busy, facts.pauses) == (2, 10, 1, ())
    assert [bar.state for bar in facts.bars] == ["beaten", "front", "beaten"]


def test_a_worker_that_waits_is_not_busy():
    assert timeline(study_of((0, 10), (0, 5))).busy == pytest.approx(0.75)


def test_a_pause_is_folded_to_a_fiftieth_of_the_work():
    """100 s of work, a pause of an hour, 100 s of work."""
    facts = timeline(study_of((0, 100), (3700, 3800)))
    assert facts.pauses == ((100, 104, 3600),)
    assert [(bar.start, bar.end) for bar in facts.bars] == [(0, 100), (104, 204)]
    assert (facts.seconds, facts.busy) == (200, 1)


def test_a_moment_between_two_trials_is_no_pause():
    facts = timeline(study_of((0, 10), (13, 23)))
    assert facts.pauses == ()
    assert facts.busy == pytest.approx(20 / 23)


def test_bars_stay_in_order_and_do_not_overlap():
    facts = timeline(large(200))
    assert facts.workers == 2
    for lane in (0, 1):
        bars = [bar for bar in facts.bars if bar.lane == lane]
        assert all(one.end <= two.start + 1e-6 for one, two in pairwise(bars))
    assert facts.busy > 0.9


@pytest.mark.parametrize("name", awkward())
def test_awkward_studies(name):
    facts = timeline(awkward()[name])
    assert math.isnan(facts.busy) or 0 < facts.busy <= 1 + 1e-9
