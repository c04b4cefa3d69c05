from math import comb

import numpy as np
import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import TrialState, create_trial

from optnas.errors import UsageError
from optnas.study.search import hypervolume_so_far
from optnas.verdict import judge_study
from optnas.verdict.evidence import random_first, read_evidence
from optnas.verdict.judge import shuffle_test
from optnas.verdict.simulate import simulate

CHOICES = {f"x{index}": IntDistribution(0, 9) for index in range(4)}


def network(rng):
    return {name: int(rng.integers(10)) for name in CHOICES}


def values(params, rng, noise=0.01):
    """Cost: the sum of the choices, from 1. Error: falls with the first two only, so that the others are waste."""
    useful = params["x0"] + params["x1"]
    return 0.1 + 0.7 * (1 - useful / 18) ** 2 + noise * abs(rng.normal()), 1 + sum(params.values())


def make(networks, *, epochs=2, request=None, noise=0.01, seed=0, reference=True):
    study = optuna.create_study(directions=["minimize", "minimize"])
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        study.set_metric_names(["error", "macs"])
    if reference:
        study.set_user_attr("optnas:reference", {"error": 0.9, "macs": 37.0})
    if request:
        study.set_user_attr("optnas:request", request)
    rng = np.random.default_rng([seed, 1])
    for params in networks:
        error, cost = values(params, rng, noise)
        attributes = {"optnas:curve": [*[0.9] * (epochs - 1), error], "optnas:costs": {"macs": cost}}
        study.add_trial(create_trial(params=params, distributions=CHOICES, values=[error, cost], user_attrs=attributes))
    return study


def random_networks(count, seed=0):
    rng = np.random.default_rng(seed)
    return [network(rng) for _ in range(count)]


def good_networks(count, seed=0):
    """Members of the true front, or next to it."""
    rng = np.random.default_rng([seed, 2])
    return [{name: int(rng.integers(10)) if name in ("x0", "x1") else 0 for name in CHOICES} for _ in range(count)]


def test_a_search_that_finds_the_front_beat_random_search():
    study = make(random_networks(15) + good_networks(25))
    verdict = judge_study(study, random=15)
    assert verdict.verdict == "beat"
    assert verdict.hypervolume == pytest.approx(hypervolume_so_far(study))
    assert verdict.interval[0] <= verdict.random_hypervolume <= verdict.interval[1] < verdict.hypervolume
    assert verdict.probability > 0.95
    assert verdict.p_value < 0.05
    assert (verdict.epochs, verdict.trainings, verdict.random_first, verdict.random_trainings) == (80, 40, 15, 40)
    assert str(verdict).startswith("The study beat random search: its front covers 0.")
    assert judge_study(study, random=15) == verdict


def test_a_search_that_wanders_off_did_worse():
    bad = [{"x0": 0, "x1": index % 2, "x2": 9, "x3": 9 - index % 3} for index in range(25)]
    verdict = judge_study(make(random_networks(15) + bad), random=15)
    assert verdict.verdict == "worse"
    assert "as rarely as they do" in str(verdict)


def test_a_random_search_did_not_beat_itself():
    verdict = judge_study(make(random_networks(30), request={"sampler": "random", "population": 20}))
    assert (verdict.verdict, verdict.random_first, verdict.p_value) == ("not shown", 30, None)
    assert verdict.interval[0] < verdict.hypervolume < verdict.interval[1]
    assert str(verdict).startswith("Not shown: all its trials were random")


def test_it_is_not_known_which_trials_were_random():
    verdict = judge_study(make(random_networks(30)))
    assert (verdict.verdict, verdict.random_first) == ("not shown", None)
    assert "not known" in str(verdict)


@pytest.mark.parametrize(("trained", "random"), [(14, 7), (30, 4), (30, 26)])
def test_too_few(trained, random):
    verdict = judge_study(make(random_networks(trained)), random=random)
    assert (verdict.verdict, verdict.interval) == ("too few", None)
    assert str(verdict).startswith("Too few: ")


@pytest.mark.parametrize(
    ("sampler", "expected"), [("random", 30), ("tpe", 12), ("nsga2", 12), ("cost-aware", 5), ("my own", None)]
)
def test_how_many_trials_were_random(sampler, expected):
    assert random_first(make(random_networks(30), request={"sampler": sampler, "population": 12})) == expected


def test_pruned_refused_and_repeated_trials():
    networks = random_networks(20)
    study = make(networks, epochs=4)
    for attributes, state in (
        ({"optnas:curve": [0.9, 0.5], "optnas:costs": {"macs": 9}}, TrialState.PRUNED),
        ({"optnas:costs": {"macs": 36}, "optnas:reason": "over budget"}, TrialState.PRUNED),
    ):
        study.add_trial(create_trial(params=networks[0], distributions=CHOICES, user_attrs=attributes, state=state))
    study.add_trial(
        create_trial(params=networks[0], distributions=CHOICES, values=[0.01, 1], user_attrs={"optnas:repeat_of": 0})
    )
    evidence = read_evidence(study)
    assert (len(evidence.numbers), evidence.epochs, evidence.epochs_each) == (21, 20 * 4 + 2, 4)
    assert not evidence.complete[20]
    assert evidence.reached[20] == 0.5
    # Finished trials fell from 0.9 in epoch 2 to their errors: so will this one from 0.5.
    assert evidence.errors[20] == pytest.approx(0.5 * np.median(evidence.errors[:20]) / 0.9)
    assert len(evidence.priced) == 23
    verdict = judge_study(study, random=10)
    assert verdict.random_trainings == 20  # 82 epochs, 4 each
    assert verdict.hypervolume < 1 - 0.02  # neither the pruned trial nor the repeat is on the front


