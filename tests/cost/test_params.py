"""Parameters and bytes: hand counts, and the figures that torchvision publishes for its models."""

import pytest
import torch
from torch import nn

from optnas.cost import params, size_bytes
from optnas.errors import UsageError
from optnas.runtime import OnnxRuntime
from optnas.task.vision import import_torchvision


def test_params_by_hand():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 10))
    network[0].weight.requires_grad_(False)
    assert params(network) == params(network, (3, 8, 8)) == (108 + 4) + 8 + 50


def test_a_shared_parameter_counts_once():
    network = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    network[1].weight = network[0].weight
    assert params(network) == 36 + 6 + 6
    assert size_bytes(network, (6,)) == 4 * 48


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("mobilenet_v2", 3504872),
        ("mobilenet_v3_large", 5483032),
        ("mobilenet_v3_small", 2542856),
        ("resnet18", 11689512),
        ("efficientnet_b0", 5288548),
    ],
)
def test_params_of_known_networks(name, published):
    import_torchvision()
    from torchvision import models

    with torch.device("meta"):
        assert params(getattr(models, name)(weights=None)) == published


def test_size_bytes_of_half_precision():
    assert size_bytes(conv(nn.BatchNorm2d(4)).half(), (3, 8, 8)) == 2 * (108 + 4)


def conv(*after, bias=True):
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=bias), *after)


@pytest.mark.parametrize(
    ("network", "numbers"),
    [
        (conv(), 108 + 4),
        # Of a batch norm that is folded a bias is left, which the convolution may have already.
        (conv(nn.BatchNorm2d(4)), 108 + 4),
        (conv(nn.BatchNorm2d(4), bias=False), 108 + 4),
        (conv(nn.BatchNorm2d(4, affine=False), bias=False), 108 + 4),
        (conv(nn.Dropout(), nn.BatchNorm2d(4), nn.BatchNorm2d(4)), 108 + 4),
        # Of one that is not, four numbers for each channel.
        (conv(nn.ReLU(), nn.BatchNorm2d(4)), 108 + 4 + 16),
        (conv(nn.ReLU(), nn.BatchNorm2d(4, affine=False)), 108 + 4 + 16),
        (nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)), 12 + 108 + 4),
        (nn.Sequential(nn.ConvTranspose2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)), 108 + 16),
        (nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.BatchNorm1d(4)), 768 + 4 + 16),
    ],
)
def test_size_bytes_by_hand_and_in_the_exported_file(network, numbers):
    assert size_bytes(network, (3, 8, 8)) == 4 * numbers
    onnx = pytest.importorskip("onnx")
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.5, 2)  # the exporter keeps equal tensors once
    file = onnx.load_from_string(OnnxRuntime().export(network, (3, 8, 8)))
    # The ones and zeros of a batch norm without scale and shift stand in nodes of their own.
    nodes = [node.attribute[0].t for node in file.graph.node if node.op_type == "Constant"]
    assert sum(len(tensor.raw_data) for tensor in (*file.graph.initializer, *nodes)) == 4 * numbers


def test_a_convolution_of_two_norms_has_two_copies():
    layer = nn.Conv2d(3, 3, 1)
    network = nn.Sequential(layer, nn.BatchNorm2d(3), layer, nn.BatchNorm2d(3))
    assert size_bytes(network, (3, 8, 8)) == 4 * 2 * (9 + 3)


def test_what_is_not_read_is_not_deployed():
    network = nn.Linear(2, 2, bias=False)
    network.register_buffer("saved", torch.zeros(3, dtype=torch.int8))
    assert size_bytes(network, (2,)) == 16


@pytest.mark.parametrize("cost", [params, size_bytes])
def test_a_lazy_module_is_refused(cost):
    network = nn.Sequential(nn.Flatten(), nn.LazyLinear(10))
    with pytest.raises(UsageError, match=r"lazy '1\.weight': run the network once"):
        cost(network, (3, 1, 2))
    network(torch.zeros(1, 3, 2))
    cost(network, (3, 1, 2))
    assert params(network) == 70
