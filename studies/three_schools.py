"""Evolution, controller or gradient, with shared weights or without: which school finds more in the same time?

    python studies/three_schools.py --data-root data              # Fashion-MNIST at 16x16, 2 minutes a run, 3 seeds
    python studies/three_schools.py --data digits --time 30s --epochs 2 --seeds 1 --methods random nsga2 enas

Every run gets the same seconds on the same machine and the same images, and everything that a method needs is inside
them: a supernet's training, its audit, scoring, descents, and the training from scratch of what it calls results. Only
networks that were trained from scratch to the end, within the budget and within the time, count. Nothing is pruned
unless asked for: a pruned trial teaches some of the samplers nothing, and half a network is no result, so that a
pruner would be compared along with the schools.

Hypervolume is the share of what the best networks of all runs cover together, of a box that reaches to the dearest
network of the random searches and to the error that nine in ten of theirs stay below. Tau is Kendall's, of shared
weights against training from scratch; a run whose weights are not trusted falls back to training alone.

The same command goes on after an interruption: runs that had ended are read from the folder, and the one that was cut
off begins anew, since its seconds cannot be pieced together.
"""

import argparse
import json
import shutil
import statistics
from datetime import datetime
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import optnas
from optnas.cost import device_fingerprint
from optnas.front import hypervolume, networks
from optnas.prune import PRUNERS
from optnas.study import attribute, versions
from optnas.study.ending import parse_duration
from optnas.study.settings import settings_from

METHODS = {
    "random": {"sampler": "random"},
    "nsga2": {"sampler": "nsga2"},
    "cost-aware": {"sampler": "cost-aware"},
    "reinforce": {"sampler": "reinforce"},
    "enas": {"sampler": "reinforce", "evaluator": "one-shot"},
    "one-shot": {"sampler": "nsga2", "evaluator": "one-shot"},
    "gradient": {"sampler": "gradient"},
}
SHARING = ("enas", "one-shot", "gradient")
# Told apart by the colour-blind too (Okabe and Ito 2008).
PALETTE = ("#777777", "#0072b2", "#d55e00", "#009e73", "#56b4e9", "#e69f00", "#cc79a7")
COLOURS = dict(zip(METHODS, PALETTE, strict=True))

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data", default="fashion-mnist", help="(default: %(default)s)")
parser.add_argument("--data-root", default="data", help="folder of the data set (default: %(default)s)")
parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS, help="(default: all)")
parser.add_argument("--seeds", type=int, default=3, help="runs of each method (default: %(default)s)")
parser.add_argument("--time", default="120s", help="of each run (default: %(default)s)")
parser.add_argument("--epochs", type=int, default=5, help="of each training from scratch (default: %(default)s)")
parser.add_argument("--train-images", type=int, help="(default: 4000; all of digits)")
parser.add_argument("--val-images", type=int, help="(default: 2000; all of digits)")
parser.add_argument("--image-size", type=int, help="side in pixels (default: 16; digits stay as they are)")
parser.add_argument("--budget", nargs="+", default=["macs<=1M"], help="(default: macs<=1M)")
parser.add_argument("--pruner", default="none", choices=PRUNERS, help="of all methods (default: %(default)s)")
parser.add_argument("--workers", type=int, default=2, help="training processes (default: %(default)s)")
parser.add_argument("--out", type=Path, default="three-schools", help="folder of all results (default: %(default)s)")
arguments = parser.parse_args()
methods = list(dict.fromkeys(arguments.methods))
embedded = arguments.data == "digits"


def given(method, seed):
    """The settings of a run; its storage is a file of its own."""
    return {
        **METHODS[method],
        "data": arguments.data,
        "data_root": arguments.data_root,
        "space": "mobile",
        "constraints": tuple(arguments.budget),
        "pruner": arguments.pruner,
        "time": arguments.time,
        "epochs": arguments.epochs,
        "train_images": arguments.train_images or (None if embedded else 4000),
        "val_images": arguments.val_images or (None if embedded else 2000),
        "image_size": arguments.image_size or (None if embedded else 16),
        "workers": arguments.workers,
        "seed": seed,
        "study": f"{method}-{seed}",
    }


