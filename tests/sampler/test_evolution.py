"""Aging evolution: Optuna's own cases for samplers, the rules of the paper, and what a restart must keep."""

from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, MultiObjectiveSamplerTestCase
from optuna.trial import BaseTrial, TrialState, create_trial

from optnas.errors import UsageError
from optnas.sampler.evolution import EvolutionSampler


class TestOptunaCases(BasicSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: EvolutionSampler(population=5, tournament=2)


def branching(trial: BaseTrial) -> tuple[float, float]:
    """A deeper network has more choices; its error falls with kernel and depth, its cost grows."""
    depth = trial.suggest_int("depth", 1, 3)
    kernels = [trial.suggest_categorical(f"kernel{i}", [3, 5, 7]) for i in range(depth)]
    return 1.0 / sum(kernels), float(sum(kernel**2 for kernel in kernels))


def run(sampler: BaseSampler, trials: int) -> optuna.Study:
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    study.optimize(branching, n_trials=trials)
    return study


def flat(trial: BaseTrial) -> None:
    for i in range(6):
        trial.suggest_categorical(f"op{i}", ["a", "b", "c"])


def differing(one: dict[str, Any], other: dict[str, Any]) -> int:
    return sum(one[name] != other[name] for name in one)


def finished(params: dict[str, Any], values: list[float], violation: float | None = None) -> optuna.trial.FrozenTrial:
    trial = create_trial(
        params=params,
        distributions={name: CategoricalDistribution(["a", "b", "c"]) for name in params},
        values=values,
        constraints=None if violation is None else {"params<=1": violation},
    )
    return trial


def all_of(letter: str) -> dict[str, Any]:
    return {f"op{i}": letter for i in range(6)}


@pytest.mark.parametrize("space", [flat, None])
def test_child_of_the_only_parent_differs_in_one_choice(space: Callable[[BaseTrial], None] | None) -> None:
    study = optuna.create_study(sampler=EvolutionSampler(space, population=1, tournament=1))
    study.add_trial(finished(all_of("a"), [1.0]))
    trial = study.ask()
    flat(trial)
    assert differing(all_of("a"), trial.params) == 1


def test_the_oldest_dies_even_if_it_is_the_best() -> None:
    study = optuna.create_study(sampler=EvolutionSampler(flat, population=2, tournament=2))
    study.add_trials([finished(all_of(letter), [loss]) for letter, loss in (("a", 0.0), ("b", 1.0), ("c", 2.0))])
    trial = study.ask()
    flat(trial)
    assert differing(all_of("b"), trial.params) == 1


def test_parent_meets_the_constraints_before_it_is_good() -> None:
    study = optuna.create_study(
        directions=["minimize", "minimize"], sampler=EvolutionSampler(flat, population=3, tournament=3)
    )
    study.add_trials(
        [
            finished(all_of("a"), [0.0, 0.0], 0.1),
            finished(all_of("b"), [1.0, 1.0], 0.0),
            finished(all_of("c"), [2.0, 2.0], -1.0),
        ]
    )
    trial = study.ask()
    flat(trial)
    assert differing(all_of("b"), trial.params) == 1


def test_repeats_are_mutated_away() -> None:
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=EvolutionSampler(branching, population=5))
    study.optimize(branching, n_trials=30)  # of 3 + 9 + 27 networks
    assert len({tuple(sorted(trial.params.items())) for trial in study.trials}) == 30


def test_restart_proposes_the_same() -> None:
    whole = run(EvolutionSampler(branching, population=6, seed=3), 20)
    half = run(EvolutionSampler(branching, population=6, seed=3), 12)
    half.sampler = EvolutionSampler(branching, population=6, seed=3)
    half.optimize(branching, n_trials=8)
    assert [trial.params for trial in half.trials] == [trial.params for trial in whole.trials]


def test_pruned_and_failed_trials_are_no_parents_and_not_repeated() -> None:
    study = optuna.create_study(sampler=EvolutionSampler(flat, population=1, tournament=1))
    study.add_trial(finished(all_of("a"), [1.0]))
    for state in (TrialState.PRUNED, TrialState.FAIL) * 5:
        trial = study.ask()
        flat(trial)
        study.tell(trial, state=state)
    networks = [tuple(trial.params.values()) for trial in study.trials]
    assert len(set(networks)) == len(networks)


def test_conditional_choices_of_children_are_complete() -> None:
    study = run(EvolutionSampler(branching, population=5), 25)
    for trial in study.trials:
        assert set(trial.params) == {"depth", *(f"kernel{i}" for i in range(trial.params["depth"]))}


def test_refuses_a_tournament_larger_than_the_population() -> None:
    with pytest.raises(UsageError, match="got 5 and 4"):
        EvolutionSampler(population=4, tournament=5)
