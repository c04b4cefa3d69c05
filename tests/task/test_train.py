import math
import pickle
import sys
from dataclasses import replace

import optuna
import pytest
import torch
from torch import nn

from optnas.errors import UsageError
from optnas.task import (
    DataSettings,
    Images,
    TrainingDiverged,
    TrainSettings,
    evaluate,
    load_images,
    load_test,
    train_images,
)
from optnas.task.batches import Batches, Normalise
from optnas.task.train import _optimizer, rise_and_fall

QUICK = TrainSettings(epochs=2, batch_size=64, lr=0.02, weight_decay=0.05)
CPU = torch.device("cpu")


@pytest.fixture
def digits() -> Images:
    return load_images(DataSettings("digits"))


def small(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Flatten(),
            nn.Linear(512, 10),
        )


def counted(n: int, channels: int = 1, height: int = 4, width: int = 5) -> Images:
    """Training images whose every pixel has a value of its own, and moments that change no value."""
    x = torch.arange(1, n * channels * height * width + 1, dtype=torch.uint8).view(n, channels, height, width)
    y = torch.arange(n)
    return Images(x, y, x, y, (0.0,) * channels, (1 / 255,) * channels, tuple(map(str, range(n))))


def batches(images: Images, batch_size=64, crop_padding=0, flip=False, seed=0) -> Batches:
    generator = torch.Generator().manual_seed(seed)
    return Batches(images, batch_size=batch_size, crop_padding=crop_padding, flip=flip, device=CPU, generator=generator)


def test_an_epoch_gives_each_image_once_with_its_label():
    images = counted(7, channels=2, height=3, width=3)
    seen = {}
    for x, y in batches(images, batch_size=3).epoch():
        assert x.is_contiguous(memory_format=torch.channels_last)
        seen.update({int(label): image for image, label in zip(x, y, strict=True)})
    assert sorted(seen) == list(range(7))
    for label, image in seen.items():
        torch.testing.assert_close(image, images.train_x[label].float())


@pytest.mark.parametrize(
    ("n", "batch_size", "sizes"),
    [(10, 4, [4, 3, 3]), (9, 4, [3, 3, 3]), (65, 64, [33, 32]), (3, 2, [3]), (5, 64, [5]), (1, 64, [1])],
)
def test_batches_are_nearly_equal_and_no_image_is_alone(n, batch_size, sizes):
    assert [len(y) for _, y in batches(counted(n, height=1), batch_size=batch_size).epoch()] == sizes


def test_a_flip_mirrors_about_half_of_the_images_left_to_right():
    images = counted(12)
    flipped = 0
    for seed in range(20):
        ((x, y),) = batches(images, flip=True, seed=seed).epoch()
        for image, label in zip(x, y, strict=True):
            original = images.train_x[label].float()
            mirrored = torch.allclose(image, original.flip(-1))
            assert mirrored or torch.allclose(image, original)
            flipped += mirrored
    assert 90 < flipped < 150  # of 240: 120, standard deviation 7.7


def test_a_crop_is_a_window_of_the_padded_image_and_each_window_occurs():
    images = counted(12)
    windows = set()
    for seed in range(20):
        ((x, y),) = batches(images, crop_padding=1, seed=seed).epoch()
        for image, label in zip(x, y, strict=True):
            padded = nn.functional.pad(images.train_x[label].float(), (1, 1, 1, 1))
            places = [(i, j) for i in range(3) for j in range(3)
                      if torch.allclose(image, padded[:, i : i + 4, j : j + 5])]  # fmt: skip
            assert len(places) == 1
            windows.update(places)
    assert len(windows) == 9


def test_pixels_are_normalised_by_channel():
    images = replace(counted(2, channels=2), mean=(0.5, 0.2), std=(0.25, 0.1))
    x = torch.tensor([255, 51], dtype=torch.uint8).view(1, 2, 1, 1)
    assert Normalise(images, CPU)(x).flatten().tolist() == pytest.approx([2.0, 0.0], abs=1e-6)


def test_two_epochs_learn_digits(digits):
    network = small()
    told = []
    learned = train_images(network, digits, QUICK, 0, lambda *epoch: told.append(epoch))
    assert learned.error < 0.10
    assert learned.error == learned.curve[-1]
    assert told == [(1, learned.curve[0]), (2, learned.curve[1])]
    assert learned.epochs == 2
    assert learned.images_per_second > 2 * len(digits.train_y) / learned.seconds
    if sys.platform in ("linux", "darwin"):
        assert 50e6 < learned.peak_memory_bytes < 50e9
    assert evaluate(network, digits, digits.val_x, digits.val_y) == learned.error
    test = load_test(DataSettings("digits"))
    assert evaluate(network, digits, test.x, test.y) < 0.15