def test_shuffle_by_hand():
    # Losses on a diagonal, each row one step better than the one before: they are dominated by 5, 4, 3, 2, 1 and 0.
    losses = np.array([[1 - step / 10, 1 - step / 10] for step in range(1, 7)])
    often, rarely = shuffle_test(losses, 2)
    # Of 15 pairs only the first is dominated by 9.
    assert (often, rarely) == (pytest.approx(1 / comb(6, 2), abs=0.02), 1)
    often, rarely = shuffle_test(losses[::-1], 2)
    assert (often, rarely) == (1, pytest.approx(1 / comb(6, 2), abs=0.02))


def test_equal_networks_do_not_dominate_each_other():
    assert shuffle_test(np.ones((6, 2)), 2) == (1, 1)


@pytest.mark.slow
def test_the_shuffle_is_right_about_random_searches():
    rng = np.random.default_rng(0)
    p_values = [shuffle_test(rng.random((20, 2)), 8, seed)[0] for seed in range(40)]
    # At most 5 % should be: 6 or more of 40 have a probability of 1.4 %.
    assert sum(p <= 0.05 for p in p_values) < 6


@pytest.mark.slow
def test_random_searches_rarely_beat_random_search_and_the_interval_holds_them():
    def volume(seed):
        return hypervolume_so_far(make(random_networks(40, seed), seed=seed))

    real = np.array([volume(1000 + seed) for seed in range(200)])
    verdicts = [judge_study(make(random_networks(40, seed), seed=seed), random=15) for seed in range(40)]
    # 6 or more of 40 at 5 % have a probability of 1.4 %.
    assert sum(verdict.verdict == "beat" for verdict in verdicts) < 6
    covered = [np.mean((real >= v.interval[0]) & (real <= v.interval[1])) for v in verdicts]
    assert np.mean(covered) > 0.85
    assert np.mean([v.random_hypervolume for v in verdicts]) == pytest.approx(np.median(real), abs=real.std())


def test_networks_over_budget_are_not_drawn():
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        study.set_metric_names(["error", "macs"])
    rng = np.random.default_rng(0)
    for _ in range(40):
        trial = study.ask(CHOICES)
        error, cost = values(trial.params, rng)
        trial.set_user_attr("optnas:costs", {"macs": cost})
        trial.set_constraint("macs<=20", (cost - 20) / 20)
        if cost > 20:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            trial.set_user_attr("optnas:curve", [error])
            study.tell(trial, [error, cost])
    study.set_user_attr("optnas:reference", {"error": 0.9, "macs": 20.0})
    evidence = read_evidence(study)
    assert len(evidence.priced) == 40
    assert len(evidence.numbers) < 40
    # The best that can be had for 20: nine in x0 and x1 each, and nothing else, at a cost of 19.
    best = 1 - 0.1 / 0.9
    assert simulate(evidence, 1000, searches=5).random.max() < best


def test_conditional_choices_need_the_space():
    study = make(random_networks(20))
    extra = {**CHOICES, "more": IntDistribution(0, 3)}
    params = {**random_networks(1)[0], "more": 2}
    study.add_trial(
        create_trial(params=params, distributions=extra, values=[0.5, 9.0], user_attrs={"optnas:curve": [0.9, 0.5]})
    )
    with pytest.raises(UsageError, match="conditional choices"):
        judge_study(study, random=10)

    def space(trial):
        for name in CHOICES:
            trial.suggest_int(name, 0, 9)
        if trial.params["x0"] == 9:
            trial.suggest_int("more", 0, 3)

    assert judge_study(study, space, random=10).interval is not None


def test_a_study_without_a_box_is_measured_by_its_own_worst():
    study = make(random_networks(20), reference=False)
    evidence = read_evidence(study)
    assert evidence.reference == pytest.approx(np.max([trial.values for trial in study.trials], axis=0))


@pytest.mark.parametrize(
    ("directions", "names"),
    [(["minimize"], ["error"]), (["minimize"] * 2, ["loss", "macs"]), (["minimize", "maximize"], ["error", "macs"])],
)
def test_other_objectives_are_refused(directions, names):
    study = optuna.create_study(directions=directions)
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        study.set_metric_names(names)
    with pytest.raises(UsageError, match="expected objectives error and costs, all minimised"):
        judge_study(study)


def test_nothing_trained():
    with pytest.raises(
        UsageError, match="expected trained networks within its constraints, of known choices and costs, got none"
    ):
        judge_study(make([]))


def test_networks_without_choices():
    study = make([])
    study.add_trial(create_trial(values=[0.5, 9.0]))
    with pytest.raises(UsageError, match="of known choices and costs, got none"):
        judge_study(study)


def test_the_first_sampler_made_the_first_trials():
    study = make(random_networks(30), request={"sampler": "cost-aware"})
    study.set_user_attr("optnas:samplers", [[0, "random", 20], [8, "cost-aware", 20]])
    assert random_first(study) == 8
    study.set_user_attr("optnas:samplers", [[0, "cost-aware", 20], [8, "random", 20]])
    assert random_first(study) == 5


def test_after_a_warm_start_nothing_is_random():
    assert random_first(make(random_networks(30), request={"sampler": "cost-aware", "warm_start": "other"})) is None
