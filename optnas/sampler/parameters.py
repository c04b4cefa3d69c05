"""Parameters of a controller whose tables grow as choices are met, and Adam for them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from optnas.sampler.episode import Rows

__all__ = ["Floats", "Parameters"]

Floats = NDArray[np.float32]

#: Adam's (Kingma & Ba 2015, arXiv:1412.6980), but for 0.99 in place of 0.999: the first step of a row that comes late
#: is then as long as any, (1 - 0.9) / sqrt(1 - 0.99) = 1, without a correction that would have to count for each row.
_DECAY, _DECAY_SQUARE, _TINY = 0.9, 0.99, 1e-8
#: Tables with a row for each choice or option.
_TABLES = ("choices", "options", "heads")


class Parameters:
    """Tensors by name, among them three tables: `choices` (c, h) of names, `options` (o, h) and `heads` (o, h + 1).

    Initial values depend on the seed and the parameter's or the row's own name only, so that a choice that appears
    late changes nothing else. Heads are zeros: a new option is as likely as any other new one.

    Args:
        seed: Of the initial values.
        hidden: h.
        shapes: Of the tensors that are no tables. Biases of the LSTM are zeros, others normal.
    """

    def __init__(self, seed: int, hidden: int, shapes: Mapping[str, Sequence[int]]) -> None:
        self._seed, self._hidden = seed, hidden
        #: The rows of choices, and of options, called CHOICE=OPTION.
        self._rows: dict[str, dict[str, int]] = {"choices": {}, "options": {}}
        #: Rows never move: those of choices that were asked for before are kept at hand.
        self._asked: dict[tuple[str, tuple[str, ...]], Rows] = {}
        self.tensors = {name: self._random(name, *shape) for name, shape in shapes.items()}
        self.tensors |= {table: torch.zeros(0, self._width(table)) for table in _TABLES}
        #: Adam's averages of the gradients and of their squares.
        self._moments = {name: torch.zeros(2, *tensor.shape) for name, tensor in self.tensors.items()}

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def rows(self, name: str, keys: tuple[str, ...]) -> Rows:
        """The rows of a choice and of its options, made if they are new."""
        if (name, keys) not in self._asked:
            self._asked[name, keys] = self._made(name, keys)
        return self._asked[name, keys]

    def _made(self, name: str, keys: tuple[str, ...]) -> Rows:
        options = self._rows["options"]
        names = [f"{name}={key}" for key in keys]
        if name not in self._rows["choices"]:
            self._append("choices", [name])
        new = [option for option in dict.fromkeys(names) if option not in options]
        if new:
            self._append("heads", new)
            self._append("options", new)
        return self._rows["choices"][name], tuple(options[option] for option in names)

    def vectors(self, table: str, names: Sequence[str]) -> Floats:
        """(n, h) rows of a table by name. New ones are not kept: the order of a table is that of learning."""
        index, rows = self._index(table), self.numbers(table)
        return np.stack([rows[index[name]] if name in index else self._fresh(table, name).numpy() for name in names])

    def numbers(self, name: str) -> Floats:
        """A tensor as an array that shares its memory."""
        return self.tensors[name].numpy()

    def descend(self, gradients: Mapping[str, Tensor], lr: float) -> None:
        """A step of Adam."""
        for name, gradient in gradients.items():
            mean, square = self._moments[name]
            mean.lerp_(gradient, 1 - _DECAY)
            square.lerp_(gradient * gradient, 1 - _DECAY_SQUARE)
            self.tensors[name] -= lr * mean / (square.sqrt() + _TINY)

    def state_dict(self) -> dict[str, Tensor]:
        """For each tensor, and each row of a table as TABLE/NAME: (3, ...) of its values and Adam's two averages."""
        stacked = {name: torch.cat([tensor[None], self._moments[name]]) for name, tensor in self.tensors.items()}
        state = {name: tensor for name, tensor in stacked.items() if name not in _TABLES}
        for table in _TABLES:
            state |= {f"{table}/{name}": stacked[table][:, row].clone() for name, row in self._index(table).items()}
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state_dict` of parameters of the same shapes gave.

        Raises:
            ValueError: If a tensor is missing or has another shape.
        """
        for name in self.tensors.keys() - set(_TABLES):
            if name not in state or state[name].shape[1:] != self.tensors[name].shape:
                got = tuple(state[name].shape[1:]) if name in state else "nothing"
                raise ValueError(f"{name}: expected a tensor of {tuple(self.tensors[name].shape)}, got {got}")
            self.tensors[name].copy_(state[name][0])
            self._moments[name].copy_(state[name][1:])
        self._asked.clear()
        for table in _TABLES:
            names = [name.removeprefix(f"{table}/") for name in state if name.startswith(f"{table}/")]
            rows = [state[f"{table}/{name}"] for name in names]
            stacked = torch.stack(rows, dim=1) if rows else torch.zeros(3, 0, self._width(table))
            self.tensors[table], self._moments[table] = stacked[0].clone(), stacked[1:].clone()
            if table in self._rows:
                self._rows[table] = {name: row for row, name in enumerate(names)}

    def _index(self, table: str) -> dict[str, int]:
        return self._rows["choices" if table == "choices" else "options"]

    def _width(self, table: str) -> int:
        """Heads have a bias each."""
        return self._hidden + (table == "heads")

    def _random(self, name: str, *shape: int) -> Tensor:
        if name.startswith("lstm.bias"):
            return torch.zeros(*shape)
        generator = np.random.default_rng([self._seed, zlib.crc32(name.encode())])
        return torch.from_numpy(generator.normal(0, self._hidden**-0.5, shape)).float()

    def _fresh(self, table: str, name: str) -> Tensor:
        width = self._width(table)
        return torch.zeros(width) if table == "heads" else self._random(f"{table}/{name}", width)

    def _append(self, table: str, names: Sequence[str]) -> None:
        rows = torch.stack([self._fresh(table, name) for name in names])
        self.tensors[table] = torch.cat([self.tensors[table], rows])
        self._moments[table] = torch.cat([self._moments[table], torch.zeros(2, *rows.shape)], dim=1)
        if table in self._rows:
            index = self._rows[table]
            index |= {name: len(index) + place for place, name in enumerate(names)}
