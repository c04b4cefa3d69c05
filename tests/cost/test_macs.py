"""Hand counts for each kind of operator, torch's own counter and published figures for whole networks."""

import copy
import logging
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from optnas.cost import UncountedOperator, count_operator, macs, macs_by_module
from optnas.cost._operators import HANDLES
from optnas.cost.calls import run_parts
from optnas.errors import UsageError
from optnas.task.vision import import_torchvision


class Call(nn.Module):
    """A network that is one expression of its input and perhaps of a child."""

    def __init__(self, function, child=None):
        super().__init__()
        self.function = function
        self.child = child

    def forward(self, x):
        return self.function(x) if self.child is None else self.function(self.child, x)


def by_torch(module, input_shape):
    """Multiply-adds by torch's counter, which sees attention only on the meta device."""
    module = copy.deepcopy(module).eval().to("meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.zeros((1, *input_shape), device="meta"))
    return counter.get_total_flops() // 2


MODULES = [
    # 8x8 outputs, each 4 filters of 3x3x3; the bias is free
    (nn.Conv2d(3, 4, 3, padding=1), (3, 8, 8), 64 * 4 * 27),
    (nn.Conv2d(3, 4, 3, padding=1, bias=False), (3, 8, 8), 64 * 4 * 27),
    (nn.Conv2d(3, 4, 3), (3, 8, 8), 36 * 4 * 27),
    (nn.Conv2d(3, 4, 3, stride=2, padding=1), (3, 8, 8), 16 * 4 * 27),
    (nn.Conv2d(3, 4, 3, dilation=2), (3, 8, 8), 16 * 4 * 27),
    (nn.Conv2d(6, 4, 3, groups=2), (6, 8, 8), 36 * 4 * 27),
    (nn.Conv2d(6, 6, 3, padding="same", groups=6), (6, 8, 8), 64 * 6 * 9),
    (nn.Conv2d(3, 4, 3, padding="valid"), (3, 8, 8), 36 * 4 * 27),
    (nn.Conv1d(3, 4, 5), (3, 9), 5 * 4 * 15),
    (nn.Conv3d(2, 3, 2), (2, 4, 4, 4), 27 * 3 * 16),
    # transposed: each input position meets the whole filter, whatever the stride
    (nn.ConvTranspose2d(3, 4, 3, stride=2), (3, 8, 8), 64 * 3 * 4 * 9),
    (nn.ConvTranspose2d(6, 4, 3, groups=2), (6, 8, 8), 64 * 6 * 2 * 9),
    (nn.ConvTranspose1d(3, 4, 5, padding=2), (3, 9), 9 * 3 * 4 * 5),
    (nn.Linear(5, 7), (5,), 35),
    (nn.Linear(5, 7, bias=False), (3, 5), 105),
    # projections 4·8·24 and 4·8·8, scores and their use 2·(4·4·4) for each of 2 heads
    (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (4, 8), 768 + 256 + 256 + 2 * 4 * 8 * 16),
    (
        nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 3),
        (4, 8),
        3 * (768 + 256 + 256 + 2 * 4 * 8 * 16),
    ),
    # 4 gates of 6 units; the second layer reads both directions
    (nn.LSTM(5, 6, batch_first=True), (7, 5), 7 * 24 * (5 + 6)),
    (nn.LSTM(5, 6, 2, bidirectional=True, batch_first=True), (7, 5), 7 * 2 * 24 * ((5 + 6) + (12 + 6))),
    # the state is projected to 3 before it is fed back
    (
        nn.LSTM(5, 6, 2, bidirectional=True, proj_size=3, batch_first=True),
        (7, 5),
        7 * 2 * (24 * (5 + 3) + 3 * 6 + 24 * (6 + 3) + 3 * 6),
    ),
    (nn.GRU(5, 6, 2, bias=False, batch_first=True), (7, 5), 7 * 18 * (5 + 6 + 6 + 6)),
    (nn.RNN(5, 6, batch_first=True), (7, 5), 7 * 6 * (5 + 6)),
    (nn.RNN(5, 6, nonlinearity="relu"), (7, 5), 7 * 6 * (5 + 6)),
    (nn.LSTMCell(5, 6), (5,), 24 * (5 + 6)),
    (nn.GRUCell(5, 6), (5,), 18 * (5 + 6)),
    (nn.RNNCell(5, 6), (5,), 6 * (5 + 6)),
]


