"""Mobile networks for Fashion-MNIST: error against MACs, under a budget of parameters and memory.

    python studies/fashion_mobile.py --data-root data --trials 60                         # as in the README
    python studies/fashion_mobile.py --trials 4 --epochs 1 --train-images 500             # a laptop, a minute

Copy this file and change it: it uses only Optuna and the parts of optnas, so every step is here to see. The
study is an ordinary Optuna study in fashion.db; a second call goes on, and `optnas dashboard --storage
sqlite:///fashion.db` shows it.
"""

import argparse

import optuna

from optnas import ImageTask, Objective
from optnas.cost import parse_constraints
from optnas.front import front
from optnas.prune import make_pruner
from optnas.space import mobile
from optnas.study import ProcessPool, coordinate, open_storage, open_study, run

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data-root", default="data", help="folder of the data set (default: %(default)s)")
parser.add_argument("--trials", type=int, default=60, help="trained networks in all (default: %(default)s)")
parser.add_argument("--epochs", type=int, default=5, help="of each training (default: %(default)s)")
parser.add_argument("--train-images", type=int, help="train on so many images only")
parser.add_argument("--workers", type=int, default=2, help="training processes (default: %(default)s)")
parser.add_argument("--seed", type=int, default=0, help="of everything (default: %(default)s)")
parser.add_argument("--storage", default="sqlite:///fashion.db", help="(default: %(default)s)")
arguments = parser.parse_args()

# What a network learns, and what it may cost. Costs are measured before training, so a network over a budget
# never costs an epoch.
task = ImageTask(
    "fashion-mnist",
    data_root=arguments.data_root,
    epochs=arguments.epochs,
    train_images=arguments.train_images,
    split_seed=arguments.seed,
)
budget = parse_constraints(["params<=100k", "peak_memory_bytes<=250k"])
objective = Objective(
    mobile,
    task,
    objectives=("error", "macs"),
    constraints=budget,
    seed=arguments.seed,
    pruner=make_pruner("dominance", arguments.epochs),
)

optuna.logging.set_verbosity(optuna.logging.WARNING)
# One process at a time searches a study, and only with the settings that it was made with.
settings = {"task": task.describe(), "space": "mobile", "budget": list(map(str, budget)), "seed": arguments.seed}
pool = ProcessPool(arguments.workers)
try:
    with coordinate(arguments.storage, "fashion"):
        sampler = objective.sampler("nsga2")
        storage = open_storage(arguments.storage)
        study = open_study(storage, "fashion", objective.objectives, settings, sampler)
        # Train until the study holds so many networks; `study.optimize(objective, n_trials=...)` would do as
        # well, in this process and one at a time.
        run(study, objective, pool, arguments.trials, lambda event: print(event.kind, event.trial, event.message))
finally:
    pool.close()

print("trial   error       macs    params  peak memory")
for network in front(study):
    macs, params, peak = (network.costs[name] for name in ("macs", "params", "peak_memory_bytes"))
    print(f"{network.trial:5}  {network.error:6.2%} {macs:10,} {params:9,} {peak:10,} B")
