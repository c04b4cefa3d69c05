"""One store of weights for all networks of a space: those of a network are slices of it.

A space is a function that builds one network. So the supernet is no network but what all of them share: a tensor
for each weight by name, as large as the largest network needs it. A network takes the leading part of each of its
weights (a narrow layer the first channels of a wide one: Yu et al. 2019, arXiv:1812.08928; Cai et al. 2020,
arXiv:1908.09791), is run as it would be on its own, and gives them back. Every option of every choice is held, one
path is active (Guo et al. 2020, arXiv:1904.00420), and whatever a space does in Python between its choices works.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from optnas.space import CHOSEN

__all__ = ["SharedTensors", "shared_names"]


def shared_names(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters of a network that a `StubTrial` built, by the names under which networks share them.

    In a module that `choose` built the name begins with the choice and the option, wherever the module stands:
    "block1.op=mb3_k3#1/main.0.weight 3x3", where 1 counts the modules that this choice has built. Elsewhere it is
    the path in the network. The kernel's size is a part of the name, so that only widths are sliced.
    """
    return dict(_named(module, "", {}, set()))


def _named(
    module: nn.Module, prefix: str, counts: dict[str, int], seen: set[int]
) -> Iterator[tuple[str, nn.Parameter]]:
    if id(module) in seen:
        return
    seen.add(id(module))
    chosen = module.__dict__.get(CHOSEN)
    if chosen is not None:
        counts[chosen] = counts.get(chosen, 0) + 1
        prefix = f"{chosen}#{counts[chosen]}/"
    for key, parameter in module._parameters.items():
        if parameter is not None and id(parameter) not in seen:
            seen.add(id(parameter))
            yield f"{prefix}{key} {_kernel(parameter)}", parameter
    for key, child in module._modules.items():
        if child is not None:
            yield from _named(child, f"{prefix}{key}.", counts, seen)


def _kernel(parameter: Tensor) -> str:
    return "x".join(map(str, parameter.shape[2:])) if parameter.ndim > 2 else f"{parameter.ndim}d"


class SharedTensors:
    """Tensors by name, of which networks take leading parts: of (64, 32, 3, 3), say, [:48, :16].

    Args:
        tensors: What it holds from the start.
    """

    def __init__(self, tensors: Mapping[str, Tensor] | None = None) -> None:
        self.tensors = dict(tensors or {})

    @property
    def size_bytes(self) -> int:
        """Of all tensors."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors.values())

    def fit(self, name: str, like: Tensor) -> None:
        """Make the tensor of that name at least as large as `like`; what is new in it has values of `like`."""
        held = self.tensors.get(name)
        if held is None:
            self.tensors[name] = like.detach().clone(memory_format=torch.contiguous_format)
        elif any(wanted > there for wanted, there in zip(like.shape, held.shape, strict=True)):
            shape = tuple(map(max, like.shape, held.shape))
            # Neither may cover the whole of it; any values of `like` have the scale of its initialisation.
            generator = torch.Generator().manual_seed(zlib.crc32(f"{name} {shape}".encode()))
            values = like.detach().flatten()
            picked = torch.randint(len(values), (int(torch.Size(shape).numel()),), generator=generator)
            grown = values[picked.to(values.device)].reshape(shape).to(held.device)
            _part(grown, like.shape).copy_(like.detach())
            _part(grown, held.shape).copy_(held)
            self.tensors[name] = grown

    def take(self, name: str, like: Tensor) -> Tensor:
        """The part of the shape of `like`, contiguous; writing to it may or may not change the store: see `put`."""
        self.fit(name, like)
        return _part(self.tensors[name], like.shape).contiguous()

    def put(self, name: str, part: Tensor) -> None:
        """Keep a part that was taken and changed."""
        place = _part(self.tensors[name], part.shape)
        if place.data_ptr() != part.data_ptr() or not place.is_contiguous():
            place.copy_(part)


def _part(tensor: Tensor, shape: torch.Size) -> Tensor:
    for dimension, size in enumerate(shape):
        tensor = tensor.narrow(dimension, 0, size)
    return tensor
