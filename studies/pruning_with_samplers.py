"""Do NSGA-II and TPE find more at equal epochs if weak trials are pruned? Replayed on a table, no training.

    python studies/pruning_with_samplers.py --table nasbench201_cifar10.csv.gz            # 10 seeds, some minutes
    python studies/pruning_with_samplers.py --table nasbench201_cifar10.csv.gz --seeds 1 --trainings 20

The table is one of `optnas bench samplers` with the columns `error` (after 200 epochs) and `error_12ep` (after
12). A trial that the pruner stops costs 12 epochs, any other 200; the search ends when the epochs of so many
whole trainings are spent. A network that was seen before costs nothing. The errors after 12 epochs are those of
a training of their own with its own schedule, so they tell less of the end than a curve would.
"""

import argparse
import statistics
import warnings

import optuna

from optnas.bench.table import load_table
from optnas.prune import PRUNERS, Stopper, finished_trials, make_pruner
from optnas.sampler import SAMPLERS, make_sampler
from optnas.study import versions

FIRST, WHOLE = 12, 200

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--table", required=True, help="csv or csv.gz")
parser.add_argument("--cost", default="pixel3_ms", help="objective beside the error (default: %(default)s)")
parser.add_argument(
    "--samplers", nargs="+", default=["nsga2", "tpe"], choices=[name for name in SAMPLERS if name != "cost-aware"]
)
parser.add_argument("--pruners", nargs="+", default=["none", "dominance"], choices=PRUNERS)
parser.add_argument("--trainings", type=int, default=100, help="epochs to spend, as whole trainings of 200")
parser.add_argument("--seeds", type=int, default=10, help="(default: %(default)s)")
arguments = parser.parse_args()
optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # for naming the objectives

table = load_table(arguments.table)
answers = table.answers(["error", arguments.cost])
options = table.options
row_of = {tuple(network.items()): row for row, network in enumerate(table.networks)}


def search(sampler: str, pruner_name: str, seed: int) -> tuple[float, float, int, float]:
    """Share of the hypervolume, recall of the front, trials, and the share of them that was pruned."""
    pruner, known = make_pruner(pruner_name, n_epochs=2), {}
    study = optuna.create_study(directions=["minimize"] * 2, sampler=make_sampler(sampler, seed))
    study.set_metric_names(["error", arguments.cost])
    spent, whole, seen = 0, [], {}
    while spent < arguments.trainings * WHOLE and len(study.trials) < 50 * arguments.trainings:
        trial = study.ask()
        network = {name: trial.suggest_categorical(name, choices) for name, choices in options.items()}
        row = row_of[tuple(network.items())]
        costs = {arguments.cost: table.columns[arguments.cost][row]}
        curve = [table.columns[name][row] / 100 for name in ("error_12ep", "error")]
        if row not in seen:
            seen[row] = Stopper(pruner.thresholds(costs, finished_trials(study, known)))(1, curve[0]) is not None
            spent += FIRST if seen[row] else WHOLE
            whole += [] if seen[row] else [row]
            trial.set_user_attr("optnas:costs", costs)
            trial.set_user_attr("optnas:curve", curve[:1] if seen[row] else curve)
        if seen[row]:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, [curve[1], costs[arguments.cost]])
    return answers.hypervolume(whole), answers.recall(whole), len(seen), sum(seen.values()) / len(seen)


print(f"error and {arguments.cost}; epochs of {arguments.trainings} whole trainings; n = {arguments.seeds} seeds")
print("sampler  pruner      hypervolume       front recall  networks  pruned")
for sampler in arguments.samplers:
    for pruner_name in arguments.pruners:
        results = [search(sampler, pruner_name, seed) for seed in range(arguments.seeds)]
        columns = list(zip(*results, strict=True))
        spread = statistics.stdev(columns[0]) if len(results) > 1 else 0.0
        means = [statistics.mean(column) for column in columns]
        print(
            f"{sampler:8} {pruner_name:10} {means[0]:.4f} ± {spread:.4f}"
            f"  {means[1]:12.3f}  {means[2]:8.0f}  {means[3]:6.0%}",
            flush=True,
        )
print(", ".join(f"{name} {number}" for name, number in versions().items()))
