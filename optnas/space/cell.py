"""The NAS-Bench-201 space: one cell of four nodes and six edges, repeated (Dong & Yang 2020, arXiv:2001.00326)."""

from __future__ import annotations

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
    edges = [_edge_choice(trial, index) for index in range(len(_EDGES))]
    layers: list[nn.Module] = [
        nn.Conv2d(input_shape[0], channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
    ]
    for stage in range(3):
        width = channels * 2**stage
        if stage:
            layers.append(_Reduction(width // 2, width))
        layers += [_Cell(edges, width) for _ in range(cells)]
    width = channels * 4
    layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(width, num_classes))


class _Edge(nn.Module):
    """Stands for one operator before its width is known: every cell builds its own of it."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def build(self, width: int) -> nn.Module | None:
        match self.kind:
            case "none":
                return None
            case "skip":
                return nn.Identity()
            case "conv1x1":
                return _conv(width, width, 1)
            case "conv3x3":
                return _conv(width, width, 3)
            case _:
                return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)


def _edge_choice(trial: BaseTrial, index: int) -> _Edge:
    kinds = ("none", "skip", "conv1x1", "conv3x3", "avgpool3x3")
    edge = choose(trial, f"edge{index}", {kind: lambda kind=kind: _Edge(kind) for kind in kinds})  # type: ignore[misc]
    assert isinstance(edge, _Edge)
    return edge


class _Cell(nn.Module):
    """Node 0 is the input, every later node sums what its edges bring, node 3 is the output."""

    def __init__(self, edges: list[_Edge], width: int) -> None:
        super().__init__()
        built = {str(index): edge.build(width) for index, edge in enumerate(edges)}
        self.edges = nn.ModuleDict({index: module for index, module in built.items() if module is not None})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        nodes: list[torch.Tensor | None] = [x, None, None, None]
        for index, (source, target) in enumerate(_EDGES):
            start, there = nodes[source], nodes[target]
            assert start is not None
            # As in the paper an edge without operator brings zeros: what is computed at its start counts.
            arriving = self.edges[str(index)](start) if str(index) in self.edges else start * 0.0
            nodes[target] = arriving if there is None else there + arriving
        assert nodes[3] is not None
        return nodes[3]


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
