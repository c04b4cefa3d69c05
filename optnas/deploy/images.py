"""Images from anywhere, as a network takes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from optnas.errors import UsageError, first_line
from optnas.task.folder import open_image, pixels_of

__all__ = ["Picture", "to_pixels"]

#: One image of one's own: opened by Pillow, or its file.
Picture = Image.Image | str | PathLike[str]


def to_pixels(
    images: torch.Tensor | NDArray[np.uint8] | Picture | Iterable[Picture], input_shape: Sequence[int]
) -> torch.Tensor:
    """Images as uint8, (n, channels, height, width).

    Args:
        images: uint8 pixels of that shape, or images that are brought to it as those of an image folder are:
            upright, the shorter side resized, then the centre, grey or in colour.
        input_shape: (channels, height, width).

    Raises:
        UsageError: If pixels have another shape or type, or a file cannot be decoded.
    """
    if isinstance(images, torch.Tensor | np.ndarray):
        pixels = torch.as_tensor(images)
        if pixels.dtype != torch.uint8 or pixels.shape[1:] != tuple(input_shape):
            shown = ", ".join(map(str, input_shape))
            raise UsageError(
                f"images: expected uint8 pixels (n, {shown}), got {str(pixels.dtype).removeprefix('torch.')} "
                f"{tuple(pixels.shape)}"
            )
        return pixels.cpu()
    pictures = [images] if isinstance(images, Image.Image | str | PathLike) else list(images)
    decoded = [_decode(picture, input_shape) for picture in pictures]
    return torch.from_numpy(np.stack(decoded)) if decoded else torch.zeros((0, *input_shape), dtype=torch.uint8)


def _decode(picture: Any, input_shape: Sequence[int]) -> NDArray[np.uint8]:
    channels, *size = input_shape
    if channels not in (1, 3) or not isinstance(picture, Image.Image | str | PathLike):
        raise UsageError(
            "images: expected Pillow images or their files for a network of 1 or 3 channels, "
            f"got {type(picture).__name__} for one of {channels}"
        )
    try:
        with open_image(picture) if not isinstance(picture, Image.Image) else picture.copy() as opened:
            pixels = pixels_of(opened, (size[0], size[1]), "L" if channels == 1 else "RGB")
    except Exception as error:  # a broken file raises whatever its decoder stumbled over
        name = "an image" if isinstance(picture, Image.Image) else str(picture)
        reason = getattr(error, "strerror", None) or first_line(error)
        raise UsageError(f"images: {name} cannot be decoded: {reason}") from None
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))
