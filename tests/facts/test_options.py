import pytest
from handmade import add, awkward, new_study, one_of_each
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from optnas.facts.options import ABSENT, OptionShare, distances, levels, option_shares


def shares_of(study):
    return {(share.choice, share.option): (share.front, share.trained) for share in option_shares(study)}


def test_shares_by_hand():
    """Two on the front; trained are these, one beaten, one infeasible, one pruned: widths 8, 16, 24, 32, 8."""
    found = shares_of(one_of_each())
    assert found[("stem.width", "8")] == (1, 2)
    assert found[("stem.width", "16")] == (1, 1)
    assert found[("stem.width", "24")] == (0, 1)
    assert found[("block1.op", "mb3_k3")] == (2, 4)
    assert found[("block1.op", "mb6_k5")] == (0, 1)
    first = option_shares(one_of_each())[0]
    assert (first.n_front, first.n_trained) == (2, 5)
    assert first.difference == pytest.approx(1 / 2 - 2 / 5)


def test_a_choice_that_a_network_does_not_have_is_an_option():
    study = new_study()
    add(study, (0.1, 10.0), choices={"block1.op": "skip", "stem.width": 8})
    add(study, (0.2, 20.0), choices={"block1.op": "mb3_k3"})
    assert shares_of(study) == {
        ("block1.op", "mb3_k3"): (0, 1),
        ("block1.op", "skip"): (1, 1),
        ("stem.width", "8"): (1, 1),
        ("stem.width", ABSENT): (0, 1),
    }


def test_chance_is_twice_the_smaller_tail():
    """2 of 4 have it. Both of two drawn: 1 of 6 ways. One of two: at least one 5/6, at most one 5/6."""
    assert OptionShare("c", "o", 2, 2, 2, 4).chance == pytest.approx(2 / 6)
    assert OptionShare("c", "o", 0, 2, 2, 4).chance == pytest.approx(2 / 6)
    assert OptionShare("c", "o", 1, 2, 2, 4).chance == 1


def test_choices_are_ordered_by_how_many_of_the_front_would_have_to_choose_otherwise():
    shares = [
        OptionShare("alike", "a", 1, 2, 2, 4),
        OptionShare("alike", "b", 1, 2, 2, 4),
        OptionShare("unlike", "a", 2, 2, 2, 4),
        OptionShare("unlike", "b", 0, 2, 2, 4),
    ]
    assert list(distances(shares).items()) == [("unlike", 0.5), ("alike", 0)]


def test_levels_are_in_an_order_that_a_person_expects():
    assert levels([16, 8, 128, 8])[0] == ["8", "16", "128"]
    assert levels([16, 8, 128, 8])[1].tolist() == [1, 0, 2, 0]
    assert levels(["b", ABSENT, "a", None, True])[0] == ["None", "True", "a", "b", ABSENT]
    assert levels([])[0] == []


def test_many_numbers_are_cut_into_four_parts():
    words, places = levels([float(value) for value in range(9)])
    assert words == ["0 to 1", "2 to 3", "4 to 5", "6 to 8"]
    assert places.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 3]


def test_a_range_of_decades_is_cut_at_equal_factors():
    values = [1.0, 2, 3, 11, 12, 110, 120, 1100, 10_000]
    assert levels(values)[0] == ["1 to 3", "11 to 12", "110 to 120", "1100 to 10000"]


def test_parts_without_a_value_are_left_out():
    assert levels([0.0, 1, 2, 3, 4, 5, 6, 7, 100])[0] == ["0 to 7", "100"]


def test_pruned_trials_of_an_ordinary_study_were_not_trained_as_far_as_we_know():
    study = new_study()
    add(study, (0.1, 10.0), choices={"block1.op": "skip"})
    add(study, state=TrialState.PRUNED, choices={"block1.op": "mb3_k3"})
    assert shares_of(study) == {("block1.op", "skip"): (1, 1)}


def test_floats_and_any_option():
    study = new_study()
    kinds = {"lr": FloatDistribution(0, 1), "norm": CategoricalDistribution((None, "batch", 3, True))}
    for index, norm in enumerate((None, "batch", 3, True)):
        study.add_trial(
            create_trial(values=[0.1, 1.0 + index], params={"lr": 0.1 * index, "norm": norm}, distributions=kinds)
        )
    assert shares_of(study)[("norm", "None")] == (1, 1)
    assert [option for choice, option in shares_of(study) if choice == "norm"] == ["3", "None", "True", "batch"]


@pytest.mark.parametrize("name", awkward())
def test_awkward_studies(name):
    for share in option_shares(awkward()[name]):
        assert 0 <= share.front <= share.n_front
        assert share.front <= share.trained <= share.n_trained
        assert 0 <= share.chance <= 1
