"""A name for a space by what it builds."""

from __future__ import annotations

import hashlib
from contextlib import suppress

import numpy as np

from optnas.space import Build, RandomTrial, fingerprint
from optnas.space.graph import fixed_seed

__all__ = ["space_digest"]


def space_digest(build: Build, input_shape: tuple[int, int, int]) -> str:
    """Changes when the choices of a space change, or the network that they lead to."""
    generator = np.random.default_rng(0)
    seen: set[str] = set()
    for index in range(32):
        trial = RandomTrial(generator)
        with suppress(Exception), fixed_seed():  # what is wrong with a space is said when it is profiled
            module = build(trial)
            seen |= {f"{name}: {distribution}" for name, distribution in trial.distributions.items()}
            if index < 2:
                seen.add(fingerprint(module, input_shape))
    return hashlib.blake2b("\n".join(sorted(seen)).encode(), digest_size=8).hexdigest()
