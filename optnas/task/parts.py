"""Cutting labelled images into parts: stratified, by seed, each image in one part only."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Part:
    """Some images of a data set with their labels."""

    x: torch.Tensor
    """Images, uint8, (n, channels, height, width)."""

    y: torch.Tensor
    """Class indices, int64, (n,)."""

    skipped: tuple[str, ...] = ()
    """Names of the files that could not be decoded and are not in `x`."""

    def __getitem__(self, index: Labels) -> "Part":
        chosen = torch.from_numpy(index)
        return Part(self.x[chosen], self.y[chosen], self.skipped)


def stratified(labels: Labels, shares: Sequence[float], seed: int) -> list[Labels]:
    """Sorted indices of one disjoint part per share, every class cut in the same proportions.

    A part other than the first holds `share * n` images of a class of n, rounded, and at least one; the first
    part holds the rest. A class needs as many images as there are shares.
    """
    generator = np.random.default_rng(seed)
    parts: list[list[Labels]] = [[] for _ in shares]
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        sizes = [max(1, round(share * len(members))) for share in shares[1:]]
        cuts = np.cumsum([len(members) - sum(sizes), *sizes])[:-1]
        for part, piece in zip(parts, np.split(members, cuts), strict=True):
            part.append(piece)
    return [np.sort(np.concatenate(part)) for part in parts]


def balanced(labels: Labels, count: int, seed: int) -> Labels:
    """Sorted indices of `count` images, as many of each class as there are, to within one.

    A class that runs out is made up for by the others. With the same seed a smaller draw is a subset of a
    larger one, so that a study of few images and one of many are about the same images.
    """
    generator = np.random.default_rng([seed, 1])  # not the stream of `stratified`: two draws, one seed
    turn = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        turn[members] = np.arange(len(members))
    order = np.lexsort((generator.random(len(labels)), turn))
    return np.sort(order[:count])
