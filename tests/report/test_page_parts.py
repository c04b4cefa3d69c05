"""What sections of the report say, by hand."""

from dataclasses import replace

import additive
import pytest
from handmade import add, new_study

from optnas.explain import Price, explain
from optnas.explain.prices import CostChange
from optnas.explain.surface import Effect
from optnas.facts.trials import read_trials
from optnas.front import front
from optnas.report.page.part import Reading
from optnas.report.page.parts import _explained, _price_lists, make_parts


def read(study):
    return Reading(study, "sqlite:///o.db", read_trials(study), front(study), None)


def price(choice, option, macs, points, std=0.1):
    """A change of MACs and of the error in points, with two standard deviations telling it from chance."""
    return Price(
        choice, "usual", option, 12, {"macs": CostChange(macs, macs, macs, 0.0)}, Effect(points / 100, std / 100)
    )


@pytest.fixture(scope="module")
def explanation():
    return explain(additive.trained_study())


def test_what_saves_costs_has_a_list_of_its_own(explanation):
    prices = (
        price("width", "more", 5e5, -0.9),
        price("width", "less", -4e5, 0.05),
        price("width", "least", -6e5, 0.9),  # saves more, and is known to do harm
        price("op", "skip", -2e5, 0.1),
        price("op", "small", -1e5, 0.0),  # the other option of it saves more
        price("act", "relu", 0.0, 0.0),
    )
    lists = _price_lists(replace(explanation, prices=prices, objective_costs=("macs",)))
    gains, savings = lists
    assert [row[1] for row in gains.rows] == ["usual → more", "usual → least"]
    assert [row[:3] for row in savings.rows] == [
        ("width", "usual → less", "-400 k"),
        ("op", "usual → skip", "-200 k"),
    ]
    assert savings.title == "What saves most MACs of each choice and is not known to do harm"
    assert gains.heads == ("choice", "usual → another option", "MACs", "error, in points")


def test_of_what_is_maximised_a_fall_is_the_harm(explanation):
    prices = (price("width", "less", -4e5, -0.9), price("op", "skip", -2e5, 0.9))
    upwards = replace(explanation, prices=prices, objective_costs=("macs",), direction="maximize", learned="score")
    _, savings = _price_lists(upwards)
    assert [row[0] for row in savings.rows] == ["op"]


def test_nothing_to_save_has_no_list(explanation):
    prices = (price("width", "more", 5e5, -0.9),)
    assert len(_price_lists(replace(explanation, prices=prices, objective_costs=("macs",)))) == 1
    assert _price_lists(replace(explanation, prices=())) == ()


def test_a_page_has_one_arrow():
    part = _explained(replace(read(additive.trained_study()), objective=additive.Additive()))
    assert any("→" in cell for table in part.tables for row in table.rows for cell in row)
    assert any("→" in sentence for sentence in part.listed)
    assert not any("->" in sentence for sentence in part.listed)


def test_which_to_take_names_what_the_other_tables_name_and_shares_that_agree_with_its_sentence():
    """Quartiles are .15 apart for errors and 150 for MACs, so a thousandth of an error weighs as much as a MAC: (1, 4),
    (2, 2), (3, 1) are equally good in pairs where (1 - w) = 2 w and where (1 - w) = w."""
    study = new_study()
    for row in ((0.1, 400.0), (0.2, 200.0), (0.3, 100.0), (0.4, 300.0)):
        add(study, row)
    parts, _ = make_parts(read(study))
    take = next(part for part in parts if part.name == "take")
    (table,) = take.tables
    assert table.heads[:3] == ("trial", "validation error", "MACs")
    assert [(row[0], row[-1]) for row in table.rows] == [("0", "33%"), ("1", "17%"), ("2", "50%")]
    assert take.listed == ()
    assert take.sentences[-1].startswith("A wish is a mixture of the objectives")
