"""ONNX Runtime through the suite of every runtime with files."""

import onnx
from runtime.conformance import SHAPE, FileRuntimeTests, Small, images

from optnas.runtime import runtime_of


class TestOnnxRuntime(FileRuntimeTests):
    runtime = runtime_of("onnx")

    def test_weights_have_a_scale_for_each_channel(self):
        model = onnx.load_from_string(self.runtime.quantise(Small(), SHAPE, images(4)))
        constants = {constant.name: constant for constant in model.graph.initializer}
        scales = {
            tuple(constants[node.input[0]].dims): tuple(constants[node.input[1]].dims)
            for node in model.graph.node
            if node.op_type == "DequantizeLinear" and node.input[0] in constants
        }
        assert scales[24, 1, 3, 3] == (24,)
        assert scales[48, 24, 3, 3] == (48,)
