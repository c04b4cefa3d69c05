"""What is a latency worth that has to be measured? Searches that know it, learn it beforehand, or learn it by training.

    python studies/measured_latency.py --table nasbench201_cifar10.csv.gz --latency pixel3_ms            # ten minutes
    python studies/measured_latency.py --table nasbench201_cifar10.csv.gz --latency raspi4_ms --searches 3 --trained 50

A table of `optnas bench samplers` is replayed for error and latency. The first search knows each latency beforehand, as
from `optnas latency-table`; the others are told it with the error, give or take 3 %, as by timing. Those that timed 56
networks before the first training are what `optnas search` does; MACs and parameters are known to all of them. NSGA-II
and TPE learn from what they trained alone. Told is the share of the table's hypervolume that trained networks cover.
"""

import argparse
import statistics
import warnings

import numpy as np
import optuna

from optnas.bench.table import load_table
from optnas.sampler import CostAwareSampler
from optnas.sampler.presets import make_sampler
from optnas.study import versions

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--table", required=True, help="csv file with choices x_*, error, macs, params and a latency")
parser.add_argument("--latency", required=True, help="the column of it")
parser.add_argument("--trained", type=int, default=100, help="(default: %(default)s)")
parser.add_argument("--searches", type=int, default=10, help="of each kind (default: %(default)s)")
arguments = parser.parse_args()
warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.WARNING)

table = load_table(arguments.table)
objectives = ("error", arguments.latency)
answers = table.answers(objectives)
latency = table.columns[arguments.latency]
LOOKED_AT = [count for count in (10, 25, 50, 100, 200) if count <= arguments.trained]


def cost_aware(seed: int, *known: str) -> CostAwareSampler:
    def cost_of(params):
        row = table.row_of(params)
        return {name: float(table.columns[name][row]) for name in known}

    return CostAwareSampler(cost_of, networks=table.networks, objectives=objectives, seed=seed)


def replay(make, timed: int, seed: int) -> list[float]:
    generator = np.random.default_rng(seed)

    def timing(row: int) -> float:
        return float(latency[row] * np.exp(generator.normal(0, 0.03)))

    sampler = make(seed)
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
    if timed:
        first = [*generator.choice(table.networks, 8), *sampler.spread(study, timed - 8)]
        rows = [(dict(network), {arguments.latency: timing(table.row_of(network))}) for network in first]
        kept = [{"params": params, "costs": costs, "constraints": {}} for params, costs in rows]
        study._storage.set_study_system_attr(study._study_id, "optnas:surveyed", kept)
    trained: list[int] = []
    while len(set(trained)) < arguments.trained:
        trial = study.ask()
        network = {name: trial.suggest_categorical(name, options) for name, options in table.options.items()}
        trained.append(table.row_of(network))
        study.tell(trial, [float(table.columns["error"][trained[-1]]), timing(trained[-1])])
    networks = list(dict.fromkeys(trained))  # a repeat costs nothing here
    return [answers.hypervolume(networks[:count]) for count in LOOKED_AT]


KINDS = {
    "known beforehand": (lambda seed: cost_aware(seed, "macs", "params", arguments.latency), 0),
    "56 timed beforehand": (lambda seed: cost_aware(seed, "macs", "params"), 56),
    "measured when trained": (lambda seed: cost_aware(seed, "macs", "params"), 0),
    "TPE": (lambda seed: make_sampler("tpe", seed), 0),
    "NSGA-II": (lambda seed: make_sampler("nsga2", seed), 0),
}
print(f"{'after trainings':24}" + "".join(f"{count:>16}" for count in LOOKED_AT))
for name, (make, timed) in KINDS.items():
    shares = np.array([replay(make, timed, seed) for seed in range(arguments.searches)])
    cells = [f"{column.mean():.4f} ± {statistics.stdev(column) if len(column) > 1 else 0:.3f}" for column in shares.T]
    print(f"{name:24}" + "".join(f"{cell:>16}" for cell in cells), flush=True)
print(f"{arguments.searches} searches each, mean and standard deviation; {versions()}")
