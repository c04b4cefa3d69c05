"""PyTorch itself, as a runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from optnas.errors import UsageError
from optnas.runtime.base import Runtime
from optnas.runtime.probe import eval_copy, one_input

__all__ = ["EagerRuntime"]


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

    @property
    def version(self) -> str:
        return torch.__version__

    def prepare(self, module: nn.Module, input_shape: Sequence[int]) -> Callable[[], object]:
        network, batch = eval_copy(module, self.device), one_input(module, input_shape, self.device)
        cuda = batch.device.type == "cuda"

        def run() -> None:
            with torch.inference_mode():
                network(batch)
            if cuda:
                torch.cuda.synchronize(batch.device)

        return run
