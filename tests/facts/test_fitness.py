"""Fitness by hand."""

import math

import optuna
import pytest
from handmade import add, awkward, new_study
from optuna.trial import create_trial

from optnas.cost import parse_constraints
from optnas.errors import UsageError
from optnas.facts.fitness import chances, in_words, parse_fitness, rank
from optnas.facts.weights import weight_map


def study_of(rows, names=("error", "latency_ms"), directions=None, **kept):
    study = new_study(names, directions)
    for index, row in enumerate(rows):
        costs = {name: values[index] for name, values in kept.items()}
        add(study, row, costs=costs)
    return study


#: The median latency is 2.
ROWS = [(0.1, 4.0), (0.2, 2.0), (0.4, 1.0)]


def trials(ranked):
    return [one.network.trial for one in ranked]


def test_the_median_latency_earns_its_weight_and_half_of_it_twice_that() -> None:
    ranked = rank(study_of(ROWS), parse_fitness("accuracy=1, 1/latency_ms = 0.2"))
    parts = {one.network.trial: one.parts for one in ranked}
    assert parts[0] == pytest.approx({"accuracy": 0.9, "1/latency_ms": 0.1})
    assert parts[1] == pytest.approx({"accuracy": 0.8, "1/latency_ms": 0.2})
    assert parts[2] == pytest.approx({"accuracy": 0.6, "1/latency_ms": 0.4})
    # 1.0 each: the first trial stays in front.
    assert [one.fitness for one in ranked] == pytest.approx([1.0, 1.0, 1.0])


def test_weights_decide() -> None:
    study = study_of(ROWS)
    assert trials(rank(study, parse_fitness("accuracy=1,1/latency_ms=0.1"))) == [0, 1, 2]
    assert trials(rank(study, parse_fitness("accuracy=1,1/latency_ms=0.3"))) == [2, 1, 0]
    assert trials(rank(study, parse_fitness("1/latency_ms=1"))) == [2, 1, 0]


def test_a_budget_does_not_change_what_a_network_is_worth() -> None:
    study, fitness = study_of(ROWS), parse_fitness("accuracy=1,1/latency_ms=0.3")
    within = rank(study, fitness, parse_constraints(["latency_ms>=2"]))
    assert trials(within) == [1, 0]
    worth = {one.network.trial: one.fitness for one in rank(study, fitness)}
    assert [one.fitness for one in within] == [worth[1], worth[0]]
    with pytest.raises(UsageError, match="this study measured other costs: latency_ms"):
        rank(study, fitness, parse_constraints(["macs<=2"]))


def test_infeasible_networks_neither_count_nor_set_the_median() -> None:
    study = study_of(ROWS)
    add(study, (0.0, 100.0), constraints={"latency_ms<=9": 1.0})
    add(study, (0.3, math.inf))
    ranked = rank(study, parse_fitness("accuracy=1,1/latency_ms=0.2"))
    assert trials(ranked) == [0, 1, 2]
    assert ranked[0].parts["1/latency_ms"] == pytest.approx(0.1)


def test_a_cost_beside_the_objectives_counts_where_it_was_measured() -> None:
    study = study_of(ROWS, size_bytes=[300, 100, 50])
    add(study, (0.01, 0.5), costs={})
    ranked = rank(study, parse_fitness("1/size_bytes=1"))
    assert [(one.network.trial, one.fitness) for one in ranked] == [(2, 2.0), (1, 1.0), (0, pytest.approx(1 / 3))]


def test_objectives_of_another_study() -> None:
    study = study_of([(0.8, 10.0), (0.9, 40.0), (0.7, 20.0)], ("accuracy", "gain"), ["maximize", "maximize"])
    ranked = rank(study, parse_fitness("accuracy=1,gain=0.1"))
    assert [(one.network.trial, one.fitness) for one in ranked] == [
        (1, pytest.approx(0.9 + 0.2)), (0, pytest.approx(0.8 + 0.05)), (2, pytest.approx(0.7 + 0.1))
    ]  # fmt: skip
    plain = awkward()["plain"]
    assert len(rank(plain, parse_fitness("value0=1"))) == 12