def folder_of(method, seed):
    return arguments.out / f"seed{seed}" / method


def remembered(method, seed):
    """What a run that has ended left, or None."""
    path = folder_of(method, seed) / "run.json"
    if not path.exists():
        return None
    run = json.loads(path.read_text())
    plain = settings_from(given(method, seed)).plain()
    other = sorted(name for name in plain if plain[name] != run["settings"].get(name))
    if other:
        raise optnas.UsageError(f"{path} was made with another {', '.join(other)}: expected the same, or another --out")
    return run


def search(method, seed):
    """Run a method and write what it found: [seconds, error, macs] of each network, in the order of their ends."""
    folder = folder_of(method, seed)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    settings = given(method, seed)
    began = datetime.now()
    result = optnas.search(**settings, storage=f"sqlite:///{folder / 'study.db'}")
    ended = datetime.now()
    trials = result.study.get_trials(deepcopy=False)
    found = [
        [(trials[network.trial].datetime_complete - began).total_seconds(), network.error, network.costs["macs"]]
        for network in networks(result.study)
        if network.feasible
    ]
    run = {
        "method": method,
        "seed": seed,
        "began": began.isoformat(),
        "seconds": (ended - began).total_seconds(),
        "stopped": result.stopped,
        "networks": sorted(found),
        "audit": attribute(result.study, "supernet_audit"),
        "settings": settings_from(settings).plain(),
    }
    written = folder / "run.json.part"
    written.write_text(json.dumps(run))
    written.rename(folder / "run.json")
    return run


def warm_up():
    """Bring code and images into memory before a clock starts, or the first method would pay for all."""
    optnas.search(**given("random", 0) | {"time": None, "trials": 1, "epochs": 1}, storage="memory")


runs = []
try:
    if arguments.seeds < 1:
        raise optnas.UsageError(f"--seeds: expected a whole number from 1, got {arguments.seeds}")
    limit = parse_duration(arguments.time)
    todo = []
    for seed in range(arguments.seeds):
        for method in methods:
            # What is wrong with the last run is said before the first.
            settings_from(given(method, seed))
            todo.append(remembered(method, seed) is None)
    if any(todo):
        warm_up()
    for seed in range(arguments.seeds):
        settings_from(given(methods[0], seed)).task.images  # noqa: B018
        for method in methods:
            run = remembered(method, seed) or search(method, seed)
            # Equal time: what was begun in time and ended after it is no result.
            run["counted"] = [network for network in run["networks"] if network[0] <= limit]
            runs.append(run)
            print(
                f"seed {seed}, {method}: {len(run['counted'])} networks trained in time, {run['seconds']:.0f} s in all",
                flush=True,
            )
except (optnas.UsageError, OSError) as error:
    parser.error(str(error))

random = [run for run in runs if run["method"] == "random" and run["counted"]] or runs
box = np.array([losses for run in random for _, *losses in run["counted"]] or [[1.0, 1.0]])
reference = [float(np.quantile(box[:, 0], 0.9)), float(box[:, 1].max())]


def volume(some_networks):
    return hypervolume(np.array([losses for _, *losses in some_networks]).reshape(-1, 2), reference)


# No network, or only one, spans no box: then nobody has a share.
everything = volume([network for run in runs for network in run["counted"]]) or 1.0
moments = np.linspace(0, limit, 121)
quarters = [30, 60, 90, 120]


def shares(run):
    """The share of the hypervolume at each of the moments, (121,)."""
    at_end = [volume(run["counted"][:count]) / everything for count in range(len(run["counted"]) + 1)]
    return [at_end[np.searchsorted([network[0] for network in run["counted"]], moment, "right")] for moment in moments]


