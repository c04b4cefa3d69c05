"""WHO proposes the next network."""

from optnas.sampler.candidates import NothingToPropose
from optnas.sampler.controller import Controller
from optnas.sampler.cost_aware import CostAwareSampler
from optnas.sampler.evolution import EvolutionSampler
from optnas.sampler.nsga2 import NSGA2Sampler
from optnas.sampler.presets import SAMPLERS, check_sampler, make_sampler
from optnas.sampler.reinforce import ReinforceSampler
from optnas.sampler.seeded import SeededSampler, derive_seed
from optnas.sampler.warm import Experience

__all__ = [
    "SAMPLERS",
    "Controller",
    "CostAwareSampler",
    "EvolutionSampler",
    "Experience",
    "NSGA2Sampler",
    "NothingToPropose",
    "ReinforceSampler",
    "SeededSampler",
    "check_sampler",
    "derive_seed",
    "make_sampler",
]
