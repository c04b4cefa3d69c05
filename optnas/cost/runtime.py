"""What runs a network when its latency is measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from optnas.cost._probe import eval_copy, one_input
from optnas.errors import UsageError

__all__ = ["EagerRuntime", "Runtime"]


class Runtime(ABC):
    """A way to run a network, for example PyTorch itself or a phone's inference engine."""

    name: str
    """Says which runtime with which settings: latencies under one name are compared with each other."""
    device: str
    """The torch device it runs on."""

    @abstractmethod
    def prepare(self, module: nn.Module, input_shape: Sequence[int]) -> Callable[[], object]:
        """Build a runner of one forward pass of one input in eval mode.

        It is called once for each network, then the runner many times in the same thread, with PyTorch set to
        one thread; a runtime with threads of its own sets them to one. The runner returns when the pass
        is over, not when it is queued. The module must not be changed: copy it.

        Args:
            module: The network, in any mode and on any device.
            input_shape: One input without the batch, such as (3, 224, 224).
        """


@dataclass(frozen=True)
class EagerRuntime(Runtime):
    """PyTorch as it is, operator by operator.

    For small networks it mostly counts modules: at 32 px its order of networks agrees less with a phone
    runtime's than plain macs do. Good for relative statements about PyTorch, not about phones.

    Raises:
        UsageError: `device` is no device of this machine.
    """

    device: str = "cpu"
    name: str = field(default="eager", init=False)

    def __post_init__(self) -> None:
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without CUDA
            raise UsageError(f"device: expected a device that torch has here, got {self.device!r}") from error

    def prepare(self, module: nn.Module, input_shape: Sequence[int]) -> Callable[[], object]:
        network, batch = eval_copy(module, self.device), one_input(module, input_shape, self.device)
        cuda = batch.device.type == "cuda"

        def run() -> None:
            with torch.inference_mode():
                network(batch)
            if cuda:
                torch.cuda.synchronize(batch.device)

        return run
