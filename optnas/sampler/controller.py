"""An LSTM that makes one choice after another, and learns from rewards (Zoph & Le 2017, arXiv:1611.01578).

Notation, used throughout: t steps of an episode, b episodes, o options of a choice (the most of any choice in a
batch), h the size of the state, k weights.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from torch import Tensor, nn
from torch.nn import functional

from optnas.sampler.levels import levels_of
from optnas.threads import one_thread

__all__ = ["Controller", "Episode"]

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
Step = tuple[str, BaseDistribution, Any]
#: A choice, its options, and the place of the one taken: rows of the controller's tables.
_Rows = tuple[int, tuple[int, ...], int]

#: Adam's (Kingma & Ba 2015, arXiv:1412.6980).
_DECAY, _DECAY_SQUARE, _TINY = 0.9, 0.999, 1e-8


@dataclass
class Episode:
    """One network, choice by choice."""

    weights: Array
    """(k,) what matters in it."""
    steps: list[_Rows] = field(default_factory=list)
    log_probabilities: list[float] = field(default_factory=list)
    """Of each choice, from the policy that made it: importance ratios are relative to these."""


class Controller:
    """A policy over the choices of a space, conditional ones too, for given weights of the objectives.

    An LSTM is told the weights first. At each step it sees what was chosen last and which choice is asked next, and
    its state gives the probabilities of the options. Until it has learned something they are uniform. All it knows
    of a choice is a row for its name and one for each option, made when first seen, from the seed and its own name
    only: a choice that appears late changes nothing else.

    Torch's global random state is neither used nor changed.

    Args:
        weights: How many there are, k.
        seed: Of the initial parameters.
        hidden: Size of the LSTM's state and of its inputs.
        lr: Adam's learning rate.
        entropy: What a nat of entropy is worth beside an advantage of 1; keeps it exploring.
        clip: Importance ratios beyond 1 + clip bring no more, as in PPO (Schulman et al. 2017, arXiv:1707.06347).
    """

    def __init__(
        self,
        weights: int,
        *,
        seed: int = 0,
        hidden: int = 32,
        lr: float = 0.01,
        entropy: float = 0.1,
        clip: float = 1.0,
    ) -> None:
        self._seed, self._hidden, self._lr, self._entropy, self._clip = seed, hidden, lr, entropy, clip
        # Made without initial values, which would come from the global random state.
        self._lstm = nn.LSTM(hidden, hidden, device="meta").to_empty(device="cpu").requires_grad_(False)
        self._choices: dict[str, int] = {}
        self._options: dict[str, int] = {}
        self._tensors = {
            "condition": self._random("condition", hidden, weights),
            "choices": torch.zeros(0, hidden),
            "options": torch.zeros(0, hidden),
            "heads": torch.zeros(0, hidden + 1),
        }
        for name, parameter in self._lstm.named_parameters():
            if name.startswith("weight"):
                parameter.copy_(self._random(name, *parameter.shape))
            else:
                parameter.zero_()
            self._tensors[f"lstm.{name}"] = parameter
        #: Adam's averages of the gradients and of their squares.
        self._moments = {name: torch.zeros(2, *tensor.shape) for name, tensor in self._tensors.items()}

    def _random(self, name: str, *shape: int) -> Tensor:
        generator = np.random.default_rng([self._seed, zlib.crc32(name.encode())])
        return torch.from_numpy(generator.normal(0, self._hidden**-0.5, shape)).float()

    # Episodes

    def begin(self, weights: Sequence[float] | Array, generator: np.random.Generator) -> Rollout:
        """A new network, which `decide`s each choice that it is asked."""
        return Rollout(self, np.asarray(weights, dtype=float), generator)

    def recall(self, steps: Sequence[Step], weights: Array) -> Episode:
        """A network that was chosen already.

        Args:
            steps: Name, distribution and value of each choice, in the order asked.
            weights: (m, k), of which those that it was chosen under are one. The probability of each choice is the
                mean over them, as this policy has it now.
        """
        rows = []
        for name, distribution, value in steps:
            choice, options = self._rows(name, distribution)
            rows.append((choice, options, levels_of(distribution).place(value)))
        logs: list[float] = []
        if rows:
            with torch.no_grad(), one_thread():
                chosen, _ = self._evaluate(_Batch([Episode(one, rows) for one in weights]))
                logs = (chosen.logsumexp(1) - math.log(len(weights))).tolist()
        return Episode(weights[0], rows, logs)

    def _rows(self, name: str, distribution: BaseDistribution) -> tuple[int, tuple[int, ...]]:
        """The rows of a choice and of its options, made if they are new."""
        if name not in self._choices:
            self._choices[name] = len(self._choices)
            self._append("choices", self._random(name, 1, self._hidden))
        keys = [f"{name}={key}" for key in levels_of(distribution).keys]
        new = [key for key in dict.fromkeys(keys) if key not in self._options]
        if new:
            self._options |= {key: len(self._options) + place for place, key in enumerate(new)}
            self._append("options", torch.cat([self._random(key, 1, self._hidden) for key in new]))
            # Zeros: every option is as likely as the others.
            self._append("heads", torch.zeros(len(new), self._hidden + 1))
        return self._choices[name], tuple(self._options[key] for key in keys)

    def _append(self, table: str, rows: Tensor) -> None:
        self._tensors[table] = torch.cat([self._tensors[table], rows])
        self._moments[table] = torch.cat([self._moments[table], torch.zeros(2, *rows.shape)], dim=1)

    # The policy

    def _inputs(self, weights: Tensor, choices: Tensor, taken: Tensor) -> Tensor:
        """(t + 1, b, h): the weights, then for each step what was chosen last and what is asked."""
        last = functional.embedding(taken[:-1], self._tensors["options"])
        last = functional.pad(last, (0, 0, 0, 0, 1, 0))
        told = weights @ self._tensors["condition"].T
        asked = functional.embedding(choices, self._tensors["choices"]) + last + told
        return torch.cat([told[None], asked])

    def _logits(self, states: Tensor, options: Tensor) -> Tensor:
        """(..., o) for states (..., h) and options (..., o) of which those below 0 do not exist."""
        heads = functional.embedding(options.clamp(min=0), self._tensors["heads"])
        # Not a product with the whole table: its rounding could depend on what else the table holds.
        logits = (heads[..., :-1] * states[..., None, :]).sum(-1) + heads[..., -1]
        return logits.masked_fill(options < 0, -1e9)

    def _evaluate(self, batch: _Batch) -> tuple[Tensor, Tensor]:
        """(t, b) log probabilities of the choices taken, and entropies."""
        states, _ = self._lstm(self._inputs(batch.weights, batch.choices, batch.taken))
        logs = self._logits(states[1:], batch.options).log_softmax(-1)
        return logs.gather(-1, batch.places[..., None]).squeeze(-1), -(logs.exp() * logs).sum(-1)

    def _told(self, weights: Array) -> Floats:
        return self._numbers("condition") @ weights.astype(np.float32)

    def _numbers(self, name: str) -> Floats:
        """A tensor as an array that shares its memory."""
        return self._tensors[name].numpy()

    def _advance(self, input: Floats, state: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
        """One step of the LSTM for one episode: torch takes ten times as long for a single one."""
        gates = self._numbers("lstm.weight_ih_l0") @ input + self._numbers("lstm.weight_hh_l0") @ state[0]
        gates = gates + self._numbers("lstm.bias_ih_l0") + self._numbers("lstm.bias_hh_l0")
        enter, forget, candidate, leave = gates.reshape(4, -1)
        cell = _sigmoid(forget) * state[1] + _sigmoid(enter) * np.tanh(candidate)
        return _sigmoid(leave) * np.tanh(cell), cell

    # Learning

    def learn(self, episodes: Sequence[Episode], advantages: Sequence[float] | Array) -> None:
        """One step of Adam on what the episodes were worth, beyond what was to be expected.

        REINFORCE, with the choices weighted by how much likelier the policy makes them now than the one that made
        them; beyond 1 + clip nothing more is gained. Plus the entropy of the policy.

        Args:
            episodes: b of them.
            advantages: (b,) reward less baseline; about 1 in size.
        """
        kept = [place for place, episode in enumerate(episodes) if episode.steps]
        if not kept:
            return
        batch = _Batch([episodes[place] for place in kept])
        worth = torch.from_numpy(np.asarray(advantages, dtype=np.float32)[kept])
        with one_thread():
            for tensor in self._tensors.values():
                tensor.requires_grad_(True)
            with torch.enable_grad():
                loss = self._loss(batch, worth)
                gradients = torch.autograd.grad(loss, list(self._tensors.values()))
            for tensor in self._tensors.values():
                tensor.requires_grad_(False)
            self._descend(dict(zip(self._tensors, gradients, strict=True)))

    def _loss(self, batch: _Batch, advantages: Tensor) -> Tensor:
        chosen, entropies = self._evaluate(batch)
        ratios = (chosen - batch.log_probabilities).exp()
        bounded = ratios.clamp(max=1 + self._clip)
        gains = torch.minimum(ratios * advantages, bounded * advantages)
        return -((gains + self._entropy * entropies) * batch.mask).sum() / batch.mask.sum()

    def _descend(self, gradients: Mapping[str, Tensor]) -> None:
        for name, gradient in gradients.items():
            mean, square = self._moments[name]
            mean.lerp_(gradient, 1 - _DECAY)
            square.lerp_(gradient * gradient, 1 - _DECAY_SQUARE)
            self._tensors[name] -= self._lr * mean / (square.sqrt() + _TINY)


class Rollout:
    """A network in the making."""

    def __init__(self, controller: Controller, weights: Array, generator: np.random.Generator) -> None:
        self.episode = Episode(weights)
        self._controller, self._generator = controller, generator
        self._told = controller._told(weights)
        nothing = np.zeros_like(self._told)
        self._state = controller._advance(self._told, (nothing, nothing))
        self._last = nothing

    def decide(self, name: str, distribution: BaseDistribution) -> Any:
        """A value for the next choice, drawn from the policy."""
        return self._take(name, distribution, None)

    def follow(self, name: str, distribution: BaseDistribution, value: Any) -> Any:
        """The value, which somebody else chose; the choices after it know of it."""
        self._take(name, distribution, levels_of(distribution).place(value))
        return value

    def _take(self, name: str, distribution: BaseDistribution, place: int | None) -> Any:
        controller, episode = self._controller, self.episode
        choice, options = controller._rows(name, distribution)
        asked = controller._numbers("choices")[choice] + self._last + self._told
        self._state = controller._advance(asked, self._state)
        heads = controller._numbers("heads")[list(options)]
        logits = (heads[:, :-1] @ self._state[0] + heads[:, -1]).astype(float)
        odds = np.exp(logits - logits.max())
        odds /= odds.sum()
        if place is None:
            place = int(self._generator.choice(len(odds), p=odds))
        episode.steps.append((choice, options, place))
        episode.log_probabilities.append(float(np.log(odds[place])))
        self._last = controller._numbers("options")[options[place]]
        return levels_of(distribution).value(place, self._generator)


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * values))


class _Batch:
    """Episodes as tensors, padded to the longest one."""

    def __init__(self, episodes: Sequence[Episode]) -> None:
        t, b = max(len(episode.steps) for episode in episodes), len(episodes)
        o = max(len(options) for episode in episodes for _, options, _ in episode.steps)
        choices, places = np.zeros((t, b), dtype=np.int64), np.zeros((t, b), dtype=np.int64)
        options = np.full((t, b, o), -1, dtype=np.int64)
        options[:, :, 0] = 0  # padding has one option, which is certain
        logs, mask = np.zeros((t, b), dtype=np.float32), np.zeros((t, b), dtype=np.float32)
        for column, episode in enumerate(episodes):
            size = len(episode.steps)
            mask[:size, column] = 1.0
            logs[:size, column] = episode.log_probabilities or 0.0
            for row, (choice, offered, place) in enumerate(episode.steps):
                choices[row, column], places[row, column] = choice, place
                options[row, column, : len(offered)] = offered
        self.weights = torch.from_numpy(np.array([episode.weights for episode in episodes], dtype=np.float32))
        self.choices, self.places, self.options = map(torch.from_numpy, (choices, places, options))
        self.taken = self.options.gather(-1, self.places[..., None]).squeeze(-1)
        self.log_probabilities, self.mask = torch.from_numpy(logs), torch.from_numpy(mask)
