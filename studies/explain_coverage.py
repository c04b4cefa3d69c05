"""Do the intervals of `optnas explain` hold the truth? Asked of tables in which every network is trained.

    python studies/explain_coverage.py --table nasbench_macro_cifar10.csv.gz      # 10 minutes
    python studies/explain_coverage.py --table nasbench_macro_cifar10.csv.gz --samplers random --draws 1 --trained 40

Networks of a table of `optnas bench samplers` are trained as a sampler proposes them, which is told the error and a
cost; noise is added to the errors, since those of a table are means of several trainings. The price list then expects
what each option of a choice does to the error of some networks, of the front and random ones, and the table knows. An
interval of 90 % is 1.645 standard deviations to either side; an effect of two or more is told, and wrong if the truth
has the other sign. The errors of useless networks count as the model caps them. Shares of the importance are compared
with those among 4000 random networks of the table (of random samplers only: others choose what is compared).
"""

import argparse
import warnings

import numpy as np
import optuna

from optnas.bench.table import load_table
from optnas.explain import Foresight, importances, price_list, read_trained
from optnas.sampler import SAMPLERS, make_sampler
from optnas.study import versions

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--table", required=True, help="csv file with choices x_*, error and costs")
parser.add_argument("--cost", default="macs", help="the objective beside the error (default: %(default)s)")
parser.add_argument("--samplers", nargs="+", choices=SAMPLERS, default=["random", "nsga2", "cost-aware"])
parser.add_argument("--trained", type=int, nargs="+", default=[60, 150], help="networks (default: %(default)s)")
parser.add_argument("--draws", type=int, default=10, help="studies of each kind (default: %(default)s)")
parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.3], help="points (default: %(default)s)")
arguments = parser.parse_args()
optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # for naming the objectives

table = load_table(arguments.table)
errors = table.columns["error"]
costs = [name for name in ("macs", "params", arguments.cost) if name in table.columns]


class Space:
    """The table as `optnas.explain` asks an objective."""

    def explore(self, trial):
        for name, options in table.options.items():
            trial.suggest_categorical(name, options)

    def foresee(self, choices, also=()):
        row = table.row_of(choices)
        return None if row is None else {name: float(table.columns[name][row]) for name in costs}


class Truth(Foresight):
    """Knows the errors of the table, as one more cost of the price list."""

    def expected(self, networks, names=None):
        known = np.minimum([errors[table.row_of(network)] for network in networks], self.errors.cap)
        return {**super().expected(networks, names), "truth": known}


def searched(sampler, seed, noise):
    """Studies of so many different networks as asked for, each the beginning of the next."""
    space, names = Space(), ["error", arguments.cost]
    made = make_sampler(sampler, seed, space=space.explore, cost_of=space.foresee, objectives=names)
    study = optuna.create_study(directions=["minimize"] * 2, sampler=made)
    study.set_metric_names(names)
    generator, seen = np.random.default_rng(seed), {}
    for size in sorted(arguments.trained):
        while len(seen) < size:
            trial = study.ask()
            space.explore(trial)
            row = table.row_of(trial.params)
            trial.set_user_attr("optnas:costs", space.foresee(trial.params))
            if row in seen:
                trial.set_user_attr("optnas:repeat_of", 0)
            error = seen.setdefault(row, errors[row] + noise * generator.normal())
            study.tell(trial, [error, table.columns[arguments.cost][row]])
        yield size, study


def true_shares(noise, best):
    """Among so many networks that chance plays no part."""
    generator = np.random.default_rng(0)
    study = optuna.create_study()
    study.set_metric_names(["error"])
    for row in generator.choice(len(errors), min(4000, len(errors)), replace=False):
        params, error = table.networks[row], errors[row] + noise * generator.normal()
        study.add_trial(optuna.trial.create_trial(params=params, distributions=choices, value=error))
    found = optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.PedAnovaImportanceEvaluator(target_quantile=best)
    )
    return found


choices = {name: optuna.distributions.CategoricalDistribution(options) for name, options in table.options.items()}
print(f"{'':22}|{'price list: change of error, points':^51}|{'importance':>11}")
print(f"{'sampler':11}{'noise':>5}{'nets':>6}{'|  off by':>10}{'std':>7}{'in 68%':>9}{'in 90%':>9}{'told':>8}"
      f"{'wrong':>8} |{'in 90%':>9}")  # fmt: skip
for noise in arguments.noise:
    truths = {}
    for sampler in arguments.samplers:
        effects, held = {}, {}
        for seed in range(arguments.draws):
            for size, study in searched(sampler, seed, noise):
                trained = read_trained(study)
                for price in price_list(Truth(trained, Space(), [arguments.cost], seed), 1200, seed):
                    row = (price.costs["truth"].mean, price.learned.mean, price.learned.std)
                    effects.setdefault(size, []).append(row)
                if sampler == "random":
                    found = importances(trained, seed)
                    key = round(found.best / found.trials, 3)
                    shares = truths[key] = truths.get(key) or true_shares(noise, key)
                    held.setdefault(size, []).extend(one.low <= shares[one.choice] <= one.high for one in found.choices)
        for size, rows in effects.items():
            truth, mean, std = np.array(rows).T
            apart, told = np.abs(truth - mean) / std, np.abs(mean) > 2 * std
            wrong = (np.sign(truth) != np.sign(mean))[told].mean() if told.any() else 0.0
            inside = f"{np.mean(held[size]):9.0%}" if size in held else f"{'-':>9}"
            print(f"{sampler:11}{noise:5.1f}{size:6}  |{np.sqrt(np.mean((truth - mean) ** 2)):7.2f}{std.mean():7.2f}"
                  f"{np.mean(apart <= 1):9.0%}{np.mean(apart <= 1.645):9.0%}{told.mean():8.0%}{wrong:8.0%} |{inside}",
                  flush=True)  # fmt: skip
print(", ".join(f"{name} {number}" for name, number in versions().items()))
