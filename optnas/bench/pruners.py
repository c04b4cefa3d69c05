"""Replay pruners on finished curves: what each one saves, and what it loses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import moocore
import numpy as np
from numpy.typing import NDArray

from optnas.bench.curves import Curves
from optnas.errors import UsageError
from optnas.prune import Finished, NoPruner, Pruner, make_pruner

__all__ = ["PrunerResult", "replay_pruners"]


@dataclass(frozen=True)
class PrunerResult:
    """One pruner on one draw of networks in one order."""

    pruner: str
    """Its name."""
    seed: int
    """Of the draw."""
    trials: int
    """How many networks were drawn."""
    epochs_used: float
    """Share of the epochs of all of them, 1 without pruning."""
    hypervolume_kept: float
    """Hypervolume of the networks trained to the end, as a share of that of all that were drawn."""
    front_recall: float
    """Share of the front of all that were drawn whose values the networks trained to the end have."""
    front_size: int
    """Members of that front; networks with the same values count once."""


@dataclass(frozen=True)
class _Draw:
    curves: NDArray[np.float64]
    """(trials, epochs)"""
    values: NDArray[np.float64]
    """(trials, 1 + costs) final error and costs; the error is inf if it diverged."""
    trials: tuple[Finished, ...]


def replay_pruners(
    curves: Curves,
    costs: Sequence[str],
    pruners: Sequence[str] | Mapping[str, Pruner],
    trials: int,
    seeds: int | Sequence[int],
) -> list[PrunerResult]:
    """Train networks on paper, in random order, one after the other, each as far as the pruner lets it.

    All pruners see the same networks in the same order at a seed. A network whose error is not finite stops
    there, except without a pruner, where every epoch counts.

    Args:
        curves: See `load_curves`.
        costs: Names of the costs that are minimised beside the final error, and that the pruners know.
        pruners: Names in `optnas.prune.PRUNERS`, or pruners by a name of your own.
        trials: Networks to draw without replacement.
        seeds: How many draws, or their seeds.

    Returns:
        One result for each seed and pruner, seed by seed.

    Raises:
        UsageError: If a cost or a pruner is unknown, or there are fewer networks than trials.
    """
    table = curves.cost_table(costs)
    networks, n_epochs = curves.error.shape
    if not 1 <= trials <= networks:
        raise UsageError(f"trials: expected 1 to {networks}, the networks in the file, got {trials}")
    if isinstance(seeds, int) and seeds < 1:
        raise UsageError(f"seeds: expected at least 1, got {seeds}")
    if not isinstance(pruners, Mapping):
        pruners = {name: make_pruner(name, n_epochs) for name in pruners}
    results = []
    for seed in range(seeds) if isinstance(seeds, int) else seeds:
        chosen = np.random.default_rng(seed).permutation(networks)[:trials]
        draw = _draw(curves.error[chosen], table[chosen], costs)
        for name, pruner in pruners.items():
            epochs = _replay(draw, pruner)
            results.append(PrunerResult(name, seed, trials, *_account(draw, epochs)))
    return results


def _draw(error: NDArray[np.float64], costs: NDArray[np.float64], names: Sequence[str]) -> _Draw:
    trials = tuple(
        Finished(dict(zip(names, map(float, row), strict=True)), curve) for curve, row in zip(error, costs, strict=True)
    )
    return _Draw(error, np.column_stack([[trial.final for trial in trials], costs]), trials)


def _replay(draw: _Draw, pruner: Pruner) -> NDArray[np.intp]:
    """(trials,) How many epochs each network trains; one more than there are means: to the end."""
    n_trials, n_epochs = draw.curves.shape
    epochs = np.full(n_trials, n_epochs + 1)
    if isinstance(pruner, NoPruner):
        return epochs
    diverged = ~np.isfinite(draw.curves)
    finished: list[Finished] = []
    for index, trial in enumerate(draw.trials):
        bounds = np.full(n_epochs, np.inf)
        given = pruner.thresholds(trial.costs, finished)[:n_epochs]
        bounds[: len(given)] = given
        # As `Stopper` does, for all epochs at once.
        stops = np.flatnonzero((trial.best > bounds) | diverged[index])
        if len(stops):
            epochs[index] = stops[0] + 1
            trial = Finished(trial.costs, trial.curve[: epochs[index]], complete=False)
        finished.append(trial)
    return epochs


def _account(draw: _Draw, epochs: NDArray[np.intp]) -> tuple[float, float, float, int]:
    """Share of epochs, share of the hypervolume, recall of the front, and its size."""
    n_epochs = draw.curves.shape[1]
    used = float(np.minimum(epochs, n_epochs).mean() / n_epochs)
    sound = np.isfinite(draw.values[:, 0])
    values, kept = draw.values[sound], (epochs > n_epochs)[sound]
    if not len(values):
        return used, math.nan, math.nan, 0
    best = min(values[:, 0])
    floor = np.array([best, *values[:, 1:].min(axis=0)])
    ceiling = np.array([np.quantile(values[:, 0], 0.9), *values[:, 1:].max(axis=0)])
    scaled = (values - floor) / np.where(ceiling > floor, ceiling - floor, 1.0)
    whole = _hypervolume(scaled)
    share = _hypervolume(scaled[kept]) / whole if whole else math.nan
    front = values[moocore.is_nondominated(values)] if len(values) > 1 else values
    found = (front[:, None, :] == values[kept][None, :, :]).all(axis=2).any(axis=1)
    return used, share, float(found.mean()), len(front)


def _hypervolume(scaled: NDArray[np.float64]) -> float:
    """Of the box from 0 to 1 in each value; rows beyond it add nothing."""
    inside = scaled[np.all(scaled < 1, axis=1)]
    return float(moocore.hypervolume(inside, ref=np.ones(inside.shape[1]))) if len(inside) else 0.0
