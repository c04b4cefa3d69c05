"""How many trials a second a coordinator asks and tells, beside plain Optuna, where the objective is free.

    python studies/throughput.py                                  # 1000 trials each, SQLite and memory, a few minutes
    python studies/throughput.py --trials 100 --samplers random
    python studies/throughput.py --storage postgresql+psycopg://USER@HOST/EMPTY_DATABASE --coordinators 1 4

The space has 20 choices and one small network for all of them; nothing is trained. Plain Optuna runs the same choices
and attributes by `study.optimize` on the same kind of file (write-ahead logging too). Commits are those of the database
for each trial, counted at SQLAlchemy's engine, those that only read aside. The two take turns, sampler by sampler.

On PostgreSQL several coordinators, each a process, fill one study together; plain Optuna's workers share the trials
evenly. The clock runs from when all are ready to when the last has ended.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
import torch
from sqlalchemy import Engine, event
from torch import nn

from optnas import Objective
from optnas.study import InProcess, open_storage, open_study, run
from optnas.study.locks import setting_up
from optnas.study.shared import Shared
from optnas.study.write_behind import WriteBehindStorage
from optnas.task import Learned, Task

CHOICES = 20
_KEPT = ("costs", "fingerprint", "seed", "curve", "seconds")


def space(trial: optuna.trial.BaseTrial) -> nn.Module:
    widths = [trial.suggest_int(f"width{place}", 1, 8) for place in range(CHOICES)]
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    # Every draw another network for the fingerprint, at no cost.
    network.register_buffer("choices", torch.tensor(widths, dtype=torch.float32))
    return network


@dataclass(frozen=True)
class Free(Task):
    """Learns nothing, at once."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return (1, 2, 2)

    @property
    def num_classes(self) -> int:
        return 3

    def train(self, module, seed, on_epoch=None) -> Learned:
        error = seed % 1000 / 1000
        return Learned(error, (error,), 1, 0.0, 1.0)


def with_optnas(storage, sampler: str, trials: int) -> None:
    objective = Objective(space, Free(), costs=("params",), objectives=("error", "params"))
    study = open_study(storage, sampler, objective.objectives, {}, objective.sampler(sampler))
    if isinstance(storage, WriteBehindStorage):
        storage.hold_alone(study._study_id)
    run(study, objective, InProcess(), trials)


def with_optuna(storage, sampler: str, trials: int, name: str = "optuna") -> None:
    made = {"random": optuna.samplers.RandomSampler, "nsga2": optuna.samplers.NSGAIISampler}[sampler](seed=0)
    study = optuna.create_study(
        storage=storage, study_name=name, directions=["minimize"] * 2, sampler=made, load_if_exists=True
    )

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        widths = [trial.suggest_int(f"width{place}", 1, 8) for place in range(CHOICES)]
        for name in _KEPT:
            trial.set_user_attr(name, [1.0])
        return sum(widths) / 160, widths[0]

    study.optimize(objective, n_trials=trials)


def one_of_several(address: str, sampler: str, trials: int, coordinators: int) -> None:
    objective = Objective(space, Free(), costs=("params",), objectives=("error", "params"))
    name = f"optnas {sampler} {coordinators}"
    storage = open_storage(address)
    with setting_up(address, name):
        study = open_study(storage, name, objective.objectives, {}, objective.sampler(sampler))
    run(study, objective, InProcess(), trials, holding=Shared(study, objective))


def one_of_several_workers(address: str, sampler: str, trials: int, coordinators: int) -> None:
    with_optuna(
        optuna.storages.RDBStorage(address), sampler, trials // coordinators, f"optuna {sampler} {coordinators}"
    )


def take_part(work: Callable[[str, str, int, int], None], ready, *given) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    with_optnas(open_storage("memory"), "random", 3)
    ready.wait()
    work(*given)


def seconds_together(work, address: str, sampler: str, trials: int, coordinators: int) -> float:
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(coordinators + 1)
    arguments = (work, ready, address, sampler, trials, coordinators)
    processes = [context.Process(target=take_part, args=arguments) for _ in range(coordinators)]
    for process in processes:
        process.start()
    ready.wait()
    began = time.perf_counter()
    for process in processes:
        process.join()
    return time.perf_counter() - began


def compare_together(address: str, samplers: list[str], trials: int, coordinators: list[int]) -> None:
    open_storage(address)  # the tables
    print(f"{'sampler':8} {'coordinators':>12} {'optnas':>12} {'plain Optuna':>14} {'ratio':>7}")
    for sampler in samplers:
        for count in coordinators:
            ours, theirs = (
                trials / seconds_together(work, address, sampler, trials, count)
                for work in (one_of_several, one_of_several_workers)
            )
            print(f"{sampler:8} {count:12} {ours:8.1f} / s {theirs:10.1f} / s {ours / theirs:7.1f}", flush=True)


def count_commits(engine: Engine) -> Counter:
    counts: Counter = Counter()
    writes: set[int] = set()

    @event.listens_for(engine, "before_cursor_execute")
    def executed(connection, cursor, statement, parameters, context, many):
        if not statement.lstrip().upper().startswith(("SELECT", "PRAGMA")):
            writes.add(id(connection.connection.dbapi_connection))

    @event.listens_for(engine, "commit")
    def committed(connection):
        key = id(connection.connection.dbapi_connection)
        counts["commits"] += key in writes
        writes.discard(key)

    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--samplers", nargs="+", default=["random", "nsga2"], choices=["random", "nsga2"])
    parser.add_argument("--storage", help="the address of an empty PostgreSQL, instead of SQLite and memory")
    parser.add_argument("--coordinators", nargs="+", type=int, default=[1, 4], help="on PostgreSQL, how many at a time")
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if given.storage:
        return compare_together(given.storage, given.samplers, given.trials, given.coordinators)
    with_optnas(open_storage("memory"), "random", 3)  # the first trial imports what the others find
    print(f"{'sampler':8} {'storage':8} {'optnas':>12} {'plain Optuna':>14} {'ratio':>7}   commits a trial")
    for sampler in given.samplers:
        for kind in ("sqlite", "memory"):
            speeds, commits = [], []
            for work in (with_optnas, with_optuna):
                with TemporaryDirectory() as folder:
                    address = f"sqlite:///{Path(folder) / 'study.db'}" if kind == "sqlite" else "memory"
                    opened = open_storage(address)
                    storage = opened
                    if work is with_optuna and isinstance(opened, WriteBehindStorage):
                        storage = opened.backend  # Optuna's own storage
                    counts = count_commits(storage.engine) if kind == "sqlite" else Counter()
                    began = time.perf_counter()
                    work(storage, sampler, given.trials)
                    speeds.append(given.trials / (time.perf_counter() - began))
                    commits.append(counts["commits"] / given.trials)
                    if kind == "sqlite":
                        opened.remove_session()
                        opened.engine.dispose()
            ours, theirs = speeds
            shown = f"{commits[0]:.1f} and {commits[1]:.1f}" if kind == "sqlite" else ""
            print(f"{sampler:8} {kind:8} {ours:8.1f} / s {theirs:10.1f} / s {ours / theirs:7.1f}   {shown}", flush=True)


if __name__ == "__main__":
    main()
