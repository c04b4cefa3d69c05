"""Replay of samplers on a table: how much of the true front each finds after so many trainings."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import Trial, TrialState

from optnas.bench.table import Answers, Table
from optnas.errors import UsageError
from optnas.sampler.cost_aware import CostAwareSampler
from optnas.sampler.evolution import EvolutionSampler
from optnas.sampler.nsga2 import NSGA2Sampler

__all__ = ["CHECKPOINTS", "REPLAYED", "Replayed", "replay_sampler", "replay_samplers"]

#: Numbers of trainings after which a replay is measured.
CHECKPOINTS = (10, 25, 50, 100, 150, 200, 400)
#: A replay that has asked so many times as often as it trained has nothing left to find.
_PATIENCE = 20


@dataclass(frozen=True)
class Replayed:
    """One sampler with one seed at one checkpoint."""

    sampler: str
    """One of `REPLAYED`."""
    seed: int
    trainings: int
    """How many networks were trained; repeats are among them for a sampler that does not avoid them."""
    hypervolume: float
    """Share of the hypervolume of the whole table, 0 to 1."""
    front_recall: float
    """Share of the true front that was found, 0 to 1."""
    repeats: int
    """How often a network was proposed again, so far."""
    seconds_per_suggestion: float
    """Mean since the checkpoint before."""


Factory = Callable[[Table, Answers, int], BaseSampler]


def _cost_aware(table: Table, answers: Answers, seed: int) -> BaseSampler:
    rows = {tuple(network.values()): index for index, network in enumerate(table.networks)}
    costs = [name for name in answers.objectives if name != answers.learned]
    return CostAwareSampler(
        lambda params: {
            name: float(table.columns[name][rows[tuple(params[choice] for choice in table.networks[0])]])
            for name in costs
        },
        networks=table.networks,
        objectives=answers.objectives,
        seed=seed,
    )


#: How to make each sampler, and whether it avoids repeats.
_FACTORIES: dict[str, tuple[Factory, bool]] = {
    "random": (lambda table, answers, seed: RandomSampler(seed=seed), False),
    "nsga2": (lambda table, answers, seed: NSGA2Sampler(seed=seed), True),
    "optuna-nsga2": (lambda table, answers, seed: NSGAIISampler(population_size=20, seed=seed), False),
    "tpe": (lambda table, answers, seed: TPESampler(seed=seed), False),
    "tpe-multivariate": (lambda table, answers, seed: TPESampler(multivariate=True, seed=seed), False),
    "gp": (lambda table, answers, seed: GPSampler(seed=seed), False),
    "cost-aware": (_cost_aware, True),
    "evolution": (lambda table, answers, seed: EvolutionSampler(seed=seed), True),
}
#: The samplers that can be replayed.
REPLAYED = tuple(_FACTORIES)


def replay_samplers(
    table: Table,
    objectives: Sequence[str],
    samplers: Sequence[str] = REPLAYED,
    trials: int = 150,
    seeds: Iterable[int] = range(5),
    on_done: Callable[[str, int], None] = lambda sampler, seed: None,
) -> list[Replayed]:
    """Replay several samplers with several seeds each; a checkpoint beyond `trials` is left out.

    Args:
        table: Of `load_table`.
        objectives: Columns of the table, all minimised. Of these "error", or else the first, is told after
            training only; the others are the costs that cost-aware knows beforehand.
        samplers: Of `REPLAYED`.
        trials: How many trainings each gets.
        seeds: Each sampler runs once with each.
        on_done: Called with the sampler and the seed after each run.

    Raises:
        UsageError: If a sampler or an objective is unknown, or `trials` is below the first checkpoint.
    """
    for name in samplers:
        if name not in _FACTORIES:
            close = get_close_matches(name, REPLAYED, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise UsageError(f"unknown sampler {name!r}: expected some of {', '.join(REPLAYED)}{hint}")
    answers = table.answers(objectives)
    results = []
    for name in samplers:
        for seed in seeds:
            results += replay_sampler(table, answers, name, trials, seed)
            on_done(name, seed)
    return results


def replay_sampler(table: Table, answers: Answers, name: str, trials: int, seed: int) -> list[Replayed]:
    """Replay one sampler once; see `replay_samplers`."""
    if trials < CHECKPOINTS[0]:
        raise UsageError(f"trials: expected at least {CHECKPOINTS[0]}, got {trials}")
    make, avoids = _FACTORIES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study = optuna.create_study(
            directions=["minimize"] * len(answers.objectives), sampler=make(table, answers, seed)
        )
    options = table.options
    rows = {tuple(network.values()): row for row, network in enumerate(table.networks)}
    trained: list[int] = []
    seen: set[int] = set()
    results: list[Replayed] = []
    repeats, clock, suggestions = 0, 0.0, 0
    for _ in range(_PATIENCE * trials):
        start = time.perf_counter()
        trial, network = _ask(study, options)
        clock, suggestions = clock + time.perf_counter() - start, suggestions + 1
        row = rows.get(network)
        if row is None:  # a table may hold a part of the space only
            study.tell(trial, state=TrialState.FAIL)
            continue
        study.tell(trial, [float(value) for value in answers.values[row]])
        repeats += row in seen
        if row in seen and avoids:
            continue
        trained.append(row)
        seen.add(row)
        if len(trained) in CHECKPOINTS:
            share, recall = answers.hypervolume(trained), answers.recall(trained)
            results.append(Replayed(name, seed, len(trained), share, recall, repeats, clock / suggestions))
            clock, suggestions = 0.0, 0
        if len(trained) == trials or (avoids and len(seen) == len(rows)):
            break
    return results


def _ask(study: optuna.Study, options: dict[str, list[str]]) -> tuple[Trial, tuple[str, ...]]:
    trial = study.ask()
    return trial, tuple(trial.suggest_categorical(name, choices) for name, choices in options.items())
