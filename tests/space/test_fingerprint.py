import pytest
import torch
from torch import nn

from optnas.space import ReplayTrial, cell, fingerprint

SHAPE = (1, 8, 8)


class Branches(nn.Module):
    def __init__(self, order, sum_first=False):
        super().__init__()
        self.parts = nn.ModuleDict({name: nn.Conv2d(1, 4, size, padding="same") for name, size in order})
        self.head = nn.Linear(4, 10)
        self.sum_first = sum_first

    def forward(self, x):
        terms = [part(x) for part in self.parts.values()]
        a, b, c = terms
        total = a + (b + c) if self.sum_first else (a + b) + c
        return self.head(total.mean((2, 3)))


def net(*extra, width=4):
    return nn.Sequential(nn.Conv2d(1, width, 3), *extra, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


def same(a, b):
    return fingerprint(a, SHAPE) == fingerprint(b, SHAPE)


def test_initial_weights_do_not_count():
    assert same(net(), net())


def test_names_and_wrapping_do_not_count():
    assert same(net(nn.ReLU()), nn.Sequential(net(nn.Sequential(nn.Identity(), nn.ReLU()))))


def test_order_of_branches_and_of_sums_does_not_count():
    a = Branches([("a", 1), ("b", 3), ("c", 5)])
    b = Branches([("c", 5), ("a", 1), ("b", 3)], sum_first=True)
    assert same(a, b)


def test_in_place_does_not_count():
    assert same(net(nn.ReLU(inplace=True)), net(nn.ReLU()))


@pytest.mark.parametrize(
    "other",
    [
        net(width=5),
        net(nn.ReLU()),
        net(nn.Conv2d(4, 4, 1)),
        net(nn.Dropout(0.1)),
    ],
)
def test_what_is_computed_counts(other):
    assert not same(net(), other)


def test_strength_of_dropout_counts():
    assert same(net(nn.Dropout(0.1)), net(nn.Dropout(0.1)))
    assert not same(net(nn.Dropout(0.1)), net(nn.Dropout(0.2)))


def test_stride_and_padding_count():
    assert not same(net(nn.Conv2d(4, 4, 3, padding=1)), net(nn.Conv2d(4, 4, 3, padding=1, stride=2)))


def test_order_of_operators_counts():
    assert not same(net(nn.ReLU(), nn.Tanh()), net(nn.Tanh(), nn.ReLU()))


def test_parameters_that_nothing_reads_count_since_they_weigh():
    module = net()
    module.add_module("unused", nn.Identity())
    assert same(module, net())
    heavier = net()
    heavier[0].spare = nn.Parameter(torch.zeros(7))
    assert not same(heavier, net())


def test_values_of_buffers_count():
    class Masked(nn.Module):
        def __init__(self, value):
            super().__init__()
            self.register_buffer("mask", torch.full((4, 1, 1), value))

        def forward(self, x):
            return x * self.mask

    assert same(net(Masked(1.0)), net(Masked(1.0)))
    assert not same(net(Masked(1.0)), net(Masked(2.0)))


def test_shared_and_separate_weights_differ():
    layer = nn.Conv2d(4, 4, 3, padding=1)
    assert not same(net(layer, layer), net(nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)))


def test_isomorphic_cells_are_one_network():
    def network(*kinds):
        choices = {f"edge{index}": kind for index, kind in enumerate(kinds)}
        return cell(ReplayTrial(choices), (1, 8, 8), cells=1, channels=4)

    # A 3x3 convolution and a skip from the input to the output, by way of node 1 or of node 2.
    by_node_1 = network("conv3x3", "none", "none", "skip", "skip", "none")
    by_node_2 = network("none", "conv3x3", "none", "skip", "none", "skip")
    assert same(by_node_1, by_node_2)
    assert not same(by_node_1, network("conv1x1", "none", "none", "skip", "skip", "none"))


def test_neither_module_nor_random_state_changes():
    module = net(nn.BatchNorm2d(4), nn.Dropout(0.5)).eval()
    module[1].train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    state = torch.get_rng_state()
    fingerprint(module, SHAPE)
    assert torch.equal(state, torch.get_rng_state())
    assert not module.training
    assert module[1].training
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_errors_of_the_forward_come_through():
    with pytest.raises(RuntimeError, match="expected input"):
        fingerprint(nn.Conv2d(3, 4, 3), SHAPE)


class Times(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return x * self.value


def test_constants_and_indices_count():
    assert same(net(Times(torch.tensor(2.0))), net(Times(torch.tensor(2.0))))
    assert not same(net(Times(torch.tensor(2.0))), net(Times(torch.tensor(0.5))))

    class Pick(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.channels = channels

        def forward(self, x):
            return x[:, self.channels]

    assert not same(net(Pick([0, 1, 2, 3])), net(Pick([3, 1, 2, 0])))


def test_frozen_layers_count():
    frozen = net()
    frozen[0].requires_grad_(False)
    assert not same(net(), frozen)


def test_which_layers_share_a_weight_counts():
    def shared(order):
        layers = [nn.Conv2d(4, 4, 3, padding=1) for _ in range(2)]
        return net(*(layers[index] for index in order))

    assert same(shared([0, 0, 1]), shared([1, 1, 0]))
    assert not same(shared([0, 0, 1]), shared([0, 1, 0]))


def test_networks_with_chance_in_them_have_one_fingerprint():
    class Chance(nn.Module):
        def forward(self, x):
            return x * 2 if torch.rand(()).item() < 0.5 else x

    assert len({fingerprint(net(Chance()), SHAPE) for _ in range(8)}) == 1
