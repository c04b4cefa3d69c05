"""Where coordinator and storage saturate: seconds a trial against the trials that a study holds, to 10 000.

    python studies/saturation.py                                 # half an hour on a laptop
    python studies/saturation.py --trials 50 200 --measured 10   # half a minute

What is measured is all that a trial costs but training: the proposal, building and pricing a small network, the gate,
telling, the storage, the weights of the front, and what a person sees of it. Wall time, and the CPU time in it, which
other programs on the machine disturb less. Networks are two hidden layers, their training is a number. Trials are made
with random search and held in memory; before each measurement they are copied to the storage that is measured. The
first trial of each measurement is left out: a new process reads the study in it.

One coordinator keeps t / (seconds a trial) workers busy whose trainings take t seconds.
"""

import argparse
import math
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import optuna
from optuna import Study
from rich.console import Console
from threadpoolctl import threadpool_limits
from torch import nn

from optnas import Objective, Task, Watch
from optnas.front import objective_names
from optnas.objective import ATTRIBUTE
from optnas.sampler import SAMPLERS
from optnas.study import Event, InProcess, open_storage, run, versions
from optnas.study.files import Files
from optnas.study.settings import Settings
from optnas.task import Learned
from optnas.threads import one_thread

#: Seconds of a training for which workers are counted.
TRAININGS = (10, 60, 600)


@dataclass(frozen=True)
class NoTraining(Task):
    """Its error falls with the parameters, less so where two layers are unlike, at once."""

    input_shape = (1, 4, 4)
    num_classes = 10

    def train(self, module, seed, on_epoch=None):
        first, second = module[1].out_features, module[2].out_features
        error = (1 + abs(math.log(first / second))) / (30 + min(first, second))
        return Learned(error=error, curve=(error,) * 5, epochs=5, seconds=0.0, images_per_second=0.0)


def space(trial):
    """A quarter of a million networks."""
    first, second = trial.suggest_int("first", 1, 512), trial.suggest_int("second", 1, 512)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, first), nn.Linear(first, second), nn.Linear(second, 10))


def make_study(storage: str, objective: Objective) -> Study:
    study = optuna.create_study(storage=open_storage(storage), directions=objective.directions)
    # The corner of the box of whose hypervolume a person sees the share.
    corner = (1.0, *(300_000.0 for _ in objective.objectives[1:]))
    study.set_user_attr(ATTRIBUTE + "reference", dict(zip(objective_names(study), corner, strict=True)))
    return study


def trial_seconds(
    study: Study, objective: Objective, trials: int, sampler: str, files: Files = Files()
) -> tuple[list[float], list[float]]:
    """Wall and CPU time from one trained network to the next until the study has so many, but for the first."""
    study.sampler = objective.sampler(sampler)
    moments: list[tuple[float, float]] = []

    def note(event: Event) -> None:
        watch(event)
        if event.kind == "trained":
            moments.append((time.perf_counter(), time.process_time()))

    with open(os.devnull, "w") as nobody, closing(Watch(Console(file=nobody))) as watch:
        watch.start(study, Settings(trials=trials))
        with one_thread(), threadpool_limits(1):
            run(study, objective, InProcess(), trials, note, files=files)
    walls, cpus = zip(*moments, strict=True) if moments else ((), ())
    return [b - a for a, b in pairwise(walls)], [b - a for a, b in pairwise(cpus)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--trials", type=int, nargs="+", default=[100, 1000, 3000, 10000], metavar="N", help="(default: %(default)s)"
    )
    parser.add_argument("--measured", type=int, default=50, metavar="N", help="of each (default: %(default)s)")
    parser.add_argument("--samplers", nargs="+", default=["random", "nsga2", "cost-aware"], choices=SAMPLERS)
    parser.add_argument("--storages", nargs="+", default=["memory", "sqlite"], choices=["memory", "sqlite"])
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    objective = Objective(space, NoTraining(), ("params", "macs"))
    filled = make_study("memory", objective)
    header = "".join(f"{f'{seconds} s':>8}" for seconds in TRAININGS)
    print(f"{'storage':8} {'sampler':11} {'trials':>7} {'ms':>8} {'slowest':>8} {'CPU ms':>8}   workers of{header}")
    for count in sorted(arguments.trials):
        trial_seconds(filled, objective, count, "random")
        for storage in arguments.storages:
            for sampler in arguments.samplers:
                print(
                    f"{storage:8} {sampler:11} {count:7}"
                    + measured(filled, objective, storage, sampler, arguments.measured),
                    flush=True,
                )
    print(f"{arguments.measured} trials each; {platform.machine()}, one thread")
    print(", ".join(f"{name} {number}" for name, number in versions().items()))


def measured(filled: Study, objective: Objective, storage: str, sampler: str, count: int) -> str:
    """The end of a line of the table."""
    held = filled.get_trials(deepcopy=False)
    with tempfile.TemporaryDirectory() as folder:
        address = "memory" if storage == "memory" else f"sqlite:///{Path(folder) / 'saturation.db'}"
        study = make_study(address, objective)
        study.add_trials(held)
        files = Files(Path(folder) / "weights", Path(folder) / "checkpoints")
        times = trial_seconds(study, objective, len(held) + 1 + count, sampler, files)
    return line(*times)


def line(walls: Sequence[float], cpus: Sequence[float]) -> str:
    wall, cpu = statistics.mean(walls), statistics.mean(cpus)
    milliseconds = "".join(f"{1000 * seconds:9.1f}" for seconds in (wall, max(walls), cpu))
    return f"{milliseconds}{'':13}" + "".join(f"{training / wall:8.0f}" for training in TRAININGS)


if __name__ == "__main__":
    main()
