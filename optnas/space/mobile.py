"""Networks of inverted residual blocks for phones (MobileNetV2, Sandler et al. 2018; V3, Howard et al. 2019)."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import torch
from optuna.trial import BaseTrial
from torch import nn

from optnas.errors import UsageError
from optnas.space.choose import choose

__all__ = ["mobile"]

#: Channels of each stage at width 1, growing as in MobileNetV3.
_WIDTHS = (16, 24, 40, 80, 112)
_KERNELS = (3, 5, 7)
_EXPANSIONS = (1, 3, 6)


def mobile(
    trial: BaseTrial,
    input_shape: tuple[int, int, int] = (3, 32, 32),
    num_classes: int = 10,
    *,
    blocks: int = 3,
    stem_stride: int | None = None,
) -> nn.Module:
    """A network of stages of inverted residual blocks, for inputs from 8x8 grey to 224x224 colour.

    The resolution is halved until 4 to 8 pixels are left, by the stem (from 16 pixels on) and by every stage
    but the first, so the number of stages follows from the input: 2 for 8 pixels, 3 for 28 and 32, 4 for 64
    and 96, 5 for 224.

    The trial decides:
        `activation`: relu or hardswish, for the whole network.
        `stem.width`, `head.width`: channels of the first convolution and of the last 1x1 convolution.
        `stageN.width`: channels of a stage, from half to one and a half times of MobileNetV3's.
        `stageN.se`: squeeze-and-excitation in all blocks of the stage.
        `stageN.blockM.op`: kernel 3, 5 or 7 and expansion 1, 3 or 6, as `mb6_k5`; every block but the first
            of a stage can be `skip`, which makes the network shallower.

    Args:
        trial: An Optuna trial or a stub.
        input_shape: (channels, height, width) of one image.
        num_classes: The outputs of the classifier.
        blocks: The most blocks in a stage.
        stem_stride: 1 keeps the full resolution in the first stage, which costs four times the MACs and pays
            for small photographs such as CIFAR-10; by default 2 from 16 pixels on.

    Raises:
        UsageError: If the image is smaller than 8 pixels.
    """
    channels, size = input_shape[0], min(input_shape[1:])
    if size < 8:
        raise UsageError(f"the mobile space takes images of at least 8x8 pixels, got {input_shape[1]}x{input_shape[2]}")
    halvings = min(math.floor(math.log2(size / 3.5)), 5)
    stages = halvings if size >= 16 else halvings + 1
    stem_stride = stem_stride or (2 if size >= 16 else 1)
    activation = {"relu": nn.ReLU, "hardswish": nn.Hardswish}[
        trial.suggest_categorical("activation", ["relu", "hardswish"])
    ]

    width = trial.suggest_int("stem.width", 8, 24, step=8)
    layers: list[nn.Module] = [_conv(channels, width, 3, stem_stride, activation=activation)]
    for stage in range(1, stages + 1):
        base = _WIDTHS[stage - 1]
        stage_width = trial.suggest_int(f"stage{stage}.width", base // 2, base * 3 // 2, step=base // 4)
        squeeze = trial.suggest_categorical(f"stage{stage}.se", [False, True])
        for block in range(1, blocks + 1):
            stride = 2 if block == 1 and stage > 1 else 1
            options: dict[str, Callable[[], nn.Module]] = {
                f"mb{expansion}_k{kernel}": partial(
                    _InvertedResidual, width, stage_width, kernel, stride, expansion, squeeze, activation
                )
                for expansion in _EXPANSIONS
                for kernel in _KERNELS
            }
            if block > 1:
                options["skip"] = nn.Identity
            layers.append(choose(trial, f"stage{stage}.block{block}.op", options))
            width = stage_width
    unit = 32 * 2 ** max(0, stages - 3)
    head = trial.suggest_int("head.width", unit, 4 * unit, step=unit)
    layers += [_conv(width, head, 1, activation=activation), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(head, num_classes))


class _InvertedResidual(nn.Module):
    """Expand by 1x1, filter each channel by kxk, squeeze-and-excite, project by 1x1; add the input if it fits."""

    def __init__(
        self,
        width_in: int,
        width_out: int,
        kernel: int,
        stride: int,
        expansion: int,
        squeeze: bool,
        activation: type[nn.Module],
    ) -> None:
        super().__init__()
        hidden = width_in * expansion
        # By name, so that blocks with and without a part share the weights of the others.
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if expansion > 1:
            layers["expand"] = _conv(width_in, hidden, 1, activation=activation)
        layers["filter"] = _conv(hidden, hidden, kernel, stride, groups=hidden, activation=activation)
        if squeeze:
            layers["squeeze"] = _SqueezeExcitation(hidden)
        layers["project"] = _conv(hidden, width_out, 1)
        self.main = nn.Sequential(layers)
        self.residual = stride == 1 and width_in == width_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.main(x)
        return x + output if self.residual else output


class _SqueezeExcitation(nn.Module):
    """Scales each channel by a gate computed from the means of all channels (Hu et al. 2018)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = max(8, width // 4)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, inner, 1),
            nn.ReLU(),
            nn.Conv2d(inner, width, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = x * self.gate(x)
        return output


def _conv(
    width_in: int,
    width_out: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    activation: type[nn.Module] | None = None,
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(width_in, width_out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(width_out),
    ]
    return nn.Sequential(*layers, *([activation()] if activation else []))
