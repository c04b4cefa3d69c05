"""What runs a network: the seam of every runtime, and of those that run a file as a phone does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from optnas.errors import UsageError, first_line
from optnas.runtime.probe import one_input

__all__ = ["ExportFailed", "FileRuntime", "Floats", "Run", "Runtime"]

Floats = NDArray[np.float32]
#: One image, (1, channels, height, width), to its logits, (1, classes).
Run = Callable[[Floats], Floats]


class ExportFailed(RuntimeError):
    """A runtime cannot take a network; the message says which runtime, and what it said."""


class Runtime(ABC):
    """A way to run a network, for example PyTorch itself or a phone's inference engine."""

    name: str
    """Says which runtime with which settings: latencies under one name and version are compared with each other."""
    device: str
    """The torch device it runs on."""
    seconds: float = 0.4
    """How long the passes of one network are timed for an order of networks that repeats (Kendall's tau of 0.95)."""

    @property
    @abstractmethod
    def version(self) -> str:
        """Of the software that runs the network, such as "1.32.0"."""

    @abstractmethod
    def prepare(self, module: nn.Module, input_shape: Sequence[int]) -> Callable[[], object]:
        """Build a runner of one forward pass of one input in eval mode.

        It is called once for each network, then the runner many times in the same thread, with PyTorch set to
        one thread; a runtime with threads of its own sets them to one. The runner returns when the pass
        is over, not when it is queued. The module must not be changed: copy it.

        Args:
            module: The network, in any mode and on any device.
            input_shape: One input without the batch, such as (3, 224, 224).

        Raises:
            ExportFailed: If the runtime cannot take this network.
            Whatever the module's forward raises.
        """


class FileRuntime(Runtime):
    """A runtime that runs a file, as it lies on a phone: one input at a time, one thread.

    Raises (when it is made):
        UsageError: If its packages are not installed.
    """

    device = "cpu"
    modules: tuple[str, ...]
    """What has to be installed; the version is that of the first. Several packages may bring it (onnxruntime-gpu)."""
    format: str
    """The word for its files: "onnx"."""
    suffix: str
    """The ending of its files: ".onnx"."""

    def __init__(self) -> None:
        for module in self.modules:
            if find_spec(module) is None:
                raise UsageError(
                    f"runtime {self.name}: expected the package {module.replace('_', '-')}, which is not installed: "
                    f'pip install "optnas[deploy]"'
                )

    @property
    def version(self) -> str:
        return _version_of(self.modules[0])

    @abstractmethod
    def export(self, module: nn.Module, input_shape: Sequence[int]) -> bytes:
        """The file of a network in 32-bit floats, for one input at a time; the module is not changed.

        Args:
            module: The network, in any mode, on the CPU.
            input_shape: One input without the batch.

        Raises:
            ExportFailed: If the runtime cannot take this network.
        """

    @abstractmethod
    def quantise(self, module: nn.Module, input_shape: Sequence[int], inputs: torch.Tensor) -> bytes:
        """The file of a network in 8-bit integers: weights by channel, activations by the ranges seen on `inputs`.

        Args:
            module: The network, in any mode, on the CPU.
            input_shape: One input without the batch.
            inputs: Training images as the network takes them, float32, (n, *input_shape): what it is calibrated on.

        Raises:
            ExportFailed: If the runtime cannot take this network.
        """

    @abstractmethod
    def load(self, file: bytes) -> Run:
        """What runs a file, one input a call, on one thread.

        Raises:
            ExportFailed: If the runtime cannot load it.
        """

    def prepare(self, module: nn.Module, input_shape: Sequence[int]) -> Callable[[], object]:
        run = self.load(self.export(module, input_shape))
        image = one_input(module, input_shape).float().numpy()
        try:
            run(image)
        except Exception as error:
            raise ExportFailed(f"{self.name} cannot run this network: {first_line(error)}") from error
        return lambda: run(image)


@cache
def _version_of(module: str) -> str:
    return version(next(iter(packages_distributions().get(module, [module]))))
