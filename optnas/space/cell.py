"""The NAS-Bench-201 space: one cell of four nodes and six edges, repeated (Dong & Yang 2020, arXiv:2001.00326)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from optuna.trial import BaseTrial
from torch import nn

from optnas.space.choose import choose

__all__ = ["cell"]

#: The nodes that each edge leads from and to, in the order of the choices edge0..edge5.
_EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))


def cell(
    trial: BaseTrial,
    input_shape: tuple[int, int, int] = (3, 32, 32),
    num_classes: int = 10,
    *,
    channels: int = 16,
    cells: int = 5,
) -> nn.Module:
    """A network of NAS-Bench-201: 15 625 of them, six choices of five operators.

    A convolution of `channels` filters, then three stages of `cells` equal cells; between the stages a
    residual block halves the resolution and doubles the channels. The defaults are those of the paper, so
    that parameters and MACs are those of its tables.

    Args:
        trial: Suggests `edge0` to `edge5`: what stands on the edges 0-1, 0-2, 1-2, 0-3, 1-3, 2-3.
        input_shape: (channels, height, width), height and width at least 4.
        num_classes: The outputs of the classifier.
        channels: Filters of the first stage.
        cells: Cells in each stage.
    """
    layers: list[nn.Module] = [
        nn.Conv2d(input_shape[0], channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
    ]
    for stage in range(3):
        width = channels * 2**stage
        if stage:
            layers.append(_Reduction(width // 2, width))
        layers += [_Cell(trial, width) for _ in range(cells)]
    width = channels * 4
    layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(width, num_classes))


class _Cell(nn.Module):
    """Node 0 is the input, every later node sums what its edges bring, node 3 is the output.

    Every cell asks for the same choices again, for operators of its own width.
    """

    def __init__(self, trial: BaseTrial, width: int) -> None:
        super().__init__()
        self.edges = nn.ModuleList(choose(trial, f"edge{index}", _operators(width)) for index in range(len(_EDGES)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        nodes: list[torch.Tensor | None] = [x, None, None, None]
        for edge, (source, target) in zip(self.edges, _EDGES, strict=True):
            there = nodes[target]
            arriving = edge(nodes[source])
            nodes[target] = arriving if there is None else there + arriving
        assert nodes[3] is not None
        return nodes[3]


def _operators(width: int) -> dict[str, Callable[[], nn.Module]]:
    return {
        "none": _Zero,
        "skip": nn.Identity,
        "conv1x1": partial(_conv, width, width, 1),
        "conv3x3": partial(_conv, width, width, 3),
        "avgpool3x3": partial(nn.AvgPool2d, 3, stride=1, padding=1, count_include_pad=False),
    }


class _Zero(nn.Module):
    """As in the paper an edge without operator brings zeros: what is computed at its start counts."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 0.0


class _Reduction(nn.Module):
    """The residual block between stages: two 3x3 convolutions, beside average pooling and a 1x1 convolution."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.main = nn.Sequential(_conv(width_in, width_out, 3, stride=2), _conv(width_out, width_out, 3))
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, stride=2, ceil_mode=True), nn.Conv2d(width_in, width_out, 1, bias=False)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.main(x) + self.shortcut(x)
        return output


def _conv(width_in: int, width_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    # Not in place: the input of a cell is read by several edges.
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(width_in, width_out, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(width_out),
    )
