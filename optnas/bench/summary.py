"""The runs of a replay, put together."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from optnas.bench.samplers import Replayed
from optnas.report import Course

__all__ = ["summarise"]


def summarise(results: Sequence[Replayed]) -> list[Course]:
    """Mean and standard deviation of the hypervolume at each checkpoint, for each sampler in the order given.

    A checkpoint that only some runs of a sampler reached, as where a table was exhausted, is the mean of those.
    """
    courses = []
    for sampler in dict.fromkeys(result.sampler for result in results):
        own = [result for result in results if result.sampler == sampler]
        checkpoints = sorted({result.trainings for result in own})
        found = [[result.hypervolume for result in own if result.trainings == at] for at in checkpoints]
        courses.append(
            Course(
                sampler,
                len({result.seed for result in own}),
                tuple(checkpoints),
                tuple(statistics.mean(shares) for shares in found),
                tuple(statistics.stdev(shares) if len(shares) > 1 else 0.0 for shares in found),
            )
        )
    return courses
