"""WHO proposes the next network."""

from optnas.sampler.presets import SAMPLERS, check_sampler, make_sampler
from optnas.sampler.seeded import SeededSampler, derive_seed

__all__ = ["SAMPLERS", "SeededSampler", "check_sampler", "derive_seed", "make_sampler"]
