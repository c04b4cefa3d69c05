"""How many of all wishes each network of a study suits best: mixtures of what it optimises, as it stands."""

from __future__ import annotations

import numpy as np
from optuna import Study
from optuna.study import StudyDirection

from optnas.facts.weights import regions
from optnas.front import candidates, objective_names
from optnas.sampler.fitness import spreads

__all__ = ["wishes"]


def wishes(study: Study) -> dict[int, float]:
    """By trial number the share of all mixtures of the objectives under which no feasible network is better.

    A mixture is a share for each objective; the shares add up to 1, and all mixtures are equally likely. Each objective
    counts in units of its spread among the trained networks (from its quartiles, `optnas.sampler.fitness.spreads`), and
    the least sum is the best. The fitness of `optnas.facts.fitness` has the inverse of a cost in place of the cost:
    that doubles for each network half as large, so that under most of its mixtures the tiniest network is the fittest.

    Shares are exact for two and three objectives, and else right within 1 %. A network that no mixture picks is left
    out; of equal ones the first trial has the share. Empty for a study of one objective.
    """
    names, found = objective_names(study), candidates(study)
    if len(names) < 2 or not found:
        return {}
    signs = [1.0 if direction == StudyDirection.MAXIMIZE else -1.0 for direction in study.directions]
    worth = np.array([list(network.values.values()) for network in found]) * signs
    return {region.network.trial: region.share for region in regions(found, worth / spreads(worth))}
