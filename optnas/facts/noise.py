"""How much of what was measured is chance: of a training's seed, of the images it was judged on, of a stopwatch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna import Study

from optnas.facts.repeatable import Repeatable
from optnas.objective import ATTRIBUTE, ERROR
from optnas.sampler.encoding import Features
from optnas.study import attribute

__all__ = ["Noise", "latency_noise", "training_noise"]

Array = NDArray[np.float64]

#: Retrainings beyond one for each network that a spread of seeds must come from: of three it may be off by half.
_FREEDOM = 4
#: Levels of noise that are compared, and how far below the spread of the losses the least is where nothing is known.
_LEVELS, _LEAST = 9, 32.0
#: Networks by which they are compared.
_COMPARED = 200


@dataclass(frozen=True)
class Noise:
    """The chance in one training's loss."""

    rate: float
    """Of an error e between 0 and 1 the variance is rate * e * (1 - e), so that 1 / rate is the number of images that
    are as noisy; of another loss it is the variance itself."""
    share: bool
    """Whether the loss is a share of images."""
    source: str
    """Where it is known from, in words."""

    def std(self, losses: Array) -> Array:
        """(n,) the standard deviation of losses, in their unit; that of an error of 0 is not 0."""
        if not self.share:
            return np.full(len(losses), np.sqrt(self.rate))
        # As if one image more had been right, and one more wrong (Agresti and Coull 1998).
        errors = np.clip((losses + self.rate) / (1 + 2 * self.rate), 0, 1)
        return np.asarray(np.sqrt(self.rate * errors * (1 - errors)))


def training_noise(study: Study, name: str, features: Features, losses: Array, std: float | None = None) -> Noise:
    """The chance in the losses of a study, from the best source that it has.

    Retrained seeds are the best one. Without them it is the scatter that a Gaussian process of the losses cannot
    explain, averaged over levels with a uniform prior on the standard deviation (Gelman 2006). One training of each
    network tells noise badly from what is particular to a network, so this is a guess. In either case an error has at
    least the binomial noise of the validation images. Some of that is shared by all networks, since hard images are
    hard for all, and does not change their order: it is rather too much than too little.

    Args:
        study: The study.
        name: Of the loss.
        features: Of n networks.
        losses: (n,) smaller is better.
        std: If it is known: the standard deviation of a loss of the median network.
    """
    share = name == ERROR and bool(np.all((losses >= 0) & (losses <= 1)))
    if std is not None:
        return Noise((std / _unit(losses, share)) ** 2, share, "as given")
    images = ((attribute(study, "settings") or {}).get("task") or {}).get("n_val") if share else None
    floor = 1 / images if images else 0.0
    seeds = _seed_rate(study) if share else None
    if seeds is not None:
        excess, trainings = seeds
        return Noise(floor + excess, share, f"the spread of {trainings} retrained seeds")
    return _scatter(features, losses, share, floor, f"binomial noise of {images} validation images")


def latency_noise(latency_ms: Array, spread_ms: Array) -> Array:
    """(n,) the standard error of measured latencies, as a share of each.

    A spread is half the interquartile range of five windows, and a latency their median: for normal windows the
    standard error is .94 of the spread's quadratic mean. On a device that answers twice the two are equal. So few
    windows tell little of one network, so the variance is the mean of its own and that of the median network.

    Args:
        latency_ms: Above 0.
        spread_ms: As `optnas.cost.latency` gives it; NaN where there is none, as in a table of blocks, whose latencies
            are the same whenever they are asked for.
    """
    relative = spread_ms / latency_ms
    known = np.isfinite(relative)
    if not known.any():
        return np.zeros(len(latency_ms))
    typical = float(np.median(relative[known]))
    return np.asarray(np.sqrt((np.where(known, relative, typical) ** 2 + typical**2) / 2))


def _unit(losses: Array, share: bool) -> float:
    """The standard deviation of the median loss at a rate of 1."""
    if not share:
        return 1.0
    error = float(np.clip(np.median(losses), 1e-3, 1 - 1e-3))
    return float(np.sqrt(error * (1 - error)))


def _seed_rate(study: Study) -> tuple[float, int] | None:
    """By how much the rate of retrained seeds exceeds that of their images, and of how many trainings."""
    rates: list[float] = []
    freedom: list[int] = []
    trainings = 0
    for kept in (study.user_attrs.get(ATTRIBUTE + "retrained") or {}).values():
        errors = [training["error"] for training in kept["trainings"]]
        images = kept["data"].get("n_val")
        if len(errors) < 2 or not images:
            continue
        mean = (np.mean(errors) * images + 1) / (images + 2)
        rates.append(max(0.0, float(np.var(errors, ddof=1) / (mean * (1 - mean)) - 1 / images)))
        freedom.append(len(errors) - 1)
        trainings += len(errors)
    if sum(freedom) < _FREEDOM:
        return None
    return float(np.average(rates, weights=freedom)), trainings


def _scatter(features: Features, losses: Array, share: bool, floor: float, least: str) -> Noise:
    rows = np.unique(np.linspace(0, len(losses) - 1, min(len(losses), _COMPARED)).round().astype(int))
    features, losses = features[rows], losses[rows]
    top = (Repeatable.width_of(losses) / _unit(losses, share)) ** 2
    bottom = floor or top / _LEAST**2
    if bottom >= top:
        return Noise(bottom, share, least)
    stds: Array = np.sqrt(np.geomspace(bottom, top, _LEVELS))
    densities = [Repeatable(features, losses, Noise(float(std) ** 2, share, "").std).log_density() for std in stds]
    # The levels are even in their logarithms: times the level, the prior is even in the standard deviation.
    weights = np.exp(np.array(densities) - max(densities)) * stds
    std = float(np.average(stds, weights=weights))
    if floor and std < 1.2 * np.sqrt(floor):
        return Noise(std**2, share, least)
    return Noise(std**2, share, "the scatter of the errors about a model of them")
