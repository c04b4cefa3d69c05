"""From images to class names."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from optnas.deploy import Deployable, Facts, Model
from optnas.errors import UsageError

SHAPE = (3, 4, 6)


def reds(shape=SHAPE):
    """Tells images that are mostly red from others, by the mean of the first channel: above 0.5 of the range."""
    channels = shape[0]
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 2))
    with torch.no_grad():
        network[2].weight.zero_()
        network[2].weight[0, 0] = 1
        network[2].bias.zero_()
    facts = Facts("s", 0, {}, "mobile", "", shape, ("red", "other"), (0.5,) * channels, (0.25,) * channels, {}, {},
                  0.1, 0, 0.1)  # fmt: skip
    return Model(network, facts)


def test_deployable_normalises_exactly_as_training_does():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    mean, std = (0.1, 0.5, 0.9), (0.2, 0.3, 0.004)
    x = torch.rand(2, *SHAPE)
    deployable = Deployable(network, mean, std)
    by_hand = network((x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1))
    assert torch.allclose(deployable(x), by_hand, atol=1e-4)
    assert deployable.network is network
    assert not deployable.training
    assert torch.allclose(deployable.normalise.weight.flatten(), 1 / torch.tensor(std))


def test_the_probabilities_of_a_network_that_is_known():
    images = np.zeros((3, *SHAPE), np.uint8)
    images[0, 0] = 255
    images[1, 1] = 255
    model = reds()
    # The first logit is (1 - 0.5) / 0.25 = 2 for red and -2 for the others; the second is 0.
    expected = 1 / (1 + np.exp([-2, 2, 2]))
    assert model.probabilities(images)[:, 0] == pytest.approx(expected)
    assert model.predict(torch.from_numpy(images)) == ["red", "other", "other"]
    assert model.probabilities(images[:0]).shape == (0, 2)
    assert model.predict([]) == []


def test_pictures_and_files_are_brought_to_the_input(tmp_path):
    red, blue = Image.new("RGB", (60, 80), (255, 0, 0)), Image.new("RGBA", (6, 4), (0, 0, 255, 255))
    red.save(tmp_path / "red.png")
    assert reds().predict([red, tmp_path / "red.png", blue]) == ["red", "red", "other"]
    assert reds().predict(str(tmp_path / "red.png")) == ["red"]
    # In grey a white image is bright in its only channel.
    grey = reds((1, 8, 8))
    assert grey.predict([Image.new("L", (8, 8), 255), Image.new("RGB", (8, 8), 0)]) == ["red", "other"]
    assert red.size == (60, 80)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((1, 3, 4, 6), np.float32), r"expected uint8 pixels \(n, 3, 4, 6\), got float32"),
        (np.zeros((3, 4, 6), np.uint8), r"got uint8 \(3, 4, 6\)"),
        (torch.zeros(2, 3, 6, 4, dtype=torch.uint8), r"got uint8 \(2, 3, 6, 4\)"),
        (["nowhere.png"], "nowhere.png cannot be decoded: No such file"),
        ([3], "expected Pillow images or their files .* got int"),
    ],
)
def test_images_that_are_refused(images, words):
    with pytest.raises(UsageError, match=words):
        reds().predict(images)


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(UsageError, match=r"broken.png cannot be decoded"):
        reds().predict([tmp_path / "broken.png"])
