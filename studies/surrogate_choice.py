"""Which model foresees errors best from few trainings? The sampler's process beside trees, boosting and Matérn.

    python studies/surrogate_choice.py --table nasbench201_cifar10.csv.gz --cost pixel3_ms      # a minute
    python studies/surrogate_choice.py --table nasbench201_cifar10.csv.gz --cost pixel3_ms --trained 25 --draws 1

Each model learns the logarithm of `error` from random networks of a table of `optnas bench samplers` and then ranks
400 networks of the better half, which is where a search has to choose. All see the choices and the cost: the
sampler's own process through its encoding, the others as one-hot columns beside the logarithm of the cost.
"""

import argparse
import time
import warnings

import numpy as np
from optuna.distributions import CategoricalDistribution
from scipy.stats import kendalltau
from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from optnas.bench.table import load_table
from optnas.sampler.encoding import Encoding
from optnas.sampler.surrogate import GaussianProcess
from optnas.study import versions

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--table", required=True, help="csv file with choices x_*, error and costs")
parser.add_argument("--cost", required=True, help="the column that is known beforehand")
parser.add_argument("--trained", type=int, nargs="+", default=[25, 50, 100], help="(default: %(default)s)")
parser.add_argument("--draws", type=int, default=10, help="of the trained networks (default: %(default)s)")
arguments = parser.parse_args()
warnings.simplefilter("ignore")  # scikit-learn says where its optimiser met a bound

table = load_table(arguments.table)
networks, costs = list(table.networks), table.columns[arguments.cost][:, None]
logs = np.log(table.columns["error"])
better = np.flatnonzero(logs < np.median(logs))
encoding = Encoding(networks, costs, {name: CategoricalDistribution(opts) for name, opts in table.options.items()})
one_hot = np.array(
    [[one[name] == option for name, opts in table.options.items() for option in opts] for one in networks]
)
columns = np.hstack([one_hot.astype(float), np.log1p(costs / costs.mean())])


def own(trained, asked):
    process = GaussianProcess(encoding([networks[i] for i in trained], costs[trained]), logs[trained][:, None])
    return process.predict(encoding([networks[i] for i in asked], costs[asked]))[0][:, 0]


def of_scikit(make):
    return lambda trained, asked: make().fit(columns[trained], logs[trained]).predict(columns[asked])


matern = ConstantKernel() * Matern(np.ones(columns.shape[1]), nu=2.5) + WhiteKernel()
MODELS = {
    "optnas": own,
    "Matérn process, a length each": of_scikit(lambda: GaussianProcessRegressor(matern, normalize_y=True)),
    "random forest": of_scikit(lambda: RandomForestRegressor(200, random_state=0)),
    "extra trees": of_scikit(lambda: ExtraTreesRegressor(200, random_state=0)),
    "gradient boosting": of_scikit(lambda: GradientBoostingRegressor(random_state=0)),
}
print(f"{'model':30}{'trained':>8}{'Kendall tau':>20}{'error of log':>14}{'ms CPU':>9}")
for count in arguments.trained:
    for name, foresee in MODELS.items():
        rows = []
        for draw in range(arguments.draws):
            generator = np.random.default_rng(draw)
            trained = generator.choice(len(networks), min(count, len(networks)), replace=False)
            asked = generator.choice(better, min(400, len(better)), replace=False)
            began = time.process_time()
            foreseen = foresee(trained, asked)
            spent = 1e3 * (time.process_time() - began)
            tau = kendalltau(foreseen, logs[asked])[0]
            rows.append((tau, np.sqrt(np.mean((foreseen - logs[asked]) ** 2)), spent))
        tau, error, spent = np.mean(rows, axis=0)
        spread = np.std(rows, axis=0, ddof=1)[0] if len(rows) > 1 else 0.0
        print(f"{name:30}{count:8}{f'{tau:.3f} ± {spread:.3f}':>20}{error:14.3f}{spent:9.0f}", flush=True)
print(", ".join(f"{name} {number}" for name, number in versions().items()))