def test_the_same_seed_gives_the_same_weights_bit_for_bit(digits):
    settings = replace(QUICK, crop_padding=1, flip=True)
    networks = [small(), small(), small()]
    curves = []
    for network, seed in zip(networks, (5, 5, 6), strict=True):
        torch.rand(3)  # the caller's random state is not to matter
        curves.append(train_images(network, digits, settings, seed).curve)
    first, again, other = (nn.utils.parameters_to_vector(n.parameters()) for n in networks)
    assert curves[0] == curves[1]
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_caller_gets_back_random_state_and_threads(digits):
    threads = torch.get_num_threads()
    inside = []
    try:
        torch.set_num_threads(2)
        state = torch.get_rng_state()
        train_images(small(), digits, QUICK, 0, lambda *_: inside.append(torch.get_num_threads()))
        assert inside == [1, 1]
        assert torch.get_num_threads() == 2
        assert torch.equal(torch.get_rng_state(), state)
    finally:
        torch.set_num_threads(threads)


def test_what_on_epoch_raises_stops_training_and_comes_through(digits):
    def stop(epoch: int, error: float) -> None:
        raise optuna.TrialPruned(f"epoch {epoch}")

    threads = torch.get_num_threads()
    network = small()
    with pytest.raises(optuna.TrialPruned, match="epoch 1"):
        train_images(network, digits, QUICK, 0, stop)
    assert torch.get_num_threads() == threads
    assert not network.training


class Poisoned(nn.Module):
    """Finite until a number of training steps has passed, then NaN."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.body, self.steps, self.after = small(), 0, after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += self.training
        return self.body(x) * (math.nan if self.steps > self.after else 1)


@pytest.mark.parametrize(("after", "epoch", "step"), [(0, 1, 1), (3, 1, 4), (17, 2, 1)])
def test_a_loss_that_is_not_finite_ends_training_at_once(digits, after, epoch, step):
    network = Poisoned(after)
    with pytest.raises(TrainingDiverged, match=f"epoch {epoch} at step {step}") as caught:
        train_images(network, digits, QUICK, 0)
    assert (caught.value.epoch, caught.value.step) == (epoch, step)
    assert network.steps == after + 1


def test_outputs_that_are_not_finite_in_validation_end_training(digits):
    class Blind(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = small()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.body(x) if self.training else self.body(x) / 0

    with pytest.raises(TrainingDiverged, match="epoch 1 at step 17"):
        train_images(Blind(), digits, QUICK, 0)


def test_diverged_survives_the_way_back_from_a_worker():
    error = pickle.loads(pickle.dumps(TrainingDiverged(3, 14)))
    assert (error.epoch, error.step, str(error)) == (3, 14, str(TrainingDiverged(3, 14)))


def test_an_error_of_the_network_comes_through_unchanged(digits):
    class Faulty(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        train_images(Faulty(1, 1), digits, QUICK, 0)


@pytest.mark.parametrize("network", [nn.Sequential(nn.Flatten(), nn.Linear(64, 9)), nn.Conv2d(1, 10, 1)])
def test_logits_of_another_shape_are_refused(digits, network):
    with pytest.raises(UsageError, match=r"expected logits of shape \(64, 10\) .* got \(64, "):
        train_images(network, digits, QUICK, 0)


def test_the_learning_rate_rises_and_falls_to_zero():
    factor = rise_and_fall(10, 0.2)
    assert [factor(step) for step in range(11)] == pytest.approx(
        [0.5, 1, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0]
    )
    assert [rise_and_fall(1, 0.2)(step) for step in range(2)] == [1, 0]


def test_batch_norm_and_biases_do_not_decay():
    network = small()
    decay = {id(p): group["weight_decay"] for group in _optimizer(network, QUICK).param_groups
             for p in group["params"]}  # fmt: skip
    decays = [name for name, p in network.named_parameters() if decay[id(p)] == 0.05]
    decays_not = [name for name, p in network.named_parameters() if decay[id(p)] == 0]
    assert decays == ["0.weight", "3.weight", "7.weight"]
    assert decays_not == ["1.weight", "1.bias", "3.bias", "7.bias"]


def test_evaluate_counts_what_is_wrong():
    images = counted(10, height=1, width=1)  # image i has the pixel i + 1
    always_three = nn.Sequential(nn.Flatten(), nn.Linear(1, 10))
    with torch.no_grad():
        always_three[1].weight.zero_()
        always_three[1].bias.copy_(nn.functional.one_hot(torch.tensor(3), 10))
    assert evaluate(always_three, images, images.val_x, images.val_y) == 0.9
