"""Serving a planned network, and what counts as a repeat of one that was tried."""

import numpy as np
import optuna
import pytest
from optuna.study import Study
from optuna.trial import BaseTrial, FrozenTrial

from optnas.sampler.planned import PlannedSampler, follow, is_repeat, unseen
from optnas.space import Choices


def tower(trial: BaseTrial) -> None:
    """Of 3 + 9 networks."""
    for i in range(trial.suggest_int("depth", 1, 2)):
        trial.suggest_categorical(f"kernel{i}", [3, 5, 7])


class Always(PlannedSampler):
    plans = 0

    def _plan(self, study: Study, trial: FrozenTrial) -> Choices:
        self.plans += 1
        return {"depth": 2, "kernel0": 9, "kernel1": 7}


def test_a_plan_is_made_once_and_what_the_objective_does_not_offer_is_drawn() -> None:
    sampler = Always(None, 0)
    study = optuna.create_study(sampler=sampler)
    trial = study.ask()
    tower(trial)
    assert (trial.params["depth"], trial.params["kernel1"]) == (2, 7)
    assert trial.params["kernel0"] in {3, 5, 7}
    assert sampler.plans == 1
    study.tell(trial, 0.0)
    assert sampler._plans == {}


@pytest.mark.parametrize(
    ("tried", "repeat"),
    [
        ({"depth": 1, "kernel0": 3}, True),
        ({"depth": 1, "kernel0": 5}, False),
        ({"depth": 1, "kernel0": 3, "kernel1": 5}, False),  # asks for more than the network has
        ({"depth": 1}, True),  # ended after the first answer
        ({}, False),  # ended before it: says nothing
    ],
)
def test_repeats_by_hand(tried: Choices, repeat: bool) -> None:
    assert is_repeat({"depth": 1, "kernel0": 3, "lost": 7}, [tried]) == repeat


def test_follow_completes_what_becomes_active() -> None:
    followed = follow(tower, {"depth": 2, "kernel0": 5, "kernel7": 3}, np.random.default_rng(0))
    assert set(followed) == {"depth", "kernel0", "kernel1"}
    assert (followed["depth"], followed["kernel0"]) == (2, 5)


def test_the_only_network_left_is_found_and_fixed_choices_stay() -> None:
    network = {"depth": 1, "kernel0": 3}
    tried = [{"depth": 1, "kernel0": kernel} for kernel in (3, 5)]
    for seed in range(10):
        generator = np.random.default_rng(seed)
        assert unseen(tower, network, tried, {"depth": 1}, generator) == {"depth": 1, "kernel0": 7}
        assert unseen(tower, {}, tried, {"depth": 1, "kernel0": 5}, generator) == {"depth": 1, "kernel0": 5}


def test_a_new_network_is_left_as_it_is() -> None:
    assert unseen(tower, {"depth": 1, "kernel0": 3}, [], {}, np.random.default_rng(0)) == {"depth": 1, "kernel0": 3}
