"""Does pruning pay on real training? The same random networks with and without the dominance pruner.

    python studies/pruning_pays.py --data-root data                                    # 60 trials x 8 epochs, 3 seeds
    python studies/pruning_pays.py --data-root data --trials 4 --epochs 2 --seeds 1 --train-images 200

Both arms of a seed see the same networks, data and initial weights. Hypervolume is the share of the box from 0
to the error of guessing and to the dearest of the networks. "none at equal epochs" is what the search without
pruning had when it had spent the epochs that the other needed in all.
"""

import argparse
import statistics
import time

import numpy as np
import optuna

from optnas import ImageTask, Objective
from optnas.cost import parse_constraints
from optnas.front import front, hypervolume, networks
from optnas.prune import PRUNERS, make_pruner
from optnas.sampler import SAMPLERS
from optnas.space import mobile
from optnas.study import ProcessPool, is_trained, run, versions

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data", default="fashion-mnist", help="(default: %(default)s)")
parser.add_argument("--data-root", default="data", help="folder of the data set (default: %(default)s)")
parser.add_argument("--trials", type=int, default=60, help="networks in each search (default: %(default)s)")
parser.add_argument("--epochs", type=int, default=8, help="of a whole training (default: %(default)s)")
parser.add_argument("--train-images", type=int, default=2000, help="(default: %(default)s)")
parser.add_argument("--seeds", type=int, default=3, help="searches of each kind (default: %(default)s)")
parser.add_argument("--first-seed", type=int, default=0, help="(default: %(default)s)")
parser.add_argument("--sampler", default="random", choices=SAMPLERS, help="(default: %(default)s)")
parser.add_argument("--pruner", default="dominance", choices=PRUNERS, help="(default: %(default)s)")
parser.add_argument("--budget", action="append", default=[], help='only networks within it: "macs<=1.5M"')
parser.add_argument("--workers", type=int, default=2, help="training processes (default: %(default)s)")
arguments = parser.parse_args()
optuna.logging.set_verbosity(optuna.logging.WARNING)


def search(seed: int, pruner: str, pool: ProcessPool) -> tuple[optuna.Study, float]:
    """A search and its seconds."""
    task = ImageTask(
        arguments.data,
        data_root=arguments.data_root,
        epochs=arguments.epochs,
        train_images=arguments.train_images,
        split_seed=seed,
    )
    objective = Objective(
        mobile,
        task,
        constraints=parse_constraints(arguments.budget),
        seed=seed,
        pruner=make_pruner(pruner, arguments.epochs),
    )
    study = optuna.create_study(directions=objective.directions, sampler=objective.sampler(arguments.sampler))
    began = time.perf_counter()
    run(study, objective, pool, arguments.trials)
    return study, time.perf_counter() - began


def epochs_of(trial: optuna.trial.FrozenTrial) -> int:
    return len(trial.user_attrs["optnas:curve"])


def volume(study: optuna.Study, reference: list[float], epochs: float = float("inf")) -> float:
    """Hypervolume of the trials that were finished within so many epochs, one after the other."""
    spent, losses = 0, []
    for trial in filter(is_trained, study.get_trials(deepcopy=False)):
        spent += epochs_of(trial)
        if trial.values is not None and spent <= epochs:
            losses.append(trial.values)
    return hypervolume(np.array(losses), reference)


rows = []
pool = ProcessPool(arguments.workers)
try:
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        whole, whole_seconds = search(seed, "none", pool)
        pruned, pruned_seconds = search(seed, arguments.pruner, pool)
        reference = [0.9, max(network.values["value1"] for network in networks(whole))]
        spent = [sum(map(epochs_of, filter(is_trained, study.trials))) for study in (whole, pruned)]
        kept = {network.trial for network in front(whole)} & {network.trial for network in networks(pruned)}
        rows.append(
            {
                "epochs": spent[1] / spent[0],
                "seconds": pruned_seconds / whole_seconds,
                "hypervolume none": volume(whole, reference),
                f"hypervolume {arguments.pruner}": volume(pruned, reference),
                "none at equal epochs": volume(whole, reference, spent[1]),
                "front kept": len(kept) / len(front(whole)),
            }
        )
        print(f"seed {seed}: " + ", ".join(f"{name} {value:.4f}" for name, value in rows[-1].items()), flush=True)
finally:
    pool.close()

print(f"\nmean and standard deviation over {len(rows)} searches of {arguments.trials} x {arguments.epochs} epochs:")
for name in rows[0]:
    values = [row[name] for row in rows]
    print(f"  {name:24} {statistics.mean(values):.4f} ± {statistics.stdev(values) if len(values) > 1 else 0:.4f}")
print(", ".join(f"{name} {number}" for name, number in versions().items()))
