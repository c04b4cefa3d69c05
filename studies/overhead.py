"""What a trial costs beside training: proposing, building, counting, the gate and SQLite.

    python studies/overhead.py                  # 200 trials for each sampler
    python studies/overhead.py --trials 20      # half a minute

The networks are those of the mobile space at 28x28 pixels; training is replaced by a number, so all that is
left is overhead. Latency is not timed.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import optuna

from optnas import Objective, Task, parse_constraint
from optnas.sampler import SAMPLERS
from optnas.space import mobile
from optnas.study import InProcess, open_storage, run, versions
from optnas.task import Learned

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--trials", type=int, default=200, help="trained networks (default: %(default)s)")
parser.add_argument("--samplers", nargs="+", default=list(SAMPLERS), choices=SAMPLERS)
arguments = parser.parse_args()


@dataclass(frozen=True)
class NoTraining(Task):
    """Its error falls with the parameters, at once."""

    input_shape = (1, 28, 28)
    num_classes = 10

    def train(self, module, seed, on_epoch=None):
        error = 1e4 / (1e4 + sum(parameter.numel() for parameter in module.parameters()))
        return Learned(error=error, curve=(error,) * 5, epochs=5, seconds=0.0, images_per_second=0.0)


def seconds_a_trial(sampler: str, storage: str) -> list[float]:
    """Wall time between one trained network and the next, refused candidates included."""
    objective = Objective(mobile, NoTraining(), constraints=[parse_constraint("params<=150k")])
    study = optuna.create_study(
        storage=open_storage(storage), directions=objective.directions, sampler=objective.sampler(sampler)
    )
    moments = [time.perf_counter()]
    run(study, objective, InProcess(), arguments.trials, lambda event: event.kind == "trained" and mark(moments))
    return [later - earlier for earlier, later in pairwise(moments)]


def mark(moments: list[float]) -> None:
    moments.append(time.perf_counter())


optuna.logging.set_verbosity(optuna.logging.WARNING)
print(f"{'sampler':8} {'all':>7}  {'last 20':>7}   seconds a trial, mean; {arguments.trials} trials")
for sampler in arguments.samplers:
    with tempfile.TemporaryDirectory() as folder:
        times = seconds_a_trial(sampler, f"sqlite:///{Path(folder) / 'overhead.db'}")
    print(f"{sampler:8} {statistics.mean(times):7.3f}  {statistics.mean(times[-20:]):7.3f}")
print(", ".join(f"{name} {number}" for name, number in versions().items()))
