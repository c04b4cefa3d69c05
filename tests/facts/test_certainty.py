"""How sure a front is: closed forms, noise that swamps all, and truths that are known."""

import math

import numpy as np
import optuna
import pytest
from handmade import add, awkward, large, new_study
from optuna.distributions import CategoricalDistribution
from optuna.trial import create_trial

from optnas.cost import parse_constraints
from optnas.errors import UsageError
from optnas.facts.certainty import _memberships, certainty, expected_errors, expected_sentence
from optnas.front import front

BITS = {f"c{index}": CategoricalDistribution([0, 1]) for index in range(8)}
#: What each bit takes from the error, and what it adds to the logarithm of the cost.
GAINS, PRICES = np.random.default_rng(99).uniform(0.0, 0.05, 8), np.random.default_rng(98).uniform(0.0, 0.6, 8)


def study_of(count, noise, seed=0, spread=0.0, names=("error", "macs")):
    """Networks of eight binary choices: errors that fall with what they cost, and noise. Returns the truth too."""
    generator = np.random.default_rng(seed)
    study = new_study(names)
    truths = []
    for _ in range(count):
        bits = generator.integers(0, 2, 8)
        cost = 1e5 * np.exp(bits @ PRICES)
        error = 0.3 - bits @ GAINS
        seen = (error + generator.normal(0, noise), cost * np.exp(spread * generator.normal()))
        costs = {names[1]: seen[1]} | ({"latency_spread_ms": spread * seen[1]} if spread else {})
        params = {name: int(bit) for name, bit in zip(BITS, bits, strict=True)}
        kept = {"optnas:costs": costs}
        study.add_trial(create_trial(values=list(seen), params=params, distributions=BITS, user_attrs=kept))
        truths.append((error, cost))
    return study, np.array(truths)


def on_front(values):
    return np.array(
        [not ((values <= one).all(axis=1) & (values < one).any(axis=1)).any() for one in values], dtype=float
    )


def test_draws_are_counted_by_hand() -> None:
    """Three networks of rising cost, four draws: the dearest is beaten in the first and the last of them."""
    errors = np.array([[0.3, 0.5, 0.5, 0.3], [0.4, 0.4, 0.4, 0.4], [0.35, 0.3, 0.1, 0.9]])
    costs = np.array([1.0, 2.0, 3.0])[:, None, None]
    told = np.array([[0.3, 0.4], [0.4, 0.4], [0.2, 0.45]])
    found = _memberships(np.array([7, 8, 9]), np.array([True, False, True]), told, errors, costs)
    assert [(one.measured, one.expected) for one in found] == [(0.3, 0.4), (0.4, 0.4), (0.2, 0.45)]
    assert [one.probability for one in found] == [1.0, 0.5, 0.5]
    assert [one.ties_with for one in found] == [(), (), (7,)]
    alone = _memberships(np.array([4]), np.array([True]), told[:1], errors[:1], costs[:1])
    assert [(one.trial, one.probability) for one in alone] == [(4, 1.0)]


def test_noisy_costs_are_drawn_too() -> None:
    """Equal errors: the one that is cheaper in a draw is on the front in it."""
    errors = np.full((2, 4), 0.5)
    costs = np.array([[[1.0, 1.0, 3.0, 1.0]], [[2.0, 2.0, 2.0, 2.0]]])
    found = _memberships(np.array([0, 1]), np.array([True, True]), np.zeros((2, 2)), errors, costs)
    assert [one.probability for one in found] == [0.75, 0.25]


def test_without_noise_the_front_is_sure() -> None:
    study, truth = study_of(60, 0.0)
    found = certainty(study, std=1e-6)
    members = [network.trial for network in front(study)]
    assert [one.trial for one in found.networks if one.on_front] == members
    assert all(one.probability > 0.99 for one in found.networks if one.on_front and one.ties_with == ())
    assert found.false_members < 1.0
    assert found.noise_std == pytest.approx(1e-6, rel=0.5)
    assert found.noise_source == "as given"
    assert found.latency_noise == 0.0
    assert on_front(truth).sum() >= len(members)


