"""Does it matter where latency is timed? The same budget asked of a search on eager PyTorch and of one on a runtime.

    python studies/timed_where.py --data-root data                  # Fashion-MNIST, 30 trainings, 2 seeds of each
    python studies/timed_where.py --data digits --trials 4 --epochs 1 --seeds 1 --train-images 300

Two searches for error and latency differ in nothing but what times their networks. Then an engineer asks for the most
accurate network within some milliseconds of the runtime. The search on the runtime is asked just that. The search on
eager PyTorch knows eager milliseconds only: its budget is the same, times the ratio of the two that is usual for
random networks, which nobody would know who had timed only one of them. Both winners are then timed in the runtime.
Budgets are the lower quartile, the median and the upper quartile of the latencies on the front of the search on the
runtime. Run again, the script goes on where it stopped.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau

import optnas
from optnas.cost import Prices
from optnas.front import networks
from optnas.runtime import RUNTIMES
from optnas.space import RandomTrial, ReplayTrial, bind_space, mobile
from optnas.study import versions
from optnas.threads import one_thread

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data", default="fashion-mnist", help="(default: %(default)s)")
parser.add_argument("--data-root", default="data", help="folder of the data set (default: %(default)s)")
parser.add_argument("--runtime", default="onnxruntime", choices=RUNTIMES[1:], help="(default: %(default)s)")
parser.add_argument("--trials", type=int, default=30, help="trainings of each search (default: %(default)s)")
parser.add_argument("--epochs", type=int, default=3, help="of each training (default: %(default)s)")
parser.add_argument("--train-images", type=int, default=3000, help="(default: %(default)s)")
parser.add_argument("--val-images", type=int, help="(default: 2000 of Fashion-MNIST)")
parser.add_argument("--constraint", action="append", default=[], help='of both searches: "macs<=2M"')
parser.add_argument("--seeds", type=int, default=2, help="searches of each kind (default: %(default)s)")
parser.add_argument("--random", type=int, default=20, help="networks that tell the usual ratio (default: %(default)s)")
parser.add_argument("--workers", type=int, default=2, help="training processes (default: %(default)s)")
parser.add_argument("--storage", default="sqlite:///timed-where.db", help="(default: %(default)s)")
parser.add_argument("--out", default="timed-where", help="name of the figures (default: %(default)s)")
arguments = parser.parse_args()


def search(runtime, seed):
    return optnas.search(
        data=arguments.data,
        data_root=arguments.data_root,
        train_images=arguments.train_images,
        val_images=arguments.val_images or (2000 if arguments.data == "fashion-mnist" else None),
        constraints=tuple(arguments.constraint),
        epochs=arguments.epochs,
        objectives=("error", "latency_ms"),
        runtime=runtime,
        trials=arguments.trials,
        pruner="none",
        seed=seed,
        workers=arguments.workers,
        study=f"{runtime}-{seed}",
        storage=arguments.storage,
    )


rows, taus = [], []
for seed in range(arguments.seeds):
    found = {runtime: search(runtime, seed) for runtime in ("eager", arguments.runtime)}
    task = found["eager"].settings.task
    build = bind_space(mobile, task.input_shape, task.num_classes)
    prices = {
        name: Prices(name, reference_ms=one.study.user_attrs["optnas:reference_ms"]) for name, one in found.items()
    }

    def time_of(choices, runtime, build=build, prices=prices, shape=task.input_shape):
        module = choices if not isinstance(choices, dict) else build(ReplayTrial(choices))
        with one_thread():
            return prices[runtime].latency(module, shape).latency_ms

    generator = np.random.default_rng(seed)
    drawn = [build(RandomTrial(generator)) for _ in range(arguments.random)]
    ratio = float(np.median([time_of(one, "eager") / time_of(one, arguments.runtime) for one in drawn]))
    eager = networks(found["eager"].study)
    real_ms = {one.trial: time_of(dict(one.choices), arguments.runtime) for one in eager}
    taus.append(kendalltau([one.costs["latency_ms"] for one in eager], list(real_ms.values())).statistic)
    front_ms = [one.costs["latency_ms"] for one in found[arguments.runtime].front]
    for name, share in (("lower quartile", 0.25), ("median", 0.5), ("upper quartile", 0.75)):
        budget = float(np.quantile(front_ms, share))
        ours = found[arguments.runtime].best(f"latency_ms<={budget}")
        theirs = found["eager"].best(f"latency_ms<={budget * ratio}")
        honest = min((one for one in eager if real_ms[one.trial] <= budget), key=lambda one: one.error, default=None)
        rows.append(
            {
                "seed": seed,
                "budget": name,
                "budget_ms": budget,
                "error": None if ours is None else ours.error,
                "latency_ms": None if ours is None else time_of(dict(ours.choices), arguments.runtime),
                "eager_error": None if theirs is None else theirs.error,
                "eager_latency_ms": None if theirs is None else real_ms[theirs.trial],
                "eager_error_within": None if honest is None else honest.error,
            }
        )

facts = {"rows": rows, "taus": taus, "versions": versions(), "device": prices[arguments.runtime].fingerprint()}
Path(f"{arguments.out}.json").write_text(json.dumps(facts, indent=2))


def shown(value, form):
    return "-" if value is None else format(value, form)


runtime = arguments.runtime
print(f"the most accurate network within a budget of {runtime} milliseconds, timed there\n")
print(f"{'':21}{'':>11}{f'searched on {runtime}':>26}{'searched on eager':>26}{'and really':>12}")
print(f"{'budget':21}{'ms':>11}{'error':>12}{'takes':>14}{'error':>12}{'takes':>14}{'within':>12}")
for row in rows:
    budget, ours, theirs = row["budget_ms"], row["latency_ms"], row["eager_latency_ms"]
    over = ["-" if value is None else f"{value / budget - 1:+.0%}" for value in (ours, theirs)]
    print(
        f"{row['budget']:14} seed {row['seed']}{budget:11.3f}{shown(row['error'], '.2%'):>12}{over[0]:>14}"
        f"{shown(row['eager_error'], '.2%'):>12}{over[1]:>14}{shown(row['eager_error_within'], '.2%'):>12}"
    )
print(f"\nthe networks of the eager searches, eager against {runtime}: tau {', '.join(f'{tau:.2f}' for tau in taus)}")
print(", ".join(f"{name} {number}" for name, number in versions().items()))
