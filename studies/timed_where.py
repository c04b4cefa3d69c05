"""Does it matter where latency is timed? The same budget asked of a search on eager PyTorch and of one on a runtime.

    python studies/timed_where.py --data-root data                  # Fashion-MNIST, 30 trainings, 2 seeds of each
    python studies/timed_where.py --data digits --trials 4 --epochs 1 --seeds 1 --train-images 300

Two searches for error and latency differ in nothing but what times their networks. First an engineer who has only the
search on eager PyTorch asks it for the most accurate network within some eager milliseconds (the quartiles of its own
front). That network is timed in the runtime, beside the fastest network of the other search that errs no more. Then
the engineer has a budget in milliseconds of the runtime (the quartiles of the other front): the search on the runtime
is asked just that; the networks of the eager search have to be timed again in the runtime before one can be chosen.
Run again, the script goes on where it stopped.
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
from optnas.space import ReplayTrial, bind_space, mobile
from optnas.study import versions
from optnas.threads import one_thread

QUARTILES = {"lower quartile": 0.25, "median": 0.5, "upper quartile": 0.75}

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


accepted, fitting, taus = [], [], []
for seed in range(arguments.seeds):
    eager, deployed = search("eager", seed), search(arguments.runtime, seed)
    task = deployed.settings.task
    build = bind_space(mobile, task.input_shape, task.num_classes)
    prices = Prices(arguments.runtime, reference_ms=deployed.study.user_attrs["optnas:reference_ms"])

    def deployed_ms(network, build=build, prices=prices, shape=task.input_shape):
        with one_thread():
            return prices.latency(build(ReplayTrial(network.choices)), shape).latency_ms

    # All of them in one sitting, those that were timed by the search too.
    rivals = [(one, deployed_ms(one)) for one in networks(deployed.study)]
    others = [(one, deployed_ms(one)) for one in networks(eager.study)]
    taus.append(kendalltau([one.costs["latency_ms"] for one, _ in others], [ms for _, ms in others]).statistic)
    for name, share in QUARTILES.items():
        budget = float(np.quantile([one.costs["latency_ms"] for one in eager.front], share))
        winner = eager.best(f"latency_ms<={budget}")
        taken = next(ms for one, ms in others if one.trial == winner.trial)
        fastest = min(
            ((ms, one) for one, ms in rivals if one.error <= winner.error), default=None, key=lambda pair: pair[0]
        )
        accepted.append(
            {
                "seed": seed,
                "budget": name,
                "eager_ms": winner.costs["latency_ms"],
                "error": winner.error,
                "deployed_ms": taken,
                "rival_error": None if fastest is None else fastest[1].error,
                "rival_ms": None if fastest is None else fastest[0],
            }
        )
    for name, share in QUARTILES.items():
        budget = float(np.quantile([one.costs["latency_ms"] for one in deployed.front], share))
        within = [[one.error for one, ms in group if ms <= budget] for group in (rivals, others)]
        errors = [min(errors, default=None) for errors in within]
        fitting.append(
            {"seed": seed, "budget": name, "budget_ms": budget, "error": errors[0], "eager_error": errors[1]}
        )

facts = {"accepted": accepted, "fitting": fitting, "taus": taus, "versions": versions(), "device": prices.fingerprint()}
Path(f"{arguments.out}.json").write_text(json.dumps(facts, indent=2))


def shown(value, form):
    return "none" if value is None else format(value, form)


runtime = arguments.runtime
print(f"the winner of a budget in eager milliseconds, deployed on {runtime}, and the fastest that errs no more\n")
print(f"{'budget':24}{'eager':>10}{'error':>9}{'deployed':>11}{'fastest':>11}{'error':>9}{'slower by':>11}")
for row in accepted:
    slower = None if row["rival_ms"] is None else row["deployed_ms"] / row["rival_ms"] - 1
    name = f"{row['budget']:16} seed {row['seed']:<2}"
    print(
        f"{name}{row['eager_ms']:8.2f}ms{row['error']:9.2%}{row['deployed_ms']:9.3f}ms"
        f"{shown(row['rival_ms'], '9.3f'):>9}ms{shown(row['rival_error'], '.2%'):>9}{shown(slower, '+.0%'):>11}"
    )
print(f"\nthe least error within a budget in milliseconds of {runtime}\n")
print(f"{'budget':24}{'ms':>10}{f'searched on {runtime}':>26}{'searched on eager':>20}")
for row in fitting:
    errors = f"{shown(row['error'], '.2%'):>26}{shown(row['eager_error'], '.2%'):>20}"
    print(f"{row['budget']:16} seed {row['seed']:<2}{row['budget_ms']:10.3f}{errors}")
print(f"\nthe networks of the eager searches, eager against {runtime}: tau {', '.join(f'{tau:.2f}' for tau in taus)}")
print(", ".join(f"{name} {number}" for name, number in versions().items()))