def test_the_least_error_ties_where_noise_swamps_everything() -> None:
    study = new_study(("error", "macs"))
    generator = np.random.default_rng(0)
    for _ in range(20):
        params = {name: int(bit) for name, bit in zip(BITS, generator.integers(0, 2, 8), strict=True)}
        study.add_trial(
            create_trial(values=[0.5 + generator.normal(0, 0.05), 100.0], params=params, distributions=BITS)
        )
    found = certainty(study, std=0.05)
    # All cost the same, so one of twenty is the best, and the best seen is hardly more likely than others.
    assert sum(one.probability for one in found.networks) < 1.0 + 1e-9
    assert found.networks[0].on_front
    assert found.networks[0].probability < 0.5


@pytest.mark.parametrize(("spread", "names"), [(0.0, ("error", "macs")), (0.05, ("error", "latency_ms"))])
def test_probabilities_are_kept(spread, names) -> None:
    """Over many fronts as many belong there as was said, and no probability is far off."""
    said, true, members = [], [], []
    for seed in range(12):
        study, truth = study_of(60, 0.02, seed, spread, names)
        found = certainty(study, std=0.02, draws=500)
        probabilities = np.zeros(60)
        probabilities[[one.trial for one in found.networks]] = [one.probability for one in found.networks]
        said.append(probabilities)
        true.append(on_front(truth))
        members.append(np.isin(np.arange(60), [one.trial for one in found.networks if one.on_front]))
    said, true, members = np.concatenate(said), np.concatenate(true), np.concatenate(members)
    assert said[members].sum() == pytest.approx(true[members].sum(), rel=0.2)
    for low, high in ((0.05, 0.35), (0.35, 0.65), (0.65, 1.01)):
        chosen = (said >= low) & (said < high)
        assert said[chosen].mean() == pytest.approx(true[chosen].mean(), abs=0.15)
    # Better than to believe the front.
    assert ((said - true) ** 2).mean() < 0.7 * ((members - true) ** 2).mean()


def test_draws_are_seeded() -> None:
    study, _ = study_of(40, 0.01)
    assert certainty(study, draws=500) == certainty(study, draws=500)
    assert certainty(study, draws=500, seed=1) != certainty(study, draws=500)


def test_probabilities_are_steady_to_the_point() -> None:
    """Neither another seed nor a budget that leaves out nothing changes one by more than a point."""
    study, _ = study_of(40, 0.04)
    found = [
        {one.trial: one.probability for one in certainty(study, budget, seed=seed).networks if one.on_front}
        for budget, seed in (((), 0), ((), 1), (parse_constraints(["macs<=1G"]), 2))
    ]
    assert any(0.1 < probability < 0.9 for probability in found[0].values())
    assert all(abs(other[trial] - one) <= 0.01 for other in found[1:] for trial, one in found[0].items())


def test_a_lucky_error_is_expected_to_rise_and_the_words_say_so() -> None:
    """Equal networks err 20 % by 2 points of chance; the least of them is lucky."""
    study = new_study(("error", "macs"))
    generator = np.random.default_rng(0)
    for index in range(30):
        params = {name: int(bit) for name, bit in zip(BITS, generator.integers(0, 2, 8), strict=True)}
        error = 0.1 if index == 7 else 0.2 + generator.normal(0, 0.02)
        study.add_trial(create_trial(values=[error, 100.0], params=params, distributions=BITS))
    found = certainty(study, std=0.04)
    (lucky,) = (one for one in found.networks if one.on_front)
    assert (lucky.trial, lucky.measured) == (7, 0.1)
    assert 0.13 < lucky.expected < 0.2
    assert "by pulling the errors of similar networks together; sure is the probability" in str(found)
    assert f"Expected error, and in brackets the measured one: trial 7: {lucky.expected:.2%} (10.00%)." in str(found)
    assert "Expected error" not in str(certainty(study_of(60, 0.0)[0], std=1e-6))


