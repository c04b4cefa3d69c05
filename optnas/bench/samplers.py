"""Replay of samplers on a table: how much of the true front each finds after so many trainings."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler

from optnas.bench.others import OTHERS, check_installed, make_other
from optnas.bench.proposer import OptunaProposer, Proposer
from optnas.bench.table import Answers, Table
from optnas.errors import UsageError
from optnas.sampler.cost_aware import CostAwareSampler
from optnas.sampler.evolution import EvolutionSampler
from optnas.sampler.nsga2 import NSGA2Sampler
from optnas.sampler.presets import make_sampler
from optnas.sampler.reinforce import ReinforceSampler

__all__ = ["CHECKPOINTS", "REPLAYED", "Replayed", "check_replay", "make_replayed", "replay_sampler", "replay_samplers"]

#: Numbers of trainings after which a replay is measured.
CHECKPOINTS = (10, 25, 50, 100, 150, 200, 400, 500)
#: A replay that has asked so many times as often as it trained has nothing left to find.
_PATIENCE = 20


@dataclass(frozen=True)
class Replayed:
    """One sampler with one seed at one checkpoint."""

    sampler: str
    """One of `REPLAYED` or `OTHERS`."""
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
    """Mean wall time since the checkpoint before, with what the sampler does when it hears the values."""


Factory = Callable[[Table, Answers, int], BaseSampler]


def _cost_aware(table: Table, answers: Answers, seed: int) -> BaseSampler:
    costs = [name for name in answers.objectives if name != answers.learned]
    return CostAwareSampler(
        lambda params: {name: float(table.columns[name][table.row_of(params)]) for name in costs},
        networks=table.networks,
        objectives=answers.objectives,
        seed=seed,
    )


#: How to make each sampler, and whether it avoids repeats. tpe-liar is what `optnas search --sampler tpe` uses:
#: multivariate, and trials in training count as bad ones, so that others are proposed elsewhere.
_FACTORIES: dict[str, tuple[Factory, bool]] = {
    "random": (lambda table, answers, seed: RandomSampler(seed=seed), False),
    "nsga2": (lambda table, answers, seed: NSGA2Sampler(seed=seed), True),
    "optuna-nsga2": (lambda table, answers, seed: NSGAIISampler(population_size=20, seed=seed), False),
    "tpe": (lambda table, answers, seed: TPESampler(seed=seed), False),
    "tpe-multivariate": (lambda table, answers, seed: TPESampler(multivariate=True, seed=seed), False),
    "tpe-liar": (lambda table, answers, seed: make_sampler("tpe", seed), False),
    "gp": (lambda table, answers, seed: GPSampler(seed=seed), False),
    "cost-aware": (_cost_aware, True),
    "evolution": (lambda table, answers, seed: EvolutionSampler(seed=seed), True),
    "reinforce": (
        lambda table, answers, seed: ReinforceSampler(objectives=answers.objectives, seed=seed),
        True,
    ),
}
#: The samplers that can always be replayed; those of `OTHERS` need their packages.
REPLAYED = tuple(_FACTORIES)


def replay_samplers(
    table: Table,
    objectives: Sequence[str],
    samplers: Sequence[str] = REPLAYED,
    trials: int = 150,
    seeds: int | Sequence[int] = 5,
    on_done: Callable[[str, int, Sequence[Replayed]], None] = lambda sampler, seed, results: None,
) -> list[Replayed]:
    """Replay several samplers with several seeds each; a checkpoint beyond `trials` is left out.

    Args:
        table: Of `load_table`.
        objectives: Columns of the table, all minimised. Of these "error", or else the first, is told after
            training only; the others are the costs that cost-aware knows beforehand.
        samplers: Of `REPLAYED` and `OTHERS`.
        trials: How many trainings each gets.
        seeds: How many runs each sampler has, or their seeds.
        on_done: Called with the sampler, the seed and the checkpoints after each run.

    Returns:
        Run by run, the checkpoints of each in order.

    Raises:
        UsageError: As `check_replay`, or if an objective is unknown or the table has no hypervolume.
    """
    check_replay(samplers, trials, seeds)
    answers = table.searched(objectives)
    results: list[Replayed] = []
    for name in samplers:
        for seed in range(seeds) if isinstance(seeds, int) else seeds:
            run = replay_sampler(table, answers, name, trials, seed)
            on_done(name, seed, run)
            results += run
    return results


def check_replay(samplers: Sequence[str], trials: int, seeds: int | Sequence[int]) -> None:
    """Refuse what `replay_samplers` cannot do, before a table is read.

    Raises:
        UsageError: If a sampler is unknown, twice there or not installed, none is named, `trials` is below
            the first checkpoint, or there is no seed.
    """
    known = (*REPLAYED, *OTHERS)
    if not samplers:
        raise UsageError(f"samplers: expected some of {', '.join(known)}, got none")
    for index, name in enumerate(samplers):
        if name not in known:
            close = get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise UsageError(f"unknown sampler {name!r}: expected some of {', '.join(known)}{hint}")
        if name in samplers[:index]:
            raise UsageError(f"samplers: expected each once, got {name} twice")
        if name in OTHERS:
            check_installed(name)
    if trials < CHECKPOINTS[0]:
        raise UsageError(f"trials: expected at least {CHECKPOINTS[0]}, got {trials}")
    if (seeds if isinstance(seeds, int) else len(seeds)) < 1:
        raise UsageError(f"seeds: expected at least 1, got {seeds if isinstance(seeds, int) else 'none'}")


def replay_sampler(table: Table, answers: Answers, name: str, trials: int, seed: int) -> list[Replayed]:
    """Replay one sampler once; see `replay_samplers`."""
    proposer = _make(table, answers, name, seed)
    trained: list[int] = []
    seen: set[int] = set()
    results: list[Replayed] = []
    repeats, clock, suggestions = 0, 0.0, 0
    for _ in range(_PATIENCE * trials):
        start = time.perf_counter()
        network = proposer.ask()
        if network is None:
            break
        row = table.row_of(network)  # none where a table holds a part of the space only
        proposer.tell(None if row is None else [float(value) for value in answers.values[row]])
        clock, suggestions = clock + time.perf_counter() - start, suggestions + 1
        if row is None:
            continue
        repeats += row in seen
        if row in seen and proposer.avoids_repeats:
            continue
        trained.append(row)
        seen.add(row)
        if len(trained) in CHECKPOINTS:
            share, recall = answers.hypervolume(trained), answers.recall(trained)
            results.append(Replayed(name, seed, len(trained), share, recall, repeats, clock / suggestions))
            clock, suggestions = 0.0, 0
        if len(trained) == trials or (proposer.avoids_repeats and len(seen) == len(table.networks)):
            break
    return results


def _make(table: Table, answers: Answers, name: str, seed: int) -> Proposer:
    if name in OTHERS:
        return make_other(name, table.options, len(answers.objectives), seed)
    sampler, avoids = make_replayed(table, answers, name, seed), _FACTORIES[name][1]
    return OptunaProposer(sampler, table.options, len(answers.objectives), avoids)


def make_replayed(table: Table, answers: Answers, name: str, seed: int) -> BaseSampler:
    """The sampler of that name, one of `REPLAYED`, for a study in memory."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return _FACTORIES[name][0](table, answers, seed)