courses, figures = {}, {}
for method in methods:
    ones = [run for run in runs if run["method"] == method]
    courses[method] = table = np.array([shares(run) for run in ones])
    deviation = table.std(axis=0, ddof=1) if len(ones) > 1 else np.zeros(len(moments))
    successful = [run["counted"] for run in ones if run["counted"]]
    audits = [run["audit"] for run in ones if run["audit"]]
    figures[method] = {
        "hypervolume": {
            f"{moments[quarter]:g}s": {"mean": table[:, quarter].mean(), "sd": deviation[quarter]}
            for quarter in quarters
        },
        "hypervolume_by_seed": table[:, -1].tolist(),
        "least_error": [min(error for _, error, _ in counted) for counted in successful],
        "networks": [len(run["counted"]) for run in ones],
        "first_result_seconds": [counted[0][0] for counted in successful],
        "seconds": [run["seconds"] for run in ones],
        "tau": [audit["overall"]["tau"] for audit in audits],
        "fell_back": [not audit["trusted"] for audit in audits],
    }


def mean(values, form):
    return f"{statistics.mean(values):{form}}" if values else "-"


print(f"\nhypervolume of {arguments.seeds} runs of {limit} s each, mean ± standard deviation; the others are means")
print(
    f"{'method':11}"
    + "".join(f"{f'at {moments[quarter]:g} s':>14}" for quarter in quarters)
    + f"{'least error':>13}{'networks':>10}{'first after':>12}{'tau':>6}{'fell back':>11}"
)
for method in methods:
    figure = figures[method]
    cells = [f"{cell['mean']:.3f} ± {cell['sd']:.3f}" for cell in figure["hypervolume"].values()]
    first = mean(figure["first_result_seconds"], ".0f") + " s"
    fell_back = f"{sum(figure['fell_back'])} of {len(figure['fell_back'])}" if figure["fell_back"] else "-"
    print(
        f"{method:11}"
        + "".join(f"{cell:>14}" for cell in cells)
        + f"{mean(figure['least_error'], '.2%'):>13}{mean(figure['networks'], '.1f'):>10}{first:>12}"
        + f"{mean(figure['tau'], '.2f'):>6}{fell_back:>11}"
    )

ends = {method: course[:, -1] for method, course in courses.items()}
best = max(methods, key=lambda method: ends[method].mean())
ahead = sum(ends[best][seed] >= max(end[seed] for end in ends.values()) for seed in range(arguments.seeds))
finding = (
    f"{best} covers most after {limit} s: {ends[best].mean():.0%} of all that was found, "
    f"ahead in {ahead} of {arguments.seeds} seeds"
)
picture, axes = plt.subplots(figsize=(7.5, 4.6), layout="constrained")
for method, course in courses.items():
    style = {"color": COLOURS[method], "linewidth": 2, "linestyle": "--" if method in SHARING else "-"}
    axes.step(moments, course.mean(axis=0), where="post", label=method, **style)
    low, high = course.min(axis=0), course.max(axis=0)
    axes.fill_between(moments, low, high, step="post", color=COLOURS[method], alpha=0.1, linewidth=0)
axes.set_title(finding if ends[best].any() else f"{limit} s were too short for any method", loc="left", fontsize=10)
axes.set_xlabel(
    f"seconds from the start of a run, everything included ({arguments.data}, workers: {arguments.workers})"
)
axes.set_ylabel("share of the hypervolume found by all")
axes.set_xlim(0, limit)
axes.set_ylim(0, 1)
axes.grid(alpha=0.3)
axes.spines[["top", "right"]].set_visible(False)
legend = f"mean, range of {arguments.seeds} runs;\ndashed: shared weights"
axes.legend(frameon=False, title=legend, fontsize=9, title_fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
picture.savefig(arguments.out / "three-schools.png", dpi=160)

(arguments.out / "three-schools.json").write_text(
    json.dumps(
        {
            "figures": figures,
            "reference": {"error": reference[0], "macs": reference[1]},
            "runs": runs,
            "device": device_fingerprint(),
            "versions": versions(),
        },
        indent=1,
    )
)
print(f"picture and figures: {arguments.out}/three-schools.png, .json")
print(", ".join(f"{name} {number}" for name, number in versions().items()))