def test_what_is_expected_has_the_direction_of_the_study() -> None:
    study = new_study(("score", "macs"), ["maximize", "minimize"])
    for index in range(10):
        study.add_trial(create_trial(values=[float(index), 10.0 * (index + 1)]))
    found = certainty(study)
    assert all(one.measured == one.trial for one in found.networks)
    assert expected_errors(study, [7]) == {7: (7.0, pytest.approx(found.of(7).expected))}
    assert expected_sentence("score", {3: (3.0, 2.5), 4: (4.0, 4.25)}) == (
        "Expected score, and in brackets the measured one: trial 3: 2.5 (3), trial 4: 4.25 (4)."
    )


def test_infeasible_networks_are_no_rivals_and_a_budget_is_one_of_its_own() -> None:
    study, _ = study_of(40, 0.01)
    before = certainty(study, std=0.01)
    study.add_trial(
        create_trial(values=[0.0, 1.0], params=dict.fromkeys(BITS, 0), distributions=BITS, constraints={"c": 1.0})
    )
    after = certainty(study, std=0.01)
    assert {one.trial for one in after.networks if one.on_front} == {n.trial for n in before.networks if n.on_front}
    limit = sorted(network.costs["macs"] for network in front(study))[1]
    within = certainty(study, parse_constraints([f"macs<={limit}"]))
    assert len([one for one in within.networks if one.on_front]) == 2
    empty = certainty(study, parse_constraints(["macs<=1"]))
    assert empty.networks == ()
    assert math.isnan(empty.noise_std)
    assert str(empty) == "There is no front to be sure of."


def test_ties_name_members_that_cost_no_more() -> None:
    study, _ = study_of(80, 0.03)
    found = certainty(study, std=0.03)
    costs = {network.trial: network.costs["macs"] for network in front(study)}
    ties = [(one.trial, other) for one in found.networks for other in one.ties_with]
    assert ties
    assert all(costs[other] <= costs[trial] for trial, other in ties)


def test_the_sentences_say_how_many_and_why() -> None:
    study, _ = study_of(60, 0.02)
    text = str(certainty(study, std=0.02))
    assert "belong on the front in truth: the error of one training varies by ±" in text
    assert "(as given)" in text
    assert "nan" not in text


def test_another_objective_that_is_maximised() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        study.set_metric_names(["score", "macs"])
    for index in range(10):
        study.add_trial(create_trial(values=[float(index), 10.0 * (index + 1)]))
    found = certainty(study, std=1e-6)
    assert len(found.networks) == 10
    assert found.networks[0].probability == pytest.approx(1.0)


def test_other_studies_give_an_answer_or_a_sentence() -> None:
    answered, sentences = set(), []
    for name, study in awkward().items():
        try:
            found = certainty(study)
        except UsageError as error:
            sentences.append(str(error))
            continue
        answered.add(name)
        assert all(0 <= one.probability <= 1 for one in found.networks)
        assert str(found)
    assert answered == {"equal", "three", "four", "bare", "upward"}
    assert all(sentence.startswith("certainty: expected ") for sentence in sentences)
    with pytest.raises(UsageError, match="expected draws from 1 and a finite std above 0, got 0 and None"):
        certainty(large(20), draws=0)
    with pytest.raises(UsageError, match="got None and -1"):
        certainty(large(20), std=-1.0)


def test_a_large_study_is_thinned_and_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    study = large(300)
    whole = certainty(study, draws=200)
    monkeypatch.setattr("optnas.facts.trained._MODELLED", 120)
    monkeypatch.setattr("optnas.facts.trained._NEAREST", 60)
    part = certainty(study, draws=200)
    members = [one.trial for one in whole.networks if one.on_front]
    assert [one.trial for one in part.networks if one.on_front] == members
    assert part.noise_std == pytest.approx(whole.noise_std, rel=0.5)


def test_trials_added_by_hand_have_values_that_are_not_finite() -> None:
    study, _ = study_of(20, 0.01)
    add(study, (float("inf"), 1.0), choices={})
    assert all(one.trial < 20 for one in certainty(study).networks)
