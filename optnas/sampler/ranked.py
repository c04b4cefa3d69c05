"""Networks in a given order, as a sampler."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.study import Study
from optuna.trial import BaseTrial, FrozenTrial

from optnas.sampler.history import read_history
from optnas.sampler.planned import PlannedSampler, follow, is_repeat, unseen
from optnas.sampler.seeded import derive_seed
from optnas.space import Choices

__all__ = ["RankedSampler"]


class RankedSampler(PlannedSampler):
    """Proposes the first network of a list that the study has not tried; mutants of the first one after the last.

    Args:
        networks: Their choices, the most promising first.
        space: Makes the choices of a network on a trial; what it returns is not used.
        seed: The study's seed.
    """

    def __init__(
        self, networks: Sequence[Mapping[str, Any]], space: Callable[[BaseTrial], object], seed: int = 0
    ) -> None:
        super().__init__(space, seed)
        self._networks = [dict(network) for network in networks]

    def _plan(self, study: Study, trial: FrozenTrial) -> Choices:
        assert self._space is not None
        tried = read_history(study, trial.number, self._plans).tried
        fixed = trial.system_attrs.get("fixed_params", {})
        generator = np.random.default_rng(derive_seed(self._seed, trial.number))
        for network in self._networks:
            if not is_repeat(network, tried) and all(network.get(name) == value for name, value in fixed.items()):
                return network
        parent = dict(self._networks[0]) if self._networks else follow(self._space, {}, generator)
        return unseen(self._space, parent, tried, fixed, generator)
