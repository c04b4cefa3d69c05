"""A search with many workers in virtual time, on a table: what samplers lose when many networks are in training.

The study, the sampler and the trials are real; a training ends when a virtual clock says so. Until then its trial
is RUNNING, as it is for a coordinator with so many workers, and repeats are handled as that handles them (see
`optnas.study.coordinator`).
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna import Study, Trial
from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from optnas.bench.deaths import Deaths, Occupation, occupy
from optnas.bench.samplers import REPLAYED, check_replay, make_replayed
from optnas.bench.table import Answers, Table
from optnas.errors import UsageError
from optnas.sampler import derive_seed
from optnas.sampler.candidates import build_of
from optnas.space import mutate

__all__ = ["Durations", "Simulated", "check_workers", "simulate", "simulate_workers"]

#: As the coordinator's: a search ends after so many proposals without a training, or so many trainings in a row that
#: were given up; and from so many repeats in a row the next proposal is a mutation of the network that was repeated.
_MOST_REFUSALS, _MOST_FAILURES, _MOST_REPEATS = 1000, 8, 2
#: Streams of random numbers of a run, beside those of the sampler.
_DURATIONS, _DEATHS, _MUTATIONS = 1, 2, 3


@dataclass(frozen=True)
class Durations:
    """How many hours a training takes: (fixed + by_cost * cost / mean cost of the table) * noise.

    The noise is log-normal with mean 1. It belongs to the seed and the network, so that runs of one seed take as
    long for the same network, whatever sampler and however many workers they have.

    Args:
        fixed: Hours that any network takes.
        by_cost: Hours more of a network of mean cost.
        spread: The standard deviation of the logarithm of the noise.
    """

    fixed: float = 0.2
    by_cost: float = 0.8
    spread: float = 0.3

    def hours(self, costs: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
        """(n,) of all networks of a table with costs (n,)."""
        normal = np.random.default_rng([seed, _DURATIONS]).standard_normal(len(costs))
        noise = np.exp(self.spread * normal - self.spread**2 / 2)
        return np.asarray((self.fixed + self.by_cost * costs / costs.mean()) * noise)


@dataclass(frozen=True)
class Simulated:
    """One search: a sampler, a number of workers, a seed."""

    sampler: str
    workers: int
    seed: int
    hours: tuple[float, ...]
    """Virtual time at which each training ended, ascending."""
    hypervolume: tuple[float, ...]
    """Share of the hypervolume of the whole table after each, 0 to 1."""
    proposals: int
    """Of the sampler and of mutations, with repeats."""
    repeats: int
    """How many of these were a network that was in training or trained."""
    seconds_per_proposal: float
    """Mean wall time of a proposal, with what the sampler does when it hears values."""
    checkpoints: bool | None = None
    """Whether trainings went on from their last epoch when a worker died; None if none did."""
    deaths: int = 0
    failed: int = 0
    """Trainings that were given up."""
    worked_hours: float = 0.0
    """Of all workers together."""
    lost_hours: float = 0.0
    """Of these, for work that was done again or for nothing."""


def simulate_workers(
    table: Table,
    objectives: Sequence[str],
    samplers: Sequence[str],
    workers: Sequence[int] = (1, 16, 64, 256),
    trials: int = 600,
    seeds: int | Sequence[int] = 5,
    deaths: Sequence[Deaths | None] = (None,),
    durations: Durations = Durations(),
    on_done: Callable[[Simulated], None] = lambda run: None,
) -> list[Simulated]:
    """Simulate every sampler with every number of workers and every seed.

    Args:
        table: Of `load_table`.
        objectives: Columns of the table, see `replay_samplers`. The first but the learned one sets the durations,
            unless the table has `macs`.
        samplers: Of `REPLAYED`.
        workers: How many trainings run at a time.
        trials: How many networks each search trains.
        seeds: How many searches each has, or their seeds.
        deaths: How workers die, one after the other; None for workers that live.
        durations: Of trainings.
        on_done: Called after each search.

    Raises:
        UsageError: As `check_workers`, or as `Table.searched`.
    """
    check_workers(samplers, workers, trials, seeds)
    answers = table.searched(objectives)
    runs = []
    for name in samplers:
        for count in workers:
            for seed in range(seeds) if isinstance(seeds, int) else seeds:
                for fate in deaths:
                    runs.append(simulate(table, answers, name, count, trials, seed, fate, durations))
                    on_done(runs[-1])
    return runs


def check_workers(samplers: Sequence[str], workers: Sequence[int], trials: int, seeds: int | Sequence[int]) -> None:
    """Refuse what `simulate_workers` cannot do, before a table is read.

    Raises:
        UsageError: As `check_replay`; if a sampler is of another library; if a number of workers is below 1 or
            twice there, or none is given.
    """
    check_replay(samplers, trials, seeds)
    for name in samplers:
        if name not in REPLAYED:
            raise UsageError(
                f"sampler {name}: expected one that can be asked again before it is told: {', '.join(REPLAYED)}"
            )
    if not workers or min(workers) < 1 or len(set(workers)) < len(workers):
        shown = ",".join(map(str, workers)) or "none"
        raise UsageError(f"workers: expected different numbers of at least 1, got {shown}")


def simulate(
    table: Table,
    answers: Answers,
    sampler: str,
    workers: int,
    trials: int,
    seed: int,
    deaths: Deaths | None = None,
    durations: Durations = Durations(),
) -> Simulated:
    """One search; see `simulate_workers`."""
    costs = [name for name in answers.objectives if name != answers.learned]
    hours = durations.hours(table.columns["macs" if "macs" in table.columns else costs[0]], seed)
    search = _Search(table, answers, make_replayed(table, answers, sampler, seed), hours, seed, deaths)
    search.run(workers, trials)
    done = search.trained
    return Simulated(
        sampler,
        workers,
        seed,
        tuple(search.ended),
        tuple(answers.hypervolume(done[: count + 1]) for count in range(len(done))),
        search.proposals,
        search.repeats,
        search.seconds / max(1, search.proposals),
        None if deaths is None else deaths.checkpoints,
        search.deaths,
        search.failed,
        search.worked,
        search.lost,
    )


@dataclass
class _Search:
    """The coordinator's loop, with a heap of the ends of trainings in place of workers."""

    table: Table
    answers: Answers
    sampler: BaseSampler
    durations: NDArray[np.float64]
    """(n,) hours of every network of the table."""
    seed: int
    fate: Deaths | None
    now: float = 0.0
    pending: list[tuple[float, int, Trial, int, Occupation]] = field(default_factory=list)
    """A heap of trainings: end, number of the trial, trial, row of the table, and what it does to its worker."""
    twins: dict[int, list[Trial]] = field(default_factory=dict)
    """By row: the networks in training, and the trials that wait for the same network."""
    orphans: list[Trial] = field(default_factory=list)
    """Trials that waited for a network whose training was given up."""
    trained: list[int] = field(default_factory=list)
    """Rows, in the order in which they ended."""
    ended: list[float] = field(default_factory=list)
    proposals: int = 0
    repeats: int = 0
    in_a_row: int = 0
    fruitless: int = 0
    failures: int = 0
    deaths: int = 0
    failed: int = 0
    worked: float = 0.0
    lost: float = 0.0
    seconds: float = 0.0

    def run(self, workers: int, trials: int) -> None:
        self.study = _study(self.sampler, len(self.answers.objectives))
        self.build = build_of({name: CategoricalDistribution(options) for name, options in self.table.options.items()})
        self.known: set[int] = set()
        while True:
            while len(self.pending) < workers and len(self.trained) + len(self.pending) < trials:
                if self.fruitless >= _MOST_REFUSALS or self.failures >= _MOST_FAILURES:
                    break
                self._propose()
            if not self.pending:
                return
            self._collect()

    def _propose(self) -> None:
        began = time.perf_counter()
        trial = self.orphans.pop(0) if self.orphans else self.study.ask()
        network = {name: trial.suggest_categorical(name, options) for name, options in self.table.options.items()}
        self.seconds += time.perf_counter() - began
        self.proposals += 1
        row = self.table.row_of(network)
        if row is None:  # the table holds a part of the space only
            self.study.tell(trial, state=TrialState.PRUNED)
            self.fruitless += 1
        elif row in self.twins:
            self.twins[row].append(trial)
            self._repeated(trial)
        elif row in self.known:
            self._tell(trial, row)
            self._repeated(trial)
        else:
            self.in_a_row = self.fruitless = 0
            self.twins[row] = []
            generator = np.random.default_rng([self.seed, _DEATHS, row])
            occupation = occupy(float(self.durations[row]), self.fate, generator)
            heapq.heappush(self.pending, (self.now + occupation.hours, trial.number, trial, row, occupation))

    def _repeated(self, trial: Trial) -> None:
        self.repeats += 1
        self.in_a_row += 1
        self.fruitless += 1
        if self.in_a_row >= _MOST_REPEATS:
            generator = np.random.default_rng(derive_seed(self.seed, trial.number))
            self.study.enqueue_trial(mutate(self.build, trial.params, generator, 1 + self.in_a_row // 5))

    def _collect(self) -> None:
        """The training that ends first."""
        self.now, _, trial, row, occupation = heapq.heappop(self.pending)
        twins = self.twins.pop(row)
        self.worked += occupation.hours
        self.lost += occupation.lost_hours
        self.deaths += occupation.deaths
        if not occupation.finished:
            self.study.tell(trial, state=TrialState.FAIL)
            self.failed += 1
            self.failures += 1
            self.orphans += twins
            return
        self.failures = 0
        self.trained.append(row)
        self.ended.append(self.now)
        self.known.add(row)
        for one in (trial, *twins):
            self._tell(one, row)

    def _tell(self, trial: Trial, row: int) -> None:
        began = time.perf_counter()
        self.study.tell(trial, [float(value) for value in self.answers.values[row]])
        self.seconds += time.perf_counter() - began


def _study(sampler: BaseSampler, objectives: int) -> Study:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # each new study would have its line
    try:
        return optuna.create_study(directions=["minimize"] * objectives, sampler=sampler)
    finally:
        optuna.logging.set_verbosity(level)
