"""An LSTM that makes one choice after another, and learns from rewards (Zoph & Le 2017, arXiv:1611.01578).

Notation, used throughout: t steps of an episode, b episodes, o options of a choice (the most of any choice in a
batch), h the size of the state, k weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from torch import Tensor
from torch.nn import functional

from optnas.sampler.episode import Batch, Episode, centred
from optnas.sampler.levels import Levels, levels_of
from optnas.sampler.parameters import Floats, Parameters
from optnas.threads import one_thread

__all__ = ["Controller", "Rollout"]

Array = NDArray[np.float64]

#: Its parameters, in torch's order.
_LSTM = ("lstm.weight_ih", "lstm.weight_hh", "lstm.bias_ih", "lstm.bias_hh")
#: Networks are not drawn from the policy only, but mutated and enqueued too: no choice was less likely than this.
_LEAST_LIKELY = 0.02


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
        lr: float = 0.02,
        entropy: float = 0.1,
        clip: float = 1.0,
    ) -> None:
        self._lr, self._entropy, self._clip = lr, entropy, clip
        # Not an nn.LSTM, whose initial values would come from the global random state.
        lstm = {name: (4 * hidden,) if "bias" in name else (4 * hidden, hidden) for name in _LSTM}
        self._parameters = Parameters(seed, hidden, {"condition": (hidden, weights), **lstm})

    def begin(self, weights: Sequence[float] | Array, generator: np.random.Generator) -> Rollout:
        """A new network, which `decide`s each choice that it is asked."""
        return Rollout(self._parameters, np.asarray(weights, dtype=float), generator)

    def recall(self, choices: Sequence[tuple[str, BaseDistribution, Any]], weights: Array) -> Episode:
        """A network that was chosen already.

        Args:
            choices: Name, distribution and value of each, in the order asked.
            weights: (m, k), of which those that it was chosen under are one. The probability of each choice is the
                mean over them, as this policy has it now.
        """
        steps = []
        for name, distribution, value in choices:
            levels = levels_of(distribution)
            steps.append((name, tuple(levels.keys), levels.place(value)))
        logs: list[float] = []
        if steps:
            with torch.no_grad(), one_thread():
                chosen, _ = self._evaluate(Batch([Episode(one, steps) for one in weights], self._parameters.rows))
            logs = (chosen.logsumexp(1) - math.log(len(weights))).tolist()
        return Episode(weights[0], steps, logs)

    def state_dict(self) -> dict[str, Tensor]:
        """All that was learned, as plain tensors: see `Parameters.state_dict`."""
        return self._parameters.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from where another controller was.

        Raises:
            ValueError: If that has another number of weights or another size.
        """
        self._parameters.load_state_dict(state)

    # The policy

    def _evaluate(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(t, b) log probabilities of the choices taken, and entropies."""
        inputs = self._inputs(batch)
        nothing = inputs.new_zeros(1, *inputs.shape[1:])
        # Two biases, one layer, no dropout, training, one direction, steps first.
        weights = [self._parameters[name] for name in _LSTM]
        states, _, _ = torch.lstm(inputs, [nothing, nothing], weights, True, 1, 0.0, True, False, False)
        logs = self._logits(states[1:], batch.options).log_softmax(-1)
        return logs.gather(-1, batch.places[..., None]).squeeze(-1), -(logs.exp() * logs).sum(-1)

    def _inputs(self, batch: Batch) -> Tensor:
        """(t + 1, b, h): the weights, then for each step what was chosen last and what is asked."""
        last = functional.embedding(batch.taken[:-1], self._parameters["options"])
        asked = functional.embedding(batch.choices, self._parameters["choices"])
        told = batch.weights @ self._parameters["condition"].T
        return torch.cat([told[None], asked + functional.pad(last, (0, 0, 0, 0, 1, 0)) + told])

    def _logits(self, states: Tensor, options: Tensor) -> Tensor:
        """(t, b, o) for states (t, b, h) and rows of options (t, b, o), of which those below 0 do not exist."""
        heads = functional.embedding(options.clamp(min=0), self._parameters["heads"])
        # Not a product with the whole table: its rounding could depend on what else the table holds.
        logits = (heads[..., :-1] * states[..., None, :]).sum(-1) + heads[..., -1]
        return logits.masked_fill(options < 0, -1e9)

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
        batch = Batch([episodes[place] for place in kept], self._parameters.rows)
        worth = torch.from_numpy(np.asarray(advantages, dtype=np.float32)[kept])
        tensors = self._parameters.tensors
        with one_thread(), torch.enable_grad():
            for tensor in tensors.values():
                tensor.requires_grad_(True)
            gradients = torch.autograd.grad(self._loss(batch, worth), list(tensors.values()))
            for tensor in tensors.values():
                tensor.requires_grad_(False)
            self._parameters.descend(dict(zip(tensors, gradients, strict=True)), self._lr)

    def _loss(self, batch: Batch, advantages: Tensor) -> Tensor:
        chosen, entropies = self._evaluate(batch)
        ratios = (chosen - batch.log_probabilities.clamp(min=math.log(_LEAST_LIKELY))).exp()
        bounded = ratios.clamp(max=1 + self._clip)
        gains = torch.minimum(ratios * advantages, bounded * advantages)
        return -((gains + self._entropy * entropies) * batch.mask).sum() / batch.mask.sum()


class Rollout(Episode):
    """A network in the making. One step at a time NumPy takes a tenth of torch's time."""

    def __init__(self, parameters: Parameters, weights: Array, generator: np.random.Generator) -> None:
        super().__init__(weights)
        self._parameters, self._generator = parameters, generator
        self._told = parameters.numbers("condition") @ centred(weights).astype(np.float32)
        self._last = np.zeros_like(self._told)
        self._state = (self._last, self._last)
        self._advance(self._told)

    def decide(self, name: str, distribution: BaseDistribution) -> Any:
        """A value for the next choice, drawn from the policy."""
        levels = levels_of(distribution)
        odds = self._odds(name, levels)
        place = int(self._generator.choice(len(odds), p=odds))
        self._take(name, levels, place, odds)
        return levels.value(place, self._generator)

    def follow(self, name: str, distribution: BaseDistribution, value: Any) -> None:
        """A value that somebody else has chosen; the choices after it know of it."""
        levels = levels_of(distribution)
        self._take(name, levels, levels.place(value), self._odds(name, levels))

    def _odds(self, name: str, levels: Levels) -> Array:
        """(o,) the probabilities of the options."""
        (asked,) = self._parameters.vectors("choices", [name])
        self._advance(asked + self._last + self._told)
        heads = self._parameters.vectors("heads", [f"{name}={key}" for key in levels.keys])
        logits = (heads[:, :-1] @ self._state[0] + heads[:, -1]).astype(float)
        odds = np.exp(logits - logits.max())
        return np.asarray(odds / odds.sum())

    def _take(self, name: str, levels: Levels, place: int, odds: Array) -> None:
        (self._last,) = self._parameters.vectors("options", [f"{name}={levels.keys[place]}"])
        self.steps.append((name, tuple(levels.keys), place))
        self.log_probabilities.append(float(np.log(odds[place])))

    def _advance(self, seen: Floats) -> None:
        """One step of the LSTM."""
        state, cell = self._state
        of_input, of_state, *biases = (self._parameters.numbers(name) for name in _LSTM)
        gates = of_input @ seen + of_state @ state + biases[0] + biases[1]
        enter, forget, candidate, leave = gates.reshape(4, -1)
        cell = _sigmoid(forget) * cell + _sigmoid(enter) * np.tanh(candidate)
        self._state = (_sigmoid(leave) * np.tanh(cell), cell)


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * values))
