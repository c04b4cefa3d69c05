"""The statistic on made-up times, what a measurement leaves alone, and agreement between processes."""

import gc
import json
import subprocess
import sys
from itertools import combinations
from statistics import median

import pytest
import torch
from torch import nn

from optnas.cost import (
    device_fingerprint,
    latency_ms,
    measure_latency,
    reference_latency_ms,
)
from optnas.cost.latency import _window_ratios, reference_network
from optnas.errors import UsageError
from optnas.runtime import EagerRuntime, Runtime

SMALL = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
SHAPE = (3, 8, 8)


class Counting(Runtime):
    """Runs nothing, counts what is asked of it."""

    name = "counting"
    device = "cpu"
    version = "1"

    def __init__(self):
        self.threads = set()
        self.collecting = set()
        self.prepared = 0
        self.passes = 0

    def prepare(self, module, input_shape):
        self.prepared += 1

        def run():
            self.passes += 1
            self.threads.add(torch.get_num_threads())
            self.collecting.add(gc.isenabled())

        return run


def test_a_measurement():
    result = measure_latency(SMALL, SHAPE, seconds=0.05, reference_ms=2.0)
    assert result.ratio > 0
    assert result.latency_ms == result.ratio * 2.0
    assert result.spread_ms >= 0
    assert result.repeats >= 5
    assert result.runtime == "eager"
    assert result.device_fingerprint == device_fingerprint()


def test_five_passes_however_long_they_take():
    assert measure_latency(SMALL, SHAPE, seconds=1e-9, reference_ms=1.0).repeats == 5


def test_windows_take_the_fastest_pass_of_each():
    # ten passes, two a window; the network takes 3 times as long as the reference
    undisturbed = [(1.0, 3.0)] * 10
    assert _window_ratios(undisturbed) == [3.0] * 5
    half_speed = undisturbed[:4] + [(1.9, 5.7)] * 6
    assert _window_ratios(half_speed) == pytest.approx([3.0] * 5)
    interrupted = [(1.0, 9.0), (7.0, 3.0)] * 5
    assert _window_ratios(interrupted) == [3.0] * 5
    assert _window_ratios([(1.0, 2.0), (1.0, 4.0), (2.0, 2.0), (1.0, 3.0), (1.0, 5.0)]) == [
        2.0,
        4.0,
        1.0,
        3.0,
        5.0,
    ]


def test_latency_ms_is_the_same_measure():
    reference = reference_latency_ms()
    assert reference == reference_latency_ms(EagerRuntime())  # once a process
    # The reference network against itself has ratio 1, the margin is for a busy machine.
    measured = latency_ms(*reference_network(), seconds=0.3)
    assert measured == pytest.approx(reference, rel=0.25)


def test_more_work_takes_longer():
    large = nn.Sequential(*(nn.Conv2d(16, 16, 3, padding=1) for _ in range(20)))
    small = nn.Sequential(*(nn.Conv2d(16, 16, 3, padding=1) for _ in range(5)))

    def measured(network):
        return measure_latency(network, (16, 28, 28), seconds=0.2, reference_ms=1.0).ratio

    # In turn, and the median: the two of a pair do not always see an equally busy machine.
    assert 2.5 < median(measured(large) / measured(small) for _ in range(7)) < 6


def test_the_module_threads_and_random_state_are_untouched():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    network[2].eval()
    modes = [module.training for module in network.modules()]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    random_state, threads = torch.get_rng_state(), torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        measure_latency(network, SHAPE, seconds=0.01)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert gc.isenabled()


def test_the_reference_network_never_changes():
    random_state = torch.get_rng_state()
    (first, _), (second, _) = reference_network(), reference_network()
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert sum(parameter.numel() for parameter in first.parameters()) == 20314


def test_a_runtime_is_one_method():
    runtime = Counting()
    result = measure_latency(SMALL, SHAPE, runtime=runtime, seconds=0.01, reference_ms=1.0)
    assert result.runtime == result.device_fingerprint["runtime"] == "counting"
    assert runtime.prepared == 2  # the reference and the network
    assert runtime.passes == 2 * (result.repeats + 3)
    assert runtime.threads == {1}
    assert runtime.collecting == {False}


def test_threads_come_back_after_a_failure():
    threads = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="to have 3 channels"):
        measure_latency(SMALL, (4, 8, 8), reference_ms=1.0)
    assert torch.get_num_threads() == threads
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seconds": 0}, "seconds: expected a finite number above 0, got 0"),
        ({"seconds": float("nan")}, "seconds"),
        ({"reference_ms": -1.0}, "reference_ms: expected a finite number above 0"),
        ({"device": "toaster"}, "device: expected a device that torch has here, got 'toaster'"),
        ({"device": "cuda", "runtime": EagerRuntime()}, "device: expected 'cpu'"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(UsageError, match=message):
        measure_latency(SMALL, SHAPE, **arguments)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda():
    result = measure_latency(SMALL, SHAPE, device="cuda", seconds=0.05)
    assert result.latency_ms > 0
    assert result.device_fingerprint["gpu"]


MEASURE_TWENTY = """
import json
import random

import torch
from torch import nn

from optnas.cost import measure_latency


def block(draw, inputs, outputs, stride):
    kernel = draw.choice([1, 3, 5])
    if draw.random() < 0.4:
        return [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2), nn.BatchNorm2d(outputs), nn.ReLU()]
    wide = inputs * draw.choice([1, 2, 3])
    depthwise = nn.Conv2d(wide, wide, kernel, stride, kernel // 2, groups=wide)
    layers = [nn.Conv2d(inputs, wide, 1), nn.BatchNorm2d(wide), nn.ReLU(), depthwise, nn.BatchNorm2d(wide)]
    return [*layers, nn.ReLU(), nn.Conv2d(wide, outputs, 1), nn.BatchNorm2d(outputs)]


def network(seed):
    draw = random.Random(seed)
    depth, width = draw.randint(3, 12), draw.choice([8, 12, 16, 24])
    layers = [nn.Conv2d(1, width, 3, 2, 1), nn.ReLU()]
    for position in range(depth):
        outputs = draw.choice([12, 16, 24, 32, 48])
        layers += block(draw, width, outputs, 2 if position in (depth // 3, 2 * depth // 3) else 1)
        width = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


results = [measure_latency(network(seed), (1, 28, 28), reference_ms=1.0) for seed in range(20)]
print(json.dumps([result.ratio for result in results]))
"""


def kendall_tau(first, second):
    signs = [
        (first[i] > first[j]) - (first[i] < first[j]) == (second[i] > second[j]) - (second[i] < second[j])
        for i, j in combinations(range(len(first)), 2)
    ]
    return 2 * sum(signs) / len(signs) - 1


@pytest.mark.slow
def test_processes_agree_on_the_order_of_networks():
    outputs = [subprocess.check_output([sys.executable, "-c", MEASURE_TWENTY]) for _ in range(3)]
    ratios = [json.loads(output) for output in outputs]
    taus = [kendall_tau(first, second) for first, second in combinations(ratios, 2)]
    assert min(taus) >= 0.9, taus
