"""ONNX Runtime: a fifth of a second from a network to its time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from optnas.errors import first_line
from optnas.runtime.base import ExportFailed, FileRuntime, Floats, Run
from optnas.runtime.probe import float_copy
from optnas.runtime.quiet import quiet

__all__ = ["OnnxRuntime"]


class OnnxRuntime(FileRuntime):
    """ONNX Runtime on one thread of the CPU (https://onnxruntime.ai)."""

    name = "onnxruntime"
    modules = ("onnxruntime", "onnx")
    format = "onnx"
    suffix = ".onnx"
    seconds = 0.25

    def export(self, module: nn.Module, input_shape: Sequence[int]) -> bytes:
        network, image = float_copy(module, input_shape)
        try:
            with quiet(), _no_log(), torch.no_grad(), tempfile.TemporaryDirectory() as folder:
                # The exporter by tracing, though deprecated: 0.1 s where the newer one takes 2 to 3 s.
                path = Path(folder, "network.onnx")
                torch.onnx.export(
                    network,
                    (image,),
                    path,
                    dynamo=False,
                    input_names=["images"],
                    output_names=["logits"],
                )
                return path.read_bytes()
        except Exception as error:
            raise ExportFailed(f"ONNX cannot hold this network: {first_line(error)}") from error

    def quantise(self, module: nn.Module, input_shape: Sequence[int], inputs: torch.Tensor) -> bytes:
        file = self.export(module, input_shape)
        try:
            with quiet(), tempfile.TemporaryDirectory() as folder:
                return _quantised(file, inputs, Path(folder))
        except Exception as error:
            raise ExportFailed(f"ONNX Runtime cannot quantise this network: {first_line(error)}") from error

    def load(self, file: bytes) -> Run:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # On x86 without VNNI the fast product of 8-bit integers saturates, which no phone does: the exact one instead.
        options.add_session_config_entry("session.x64quantprecision", "1")
        try:
            session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ExportFailed(f"ONNX Runtime cannot load this network: {first_line(error)}") from error
        (entry,) = session.get_inputs()

        def run(image: Floats) -> Floats:
            return session.run(None, {entry.name: image})[0]  # type: ignore[no-any-return]

        return run


@contextmanager
def _no_log() -> Iterator[None]:
    """No graph on standard output of a network that cannot be exported.

    The exporter turns its log on whatever `verbose` says (torch 2.13), so the function that writes it is replaced.
    """
    log = torch._C._jit_onnx_log
    torch._C._jit_onnx_log = lambda *args: None
    try:
        yield
    finally:
        torch._C._jit_onnx_log = log


def _quantised(file: bytes, inputs: torch.Tensor, folder: Path) -> bytes:
    """Pairs of QuantizeLinear and DequantizeLinear around every operator that has an integer kernel.

    Activations are signed, as the kernels of ARM like them, and weights use all of their eight bits: seven would
    only help x86 without VNNI.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    path, result = folder / "float.onnx", folder / "int8.onnx"
    path.write_bytes(file)
    quantize_static(
        path,
        result,
        _images(inputs),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
    )
    model = onnx.load(result)
    _shorten(model.graph)
    return model.SerializeToString()  # type: ignore[no-any-return]


def _shorten(graph: Any) -> None:
    """Short names for what is inside: the long ones of thrice as many operators outweigh a small network."""
    kept = {value.name for value in (*graph.input, *graph.output)} | {""}
    short: dict[str, str] = {}

    def rename(name: str) -> str:
        return name if name in kept else short.setdefault(name, f"t{len(short)}")

    del graph.value_info[:]  # a runtime infers the shapes again
    for constant in graph.initializer:
        constant.name = rename(constant.name)
    for node in graph.node:
        node.name = node.doc_string = ""
        node.input[:] = map(rename, node.input)
        node.output[:] = map(rename, node.output)


def _images(inputs: torch.Tensor) -> Any:
    """What onnxruntime's calibration reads: an image a call, then None."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        left = iter(torch.split(inputs.float(), 1))

        def get_next(self) -> dict[str, Floats] | None:
            image = next(self.left, None)
            return None if image is None else {"images": image.numpy()}

    return Reader()
