"""ExecuTorch with XNNPACK: PyTorch's own runtime for phones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from optnas.errors import first_line
from optnas.runtime.base import ExportFailed, FileRuntime, Floats, Run
from optnas.runtime.probe import float_copy
from optnas.runtime.quiet import quiet

__all__ = ["ExecuTorch"]


class ExecuTorch(FileRuntime):
    """ExecuTorch's XNNPACK backend, the one for the CPUs of phones (https://docs.pytorch.org/executorch)."""

    name = "executorch"
    modules = ("executorch", "torchao")
    format = "executorch"
    suffix = ".pte"
    seconds = 0.25

    def export(self, module: nn.Module, input_shape: Sequence[int]) -> bytes:
        network, image = float_copy(module, input_shape)
        try:
            with quiet(), torch.no_grad(), torch.random.fork_rng(devices=[]):
                return self._lower(torch.export.export(network, (image,)))
        except Exception as error:
            raise ExportFailed(f"ExecuTorch cannot take this network: {first_line(error)}") from error

    def quantise(self, module: nn.Module, input_shape: Sequence[int], inputs: torch.Tensor) -> bytes:
        network, image = float_copy(module, input_shape)
        try:
            with quiet(), torch.no_grad(), torch.random.fork_rng(devices=[]):
                return self._lower(torch.export.export(_quantised(network, image, inputs), (image,)))
        except Exception as error:
            raise ExportFailed(f"ExecuTorch cannot quantise this network: {first_line(error)}") from error

    def load(self, file: bytes) -> Run:
        try:
            with quiet():
                import executorch.kernels.quantized  # noqa: F401
                from executorch.runtime import Runtime

                # The method reads the program's memory, and the program the file's: all three live as long as `run`.
                program = Runtime.get().load_program(file)
                method = program.load_method("forward")
        except Exception as error:
            raise ExportFailed(f"ExecuTorch cannot load this network: {first_line(error)}") from error
        if method is None:
            raise ExportFailed("ExecuTorch cannot load this network: the file has no method forward")

        def run(image: Floats, kept: tuple[object, ...] = (file, program)) -> Floats:
            (output,) = method.execute([torch.from_numpy(image)])
            return output.numpy()  # type: ignore[no-any-return]

        return run

    @staticmethod
    def _lower(program: torch.export.ExportedProgram) -> bytes:
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
        return lowered.to_executorch().buffer  # type: ignore[no-any-return]


def _quantised(network: nn.Module, image: torch.Tensor, inputs: torch.Tensor) -> nn.Module:
    """The network with quantised weights and activations spelt out, for XNNPACK to take as integers."""
    import executorch.kernels.quantized  # noqa: F401 - for what XNNPACK leaves to ExecuTorch's own kernels
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    observed = prepare_pt2e(torch.export.export(network, (image,)).module(), quantizer)
    for one in torch.split(inputs.to(image.dtype), 1):
        observed(one)
    return convert_pt2e(observed)  # type: ignore[no-any-return]