@pytest.mark.parametrize(("module", "input_shape", "expected"), MODULES, ids=lambda value: str(value)[:40])
def test_modules(module, input_shape, expected):
    assert macs(module, input_shape) == expected == run_parts(module, input_shape, []).macs


@pytest.mark.parametrize(
    ("module", "input_shape"),
    [(module, shape) for module, shape, _ in MODULES],
    ids=[str(module)[:40] for module, _, _ in MODULES],
)
def test_modules_as_torch_counts_them(module, input_shape):
    assert macs(module, input_shape) == by_torch(module, input_shape)


def einsum_three(x, left_to_right):
    with torch.backends.opt_einsum.flags(enabled=not left_to_right):
        return torch.einsum("ij,jk,kl->il", x[0], torch.ones(6, 5), torch.ones(5, 2))


# x is (1, 4, 6) unless it is said otherwise
EXPRESSIONS = {
    "matmul": (lambda x: x @ x.mT, 4 * 6 * 4),
    "matmul_broadcast": (lambda x: x @ torch.ones(3, 2, 6, 5), 3 * 2 * 4 * 6 * 5),
    "matmul_vector": (lambda x: x @ torch.ones(6), 4 * 6),
    "vector_matmul": (lambda x: torch.ones(4) @ x, 4 * 6),
    "bmm": (lambda x: torch.bmm(x, x.mT), 4 * 6 * 4),
    "baddbmm": (lambda x: torch.baddbmm(torch.zeros(1), x, x.mT), 4 * 6 * 4),
    "addbmm": (
        lambda x: torch.addbmm(torch.zeros(1), x.expand(3, 4, 6), x.mT.expand(3, 6, 4)),
        3 * 4 * 6 * 4,
    ),
    "mm": (lambda x: torch.mm(x[0], x[0].T), 4 * 6 * 4),
    "addmm": (lambda x: torch.addmm(torch.zeros(4), x[0], x[0].T), 4 * 6 * 4),
    "mv": (lambda x: torch.mv(x[0], x[0, 0]), 4 * 6),
    "addmv": (lambda x: torch.addmv(torch.zeros(4), x[0], x[0, 0]), 4 * 6),
    "dot": (lambda x: torch.dot(x[0, 0], x[0, 1]), 6),
    "inner": (lambda x: torch.inner(x, x), 4 * 4 * 6),
    "outer": (lambda x: torch.outer(x[0, 0], x[0, :, 0]), 6 * 4),
    "addr": (lambda x: torch.addr(torch.zeros(6, 4), x[0, 0], x[0, :, 0]), 6 * 4),
    "tensordot": (lambda x: torch.tensordot(x[0], torch.ones(4, 6, 5), dims=2), 4 * 6 * 5),
    "cdist": (lambda x: torch.cdist(x, torch.ones(1, 5, 6)), 4 * 5 * 6),
    "bilinear": (lambda x: F.bilinear(x, torch.ones(1, 4, 3), torch.ones(5, 6, 3)), 4 * 5 * (6 * 3 + 3)),
    "linear_vector": (lambda x: F.linear(x, torch.ones(6)), 4 * 6),
    "einsum_product": (lambda x: torch.einsum("bij,bkj->bik", x, x), 4 * 4 * 6),
    "einsum_implicit": (lambda x: torch.einsum("bij,jk", x, torch.ones(6, 5)), 4 * 6 * 5),
    "einsum_dots": (lambda x: torch.einsum("...j, kj -> ...k", x, torch.ones(5, 6)), 4 * 6 * 5),
    "einsum_dots_broadcast": (
        lambda x: torch.einsum("...ij,...jk", x, torch.ones(3, 1, 6, 5)),
        3 * 4 * 6 * 5,
    ),
    "einsum_outer": (lambda x: torch.einsum("bi,bj->bij", x[:, 0], x[:, :, 0]), 6 * 4),
    "einsum_three": (
        # (4x6)(6x5), then (4x5)(5x2)
        lambda x: einsum_three(x, left_to_right=True),
        4 * 6 * 5 + 4 * 5 * 2,
    ),
    "einsum_three_by_path": (
        # (6x5)(5x2), then (4x6)(6x2), which costs less: opt_einsum finds that where it is installed
        lambda x: einsum_three(x, left_to_right=not torch.backends.opt_einsum.is_available()),
        6 * 5 * 2 + 4 * 6 * 2 if torch.backends.opt_einsum.is_available() else 4 * 6 * 5 + 4 * 5 * 2,
    ),
    # i is summed in x before the product
    "einsum_summed_first": (lambda x: torch.einsum("bij,jk->bk", x, torch.ones(6, 5)), 6 * 5),
    "einsum_one": (lambda x: torch.einsum("bij->bj", x), 0),
    "attention": (
        # 4 queries of 6 with 5 keys of 6, then with 5 values of 3
        lambda x: F.scaled_dot_product_attention(x, torch.ones(1, 5, 6), torch.ones(1, 5, 3)),
        4 * 5 * 6 + 4 * 5 * 3,
    ),
    "attention_grouped": (
        # 4 heads of 1 query share 2 heads of 5 keys and values
        lambda x: F.scaled_dot_product_attention(
            x[:, :, None], torch.ones(1, 2, 5, 6), torch.ones(1, 2, 5, 6), enable_gqa=True
        ),
        4 * 5 * (6 + 6),
    ),
    "attention_causal": (lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True), 2 * 4 * 4 * 6),
    "elementwise": (lambda x: (x * x + x.exp()).clamp_(0, 1).softmax(-1).mean(), 0),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    function, expected = EXPRESSIONS[name]
    assert macs(Call(function), (4, 6)) == expected == run_parts(Call(function), (4, 6), []).macs


