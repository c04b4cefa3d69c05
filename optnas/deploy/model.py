"""A trained network that knows what it is: from images to class names, to a file, to a card."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from optnas.deploy.card import card
from optnas.deploy.checkpoint import Facts, load_checkpoint, save_checkpoint
from optnas.deploy.images import Picture, to_pixels
from optnas.space import Space

__all__ = ["Deployable", "Model", "load_model"]

_BATCH = 256


class Deployable(nn.Module):
    """What is exported: float images in [0, 1], (n, channels, height, width), to logits (n, classes).

    The images are normalised by a 1x1 depthwise convolution, so that quantisers treat that as one more layer.

    Args:
        network: Shared, not copied.
        mean: Of each channel, pixels scaled to [0, 1].
        std: The deviations in the same way.
    """

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        shift, scale = torch.tensor(mean), torch.tensor(std)
        self.normalise = nn.Conv2d(len(mean), len(mean), 1, groups=len(mean))
        self.normalise.weight = nn.Parameter((1 / scale).view(-1, 1, 1, 1), requires_grad=False)
        self.normalise.bias = nn.Parameter(-shift / scale, requires_grad=False)
        self.network = network
        self.train(network.training)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(self.normalise(images))
        return logits


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network, in eval mode on the CPU, with what is known of it."""

    network: nn.Module
    facts: Facts

    def __post_init__(self) -> None:
        self.network.cpu().eval()

    @property
    def deployable(self) -> Deployable:
        """What is exported; it shares this network's weights."""
        return Deployable(self.network, self.facts.mean, self.facts.std)

    def probabilities(
        self, images: torch.Tensor | NDArray[np.uint8] | Picture | Iterable[Picture]
    ) -> NDArray[np.float32]:
        """The probability of each class for each image, (n, classes).

        Args:
            images: uint8 pixels (n, channels, height, width) of the network's input, or Pillow images or files.

        Raises:
            UsageError: If pixels have another shape or type, or a file cannot be decoded.
        """
        pixels, network = to_pixels(images, self.facts.input_shape), self.deployable
        with torch.inference_mode():
            batches = [network(some.float() / 255).softmax(1) for some in torch.split(pixels, _BATCH) if len(some)]
        whole = torch.cat(batches) if batches else torch.zeros((0, len(self.facts.classes)))
        return whole.numpy()

    def predict(self, images: torch.Tensor | NDArray[np.uint8] | Picture | Iterable[Picture]) -> list[str]:
        """The name of the likeliest class of each image; takes and raises what `probabilities` does."""
        return [self.facts.classes[index] for index in self.probabilities(images).argmax(1)]

    def save(self, path: str | PathLike[str]) -> None:
        """Write one safetensors file that `optnas.load_model` reads.

        Raises:
            UsageError: If it cannot be written there.
        """
        save_checkpoint(self.network, self.facts, Path(path))

    def card(self) -> str:
        """What a person should know of the network, in Markdown."""
        return card(self.facts)


def load_model(path: str | PathLike[str], space: str | Space | None = None) -> Model:
    """Read a network that `Model.save` or `optnas export` wrote. The file itself runs no code.

    Args:
        path: The file.
        space: What builds the network if it is not of a space of optnas: the function, or its name.

    Raises:
        UsageError: If it is no such file, its space is needed and not given, or does not build this network.
    """
    return Model(*load_checkpoint(Path(path), space))
