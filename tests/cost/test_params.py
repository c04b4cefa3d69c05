"""Parameters and bytes: hand counts, and the figures that torchvision publishes for its models."""

import pytest
import torch
from torch import nn

from optnas.cost import params, size_bytes
from optnas.errors import UsageError
from optnas.task.vision import import_torchvision


def test_params_by_hand():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 10))
    network[0].weight.requires_grad_(False)
    assert params(network) == params(network, (3, 8, 8)) == (108 + 4) + 8 + 50


def test_a_shared_parameter_counts_once():
    network = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    network[1].weight = network[0].weight
    assert params(network) == 36 + 6 + 6
    assert size_bytes(network) == 4 * 48


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


def test_size_bytes_by_hand():
    # weight and bias of 4 bytes; scale, shift, mean and variance of 4; the count of batches of 8
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    assert size_bytes(network) == size_bytes(network, (3, 8, 8)) == 4 * 112 + 4 * 16 + 8
    assert size_bytes(network.half()) == 2 * 112 + 2 * 16 + 8


def test_buffers_that_are_not_saved_have_no_size():
    network = nn.Linear(2, 2, bias=False)
    network.register_buffer("saved", torch.zeros(3, dtype=torch.int8))
    network.register_buffer("derived", torch.zeros(100), persistent=False)
    assert size_bytes(network) == 16 + 3


def test_size_bytes_is_what_a_file_holds(tmp_path):
    network = nn.Linear(500, 500)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    assert 0 < (tmp_path / "weights.pt").stat().st_size - size_bytes(network) < 4096


@pytest.mark.parametrize("cost", [params, size_bytes])
def test_a_lazy_module_is_refused(cost):
    network = nn.Sequential(nn.Flatten(), nn.LazyLinear(10))
    with pytest.raises(UsageError, match=r"lazy '1\.weight': run the network once"):
        cost(network)
    network(torch.zeros(1, 3, 2))
    cost(network)
    assert params(network) == 70
