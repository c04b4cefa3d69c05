"""Which sampler finds more of the front on real training? Cost-aware beside NSGA-II, TPE and random search.

    python studies/compare_samplers.py --data-root data          # Fashion-MNIST, 40 trainings, 3 seeds of each
    python studies/compare_samplers.py --data digits --trials 6 --epochs 1 --seeds 1 --samplers random cost-aware

Every search has the same number of whole trainings, so the same number of epochs; networks over the budget are
refused before they cost one, for all samplers alike, and so are repeats. The searches of one seed share data and
split. Hypervolume is the share of what the best networks of all searches together cover, of a box that reaches to
the dearest random network and to the error that nine in ten trainings of the random searches stay below.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import optuna

from optnas import ImageTask, Objective
from optnas.cost import parse_constraints
from optnas.front import hypervolume
from optnas.prune import PRUNERS, make_pruner
from optnas.sampler import SAMPLERS
from optnas.space import mobile
from optnas.study import ProcessPool, is_trained, run, versions

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data", default="fashion-mnist", help="(default: %(default)s)")
parser.add_argument("--data-root", default="data", help="folder of the data set (default: %(default)s)")
parser.add_argument("--samplers", nargs="+", default=["random", "tpe", "nsga2", "cost-aware"], choices=SAMPLERS)
parser.add_argument("--pruner", default="none", choices=PRUNERS, help="(default: %(default)s)")
parser.add_argument("--trials", type=int, default=40, help="trainings of each search (default: %(default)s)")
parser.add_argument("--epochs", type=int, default=4, help="of each training (default: %(default)s)")
parser.add_argument("--train-images", type=int, help="(default: 2000 of Fashion-MNIST)")
parser.add_argument("--val-images", type=int, help="(default: 2000 of Fashion-MNIST)")
parser.add_argument("--seeds", type=int, default=3, help="searches of each sampler (default: %(default)s)")
parser.add_argument("--budget", action="append", default=[], help='only networks within it: "params<=50k"')
parser.add_argument("--workers", type=int, default=2, help="training processes (default: %(default)s)")
parser.add_argument("--out", default="compare-samplers", help="name of picture and figures (default: %(default)s)")
arguments = parser.parse_args()
optuna.logging.set_verbosity(optuna.logging.WARNING)
few = 2000 if arguments.data == "fashion-mnist" else None


def search(sampler, seed, pool):
    """Values of the trained networks in the order in which they were finished, epochs after each, and seconds."""
    task = ImageTask(
        arguments.data,
        data_root=arguments.data_root,
        epochs=arguments.epochs,
        train_images=arguments.train_images or few,
        val_images=arguments.val_images or few,
        split_seed=seed,
    )
    objective = Objective(
        mobile,
        task,
        constraints=parse_constraints(arguments.budget),
        seed=seed,
        pruner=make_pruner(arguments.pruner, arguments.epochs),
    )
    study = optuna.create_study(directions=objective.directions, sampler=objective.sampler(sampler))
    began = time.perf_counter()
    run(study, objective, pool, arguments.trials)
    seconds = time.perf_counter() - began
    trained = sorted(filter(is_trained, study.trials), key=lambda trial: trial.datetime_complete)
    epochs = np.cumsum([len(trial.user_attrs["optnas:curve"]) for trial in trained])
    return [trial.values for trial in trained], epochs.tolist(), seconds


searches = []
pool = ProcessPool(arguments.workers)
try:
    for seed in range(arguments.seeds):
        for sampler in arguments.samplers:
            values, epochs, seconds = search(sampler, seed, pool)
            searches.append({"sampler": sampler, "seed": seed, "values": values, "epochs": epochs, "seconds": seconds})
            print(f"seed {seed}, {sampler}: {len(values)} trainings, {epochs[-1]} epochs, {seconds:.0f} s", flush=True)
finally:
    pool.close()
Path(f"{arguments.out}.json").write_text(json.dumps({"searches": searches, "versions": versions()}))

finished = {id(one): np.array([values for values in one["values"] if values is not None]) for one in searches}
random = [finished[id(one)] for one in searches if one["sampler"] == "random"] or list(finished.values())
reference = [np.quantile(np.concatenate(random)[:, 0], 0.9), np.concatenate(random)[:, 1].max()]
everything = hypervolume(np.concatenate(list(finished.values())), reference)


def shares(one):
    """The share of the hypervolume after each training."""
    so_far = []
    for count in range(1, len(one["values"]) + 1):
        losses = [values for values in one["values"][:count] if values is not None]
        so_far.append(hypervolume(np.array(losses).reshape(-1, 2), reference) / everything)
    return so_far


print(f"\nhypervolume, mean and standard deviation of {arguments.seeds} searches of {arguments.trials} trainings")
marks = sorted({max(1, arguments.trials // 4), max(1, arguments.trials // 2), arguments.trials})
print(f"{'sampler':12}" + "".join(f"{f'after {mark}':>18}" for mark in marks) + f"{'least error':>14}{'seconds':>10}")
figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
colours = dict(zip(arguments.samplers, ["#777777", "#0072b2", "#e69f00", "#d55e00", "#009e73"], strict=False))
finals = {}
for sampler in arguments.samplers:
    ones = [one for one in searches if one["sampler"] == sampler]
    table = np.array([shares(one) for one in ones])
    finals[sampler] = table[:, -1].mean()
    spread = table.std(axis=0, ddof=1) if len(ones) > 1 else np.zeros(table.shape[1])
    cells = [f"{table[:, mark - 1].mean():.4f} ± {spread[mark - 1]:.4f}" for mark in marks]
    error = statistics.mean(finished[id(one)][:, 0].min() for one in ones)
    seconds = statistics.mean(one["seconds"] for one in ones)
    print(f"{sampler:12}" + "".join(f"{cell:>18}" for cell in cells) + f"{error:14.2%}{seconds:10.0f}")
    epochs = np.mean([one["epochs"] for one in ones], axis=0)
    axes.plot(epochs, table.mean(axis=0), color=colours[sampler], linewidth=2, label=sampler)
    low, high = table.min(axis=0), table.max(axis=0)
    axes.fill_between(epochs, low, high, color=colours[sampler], alpha=0.12, linewidth=0)
best = max(finals, key=finals.__getitem__)
axes.set_title(f"{best} covers most: {finals[best]:.1%} of all that was found", loc="left", fontsize=11)
axes.set_xlabel(f"epochs of training ({arguments.data})")
axes.set_ylabel("share of the hypervolume found by all")
axes.set_ylim(top=1.0)
axes.grid(alpha=0.3)
axes.legend(frameon=False, title=f"mean, and range of {arguments.seeds} searches", loc="lower right")
figure.savefig(f"{arguments.out}.png", dpi=160)
print(f"picture: {arguments.out}.png\n" + ", ".join(f"{name} {number}" for name, number in versions().items()))
