"""A space and a task that take no time, for tests of everything around training."""

import os
import signal
import time
from dataclasses import dataclass

import optuna
from torch import nn

from optnas.objective import Objective
from optnas.study.search import Watcher
from optnas.task import Learned, Task, TrainingDiverged


def space(trial):
    """36 networks, 1 to 6 wide and 1 to 6 deep."""
    width = trial.suggest_int("width", 1, 6)
    depth = trial.suggest_int("depth", 1, 6)
    layers = [nn.Linear(4, width)]
    for _ in range(depth - 1):
        layers += [nn.ReLU(), nn.Linear(width, width)]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(width, 3))


def digits_space(trial, input_shape, num_classes):
    """Networks for the digits that train in a twentieth of a second an epoch."""
    width = trial.suggest_int("width", 4, 40)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 10))


def chaos_space(trial, input_shape, num_classes):
    """Some thousand small networks for the digits."""
    widths = [trial.suggest_int(f"width{place}", 8, 32) for place in range(3)]
    layers = [nn.Flatten()]
    for before, after in zip([64, *widths], widths, strict=False):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Dropout(0.1), nn.Linear(widths[-1], num_classes))


def wide_space(trial):
    """1600 networks."""
    first, second = trial.suggest_int("first", 1, 40), trial.suggest_int("second", 1, 40)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, first), nn.ReLU(), nn.Linear(first, second), nn.Linear(second, 3))


def small_space(trial):
    """3 networks."""
    width = trial.suggest_int("width", 1, 3)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, width), nn.Linear(width, 3))


def twofold_space(trial):
    """3 networks under 6 names."""
    trial.suggest_categorical("name", ["a", "b"])
    width = trial.suggest_int("width", 1, 3)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, width), nn.Linear(width, 3))


def broken_space(trial):
    trial.suggest_int("width", 1, 3)
    raise KeyError("nothing here")


def misfit_space(trial):
    """Every second network cannot run: its layers do not fit together."""
    width = trial.suggest_int("width", 1, 40)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, width), nn.Linear(width + width % 2, 3))


@dataclass(frozen=True)
class ToyTask(Task):
    """The error falls with the parameters; what goes wrong, and for which seeds, can be asked for."""

    delay: float = 0.0
    trouble: str = ""
    every: int = 3
    log: str = ""

    @property
    def input_shape(self):
        return (1, 2, 2)

    @property
    def num_classes(self):
        return 3

    def train(self, module, seed, on_epoch=None):
        if self.log:
            with open(self.log, "a") as file:
                file.write(f"{seed}\n")
        time.sleep(self.delay)
        if self.trouble and seed % self.every == 0:
            if self.trouble == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.trouble == "exit":
                os._exit(7)
            if self.trouble == "segfault":
                os.kill(os.getpid(), signal.SIGSEGV)
            raise TrainingDiverged(1, 1)
        count = sum(parameter.numel() for parameter in module.parameters())
        curve = (0.9, 1 / (1 + count))
        for epoch, error in enumerate(curve, 1):
            if on_epoch is not None:
                on_epoch(epoch, error)
        return Learned(error=curve[-1], curve=curve, epochs=2, seconds=0.01, images_per_second=1.0)


def study(objective, **settings):
    """Optuna's own sampler, which proposes the same each time."""
    settings.setdefault("sampler", optuna.samplers.NSGAIISampler(seed=0))
    return optuna.create_study(directions=objective.directions, **settings)


def objective(space=space, task=None, **settings):
    settings.setdefault("objectives", ("error", "params"))
    return Objective(space, task or ToyTask(), ("params", "macs"), **settings)


class Listener(Watcher):
    """Keeps what a search says and does."""

    def __init__(self):
        self.said, self.events = [], []

    def say(self, text):
        self.said.append(text)

    def __call__(self, event):
        self.events.append(event)
