import numpy as np
import pytest
import torch
from torch import nn

from optnas.cost import peak_memory_bytes
from optnas.space import RandomTrial, ReplayTrial, mobile


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, x):
        return x + self.second(self.first(x))


def test_a_chain_holds_the_larger_neighbours():
    # 1x8x8, 4x8x8 and 2x8x8 floats: at most the first two or the last two are alive.
    chain = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 2, 3, padding=1))
    assert peak_memory_bytes(chain, (1, 8, 8)) == 4 * 64 * (4 + 2)


def test_a_residual_keeps_its_input():
    # While the second convolution runs: the input, the hidden and the output.
    assert peak_memory_bytes(Residual(), (2, 8, 8)) == 4 * 64 * (2 + 8 + 2)


def test_in_place_costs_what_a_memory_planner_reserves():
    plain = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU())
    in_place = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(inplace=True))
    assert peak_memory_bytes(plain, (1, 8, 8)) == peak_memory_bytes(in_place, (1, 8, 8)) == 4 * 64 * (4 + 4)


def test_views_cost_nothing():
    flat = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), nn.Unflatten(1, (4, 64)), nn.Flatten())
    assert peak_memory_bytes(flat, (1, 8, 8)) == 4 * 64 * (1 + 4)


def test_dropout_and_batch_norm_are_in_eval_mode():
    module = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Dropout(0.5))
    assert peak_memory_bytes(module, (1, 8, 8)) == 4 * 64 * (1 + 4)
    assert module.training


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_it_equals_the_liveness_of_the_exported_graph():
    choices = {
        "activation": "relu", "stem.width": 8, "head.width": 32,
        "stage1.width": 8, "stage1.se": True, "stage1.block1.op": "mb3_k3",
        "stage1.block2.op": "mb6_k5", "stage1.block3.op": "skip",
        "stage2.width": 24, "stage2.se": False, "stage2.block1.op": "mb3_k5",
        "stage2.block2.op": "skip", "stage2.block3.op": "mb1_k3",
    }  # fmt: skip
    module = mobile(ReplayTrial(choices), (1, 8, 8), 10).eval()
    assert peak_memory_bytes(module, (1, 8, 8)) == _exported_peak(module, torch.zeros(1, 1, 8, 8))


def _exported_peak(module, images):
    """Liveness over torch.export's graph, worked out apart: last reader by node, views share with their base."""
    graph = torch.export.export(module, (images,)).run_decompositions().graph
    views = ("aten.view.", "aten.permute.", "aten.t.", "aten.squeeze", "aten.flatten")
    size, base, last, order = {}, {}, {}, list(graph.nodes)
    placeholders = {node for node in order if node.op == "placeholder" and node.name != "input"}
    born = {}
    for moment, node in enumerate(order):
        value = node.meta.get("val")
        for source in node.all_input_nodes:
            if base.get(source) in born:
                last[base[source]] = moment
        if node in placeholders or node.op == "output" or value is None:
            continue
        if str(node.target).startswith(views):
            base[node] = base.get(node.all_input_nodes[0])
            continue
        if str(node.target).startswith("<built-in function getitem"):
            base[node] = base[node.all_input_nodes[0]]
            continue
        first = value[0] if isinstance(value, tuple | list) else value
        base[node], born[node], last[node] = node, moment, moment
        size[node] = first.numel() * first.element_size()
    return max(sum(size[node] for node in born if born[node] <= moment <= last[node]) for moment in range(len(order)))


class _Branches(nn.Module):
    """Three branches of one input, as in an Inception block, of which only their sum of channels goes on."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 12, 1)
        self.pool, self.join = nn.MaxPool2d(3, 1, 1), nn.Conv2d(23, 8, 1)

    def forward(self, x):
        return self.join(torch.cat([self.first(x), self.second(x), self.pool(x)], 1)).relu().mean((2, 3))


@pytest.mark.slow
@pytest.mark.parametrize("network", ["branches", "mobile", "mobilenet_v2"])
def test_what_executorch_reserves(network):
    exir = pytest.importorskip("executorch.exir")
    from optnas.runtime.quiet import quiet
    from optnas.task.vision import import_torchvision

    module, shape = {
        "branches": lambda: (_Branches(), (3, 32, 32)),
        "mobile": lambda: (mobile(RandomTrial(np.random.default_rng(0)), (1, 28, 28)), (1, 28, 28)),
        "mobilenet_v2": lambda: (import_torchvision().models.mobilenet_v2(weights=None), (3, 64, 64)),
    }[network]()
    aten = torch.ops.aten
    # As one operator each, which kernels compute at once; taken apart they would hold more tensors than are needed.
    whole = [aten.linear.default, aten.hardswish.default, aten.hardsigmoid.default, aten.relu.default]
    with quiet(), torch.no_grad():
        program = torch.export.export(module.eval(), (torch.zeros(1, *shape),)).run_decompositions({})
        config = exir.EdgeCompileConfig(preserve_ops=whole, _check_ir_validity=False)
        plan = exir.to_edge(program, compile_config=config).to_executorch().executorch_program.execution_plan[0]
    assert peak_memory_bytes(module, shape) == sum(plan.non_const_buffer_sizes)