def test_errors_in_percent_are_accuracies_in_shares() -> None:
    ranked = rank(study_of([(10.0, 4.0), (20.0, 2.0)]), parse_fitness("accuracy=1"))
    assert [one.fitness for one in ranked] == pytest.approx([0.9, 0.8])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected NAME=WEIGHT with commas between, like .*, got ''"),
        ("accuracy", "got 'accuracy'"),
        ("accuracy=1,,1/macs=1", "got ''"),
        ("accuracy=much", "expected a finite weight of at least 0 for accuracy, got 'much'"),
        ("accuracy=-1", "got '-1'"),
        ("accuracy=inf", "got 'inf'"),
        ("accuracy=nan", "got 'nan'"),
        ("accuracy=1,accuracy=2", "expected each term once, got accuracy twice"),
        ("accuracy=0,1/macs=0", "expected a weight above 0, got only zeros"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(text, words) -> None:
    with pytest.raises(UsageError, match=f"^fitness {text!r}: .*{words}$"):
        parse_fitness(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("error=1", "expected terms that are better when larger, got error: write accuracy=1"),
        ("1/error=1", "got 1/error: write accuracy=1"),
        ("1/accuracy=1", "got 1/accuracy: write accuracy=1"),
        ("latency_ms=1", "less latency_ms is better: expected 1/latency_ms, got latency_ms"),
        ("1/latency=1", "got 1/latency; did you mean 1/latency_ms?"),
        ("speed=1", "expected terms among accuracy, 1/latency_ms, 1/params, .*, got speed$"),
        ("1/macs=1", "1/macs was not measured; this study knows latency_ms"),
    ],
)
def test_terms_that_a_study_does_not_have_are_refused_in_a_sentence(text, words) -> None:
    with pytest.raises(UsageError, match=f"^fitness {text}: .*{words}"):
        rank(study_of(ROWS), parse_fitness(text))


def test_what_is_maximised_has_no_inverse_and_zero_neither() -> None:
    gains = study_of([(0.8, 10.0)], ("accuracy", "gain"), ["maximize", "maximize"])
    with pytest.raises(UsageError, match="more gain is better: expected gain, got 1/gain"):
        rank(gains, parse_fitness("1/gain=1"))
    with pytest.raises(UsageError, match="and it has no error"):
        rank(awkward()["plain"], parse_fitness("accuracy=1"))
    with pytest.raises(UsageError, match="expected a macs above 0 of every network, got 0"):
        rank(awkward()["zero"], parse_fitness("1/macs=1"))


def test_every_awkward_study_gives_a_ranking_or_a_sentence() -> None:
    sentences = []
    for study in awkward().values():
        for text in ("accuracy=1", "1/macs=1", "accuracy=1,1/macs=0.1,1/params=0.1", "value0=1"):
            try:
                assert len(rank(study, parse_fitness(text))) <= len(study.trials)
                assert isinstance(in_words(study, parse_fitness(text)), str)
            except UsageError as error:
                sentences.append(str(error))
    assert sentences
    assert all(sentence.startswith("fitness ") for sentence in sentences)


def test_the_words_say_what_a_weight_is_worth() -> None:
    words = in_words(study_of(ROWS), parse_fitness("accuracy=1,1/latency_ms=0.2"))
    assert words == "1/latency_ms=0.2: the median latency_ms, 2.00 ms, earns 0.2, half of it 0.4."
    assert in_words(study_of([]), parse_fitness("1/latency_ms=0.2")) == ""


def test_chances_add_up_and_a_clear_winner_has_them_all() -> None:
    rows = [(0.1 + 0.05 * index, 2.0) for index in range(8)]
    clear = chances(study_of(rows), parse_fitness("1/latency_ms=1,accuracy=1"))
    assert sum(clear.values()) == pytest.approx(1.0)
    study = study_of([*rows, (0.5, 0.01)])
    assert chances(study, parse_fitness("1/latency_ms=1,accuracy=1")) == {8: 1.0}
    with pytest.raises(UsageError, match="expected at least 4 trained networks, got 3"):
        chances(study_of(ROWS), parse_fitness("accuracy=1"))
    assert chances(study_of([]), parse_fitness("accuracy=1")) == {}


def test_latencies_within_their_noise_share_the_chance() -> None:
    """Two of equal latency and equal error, of 10 % noise: each is as likely, and no other can be."""
    study = optuna.create_study(directions=["minimize"] * 2)
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        study.set_metric_names(["error", "latency_ms"])
    for latency in (1.0, 1.0, 3.0, 3.0, 3.0):
        costs = {"latency_ms": latency, "latency_spread_ms": 0.1 * latency}
        study.add_trial(create_trial(values=[0.2, latency], user_attrs={"optnas:costs": costs}))
    found = chances(study, parse_fitness("1/latency_ms=1"))
    assert set(found) == {0, 1}
    assert found[0] == pytest.approx(0.5, abs=0.05)


def test_of_equally_fit_networks_one_that_no_other_beats_comes_first() -> None:
    """Equal errors: the second is faster, so it beats the first."""
    study = study_of([(0.1, 4.0), (0.1, 2.0), (0.3, 1.0)])
    for text in ("accuracy=1", "accuracy=1,1/latency_ms=0", "accuracy=1,1/latency_ms=0,1/size_bytes=0"):
        study_with = study_of([(0.1, 4.0), (0.1, 2.0), (0.3, 1.0)], size_bytes=[1, 1, 1]) if "size" in text else study
        fitness = parse_fitness(text)
        assert trials(rank(study_with, fitness)) == [1, 0, 2], text
        found = weight_map(study_with, fitness)
        assert found.winner is not None
        assert found.winner.trial == 1
        assert 0 not in {region.network.trial for region in found.regions}
