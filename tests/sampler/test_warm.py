"""A warm start is quicker where the other study is alike, and is given up where it is not."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import BaseTrial

from optnas.errors import UsageError
from optnas.sampler import CostAwareSampler, Experience, make_sampler
from optnas.sampler.encoding import Encoding
from optnas.sampler.warm import Forecast, helps
from optnas.space import sample

OPS = ["skip", "small", "large", "huge"]
NAMES = ["error", "macs"]


def space(trial: BaseTrial) -> None:
    for i in range(6):
        trial.suggest_categorical(f"op{i}", OPS)


def cost_of(params: Mapping[str, Any]) -> dict[str, float]:
    return {"macs": float(sum([1, 2, 4, 9][OPS.index(params[f"op{i}"])] for i in range(6)))}


def error_of(params: Mapping[str, Any]) -> float:
    """What an operator brings differs by place, and it is the cheap small one that is good at even places."""
    gains = np.array([[0.0, 0.3, 0.05, 0.1], [0.0, 0.02, 0.25, 0.05]])
    return float(np.exp(-sum(gains[i % 2][OPS.index(params[f"op{i}"])] for i in range(6))))


def experience(error=error_of, count: int = 40, noise: float = 0.0) -> Experience:
    generator = np.random.default_rng(7)
    networks = [sample(space, generator) for _ in range(count)]
    return Experience("old", networks, [error(n) * float(np.exp(generator.normal(0, noise))) for n in networks])


def search(trials: int, **settings: Any) -> optuna.Study:
    sampler = CostAwareSampler(cost_of, space=space, objectives=NAMES, candidates=256, **settings)
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
    for _ in range(trials):
        trial = study.ask()
        space(trial)
        study.tell(trial, [error_of(trial.params), cost_of(trial.params)["macs"]])
    return study


def covered(study: optuna.Study) -> float:
    values = np.array([trial.values for trial in study.trials])
    import moocore

    return float(moocore.hypervolume(values, ref=[1.0, 54.0]))


def test_a_forecast_knows_what_the_other_study_found() -> None:
    known = experience(count=60)
    costs = lambda network: np.array([cost_of(network)["macs"]])  # noqa: E731
    forecast = Forecast(known, costs, {})
    generator = np.random.default_rng(1)
    unseen = [sample(space, generator) for _ in range(40)]
    foreseen = [forecast(network, costs(network)) for network in unseen]
    assert np.corrcoef(np.log(foreseen), np.log([error_of(n) for n in unseen]))[0, 1] > 0.95


def test_help_is_told_from_harm() -> None:
    generator = np.random.default_rng(2)
    networks = [sample(space, generator) for _ in range(16)]
    errors = np.array([error_of(network) for network in networks])
    macs = np.array([[cost_of(network)["macs"]] for network in networks])
    for forecast, expected in ((errors**1.5, True), (np.exp(generator.normal(size=16)), False)):
        costs = np.hstack([macs, forecast[:, None]])
        assert helps(Encoding(networks, costs, {})(networks, costs), errors) is expected


@pytest.mark.slow
def test_fewer_trainings_are_needed_after_a_study_that_is_alike() -> None:
    gains = []
    for seed in range(5):
        # Of a cold search these are five that are spread and two that the model chose.
        cold, warm = search(7, seed=seed), search(7, seed=seed, experience=experience(noise=0.05))
        gains.append(covered(warm) - covered(cold))
    assert np.mean(gains) > 2 * np.std(gains) / 5**0.5


@pytest.mark.slow
def test_a_study_that_misleads_is_given_up_and_that_is_said() -> None:
    said: list[str] = []
    generator = np.random.default_rng(5)
    luck = {tuple(n.items()): float(generator.uniform(0.1, 1)) for n in experience().networks}
    misleading = experience(lambda params: luck[tuple(params.items())])
    study = search(22, experience=misleading, say=said.append)
    assert len(said) == 1
    assert said[0].startswith("the warm start from study old ends after ")
    # From then on it is as good as a cold one, nearly.
    assert covered(study) > 0.95 * covered(search(22))


@pytest.mark.slow
def test_a_new_process_proposes_the_same() -> None:
    whole = search(14, experience=experience())
    sampler = CostAwareSampler(cost_of, space=space, objectives=NAMES, candidates=256, experience=experience())
    again = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
    again.add_trials(whole.trials[:13])
    trial = again.ask()
    space(trial)
    assert trial.params == whole.trials[13].params


def test_a_study_of_other_networks_is_refused() -> None:
    other = Experience("birds", [{"wings": i} for i in range(9)], [0.5] * 9)
    sampler = CostAwareSampler(cost_of, space=space, objectives=NAMES, experience=other)
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
    with pytest.raises(UsageError, match="at least 6 trained networks of this space in study 'birds', got 0 of 9"):
        space(study.ask())


def test_only_the_sampler_that_has_a_model_can_use_it() -> None:
    with pytest.raises(UsageError, match="warm start: expected sampler cost-aware, got tpe"):
        make_sampler("tpe", 0, experience=experience())


@pytest.mark.parametrize("errors", ["maximised", "with a zero"])
def test_help_is_told_in_any_unit(errors: str) -> None:
    generator = np.random.default_rng(3)
    networks = [sample(space, generator) for _ in range(16)]
    truth = np.array([error_of(network) for network in networks])
    losses = truth - 1.0 if errors == "maximised" else np.where(truth == truth.min(), 0.0, truth)
    costs = np.column_stack([[cost_of(network)["macs"] for network in networks], truth])
    assert helps(Encoding(networks, costs, {})(networks, costs), losses)


def test_an_error_of_nothing_is_the_best_there_is() -> None:
    known = experience()
    perfect = Experience("old", known.networks, [0.0, *known.errors[1:]])
    costs = lambda network: np.array([cost_of(network)["macs"]])  # noqa: E731
    forecast = Forecast(perfect, costs, {})
    assert len(forecast.networks) == 40
    first = forecast(known.networks[0], costs(known.networks[0]))
    assert first < Forecast(known, costs, {})(known.networks[0], costs(known.networks[0]))
