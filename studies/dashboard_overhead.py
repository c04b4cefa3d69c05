"""What notes, drawings, curves and plots for optuna-dashboard cost: milliseconds a trial, and seconds of a search.

    python studies/dashboard_overhead.py                                  # about six minutes on two cores
    python studies/dashboard_overhead.py --trials 50 --searches 0         # the first part, a few seconds

First a study of the mobile space at 28x28 pixels with a thousand trials in SQLite, whose extras are all missing. Then
searches of the digits, with and without extras in turn; each pair has a seed of its own.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import TrialState, create_trial

import optnas
from optnas.report.blocks import trial_blocks
from optnas.report.dashboard import Extras
from optnas.report.network import network_svg
from optnas.space import RandomTrial, bind_space, mobile
from optnas.study import open_storage, versions
from optnas.study.search import search as search_without_extras

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--trials", type=int, default=1000, help="in the study of the first part (default: %(default)s)")
parser.add_argument("--searches", type=int, default=3, help="pairs of searches (default: %(default)s)")
parser.add_argument("--trainings", type=int, default=40, help="of each search (default: %(default)s)")
arguments = parser.parse_args()

SHAPE, EPOCHS = (1, 28, 28), 20
build = bind_space(mobile, SHAPE, 10)


def random_trial(generator: np.random.Generator) -> optuna.trial.FrozenTrial:
    """A trial as a search leaves it, a third of them pruned; its errors and costs are made up."""
    drawn = RandomTrial(generator)
    build(drawn)
    macs = float(round(np.exp(generator.uniform(np.log(5e4), np.log(6e6)))))
    curve = 0.05 + 0.3 * (5e4 / macs) ** 0.3 + 0.5 * np.exp(-0.15 * np.arange(1, EPOCHS + 1))
    pruned = generator.random() < 0.33
    kept = {
        "costs": {"params": macs // 30, "macs": macs, "size_bytes": macs // 7, "peak_memory_bytes": 1e5},
        "curve": np.round(curve[: 5 if pruned else EPOCHS], 6).tolist(),
        "bounds": [None, *np.round(curve[1:] + (-0.01 if pruned else 0.01), 6).tolist()],
        "fingerprint": str(macs),
    }
    return create_trial(
        state=TrialState.PRUNED if pruned else TrialState.COMPLETE,
        values=None if pruned else [curve[-1], macs],
        params=drawn.params,
        distributions=drawn.distributions,
        user_attrs={f"optnas:{name}": value for name, value in kept.items()},
    )


def drawing(choices: dict[str, object], title: str) -> str:
    return network_svg(trial_blocks(build, SHAPE, choices), title=title)


def measure_trials(folder: Path) -> None:
    """Fill in the extras of all trials, and print what each took on average over the last hundred."""
    address, generator = f"sqlite:///{folder / 'study.db'}", np.random.default_rng(0)
    study = optuna.create_study(storage=open_storage(address), directions=["minimize"] * 2)
    study.set_metric_names(["error", "macs"])
    study.add_trials([random_trial(generator) for _ in range(arguments.trials)])
    extras = Extras(study, address, folder / "artifacts", drawing)
    times: dict[str, list[float]] = {"drawing": [], "note, curve, files and commit": []}
    began = time.perf_counter()
    missing = extras.missing()
    found = time.perf_counter() - began
    for trial in missing:
        began = time.perf_counter()
        drawn = extras.draw(trial)
        between = time.perf_counter()
        extras.write(trial, drawn)
        times["drawing"].append(between - began)
        times["note, curve, files and commit"].append(time.perf_counter() - between)
    began = time.perf_counter()
    extras.refresh(force=True)
    refreshed = time.perf_counter() - began
    print(f"{arguments.trials} trials in SQLite, ms a trial over the last 100 (median, 95th of 100)")
    for part, seconds in times.items():
        last = sorted(seconds[-100:])
        print(f"  {part:32} {1e3 * statistics.median(last):6.1f} {1e3 * last[int(0.95 * len(last))]:6.1f}")
    print(f"  {'which trials lack something, once':32} {1e3 * found:6.1f}")
    print(f"  {'note and plots of the study, once':32} {1e3 * refreshed:6.1f}    every 10 s at most")
    print(f"  files: {sum(path.stat().st_size for path in (folder / 'artifacts').iterdir()) / 1e6:.1f} MB")


def measure_search(search, seed: int, folder: Path) -> float:
    """Seconds of a search, that of pricing and of the extras at its end with it."""
    began = time.perf_counter()
    search(trials=arguments.trainings, seed=seed, storage=f"sqlite:///{folder / 'search.db'}")
    return time.perf_counter() - began


optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
with tempfile.TemporaryDirectory() as name:
    measure_trials(Path(name))
ratios = []
for seed in range(arguments.searches):
    seconds = {}
    # In turn which of the two is first: a machine that is warm is slower.
    for search in (search_without_extras, optnas.search)[:: 1 if seed % 2 else -1]:
        with tempfile.TemporaryDirectory() as name:
            seconds[search] = measure_search(search, seed, Path(name))
    without, extra = seconds[search_without_extras], seconds[optnas.search]
    ratios.append(extra / without)
    print(f"search of {arguments.trainings} trainings, seed {seed}: {without:.1f} s, with extras {extra:.1f} s")
if len(ratios) > 1:
    print(f"with extras a search takes {statistics.mean(ratios):.3f} ± {statistics.stdev(ratios):.3f} times as long")
print(", ".join(f"{package} {number}" for package, number in versions().items()))
