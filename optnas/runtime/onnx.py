"""ONNX Runtime: a fifth of a second from a network to its time."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from optnas.errors import first_line
from optnas.runtime.base import ExportFailed, FileRuntime, Floats, Run
from optnas.runtime.probe import eval_copy, one_input

__all__ = ["OnnxRuntime"]


class OnnxRuntime(FileRuntime):
    """ONNX Runtime on one thread of the CPU (https://onnxruntime.ai)."""

    name = "onnxruntime"
    packages = ("onnxruntime", "onnx")
    format = "onnx"
    suffix = ".onnx"
    seconds = 0.25

    def export(self, module: nn.Module, input_shape: Sequence[int]) -> bytes:
        network, image = eval_copy(module), one_input(module, input_shape)
        try:
            with _quiet(), torch.no_grad(), tempfile.TemporaryDirectory() as folder:
                # The exporter by tracing, though deprecated: 0.1 s where the newer one takes 2 to 3 s.
                path = Path(folder, "network.onnx")
                torch.onnx.export(
                    network, (image,), path, dynamo=False, input_names=["images"], output_names=["logits"]
                )
                return path.read_bytes()
        except Exception as error:
            raise ExportFailed(f"ONNX cannot hold this network: {first_line(error)}") from error

    def quantise(self, module: nn.Module, input_shape: Sequence[int], inputs: torch.Tensor) -> bytes:
        raise NotImplementedError

    def load(self, file: bytes) -> Run:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ExportFailed(f"ONNX Runtime cannot load this network: {first_line(error)}") from error
        (entry,) = session.get_inputs()

        def run(image: Floats) -> Floats:
            return session.run(None, {entry.name: image})[0]  # type: ignore[no-any-return]

        return run


@contextmanager
def _quiet() -> Iterator[None]:
    """No warning of each tensor that becomes a constant, and no graph on standard output of what cannot be exported.

    The exporter turns its log on whatever `verbose` says (torch 2.13), so the function that writes it is replaced.
    """
    log = torch._C._jit_onnx_log
    torch._C._jit_onnx_log = lambda *args: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch._C._jit_onnx_log = log
