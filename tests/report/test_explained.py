"""The pictures of an explanation: what is written in them."""

import additive
import pytest
from matplotlib.figure import Figure

from optnas.explain import explain
from optnas.report.explained import draw_importance, draw_price_list, save_explained


@pytest.fixture(scope="module")
def explanation():
    return explain(additive.trained_study(), additive.Additive())


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_the_importance_of_each_choice_is_a_bar(explanation):
    axes = Figure().subplots()
    draw_importance(explanation, axes)
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        one.choice for one in explanation.importances.choices
    ]
    assert [bar.get_width() for bar in axes.patches] == [100 * one.share for one in explanation.importances.choices]
    assert [bool(bar.get_hatch()) for bar in axes.patches] == [not one.told for one in explanation.importances.choices]
    title = " ".join(axes.get_title(loc="left").split())
    assert title == "Being among the best 10 of 60 in error goes with more"


def test_prices_are_points_with_their_uncertainty(explanation):
    axes = Figure().subplots()
    draw_price_list(explanation, axes)
    assert len(axes.containers) == len(explanation.prices)
    assert any("op " in text and "→" in text for text in texts(axes))
    assert "cheaper and better" in texts(axes)
    told = sum(one.learned.told for one in explanation.prices)
    title = " ".join(axes.get_title(loc="left").split())
    assert title.startswith(f"{told} of {len(explanation.prices)} single changes move the error")
    assert axes.get_xlabel() == "change of multiply-adds (MACs)"
    assert axes.get_ylabel() == "expected change of error (points)"


@pytest.mark.parametrize("count", [1, 12])
def test_little_is_a_sentence_or_a_picture(count, tmp_path):
    explanation = explain(additive.trained_study(count))
    save_explained(explanation, tmp_path / "why.svg")
    assert (tmp_path / "why.svg").stat().st_size > 0
    axes = Figure().subplots()
    draw_price_list(explanation, axes)
    assert f"{count} trained network" in " ".join(texts(axes))
