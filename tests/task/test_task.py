import inspect
import json
import pickle
from dataclasses import fields, replace

import optuna
import pytest
import torch
from torch import nn

from optnas.errors import UsageError
from optnas.study import ProcessPool
from optnas.task import ImageTask, Learned, Task, load_images

LINEAR = ImageTask(epochs=1, train_images=100)


def linear() -> nn.Module:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    nn.init.zeros_(network[1].weight)
    nn.init.zeros_(network[1].bias)
    return network


def error_in_worker(task: ImageTask) -> float:
    return task.train(linear(), 0).error


def test_digits_are_the_default_and_say_their_shape():
    task = ImageTask()
    assert (task.input_shape, task.num_classes) == ((1, 8, 8), 10)


def test_digits_are_never_mirrored_and_fashion_is():
    names = ("digits", "fashion-mnist", "cifar10")
    augmented = [ImageTask(name, augment=True).settings for name in names]
    assert [(s.flip, s.crop_padding) for s in augmented] == [(False, 1), (True, 2), (True, 4)]


def test_images_are_left_alone_unless_augmented():
    settings = ImageTask("cifar10").settings
    assert (settings.flip, settings.crop_padding) == (False, 0)


def test_the_default_learning_rate_grows_with_the_root_of_the_batch_size():
    default = ImageTask("fashion-mnist", device="cpu").settings
    assert ImageTask("fashion-mnist", batch_size=4 * default.batch_size).settings.lr == 2 * default.lr
    assert ImageTask("fashion-mnist", batch_size=4 * default.batch_size, lr=0.1).settings.lr == 0.1


def test_padding_of_an_image_folder_is_an_eighth_of_its_side(tmp_path, make_images):
    for name in ("a", "b"):
        make_images(tmp_path / name, 4, size=(32, 24))
    assert ImageTask(f"imagefolder:{tmp_path}", augment=True).settings.crop_padding == 3


@pytest.mark.slow
def test_a_task_trains_the_same_in_another_process():
    pool = ProcessPool(1)
    try:
        there = pool.submit(error_in_worker, LINEAR).result()
    finally:
        pool.close()
    assert there == error_in_worker(LINEAR) < 0.9


def test_a_task_is_pickled_without_its_images():
    LINEAR.train(linear(), 0)
    assert len(pickle.dumps(LINEAR)) < 1000
    assert pickle.loads(pickle.dumps(LINEAR)) == LINEAR


def test_the_test_error_is_that_of_the_test_images():
    network = linear()  # all logits equal: argmax says 0, and a tenth of the test images is a 0
    assert ImageTask().test_error(network) == pytest.approx(0.9, abs=0.01)


def test_nothing_is_suggested_unless_tuned():
    trial = optuna.create_study().ask()
    assert ImageTask().suggest(trial) == ImageTask()
    assert trial.params == {}


def test_tuned_hyperparameters_are_choices_of_the_trial():
    task = ImageTask(lr=0.01, weight_decay=0.1, tune=("lr", "weight_decay"))
    trial = optuna.create_study().ask()
    chosen = task.suggest(trial)
    assert trial.params == {"train.lr": chosen.lr, "train.weight_decay": chosen.weight_decay}
    assert trial.distributions == {
        "train.lr": optuna.distributions.FloatDistribution(0.002, 0.05, log=True),
        "train.weight_decay": optuna.distributions.FloatDistribution(0.01, 1.0, log=True),
    }
    assert replace(chosen, lr=0.01, weight_decay=0.1, tune=task.tune) == task


def test_a_description_is_json_and_complete():
    described = ImageTask(tune=("weight_decay", "lr")).describe()
    assert json.loads(json.dumps(described)) == described
    assert described["data"] == "digits"
    assert (described["n_train"], described["n_val"]) == (1079, 359)
    assert described["input_shape"] == [1, 8, 8]
    assert described["classes"] == list("0123456789")
    assert described["tune"] == ["lr", "weight_decay"]


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 3}, {"batch_size": 48}, {"lr": 0.5}, {"weight_decay": 0.5}, {"train_images": 100},
        {"image_size": 12}, {"augment": True}, {"tune": ("lr",)}, {"split_seed": 1},
    ],
)  # fmt: skip
def test_another_task_describes_itself_otherwise(change):
    assert replace(ImageTask(), **change).describe() != ImageTask().describe()


