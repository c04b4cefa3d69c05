"""LiteRT, the former TensorFlow Lite."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import numpy as np
import torch
from torch import nn

from optnas.errors import first_line
from optnas.runtime.base import ExportFailed, FileRuntime, Floats, Run
from optnas.runtime.probe import float_copy
from optnas.runtime.quiet import quiet

__all__ = ["LiteRT"]

_LEAST_RANGE = 1e-3


class LiteRT(FileRuntime):
    """LiteRT with XNNPACK on one thread of the CPU (https://ai.google.dev/edge/litert)."""

    name = "litert"
    modules = ("ai_edge_litert", "litert_torch")
    format = "litert"
    suffix = ".tflite"
    seconds = 0.25

    def export(self, module: nn.Module, input_shape: Sequence[int]) -> bytes:
        network, image = float_copy(module, input_shape)
        # Its libraries tell their makers what they do, in the middle of our lines.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        try:
            with quiet(), torch.no_grad(), tempfile.TemporaryDirectory() as folder:
                import litert_torch

                litert_torch.config.show_progress = False
                path = Path(folder, "network.tflite")
                litert_torch.convert(network, (image,)).export(str(path))
                return path.read_bytes()
        except Exception as error:
            raise ExportFailed(f"LiteRT cannot take this network: {first_line(error)}") from error

    def quantise(self, module: nn.Module, input_shape: Sequence[int], inputs: torch.Tensor) -> bytes:
        file = self.export(module, input_shape)
        try:
            with quiet():
                return _quantised(file, inputs)
        except Exception as error:
            raise ExportFailed(f"LiteRT cannot quantise this network: {first_line(error)}") from error

    def load(self, file: bytes) -> Run:
        from ai_edge_litert.interpreter import Interpreter

        try:
            interpreter = Interpreter(model_content=file, num_threads=1)
            interpreter.allocate_tensors()
        except Exception as error:
            raise ExportFailed(f"LiteRT cannot load this network: {first_line(error)}") from error
        (entry,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()

        def run(image: Floats) -> Floats:
            interpreter.set_tensor(entry["index"], image)
            interpreter.invoke()
            return interpreter.get_tensor(result["index"])  # type: ignore[no-any-return]

        return run


def _quantised(file: bytes, inputs: torch.Tensor) -> bytes:
    """Integers from the first operator to the last; images and logits stay floats, as in the float file."""
    from ai_edge_quantizer import quantizer, recipe, recipe_manager
    from ai_edge_quantizer.calibrator import Calibrator
    from ai_edge_quantizer.utils.qsv_utils import min_max_update

    rules = recipe_manager.RecipeManager()
    rules.load_quantization_recipe(recipe.static_wi8_ai8())
    for end in ("INPUT", "OUTPUT"):
        rules.add_quantization_config(".*", end, algorithm_key="no_quantize")
    samples = [{"args_0": image.numpy()} for image in torch.split(inputs.float(), 1)]
    with redirect_stderr(StringIO()):  # progress bars
        # Not Quantizer.calibrate: that averages the ranges of single images, which then clip every second image.
        calibrator = Calibrator(file, num_threads=1, qsv_update_func=min_max_update)
        calibrator.calibrate({"serving_default": samples}, rules)
        ranges = calibrator.get_model_qsvs()
        for seen in ranges.values():
            if "max" in seen:
                # A layer that gives nothing but zeros would have a scale of 1e-11, and XNNPACK refuse the file.
                seen["max"] = np.maximum(seen["max"], seen["min"] + _LEAST_RANGE)
        made = quantizer.Quantizer(file, rules.get_quantization_recipe())
        quantised = made.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    return bytes(quantised.quantized_model)
