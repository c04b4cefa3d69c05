"""The picture of one network, and of two with what differs: as SVG text, in axes of matplotlib, in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from torch import nn

from optnas.report.blocks import Block, network_blocks
from optnas.report.drawing import (
    WIDTH,
    axes_width,
    difference_drawing,
    network_drawing,
    paint,
    svg_text,
    write_drawing,
)

__all__ = [
    "compare_svg",
    "draw_difference",
    "draw_network",
    "network_svg",
    "save_blocks",
    "save_difference",
    "save_network",
]


def network_svg(blocks: Sequence[Block], title: str = "", width: float = WIDTH) -> str:
    """A network as an SVG document of a few kilobytes, with every fact of a block where a pointer rests on it.

    Legible on light and dark pages, also placed in a page as an element. Names in it are escaped.

    Args:
        blocks: From the input to the classes, see `optnas.report.blocks`.
        title: Written above it.
        width: The most it may take, in points of 1/72 inch (a phone has about 270); longer networks take more rows.
    """
    return svg_text(network_drawing(blocks, title, width))


def compare_svg(
    left: Sequence[Block], right: Sequence[Block], titles: tuple[str, str] = ("left", "right"), width: float = WIDTH
) -> str:
    """Two networks as one SVG document, one under the other: what differs is outlined, and told in sentences.

    Args:
        left: The blocks of the upper network.
        right: Of the lower one.
        titles: What they are called.
        width: See `network_svg`.
    """
    return svg_text(difference_drawing(left, right, titles, width))


def draw_network(blocks: Sequence[Block], axes: Axes, title: str = "") -> None:
    """Draw a network into axes of matplotlib, as wide as they are, or smaller where it would not fit their height."""
    paint(network_drawing(blocks, title, axes_width(axes)), axes)


def draw_difference(
    left: Sequence[Block], right: Sequence[Block], axes: Axes, titles: tuple[str, str] = ("left", "right")
) -> None:
    """Draw two networks with what differs into axes of matplotlib, see `compare_svg` and `draw_network`."""
    paint(difference_drawing(left, right, titles, axes_width(axes)), axes)


def save_network(
    module: nn.Module, input_shape: Sequence[int], path: Path, choices: Mapping[str, Any] | None = None
) -> None:
    """Write the picture of a network; the ending of the path names the format.

    Args:
        module: The network; not changed.
        input_shape: One input without the batch, (channels, height, width).
        path: The file.
        choices: The trial's params, by which blocks that were chosen are named.

    Raises:
        UsageError: If the file cannot be written.
        Whatever the module's forward raises.
    """
    save_blocks(network_blocks(module, input_shape, choices), path)


def save_blocks(blocks: Sequence[Block], path: Path, title: str = "") -> None:
    """Write the picture of a network of these blocks; the ending of the path names the format.

    Raises:
        UsageError: If the file cannot be written.
    """
    write_drawing(network_drawing(blocks, title), path)


def save_difference(
    left: Sequence[Block], right: Sequence[Block], path: Path, titles: tuple[str, str] = ("left", "right")
) -> None:
    """Write the picture of two networks with what differs; the ending of the path names the format.

    Raises:
        UsageError: If the file cannot be written.
    """
    write_drawing(difference_drawing(left, right, titles), path)