@pytest.mark.parametrize("need_weights", [True, False])
def test_multihead_attention(need_weights):
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    network = Call(lambda child, x: child(x, x, x, need_weights=need_weights)[0], attention)
    # projections 4·8·24 and 4·8·8, for each of 2 heads 4·4·4 twice
    assert macs(network, (4, 8)) == 768 + 256 + 2 * 2 * 64 == by_torch(network, (4, 8))


def test_packed_sequences_count_steps_not_padding():
    def forward(child, x):
        packed = nn.utils.rnn.pack_padded_sequence(x.expand(3, 7, 5), torch.tensor([7, 4, 2]), batch_first=True)
        return child(packed)[0].data

    for layer, gates in ((nn.LSTM(5, 6, batch_first=True), 4), (nn.GRU(5, 6, batch_first=True), 3)):
        assert macs(Call(forward, layer), (7, 5)) == (7 + 4 + 2) * gates * 6 * (5 + 6)


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm2d(4),
        nn.GroupNorm(2, 4),
        nn.LayerNorm([4, 8, 8]),
        nn.InstanceNorm2d(4),
        nn.LocalResponseNorm(2),
        nn.AvgPool2d(2),
        nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1),
        nn.AdaptiveMaxPool2d(1),
        nn.Upsample(scale_factor=2),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.PixelShuffle(2),
        nn.ChannelShuffle(2),
        nn.ReflectionPad2d(1),
        nn.Dropout(),
        *(activation() for activation in (nn.ReLU6, nn.Hardswish, nn.SiLU, nn.GELU, nn.PReLU, nn.Mish)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_what_papers_do_not_count_is_free(layer):
    convolution = nn.Conv2d(3, 4, 1)
    assert macs(nn.Sequential(convolution, layer), (3, 8, 8)) == 64 * 12


@pytest.mark.parametrize(
    ("name", "millions"),
    # The papers round to 300, 219, 56, 1800 and 390.
    [
        ("mobilenet_v2", 300.8),
        ("mobilenet_v3_large", 216.6),
        ("mobilenet_v3_small", 56.5),
        ("resnet18", 1814.1),
        ("efficientnet_b0", 385.8),
    ],
)
def test_known_networks(name, millions):
    import_torchvision()
    from torchvision import models

    with torch.device("meta"):  # nothing to initialise
        network = getattr(models, name)(weights=None)
    count = macs(network, (3, 224, 224))
    assert round(count / 1e6, 1) == millions
    assert count == by_torch(network, (3, 224, 224))


def test_by_module():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(256, 10)))
    assert macs_by_module(network, (3, 8, 8)) == {
        "": 768 + 2560,
        "0": 768,
        "1": 2560,
        "1.0": 0,
        "1.1": 0,
        "1.2": 2560,
    }


