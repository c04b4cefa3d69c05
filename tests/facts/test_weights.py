"""Maps of weights against closed forms and against trying many weights."""

import numpy as np
import pytest
from handmade import add, awkward, large, new_study

from optnas.cost import parse_constraints
from optnas.errors import UsageError
from optnas.facts.fitness import parse_fitness, parts_of
from optnas.facts.weights import _envelope, _polygons, weight_map


def test_two_lines_cross_in_the_middle() -> None:
    assert _envelope(np.eye(2)) == [(0, 0.0, 0.5), (1, 0.5, 1.0)]


def test_a_third_line_above_the_crossing_takes_the_middle() -> None:
    """(1 - w) = 0.75 at w = 1/4, and w = 0.75."""
    points = np.array([[0.0, 1.0], [0.75, 0.75], [1.0, 0.0], [0.4, 0.4], [0.75, 0.75]])
    assert _envelope(points) == [(2, 0.0, 0.25), (1, 0.25, 0.75), (0, 0.75, 1.0)]
    # One that only touches the crossing has no interval.
    touching = np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
    assert _envelope(touching) == [(2, 0.0, 0.5), (0, 0.5, 1.0)]


def test_three_corners_have_a_third_each_and_a_middle_one_takes_a_triangle() -> None:
    thirds = _polygons(np.eye(3))
    assert [(row, pytest.approx(share)) for row, share, _ in thirds] == [(0, 1 / 3), (1, 1 / 3), (2, 1 / 3)]
    # Where no share is above a half, the constant 0.5 wins: the triangle of the edges' middles, a quarter of all.
    found = {row: share for row, share, _ in _polygons(np.vstack([np.eye(3), [[0.5, 0.5, 0.5]]]))}
    assert found == pytest.approx({0: 0.25, 1: 0.25, 2: 0.25, 3: 0.25})
    corners = {tuple(np.round(corner, 9)) for corner in _polygons(np.eye(3))[0][2]}
    assert corners == {(1, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), tuple(np.round([1 / 3] * 3, 9))}


def test_equal_and_beaten_points_have_no_polygon() -> None:
    points = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [0.5, 1.0, 0.2]])
    assert [(row, share) for row, share, _ in _polygons(points)] == [(0, 1.0)]


@pytest.mark.parametrize("seed", range(3))
def test_areas_add_up_and_agree_with_trying(seed: int) -> None:
    generator = np.random.default_rng(seed)
    points = np.abs(generator.normal(size=(60, 3)))
    points /= np.linalg.norm(points, axis=1)[:, None]
    shares = {row: share for row, share, _ in _polygons(points)}
    assert sum(shares.values()) == pytest.approx(1.0, abs=1e-12)
    mixtures = generator.dirichlet(np.ones(3), 40_000)
    tried = np.bincount((mixtures @ points.T).argmax(axis=1), minlength=60) / 40_000
    for row in range(60):
        assert tried[row] == pytest.approx(shares.get(row, 0.0), abs=0.01)
    intervals = _envelope(points[:, :2])
    assert intervals[0][1] == 0.0
    assert intervals[-1][2] == 1.0
    for row, low, high in intervals:
        middle = (low + high) / 2
        assert ((1 - middle) * points[:, 0] + middle * points[:, 1]).argmax() == row


def study_of(rows, names=("error", "macs")):
    study = new_study(names)
    for row in rows:
        add(study, row)
    return study


def test_borders_are_weights_as_one_writes_them() -> None:
    """Accuracies 0.9 and 0.8, inverses of MACs 0.5 and 1.5 of their median: equal where 0.9 + 0.5 w = 0.8 + 1.5 w."""
    study = study_of([(0.1, 3.0), (0.2, 1.0), (0.5, 1.5)])
    study_map = weight_map(study, parse_fitness("accuracy=1,1/macs=0.3"))
    first, last = study_map.regions
    assert (first.network.trial, last.network.trial) == (0, 1)
    assert study_map.weights(first.corners[1], 1.0) == pytest.approx((1.0, 0.1))
    assert study_map.weights(first.corners[1], 2.0) == pytest.approx((2.0, 0.2))
    assert study_map.weights(last.corners[1], 1.0) == (np.inf, np.inf) or last.corners[1] == (0.0, 1.0)
    assert study_map.winner is not None
    assert study_map.winner.trial == 1
    assert study_map.exact
    # The given weights stand where they should: their shares are weights times scales.
    shares = np.array([1.0, 0.3]) * study_map.scales
    assert study_map.given == pytest.approx(tuple(shares / shares.sum()))


def test_one_term_four_terms_and_a_budget() -> None:
    names = ("error", "macs", "latency_ms", "size_bytes")
    study = study_of([(0.1, 9.0, 3.0, 5.0), (0.2, 3.0, 4.0, 2.0), (0.4, 1.0, 1.0, 9.0)], names)
    whole = weight_map(study, parse_fitness("accuracy=1"))
    assert [(region.network.trial, region.share) for region in whole.regions] == [(0, 1.0)]
    text = "accuracy=1,1/macs=1,1/latency_ms=1,1/size_bytes=1"
    drawn = weight_map(study, parse_fitness(text))
    assert not drawn.exact
    assert sum(region.share for region in drawn.regions) == pytest.approx(1.0)
    assert drawn == weight_map(study, parse_fitness(text))
    three = weight_map(study, parse_fitness("accuracy=1,1/macs=1,1/latency_ms=1"), parse_constraints(["macs<=4"]))
    assert {region.network.trial for region in three.regions} <= {1, 2}
    # The scales are those of the whole study.
    assert three.scales == weight_map(study, parse_fitness("accuracy=1,1/macs=1,1/latency_ms=1")).scales


def test_the_winner_is_the_first_of_the_ranking_on_a_large_study() -> None:
    study = large(300)
    for text in ("accuracy=1,1/macs=0.05", "accuracy=1,1/macs=0.01,1/size_bytes=0.05"):
        fitness = parse_fitness(text)
        found = weight_map(study, fitness)
        networks, parts = parts_of(study, fitness)
        best = networks[int((parts @ list(fitness.weights.values())).argmax())]
        assert found.winner is not None
        assert found.winner.trial == best.trial
        assert best.trial in {region.network.trial for region in found.regions}
        assert sum(region.share for region in found.regions) == pytest.approx(1.0)


def test_every_awkward_study_gives_a_map_or_a_sentence() -> None:
    sentences = []
    for study in awkward().values():
        for text in ("accuracy=1,1/macs=1", "value0=1", "accuracy=1,1/macs=0.1,1/latency_ms=0.1"):
            try:
                found = weight_map(study, parse_fitness(text))
            except UsageError as error:
                sentences.append(str(error))
                continue
            assert sum(region.share for region in found.regions) == pytest.approx(1.0 if found.winner else 0.0)
    assert sentences
    assert all(sentence.startswith("fitness ") for sentence in sentences)
