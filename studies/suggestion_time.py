"""What a proposal costs: seconds of CPU and wall time, and memory, of every sampler after 200 and 1000 trials.

    python studies/suggestion_time.py                                   # some minutes on a laptop
    python studies/suggestion_time.py --finished 20 --suggestions 3     # less than a minute

The networks are those of the mobile space at 28x28 pixels; their error is made up of their choices and nothing is
trained. The time is that of asking for all choices of a network, without building it; that of cost-aware has the
pricing of its candidates in it, and "once" is what its first proposal takes, in a new process the price of all trials
too. A
sampler makes its own trials, but for tpe and cost-aware, which learn as well from trials made at random, in less time.
Each sampler has a process of its own. Its peak memory holds PyTorch and Optuna, see the line of random search.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

import optuna
import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution

from optnas.cost import BlockCounter
from optnas.sampler import SAMPLERS, make_sampler
from optnas.sampler.cost_aware import CostAwareSampler
from optnas.sampler.evolution import EvolutionSampler
from optnas.space import mobile
from optnas.space.stub import StubTrial
from optnas.study import versions

space = partial(mobile, input_shape=(1, 28, 28))
FILLED_AT_RANDOM = ("tpe", "cost-aware")


counter = BlockCounter(space, (1, 28, 28))


def size(value: Any) -> float:
    """Of a choice: expansion times kernel of a block, a width as it is."""
    if isinstance(value, str):
        digits = [int(digit) for digit in value if digit.isdigit()]
        return float(digits[0] * digits[1]) if len(digits) == 2 else 0.0
    return float(value)


def error_of(params: Mapping[str, Any]) -> float:
    """Falls with the cost, by more where the later choices are large."""
    return 1 / (1 + sum((1 + index % 5) * size(value) for index, value in enumerate(params.values())) / 1000)


MAKERS: dict[str, Callable[[], optuna.samplers.BaseSampler]] = {
    **{name: partial(make_sampler, name, 0) for name in SAMPLERS},
    "evolution": lambda: EvolutionSampler(space, seed=0),
    "cost-aware": lambda: CostAwareSampler(counter, space=counter.walk, objectives=("error", "macs"), seed=0),
}


class Timed(StubTrial):
    """Asks a trial of Optuna for each choice and adds up what that takes."""

    def __init__(self, trial: optuna.Trial) -> None:
        super().__init__()
        self.trial, self.wall, self.cpu = trial, 0.0, 0.0

    def decide(self, name: str, distribution: BaseDistribution) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        if isinstance(distribution, CategoricalDistribution):
            value = self.trial.suggest_categorical(name, distribution.choices)
        else:
            value = self.trial.suggest_int(name, distribution.low, distribution.high, step=distribution.step)
        self.wall, self.cpu = self.wall + time.perf_counter() - wall, self.cpu + time.process_time() - cpu
        return value


def suggest(study: optuna.Study) -> tuple[float, float]:
    """One trial; returns seconds of wall and of CPU time from the question to the last choice."""
    wall, cpu = time.perf_counter(), time.process_time()
    trial = Timed(study.ask())
    trial.wall, trial.cpu = time.perf_counter() - wall, time.process_time() - cpu
    space(trial)
    study.tell(trial.trial, [error_of(trial.params), counter(trial.params)["macs"]])
    return trial.wall, trial.cpu


def measure(name: str, finished: list[int], suggestions: int) -> list[str]:
    """The lines of the table for one sampler."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(1)
    sampler = MAKERS[name]()
    study = optuna.create_study(directions=["minimize", "minimize"])
    lines = []
    for count in finished:
        study.sampler = make_sampler("random", 0) if name in FILLED_AT_RANDOM else sampler
        while len(study.get_trials(deepcopy=False)) < count:
            suggest(study)
        study.sampler = sampler
        once, _ = suggest(study)
        walls, cpus = zip(*(suggest(study) for _ in range(suggestions)), strict=True)
        seconds = [amount for times in (cpus, walls) for amount in (statistics.mean(times), max(times))]
        lines.append(
            f"{name:16} {count:8}" + "".join(f" {amount:9.4f}" for amount in seconds) + f" {once:9.2f} {peak_mb():9.0f}"
        )
    return lines


def peak_mb() -> float:
    """The most memory that this process has had; on Linux not from `getrusage`, which counts its parent's too."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) / 1000 for line in status.read_text().splitlines() if "VmHWM" in line)
    return getrusage(RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--finished", nargs="+", type=int, default=[200, 1000], help="trials (default: %(default)s)")
    parser.add_argument("--suggestions", type=int, default=10, help="timed at each (default: %(default)s)")
    parser.add_argument("--samplers", nargs="+", default=list(MAKERS), choices=MAKERS)
    arguments = parser.parse_args()
    print(f"{'':16} {'finished':>8} {'CPU s a suggestion':>19} {'wall s':>19} {'once':>9} {'peak':>9}")
    print(f"{'sampler':16} {'trials':>8} {'mean':>9} {'max':>9} {'mean':>9} {'max':>9} {'wall s':>9} {'MB':>9}")
    for name in arguments.samplers:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            lines = pool.submit(measure, name, sorted(arguments.finished), arguments.suggestions).result()
        print("\n".join(lines), flush=True)
    print(f"{arguments.suggestions} suggestions each; {platform.machine()}, one thread")
    print(", ".join(f"{name} {number}" for name, number in versions().items()))


if __name__ == "__main__":
    main()
