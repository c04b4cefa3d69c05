"""Single random choices that do not depend on what ran before."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from optnas.sampler.seeded import derive_seed

__all__ = ["allows", "draw"]


def draw(seed: int, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution) -> Any:
    """A random value of the choice called `name`, the same for the same study seed, trial number and name."""
    own = np.random.SeedSequence([derive_seed(seed, trial.number), zlib.crc32(name.encode())])
    sampler = RandomSampler(seed=int(own.generate_state(1)[0]))
    return sampler.sample_independent(study, trial, name, distribution)


def allows(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a planned value can be used where the objective asks with this distribution."""
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except ValueError:
        return False
