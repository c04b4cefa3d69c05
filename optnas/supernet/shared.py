"""One store of weights for all networks of a space: those of a network are slices of it.

A space is a function that builds one network. So the supernet is no network but what all of them share: a tensor
for each weight by name, as large as the largest network needs it. A network takes its part of each of its weights (a
narrow layer the first channels of a wide one: Yu et al. 2019, arXiv:1812.08928; a small kernel the middle of a large
one: Cai et al. 2020, arXiv:1908.09791), is run as it would be on its own, and gives them back. Every option of every
choice is held, one path is active (Guo et al. 2020, arXiv:1904.00420), and whatever a space does in Python between
its choices works.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from optnas.space import CHOSEN

__all__ = ["SharedTensors", "shared_names"]


def shared_names(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters of a network that a `StubTrial` built, by the names under which networks share them.

    In a module that `choose` built the name begins with the choice, wherever the module stands: in
    "block1.op#1/main.filter.0.weight Conv2d 4d" the 1 counts the calls of this choice. So options share what they
    have in parts of the same name and kind, whatever their widths and kernels, and hold apart what differs. Elsewhere
    the name is the path in the network.
    """
    return dict(_named(module, "", set()))


def _named(module: nn.Module, prefix: str, seen: set[int]) -> Iterator[tuple[str, nn.Parameter]]:
    if id(module) in seen:
        return
    seen.add(id(module))
    if CHOSEN in module.__dict__:
        prefix = f"{module.__dict__[CHOSEN]}/"
    for key, parameter in module._parameters.items():
        if parameter is not None and id(parameter) not in seen:
            seen.add(id(parameter))
            yield f"{prefix}{key} {_kind(module, parameter)}", parameter
    for key, child in module._modules.items():
        if child is not None:
            yield from _named(child, f"{prefix}{key}.", seen)


def _kind(module: nn.Module, parameter: Tensor) -> str:
    """What weights must have in common to be parts of one: all but their sizes."""
    dilation = getattr(module, "dilation", 1)
    spread = "" if set(dilation if isinstance(dilation, tuple) else (dilation,)) == {1} else f" dilated {dilation}"
    return f"{type(module).__name__} {parameter.ndim}d{spread}"


class SharedTensors:
    """Tensors by name, of which networks take parts: of (64, 32, 7, 7), say, [:48, :16, 2:5, 2:5].

    Args:
        tensors: What it holds from the start.
    """

    def __init__(self, tensors: Mapping[str, Tensor] | None = None) -> None:
        self.tensors = dict(tensors or {})

    @property
    def size_bytes(self) -> int:
        """Of all tensors."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors.values())

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that other names, shapes or values change."""
        content = hashlib.blake2b(digest_size=8)
        for name, tensor in sorted(self.tensors.items()):
            content.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            content.update(tensor.cpu().contiguous().numpy().tobytes())
        return content.hexdigest()

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

    def covers(self, name: str, like: Tensor) -> bool:
        """Whether the store has a part of that name and shape."""
        held = self.tensors.get(name)
        return held is not None and all(size <= there for size, there in zip(like.shape, held.shape, strict=True))

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
    """The first channels, and the middle of the kernel."""
    for dimension, size in enumerate(shape):
        start = (tensor.shape[dimension] - size) // 2 if dimension >= 2 else 0
        tensor = tensor.narrow(dimension, start, size)
    return tensor
