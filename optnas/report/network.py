"""The picture of one network: its blocks from the input to the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn

from optnas.report.picture import write_picture
from optnas.space import CHOSEN

__all__ = ["Block", "draw_network", "network_blocks", "save_network"]

_LAYERS = (nn.modules.conv._ConvNd, nn.Linear)
#: By the largest kernel of a block: a person sees at once where a network looks far.
_COLOURS = {0: "#d9d9d9", 1: "#cfe1f2", 3: "#93c3df", 5: "#4b97c9", 7: "#1864ab"}


@dataclass(frozen=True)
class Block:
    """What is drawn as one box."""

    kind: str
    """The option that was chosen for it, or else what kind of module it is."""
    kernel: int
    """The largest kernel of its convolutions in pixels; 0 without one."""
    channels: int
    """That it gives on."""
    size: tuple[int, int]
    """(height, width) that it gives on; (1, 1) for vectors."""
    params: int
    parts: tuple[str, ...] = ()
    """What was chosen inside of it, in the order of its modules."""


def network_blocks(
    module: nn.Module, input_shape: Sequence[int], choices: Mapping[str, Any] | None = None
) -> list[Block]:
    """The blocks of a network in the order in which they run.

    A block is what was chosen as one, a module of a class of its own, or a layer; layers without weights to
    multiply with, such as activations, are part of the block before them.

    Args:
        module: The network; not changed.
        input_shape: One input without the batch, (channels, height, width).
        choices: The trial's params, by which blocks that were chosen are named.

    Raises:
        Whatever the module's forward raises.
    """
    order: list[tuple[nn.Module, torch.Tensor]] = []

    def ran(block: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor):
            order.append((block, output))

    hooks = [block.register_forward_hook(ran) for block in _split(module, root=True)]
    training = module.training
    try:
        with torch.no_grad():
            module.eval()(torch.zeros(1, *input_shape))
    finally:
        module.train(training)
        for hook in hooks:
            hook.remove()
    blocks: list[Block] = []
    for block, output in order:
        found = _block(block, output, choices or {})
        if _is_minor(block) and blocks:
            last = blocks[-1]
            # A person wants to see what the last block looks at, not that all of it is pooled then.
            shape = (last.channels, last.size) if found.size == (1, 1) else (found.channels, found.size)
            blocks[-1] = Block(last.kind, last.kernel, *shape, last.params + found.params, last.parts)
        else:
            blocks.append(found)
    return blocks


def draw_network(blocks: Sequence[Block], axes: Axes, title: str = "") -> None:
    """Draw blocks from left to right: the higher, the more pixels; the darker, the larger the kernel."""
    largest = max((block.size[0] for block in blocks), default=1)
    for position, block in enumerate(blocks):
        height = 0.25 + 0.75 * (block.size[0] / largest) ** 0.5
        skipped = block.params == 0 and block.kind == "skip"
        colour = _COLOURS[max(key for key in _COLOURS if key <= block.kernel)]
        axes.add_patch(
            Rectangle(
                (position - 0.42, -height / 2), 0.84, height, linewidth=0.8, edgecolor="#555555",
                facecolor="white" if skipped else colour, linestyle="--" if skipped else "-",
            )
        )  # fmt: skip
        lines = [block.kind, *block.parts]
        dark = block.kernel >= 5 and not skipped
        axes.text(
            position, 0, "\n".join(lines), rotation=90, ha="center", va="center", parse_math=False,
            fontsize=min(7.5, 26 / len(lines)), color="white" if dark else "black",
        )  # fmt: skip
        axes.text(position, -0.62, str(block.channels), ha="center", va="top", fontsize=7.5)
        if position == 0 or block.size != blocks[position - 1].size:
            shown = "x".join(map(str, block.size)) if block.size != (1, 1) else "vector"
            axes.text(position - 0.42, 0.6, shown, ha="left", va="bottom", fontsize=8, color="#555555")
            axes.axvline(position - 0.5, color="#dddddd", linewidth=0.8, zorder=0)
    axes.text(-0.55, -0.62, "channels ", ha="right", va="top", fontsize=7.5, color="#555555")
    axes.text(-0.55, 0.6, "pixels ", ha="right", va="bottom", fontsize=8, color="#555555")
    axes.set_xlim(-1.4, len(blocks) - 0.4)
    axes.set_ylim(-0.8, 0.75)
    axes.axis("off")
    if title:
        axes.set_title(title, fontsize=10, loc="left", parse_math=False)


def save_network(
    module: nn.Module, input_shape: Sequence[int], path: Path, choices: Mapping[str, Any] | None = None
) -> None:
    """Write the picture of a network; the ending of the path names the format.

    Raises:
        UsageError: If the file cannot be written.
    """
    blocks = network_blocks(module, input_shape, choices)
    figure = Figure(figsize=(max(4.0, 0.55 * len(blocks) + 1), 2.4), layout="constrained")
    draw_network(blocks, figure.subplots(), _title(blocks, input_shape))
    write_picture(figure, path)


def _title(blocks: Sequence[Block], input_shape: Sequence[int]) -> str:
    shown = "x".join(map(str, input_shape))
    return f"{len(blocks)} blocks from {shown}; darker: larger kernels (1, 3, 5, 7); dashed: skipped"


def _split(module: nn.Module, root: bool = False) -> list[nn.Module]:
    """The modules that are blocks or minor layers, those of containers in their order."""
    container = isinstance(module, nn.ModuleList | nn.ModuleDict) or (
        isinstance(module, nn.Sequential) and CHOSEN not in module.__dict__ and not _is_single(module)
    )
    children = list(module.children())
    if (root or container) and children:
        return [block for child in children for block in _split(child)]
    return [module]


def _is_single(module: nn.Module) -> bool:
    """Whether it multiplies with weights once: a convolution with all that goes with it."""
    chosen = any(CHOSEN in part.__dict__ for part in module.modules())
    return not chosen and sum(isinstance(part, _LAYERS) for part in module.modules()) == 1


def _is_minor(module: nn.Module) -> bool:
    layers = any(isinstance(part, _LAYERS) for part in module.modules())
    return not layers and CHOSEN not in module.__dict__


def _block(module: nn.Module, output: torch.Tensor, choices: Mapping[str, Any]) -> Block:
    layers = [part for part in module.modules() if isinstance(part, _LAYERS)]
    kernels = [max(layer.kernel_size) for layer in layers if isinstance(layer, nn.modules.conv._ConvNd)]
    shape = tuple(output.shape[1:])
    inside = [part for part in module.modules() if part is not module and CHOSEN in part.__dict__]
    names = dict.fromkeys(_chosen(part, choices) for part in inside)
    return Block(
        kind=_kind(module, layers, max(kernels, default=0), choices),
        kernel=max(kernels, default=0),
        channels=shape[0] if shape else 1,
        size=(shape[1], shape[2]) if len(shape) == 3 else (1, 1),
        params=sum(parameter.numel() for parameter in module.parameters()),
        parts=tuple(names),
    )


def _kind(module: nn.Module, layers: Sequence[nn.Module], kernel: int, choices: Mapping[str, Any]) -> str:
    if CHOSEN in module.__dict__:
        return _chosen(module, choices)
    if isinstance(module, nn.Sequential | nn.Linear | nn.modules.conv._ConvNd) and layers:
        return "linear" if isinstance(layers[0], nn.Linear) else f"conv {kernel}x{kernel}"
    return type(module).__name__.lstrip("_")


def _chosen(module: nn.Module, choices: Mapping[str, Any]) -> str:
    name = str(module.__dict__[CHOSEN]).partition("#")[0]
    return str(choices.get(name, name))
