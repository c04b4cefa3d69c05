"""A space whose costs and errors are sums, so that every price is known by hand."""

import warnings

import numpy as np
import optuna
from optuna.trial import create_trial

from optnas.space import RandomTrial

MACS = {"x": 100, "y": 200, "z": 400}
ERRORS = {"x": 0.20, "y": 0.16, "z": 0.10}


class Additive:
    """Costs and errors are sums over the choices; `more` is asked only where `op` is z."""

    def explore(self, trial):
        op = trial.suggest_categorical("op", ["x", "y", "z"])
        trial.suggest_int("width", 1, 4)
        trial.suggest_categorical("idle", [False, True])
        if op == "z":
            trial.suggest_categorical("more", ["little", "much"])

    def foresee(self, choices, also=()):
        macs = MACS[choices["op"]] + 10 * choices["width"] + {"little": 5, "much": 50}.get(choices.get("more"), 0)
        return {"params": 7 * choices["width"], "macs": macs}

    def error(self, choices):
        return ERRORS[choices["op"]] - 0.01 * choices["width"] - 0.03 * (choices.get("more") == "much")


def make_study(networks, values, names=("error", "macs"), directions=None, attributes=(), constraints=()):
    """A study with such finished trials, the distributions read off a stub trial."""
    study = optuna.create_study(directions=directions or ["minimize"] * len(names))
    if names is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study.set_metric_names(list(names))
    for index, ((params, distributions), one) in enumerate(zip(networks, values, strict=True)):
        kept = attributes[index] if attributes else {}
        limits = constraints[index] if constraints else None
        study.add_trial(
            create_trial(
                params=params, distributions=distributions, values=list(one), user_attrs=kept, constraints=limits
            )
        )
    return study


def drawn(space, count, seed=0):
    """Random networks, as choices and distributions."""
    generator, found = np.random.default_rng(seed), []
    for _ in range(count):
        trial = RandomTrial(generator)
        space.explore(trial)
        found.append((trial.params, trial.distributions))
    return found


def trained_study(count=60, seed=0, noise=0.002):
    """Random networks of the space, with a little noise in the error."""
    space, generator = Additive(), np.random.default_rng([seed, 1])
    networks = drawn(space, count, seed)
    costs = [space.foresee(params) for params, _ in networks]
    values = [
        (space.error(params) + noise * generator.normal(), cost["macs"])
        for (params, _), cost in zip(networks, costs, strict=True)
    ]
    return make_study(networks, values, attributes=[{"optnas:costs": cost} for cost in costs])
