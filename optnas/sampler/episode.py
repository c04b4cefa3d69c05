"""What a controller did or is to learn from: the choices of one network, and many of them as padded arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["Batch", "Episode", "Rows", "Step", "centred"]

#: A choice, names of its options, and the place of the one taken.
Step = tuple[str, tuple[str, ...], int]
#: Of a choice and its options in the tables of a controller.
Rows = tuple[int, tuple[int, ...]]


@dataclass
class Episode:
    """One network, choice by choice."""

    weights: NDArray[np.float64]
    """(k,) what each objective matters in it."""
    steps: list[Step] = field(default_factory=list)
    log_probabilities: list[float] = field(default_factory=list)
    """Of each choice, from the policy that made it: importance ratios are relative to these."""


class Batch:
    """b episodes as tensors of t steps, padded to the longest, with o options, the most of any choice.

    Args:
        episodes: With one step at least.
        rows_of: Tells the rows of a choice and its options.
    """

    def __init__(self, episodes: Sequence[Episode], rows_of: Callable[[str, tuple[str, ...]], Rows]) -> None:
        t, b = max(len(episode.steps) for episode in episodes), len(episodes)
        o = max(len(options) for episode in episodes for _, options, _ in episode.steps)
        choices, places = np.zeros((t, b), dtype=np.int64), np.zeros((t, b), dtype=np.int64)
        options = np.full((t, b, o), -1, dtype=np.int64)
        options[:, :, 0] = 0  # padding has one option, which is certain
        logs, mask = np.zeros((t, b), dtype=np.float32), np.zeros((t, b), dtype=np.float32)
        for column, episode in enumerate(episodes):
            size = len(episode.steps)
            mask[:size, column] = 1.0
            logs[: len(episode.log_probabilities), column] = episode.log_probabilities
            for row, (name, offered, place) in enumerate(episode.steps):
                choices[row, column], rows = rows_of(name, offered)
                options[row, column, : len(rows)], places[row, column] = rows, place
        self.weights = torch.from_numpy(centred(np.array([episode.weights for episode in episodes]))).float()
        """(b, k) centred."""
        self.choices = torch.from_numpy(choices)
        """(t, b) rows of what is asked."""
        self.options = torch.from_numpy(options)
        """(t, b, o) rows of what is offered; -1 where there are fewer."""
        self.places = torch.from_numpy(places)
        """(t, b) which of the options is taken."""
        self.taken = self.options.gather(-1, self.places[..., None]).squeeze(-1)
        """(t, b) its row."""
        self.log_probabilities = torch.from_numpy(logs)
        """(t, b) when it was taken."""
        self.mask = torch.from_numpy(mask)
        """(t, b) 0 where an episode is padded."""


def centred(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares (..., k) by how much they are more than equal ones, so that different weights look different."""
    return np.asarray(weights * weights.shape[-1] - 1)
