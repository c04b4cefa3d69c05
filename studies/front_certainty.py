"""Is a network on the front as often as optnas says? Networks whose truth is known, with noise that is known.

    python studies/front_certainty.py --table nasbench_macro_cifar10.csv.gz --cost macs --noise 0.3       # a minute
    python studies/front_certainty.py --table nasbench201_cifar10.csv.gz --cost pixel3_ms --noise 0.5
    python studies/front_certainty.py --table nasbench201_cifar10.csv.gz --cost pixel3_ms --fronts 2 --trained 60

A front is that of networks of a table of `optnas bench samplers`, drawn at random or chosen by NSGA-II, whose errors
have Gaussian noise added. The truth is the front of the same networks without it. Compared are `certainty` with the
noise known (as after `optnas retrain`) and guessed from the errors alone (no validation images to tell a least
noise), the naive way, which draws every error anew about what was measured, and believing the front.
"""

import argparse
import time
import warnings
from collections import defaultdict
from itertools import pairwise

import moocore
import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import create_trial

from optnas.bench.table import load_table
from optnas.facts.certainty import certainty
from optnas.study import versions

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--table", required=True, help="csv file with choices x_*, error in percent and costs")
parser.add_argument("--cost", required=True, help="the column that is the other objective")
parser.add_argument("--noise", type=float, default=0.5, help="its standard deviation in points (default: %(default)s)")
parser.add_argument("--latency-noise", type=float, default=0.0, help="of the cost, as a share (default: %(default)s)")
parser.add_argument("--trained", type=int, default=100, help="networks of each front (default: %(default)s)")
parser.add_argument("--fronts", type=int, default=40, help="(default: %(default)s)")
arguments = parser.parse_args()
warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
optuna.logging.set_verbosity(optuna.logging.WARNING)

table = load_table(arguments.table)
errors, costs = table.columns["error"] / 100, table.columns[arguments.cost]
# Networks of one function share their error to the last digit; optnas knows them by their fingerprint.
_, alike = np.unique(errors, return_inverse=True)
distributions = {name: CategoricalDistribution(options) for name, options in table.options.items()}
name = arguments.cost if arguments.cost in ("macs", "params") else "latency_ms"
noise, clock = arguments.noise / 100, arguments.latency_noise
BINS = (0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1.01)


def random_rows(generator):
    order = generator.permutation(len(errors))
    _, firsts = np.unique(alike[order], return_index=True)
    rows = order[np.sort(firsts)][: arguments.trained]
    return rows, *measured(rows, generator)


def nsga2_rows(generator):
    sampler = optuna.samplers.NSGAIISampler(population_size=20, seed=int(generator.integers(2**31)))
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
    known = {}
    for _ in range(20 * arguments.trained):
        trial = study.ask()
        choices = {choice: trial.suggest_categorical(choice, options) for choice, options in table.options.items()}
        row = table.row_of(choices)
        if alike[row] not in known:
            known[alike[row]] = (row, *(values[0] for values in measured([row], generator)))
        study.tell(trial, known[alike[row]][1:])
        if len(known) == arguments.trained:
            break
    rows, seen, paid = zip(*known.values(), strict=True)
    return np.array(rows), np.array(seen), np.array(paid)


def measured(rows, generator):
    seen = np.clip(errors[rows] + generator.normal(0, noise, len(rows)), 1e-3, 1)
    return seen, costs[rows] * np.exp(generator.normal(0, clock, len(rows)))


def study_of(rows, seen, paid):
    study = optuna.create_study(directions=["minimize"] * 2)
    study.set_metric_names(["error", name])
    for row, error, cost in zip(rows, seen, paid, strict=True):
        kept = {name: cost} | ({"latency_spread_ms": clock * cost} if clock else {})
        choices = {"params": table.networks[row], "distributions": distributions}
        study.add_trial(create_trial(values=[error, cost], user_attrs={"optnas:costs": kept}, **choices))
    return study


def by_certainty(study, std):
    found = np.zeros(len(study.trials))
    for network in certainty(study, std=std).networks:
        found[network.trial] = network.probability
    return found


def by_redrawing(seen, paid, generator, draws=2000):
    kept = np.zeros(len(seen))
    for _ in range(draws):
        again = seen + generator.normal(0, noise, len(seen)), paid * np.exp(generator.normal(0, clock, len(seen)))
        kept += moocore.is_nondominated(np.column_stack(again))
    return np.where(kept >= BINS[0] * draws, kept / draws, 0.0)


began = time.monotonic()
for chosen in (random_rows, nsga2_rows):
    said, truth, member = defaultdict(list), [], []
    for front in range(arguments.fronts):
        generator = np.random.default_rng(front)
        rows, seen, paid = chosen(generator)
        study = study_of(rows, seen, paid)
        truth.append(moocore.is_nondominated(np.column_stack([errors[rows], costs[rows]])))
        member.append(moocore.is_nondominated(np.column_stack([seen, paid])))
        said["noise known"].append(by_certainty(study, noise))
        said["noise guessed"].append(by_certainty(study, None))
        said["redrawn"].append(by_redrawing(seen, paid, generator))
        said["believed"].append(member[-1].astype(float))
    true, members = np.concatenate(truth), np.concatenate(member)
    print(f"\n{arguments.fronts} fronts of {arguments.trained} networks, {chosen.__name__.split('_')[0]}: ", end="")
    print(f"{members.sum() / arguments.fronts:.1f} members, {(members & ~true).sum() / arguments.fronts:.1f} false")
    print(f"{'':14}{'Brier score':>14}{'false members':>15}   said: true (how many)")
    print(f"{'':14}{'members    all':>14}{'expected':>15}")
    for method, probabilities in said.items():
        said_all = np.concatenate(probabilities)
        wrong = (said_all - true) ** 2
        bins = [(said_all >= low) & (said_all < high) for low, high in pairwise(BINS)]
        shown = [f"{said_all[one].mean():.2f}: {true[one].mean():.2f} ({one.sum()})" for one in bins if one.any()]
        expected = (1 - said_all[members]).sum() / arguments.fronts
        print(f"{method:14}{wrong[members].mean():7.3f}{wrong.mean():7.4f}{expected:15.2f}   {'  '.join(shown)}")
print(
    f"\n{time.monotonic() - began:.0f} s; {', '.join(f'{package} {number}' for package, number in versions().items())}"
)