def test_the_same_images_elsewhere_are_the_same_task(tmp_path, make_images):
    for name in ("a", "b"):
        make_images(tmp_path / "here" / name, 4)
    here = ImageTask(f"imagefolder:{tmp_path / 'here'}").describe()
    (tmp_path / "here").rename(tmp_path / "there")
    load_images.__globals__["_load"].cache_clear()
    assert ImageTask(f"imagefolder:{tmp_path / 'there'}").describe() == here
    assert str(tmp_path) not in json.dumps(here)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"data": "mnist"}, "expected data to be one of digits, .*, got 'mnist'"),
        ({"data_root": ""}, "expected data_root to be the name of a folder, got ''"),
        ({"epochs": 0}, "expected epochs to be a whole number from 1, got 0"),
        ({"epochs": 1.5}, "expected epochs .* got 1.5"),
        ({"epochs": True}, "expected epochs .* got True"),
        ({"batch_size": 1}, "expected batch_size to be a whole number from 2, got 1"),
        ({"lr": 0}, "expected lr to be a finite number above 0, got 0"),
        ({"lr": float("nan")}, "expected lr .* got nan"),
        ({"lr": "fast"}, "expected lr .* got 'fast'"),
        ({"weight_decay": -0.1}, "expected weight_decay to be a finite number from 0, got -0.1"),
        ({"train_images": -5}, "expected train_images .* got -5"),
        ({"image_size": 0}, "expected image_size to be a whole number from 1, got 0"),
        ({"augment": "no"}, "expected augment to be True or False, got 'no'"),
        ({"device": "tpu"}, 'expected device to be "auto", "cpu" or "cuda", got \'tpu\''),
        ({"tune": "lr"}, "expected tune to be a tuple .* got 'lr'"),
        ({"tune": ("momentum",)}, "expected tune .* got .*momentum"),
        ({"tune": ("lr", "lr")}, "expected tune .* each once"),
        ({"tune": ("weight_decay",), "weight_decay": 0}, "expected a weight_decay above 0"),
        ({"split_seed": -1}, "expected split_seed to be a whole number from 0, got -1"),
        ({"split_seed": None}, "expected split_seed .* got None"),
    ],
)
def test_every_field_is_checked(change, sentence):
    with pytest.raises(UsageError, match=sentence):
        replace(ImageTask(), **change)


def test_every_field_is_explained():
    source = inspect.getsource(ImageTask)
    for field in fields(ImageTask):
        after = source.split(f"\n    {field.name}: ", 1)[1].split("\n", 2)[1]
        assert after.strip().startswith('"""'), field.name


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for what is there")
def test_cuda_where_there_is_none_is_refused():
    assert ImageTask().settings.device == "cpu"
    with pytest.raises(UsageError, match="expected a CUDA device"):
        ImageTask(device="cuda").describe()


def test_a_task_of_ones_own_needs_three_members():
    class Mine(Task):
        input_shape = (3, 8, 8)
        num_classes = 2

        def train(self, module, seed, on_epoch=None):
            return Learned(error=0.5, curve=(0.5,), epochs=1, seconds=1.0, images_per_second=1.0)

    task = Mine()
    assert task.suggest(optuna.create_study().ask()) is task
    assert task.describe() == {}
    assert task.train(linear(), 0).error == 0.5
    with pytest.raises(TypeError, match="abstract"):
        Task()


@pytest.mark.slow
def test_the_defaults_reach_97_percent_on_digits():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip
    learned = ImageTask().train(network, 0)
    assert learned.error < 0.03
