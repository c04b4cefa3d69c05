"""What checkpoints cost: how many times as long a training takes, and what a kill then loses at most.

    python studies/checkpoint_overhead.py --data-root ../shared/data        # about fifteen minutes on two cores
    python studies/checkpoint_overhead.py --rounds 1 --epochs 2 --train-images 500 --data digits

Mobile networks of about 30 thousand and a million parameters, on the digits and on Fashion-MNIST: without checkpoints,
with one after each epoch, and by the rule that a search uses, which waits after short epochs until writing takes
2 % of the time. In each round all three train, in turn, and times are compared within the round.
"""

import argparse
import math
import os
import platform
import statistics
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from optnas.space import Build, RandomTrial, ReplayTrial, bind_space, mobile
from optnas.space.graph import fixed_seed
from optnas.study import versions
from optnas.task import Checkpoint, ImageTask

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data", nargs="*", default=["digits", "fashion-mnist"], help="(default: %(default)s)")
parser.add_argument("--data-root", default="data", help="folder with Fashion-MNIST (default: %(default)s)")
parser.add_argument("--params", type=int, nargs="*", default=[30_000, 1_000_000], help="(default: %(default)s)")
parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
parser.add_argument("--epochs", type=int, default=8, help="of a training (default: %(default)s)")
parser.add_argument("--train-images", type=int, help="(default: all digits, 4 000 of Fashion-MNIST)")
arguments = parser.parse_args()

RULES = {"none": None, "each epoch": {"most_share": math.inf}, "2 %": {}}
warnings.simplefilter("ignore")


@dataclass
class Timed(Checkpoint):
    """Counts what it writes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.writes: list[float] = []

    def save(self, *given, **named) -> None:
        began = time.perf_counter()
        super().save(*given, **named)
        self.writes.append(time.perf_counter() - began)


@dataclass
class Measured:
    """One training."""

    seconds: float
    writes: list[float]
    """Seconds of each."""
    size_bytes: int
    params: int


def choices(params: int, task: ImageTask) -> dict[str, object]:
    """Of the network, of a hundred random ones, whose size is nearest."""
    generator, drawn = np.random.default_rng(0), []
    for number in range(100):
        trial = RandomTrial(generator)
        size = count(build(task)(trial))
        drawn.append((abs(math.log(size / params)), number, trial.params))
    return min(drawn)[2]


def build(task: ImageTask) -> Build:
    return bind_space(mobile, task.input_shape, task.num_classes)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def train(task: ImageTask, chosen: dict[str, object], rule: dict[str, float] | None, path: Path) -> Measured:
    with fixed_seed():
        module = build(task)(ReplayTrial(chosen))
    checkpoint = None if rule is None else Timed(path, **rule)
    began = time.perf_counter()
    task.train(module, 0, checkpoint=checkpoint)
    seconds = time.perf_counter() - began
    size = path.stat().st_size if path.exists() else 0
    path.unlink(missing_ok=True)
    return Measured(seconds, checkpoint.writes if checkpoint else [], size, count(module))


print(f"{'data':14} {'params':>9} {'epoch s':>8}  {'written':10} {'writes':>6} {'ms each':>8} {'MB':>5}  times as long")
with tempfile.TemporaryDirectory(dir=".") as folder:
    for data in arguments.data:
        images = arguments.train_images or (4000 if data == "fashion-mnist" else None)
        task = ImageTask(data, arguments.data_root, epochs=arguments.epochs, train_images=images, device="cpu")
        for params in arguments.params:
            chosen, rounds = choices(params, task), []
            for number in range(arguments.rounds):
                # In turn which of them is first: a machine that is warm is slower.
                order = list(RULES)[number % 3 :] + list(RULES)[: number % 3]
                path = Path(folder) / "a.safetensors"
                rounds.append({name: train(task, chosen, RULES[name], path) for name in order})
            epoch = statistics.median(one["none"].seconds for one in rounds) / arguments.epochs
            for name in list(RULES)[1:]:
                ratios = [one[name].seconds / one["none"].seconds for one in rounds]
                writes = [seconds for one in rounds for seconds in one[name].writes]
                each = f"{1e3 * statistics.median(writes):.1f}" if writes else "-"
                spread = f" ± {statistics.stdev(ratios):.3f}" if len(ratios) > 1 else ""
                share = sum(writes) / sum(one[name].seconds for one in rounds)
                first = rounds[0][name]
                print(
                    f"{data:14} {first.params:9} {epoch:8.2f}  {name:10} {len(writes) / len(rounds):6.1f} {each:>8} "
                    f"{first.size_bytes / 1e6:5.2f}  {statistics.median(ratios):.3f}{spread}, writing {share:.1%}",
                    flush=True,
                )
print(f"median and standard deviation of {arguments.rounds} rounds of {arguments.epochs} epochs; one thread of")
print(f"{os.cpu_count()} cores ({platform.machine()}); torch {torch.__version__},", end=" ")
print(", ".join(f"{package} {number}" for package, number in versions().items() if package != "torch"))