def test_a_module_that_is_called_twice_counts_twice():
    assert macs(Call(lambda child, x: child(child(x)), nn.Linear(6, 6)), (6,)) == 72


def test_several_outputs_under_names():
    assert macs(Call(lambda child, x: {"out": child(x), "aux": x}, nn.Linear(6, 2)), (6,)) == 12


@pytest.mark.parametrize(
    ("function", "operator"),
    [(lambda x: torch.fft.fft2(x).real, "aten::fft_fft2"), (torch.linalg.pinv, "aten::linalg_pinv")],
)
def test_an_uncounted_operator_is_an_error(function, operator):
    network = nn.Sequential(nn.Linear(6, 6), nn.Sequential(nn.ReLU(), Call(function)))
    with pytest.raises(UncountedOperator, match="count_operator") as raised:
        macs(network, (6, 6))
    assert (raised.value.operator, raised.value.where) == (operator, "1.1")
    assert operator in str(raised.value)
    assert "'1.1'" in str(raised.value)


def test_an_uncounted_operator_of_the_network_itself():
    with pytest.raises(UncountedOperator, match="the network's own forward"):
        macs(Call(lambda x: torch.fft.fft(x).real), (6,))


def test_a_function_that_the_trace_cannot_see_into_is_an_error():
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x @ x

    with pytest.raises(UncountedOperator, match=r"prim::PythonOp\.Square"):
        macs(Call(Square.apply), (6, 6))


def test_count_operator(monkeypatch):
    monkeypatch.setitem(HANDLES, "aten::fft_fft", None)  # forgotten again at the end
    count_operator("aten::fft_fft", lambda inputs, outputs: 100 * inputs[0][-1] + outputs[0][-1])
    assert macs(Call(lambda x: torch.fft.fft(x).real), (6,)) == 606


def test_the_exception_of_the_forward_comes_through():
    fastpath = torch.backends.mha.get_fastpath_enabled()
    network = nn.Conv2d(3, 4, 3)
    with pytest.raises(RuntimeError, match="to have 3 channels"):
        macs(network, (4, 8, 8))
    assert torch.backends.mha.get_fastpath_enabled() == fastpath
    assert not network._forward_hooks


@pytest.mark.parametrize("input_shape", [(), (3, 0), (3, -1), (3.0, 8), 8, "abc", (True, 8)])
def test_input_shape_is_checked(input_shape):
    with pytest.raises(UsageError, match="input_shape: expected positive integers"):
        macs(nn.ReLU(), input_shape)


def test_the_module_and_the_random_state_are_untouched():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), Call(lambda x: x + torch.rand(1)))
    network[1].eval()
    network[0].bias.requires_grad_(False)
    modes = [module.training for module in network.modules()]
    flags = [parameter.requires_grad for parameter in network.parameters()]
    state = copy.deepcopy(network.state_dict())
    random_state = torch.get_rng_state()
    macs(network, (3, 8, 8))
    assert [module.training for module in network.modules()] == modes
    assert [parameter.requires_grad for parameter in network.parameters()] == flags
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.is_grad_enabled()


def test_any_type_and_device():
    assert macs(nn.Conv2d(3, 4, 3, dtype=torch.bfloat16), (3, 8, 8)) == 36 * 4 * 27
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to("meta")
    assert macs(network, (3, 8, 8)) == 36 * 4 * 27
    assert network[0].weight.is_meta


def test_silence(caplog, capfd):
    network = Call(lambda child, x: child(x) if x.shape[1] > 2 and x.sum() < 1e9 else x, nn.Linear(6, 6))
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings():
        warnings.simplefilter("error")
        macs(network, (6,))
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")
