"""Multiply-adds call by call, derived by hand, and a network that stays as it was."""

import numpy as np
import pytest
import torch
from torch import nn

from optnas.cost import calls as calls_module
from optnas.cost import macs
from optnas.cost.calls import run_parts
from optnas.errors import UsageError
from optnas.space import SPACES, RandomTrial, bind_space

CONV_1_2, CONV_2_2 = 64 * 9 * 2, 64 * 9 * 2 * 2  # at 8x8


def conv(width_in, width_out):
    return nn.Conv2d(width_in, width_out, 3, padding=1)


class Net(nn.Module):
    """A network that is a function of its parts."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.function(self, x)


def test_calls_in_their_order_with_what_came_before():
    network = Net(lambda self, x: self.b(self.b(self.a(x)).relu()), a=conv(1, 2), b=conv(2, 2), unused=conv(5, 5))
    run = run_parts(network, (1, 8, 8), [network.b, network.a, network.unused, network.b])
    assert [call.module for call in run.calls] == [network.a, network.b, network.b]
    assert [call.macs_before for call in run.calls] == [0, CONV_1_2, CONV_1_2 + CONV_2_2]
    assert [call.follows for call in run.calls] == [False, True, False]  # an activation lies between
    assert [(call.inputs, call.output) for call in run.calls[:2]] == [
        (((1, 1, 8, 8),), (1, 2, 8, 8)), (((1, 2, 8, 8),), (1, 2, 8, 8)),
    ]  # fmt: skip
    assert run.macs == CONV_1_2 + 2 * CONV_2_2


def test_calls_within_calls():
    inner = Net(lambda self, x: self.b(self.a(x)), a=conv(2, 2), b=conv(2, 2))
    network = nn.Sequential(conv(1, 2), inner)
    run = run_parts(network, (1, 8, 8), [network[0], inner, inner.a, inner.b])
    assert [call.within for call in run.calls] == [None, None, 1, 1]
    assert [call.follows for call in run.calls] == [False, True, False, True]
    assert [call.macs_before for call in run.calls] == [0, CONV_1_2, CONV_1_2, CONV_1_2 + CONV_2_2]


def test_what_torch_cannot_count_is_traced():
    # projections 4·8·24 and 4·8·8, 2 heads of 2·(4·4·4), then 4·8·16 twice
    attention = 768 + 256 + 256 + 2 * 512
    layers = [nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(2)]
    network = Net(lambda self, x: torch.einsum("bij,bij->bij", *2 * [self.b(self.i(self.a(x)))]),
                  a=layers[0], i=nn.Identity(), b=layers[1])  # fmt: skip
    run = run_parts(network, (4, 8), [network.a, network.i, network.b])
    assert [call.macs_before for call in run.calls] == [0, attention, attention]
    assert run.macs == 2 * attention + 32 == macs(network, (4, 8))


def test_an_operator_that_nobody_counts():
    network = Net(lambda self, x: torch.fft.fft2(self.a(x)).real, a=conv(1, 2))
    run = run_parts(network, (1, 8, 8), [network.a])
    assert run.macs is None
    assert [call.module for call in run.calls] == [network.a]


@pytest.mark.parametrize(("space", "shape"), [("mobile", (1, 28, 28)), ("cell", (3, 8, 8))])
def test_networks_of_the_built_in_spaces_need_no_trace(space, shape, monkeypatch):
    monkeypatch.delattr(calls_module, "_trace")
    build = bind_space(SPACES[space], shape, 10)
    for seed in range(3):
        network = build(RandomTrial(np.random.default_rng(seed)))
        assert run_parts(network, shape, []).macs == macs(network, shape)


def test_the_network_and_random_numbers_stay_as_they_were():
    network = nn.Sequential(conv(1, 2), nn.BatchNorm2d(2), nn.Dropout())
    network.train()
    network[1].eval()  # frozen on purpose
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.get_rng_state()
    run_parts(network, (1, 8, 8), network)
    assert [part.training for part in network.modules()] == [True, True, False, True]
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in network.modules())


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_other_devices_types_and_results():
    assert run_parts(nn.Sequential(conv(1, 2)).to("meta"), (1, 8, 8), []).macs == CONV_1_2
    assert run_parts(nn.Sequential(conv(1, 2)).to(torch.bfloat16), (1, 8, 8), []).macs == CONV_1_2
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    several = Net(lambda self, x: {"first": self.a(x), "second": (x, None)}, a=layer)
    run = run_parts(several, (4, 8), [several, layer])
    assert run.macs == macs(layer, (4, 8))
    assert run.calls[0].output == (1, 4, 8)
    scripted = torch.jit.script(nn.ReLU())
    assert run_parts(nn.Sequential(conv(1, 2), scripted), (1, 8, 8), [scripted]).calls == ()


def test_what_does_not_run_is_said():
    with pytest.raises(UsageError, match="input_shape"):
        run_parts(nn.Identity(), (1, 0, 8), [])
    with pytest.raises(RuntimeError, match="channels"):
        run_parts(conv(2, 2), (1, 8, 8), [])
