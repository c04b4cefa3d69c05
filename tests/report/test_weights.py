"""The map of weights, as far as a picture can be tested."""

import pytest
from handmade import add, awkward, new_study
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from optnas.errors import UsageError
from optnas.facts.fitness import parse_fitness
from optnas.facts.weights import weight_map
from optnas.report import draw_weights, save_choice

NAMES = ("error", "macs", "latency_ms", "size_bytes")
ROWS = [(0.1, 9e6, 3.0, 5e5), (0.12, 3e6, 1.6, 2e5), (0.2, 2e6, 2.5, 1e5), (0.4, 1e6, 1.0, 9e5)]


def drawn(terms, study=None):
    if study is None:
        study = new_study(NAMES)
        for row in ROWS:
            add(study, row)
    fitness = parse_fitness(terms)
    weights = weight_map(study, fitness)
    axes = Figure(layout="constrained").subplots()
    draw_weights(weights, fitness, axes)
    return axes, weights


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_two_terms_are_bars_from_end_to_end():
    axes, weights = drawn("accuracy=1,1/macs=0.05")
    bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert len(bars) == len(weights.regions)
    assert bars[0].get_x() == 0
    assert bars[-1].get_x() + bars[-1].get_width() == pytest.approx(1)
    assert sum(bar.get_width() for bar in bars) == pytest.approx(1)
    assert "yours" in texts(axes)
    assert "share of 1/macs, the rest is accuracy (%)" in axes.get_xlabel()
    title = " ".join(axes.get_title(loc="left").split())
    assert title.startswith(f"These weights pick trial {weights.winner.trial}, as ")
    note = "weights accuracy 1, 1/macs 0.05; shares count each term in units of its spread among the trained networks"
    assert note in {" ".join(text.split()) for text in texts(axes)}
    assert axes.get_yticklabels()[0].get_text().splitlines() == ["trial 0", "10.00%, 9.00 M"]


def test_three_terms_are_a_triangle_in_parts():
    axes, weights = drawn("accuracy=1,1/macs=0.05,1/latency_ms=0.1")
    polygons = [patch for patch in axes.patches if isinstance(patch, Polygon)]
    # And the frame.
    assert len(polygons) == len(weights.regions) + 1
    assert {"only accuracy", "only 1/macs", "only 1/latency_ms", "yours"} <= set(texts(axes))


@pytest.mark.parametrize("terms", ["1/macs=1", "accuracy=1,1/macs=1,1/latency_ms=1,1/size_bytes=1"])
def test_one_and_four_terms_are_shares(terms):
    axes, weights = drawn(terms)
    assert sum(patch.get_width() for patch in axes.patches) == pytest.approx(1)
    assert ("drawn" in axes.get_xlabel()) == (not weights.exact)


def test_nothing_to_show_is_said(tmp_path):
    axes, _ = drawn("accuracy=1,1/macs=1", awkward()["empty"])
    assert texts(axes) == ["no trained network with these costs"]


def test_awkward_studies_have_a_picture_or_a_sentence(tmp_path):
    sentences = []
    for study in awkward().values():
        fitness = parse_fitness("accuracy=1,1/macs=0.1")
        try:
            save_choice(study, weight_map(study, fitness), fitness, tmp_path / "a.png")
        except UsageError as error:
            sentences.append(str(error))
            continue
        assert (tmp_path / "a.png").stat().st_size > 5000
    assert sentences
    assert all(sentence.startswith("fitness ") for sentence in sentences)
