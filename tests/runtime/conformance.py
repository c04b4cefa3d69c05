"""What every runtime with files does, whichever it is: inherited by the tests of each."""

import numpy as np
import pytest
import torch
from torch import nn

from optnas.runtime import ExportFailed
from optnas.space import RandomTrial, cell, mobile

SHAPE = (1, 8, 8)


def network(space, seed):
    """A random network of a space with random weights and batch norms that have seen images, in training mode."""
    torch.manual_seed(seed)
    module = space(RandomTrial(np.random.default_rng(seed)), SHAPE, 10)
    with torch.no_grad():
        for _ in range(20):
            module.train()(torch.randn(32, *SHAPE))
    return module


def images(count=32):
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(1))


def outputs(run, inputs):
    """(n, classes), one image a call."""
    return np.concatenate([run(image[None].numpy()) for image in inputs])


def expected(module, inputs):
    with torch.no_grad():
        return module.eval()(inputs).numpy()


class Small(nn.Module):
    """Convolutions, a gate of squeeze-and-excitation whose first layer gives only zeros, and a linear layer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 24, 3, padding=1)
        self.norm = nn.BatchNorm2d(24)
        self.wide = nn.Conv2d(24, 48, 3, 2, 1)
        self.squeeze, self.excite = nn.Conv2d(48, 8, 1), nn.Conv2d(8, 48, 1)
        nn.init.constant_(self.squeeze.bias, -100.0)
        self.linear = nn.Linear(48, 10)

    def forward(self, x):
        x = self.wide(nn.functional.hardswish(self.norm(self.conv(x))))
        gate = self.excite(torch.relu(self.squeeze(x.mean((2, 3), keepdim=True))))
        return self.linear((x * nn.functional.hardsigmoid(gate)).mean((2, 3)))


class Decomposes(nn.Module):
    """No phone takes a singular value decomposition."""

    def forward(self, x):
        return torch.linalg.svd(x[:, 0])[0].flatten(1)


class FileRuntimeTests:
    """Set `runtime`."""

    runtime = None

    def agree(self, module):
        inputs, reference = images(), expected(module, images())
        found = outputs(self.runtime.load(self.runtime.export(module, SHAPE)), inputs)
        assert found.shape == reference.shape
        assert found.dtype == np.float32
        assert np.abs(found - reference).max() <= 1e-3 * np.abs(reference).max()

    def agree_in_int8(self, module, share):
        """Largest difference as a share of the largest logit; agreement of classes says little of random weights."""
        reference = expected(module, images())
        file = self.runtime.quantise(module, SHAPE, images(64))
        found = outputs(self.runtime.load(file), images())
        assert found.shape == reference.shape
        assert found.dtype == np.float32
        assert np.abs(found - reference).mean() <= share * np.abs(reference).max()
        return file

    def test_the_file_agrees_with_pytorch(self):
        self.agree(Small())

    def test_int8_is_smaller_and_near(self):
        module = Small()
        file = self.agree_in_int8(module, 0.05)
        assert len(file) < 0.6 * len(self.runtime.export(module, SHAPE))

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_mobile_networks(self, seed):
        module = network(mobile, seed)
        self.agree(module)
        self.agree_in_int8(module, 0.05)

    @pytest.mark.slow
    def test_a_cell(self):
        module = network(cell, 0)
        self.agree(module)
        self.agree_in_int8(module, 0.05)

    def test_the_module_the_random_state_and_the_threads_are_left_alone(self):
        module = Small().train()
        before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        random_state, threads = torch.get_rng_state(), torch.get_num_threads()
        self.runtime.quantise(module, SHAPE, images(2))
        self.runtime.load(self.runtime.export(module, SHAPE))(images(1).numpy())
        assert torch.equal(torch.get_rng_state(), random_state)
        assert torch.get_num_threads() == threads
        assert all(part.training for part in module.modules())
        assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())

    def test_what_it_cannot_take_is_said_in_one_line(self, capfd):
        for attempt in (
            lambda: self.runtime.export(Decomposes(), SHAPE),
            lambda: self.runtime.quantise(Decomposes(), SHAPE, images(2)),
        ):
            with pytest.raises(ExportFailed, match=r"cannot") as caught:
                attempt()
            assert "svd" in str(caught.value)
            assert "\n" not in str(caught.value)
        assert capfd.readouterr().out == ""

    def test_a_damaged_file_is_refused(self):
        with pytest.raises(ExportFailed, match="cannot load") as caught:
            self.runtime.load(b"\x00 this is no network" * 100)
        assert "\n" not in str(caught.value)
