"""A task: what a network is trained on, and how, behind one method."""

import inspect
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import optuna
import torch
from torch import nn

from optnas.errors import UsageError
from optnas.task.checkpoint import Checkpoint
from optnas.task.data import DataSettings, Images, check_data_name, load_images, load_test
from optnas.task.train import Learned, OnEpoch, TrainSettings, evaluate, train_images


class Task(ABC):
    """What networks learn in a study. Subclass it to bring data or training of one's own.

    A task travels to worker processes: keep plain values in it, and load data on first use.
    """

    @property
    @abstractmethod
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""

    @property
    @abstractmethod
    def num_classes(self) -> int:
        """How many classes a network tells apart: the length of its logits."""

    @abstractmethod
    def train(
        self,
        module: nn.Module,
        seed: int,
        on_epoch: OnEpoch | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Learned:
        """Train `module` in place, on training data, and judge it on validation data; never on test data.

        Called once for each trial that is not refused for its cost. `on_epoch(epoch, error)` is to be called
        after each epoch (from 1); what it raises ends the training and must come through.

        A task may leave the parameter `checkpoint` out: its trainings then begin anew after a crash. With it they go
        on from the last epoch, see `Checkpoint`, whose description has the loop; it is None where nothing is kept.
        """

    def suggest(self, trial: optuna.trial.BaseTrial) -> "Task":
        """The task that `trial` is trained with: here training hyperparameters become choices of a trial."""
        return self

    def describe(self) -> dict[str, Any]:
        """Plain JSON values that a study stores: it resumes only with a task that describes itself alike."""
        return {}


def takes_checkpoint(task: Task) -> bool:
    """Whether the trainings of a task, a person's own perhaps, can go on from a checkpoint."""
    return "checkpoint" in inspect.signature(task.train).parameters


class _Defaults(NamedTuple):
    """Settings that suit networks of 10 thousand to 1 million parameters, measured on validation images."""

    epochs: int
    batch_size: int
    lr: float  # at `batch_size`
    weight_decay: float
    crop_padding: int | None  # None: an eighth of the image's side
    flip: bool


_DEFAULTS = {
    "digits": _Defaults(8, 64, 0.03, 0.05, 1, False),  # a mirrored 2 is no digit
    "fashion-mnist": _Defaults(5, 128, 0.02, 0.05, 2, True),
    "cifar10": _Defaults(10, 128, 0.02, 0.05, 4, True),
    "imagefolder": _Defaults(10, 64, 0.02, 0.05, None, True),
}
_CUDA_BATCH_SIZE = 512
_TUNABLE = {"lr": 5.0, "weight_decay": 10.0}
"""What `tune` may name, and its factor: it is searched from value / factor to value * factor."""


@dataclass(frozen=True)
class ImageTask(Task):
    """Image classification. None stands for the data set's own value, which `settings` resolves."""

    data: str = "digits"
    """"digits" (scikit-learn's), "fashion-mnist", "cifar10", or "imagefolder:DIR"."""

    data_root: str = "data"
    """Folder with the files of Fashion-MNIST or CIFAR-10; what is missing is downloaded into it."""

    epochs: int | None = None
    """Passes over the training images."""

    batch_size: int | None = None
    """Most images in one training step; by default 512 on CUDA."""

    lr: float | None = None
    """Highest learning rate; by default it grows with the root of the batch size (Malladi et al. 2022)."""

    weight_decay: float | None = None
    """Weight decay of AdamW, on weights but not on biases and batch norm."""

    train_images: int | None = None
    """How many training images to use, drawn by seed, as many of each class; by default all."""

    val_images: int | None = None
    """The same for validation images: fewer are quicker to look at after each epoch, and their error is noisier."""

    image_size: int | None = None
    """Side in pixels to which images are resized and cropped at the centre; by default they stay."""

    augment: bool = False
    """Whether training images are cropped at random and, other than digits, mirrored left to right.

    Meant for tens of epochs: in 3 on Fashion-MNIST and 5 on CIFAR-10 it cost 4 to 6 points of accuracy.
    """

    device: str = "auto"
    """"cpu", "cuda", or "auto": CUDA where there is one."""

    tune: tuple[str, ...] = ()
    """Which of "lr" and "weight_decay" each trial chooses for itself, around the value given here."""

    split_seed: int = 0
    """Seed of the split into training and validation images, and of the draws of those limits."""

    def __post_init__(self) -> None:
        """Raises `UsageError` for the first field that is out of range."""
        check_data_name(self.data)
        if not isinstance(self.data_root, str) or not self.data_root:
            raise UsageError(f"expected data_root to be the name of a folder, got {self.data_root!r}")
        _check_whole("epochs", self.epochs, 1)
        _check_whole("batch_size", self.batch_size, 2)  # batch norm cannot train on one image
        _check_whole("train_images", self.train_images, 2)
        _check_whole("val_images", self.val_images, 2)
        _check_whole("image_size", self.image_size, 1)
        _check_number("lr", self.lr, zero=False)
        _check_number("weight_decay", self.weight_decay, zero=True)
        if not isinstance(self.augment, bool):
            raise UsageError(f"expected augment to be True or False, got {self.augment!r}")
        if self.device not in ("auto", "cpu", "cuda"):
            raise UsageError(f'expected device to be "auto", "cpu" or "cuda", got {self.device!r}')
        self._check_tune()
        if self.split_seed is None:
            raise UsageError("expected split_seed to be a whole number from 0, got None")
        _check_whole("split_seed", self.split_seed, 0)

    def _check_tune(self) -> None:
        known = " and ".join(f'"{name}"' for name in _TUNABLE)
        if (
            not isinstance(self.tune, tuple)
            or len(set(self.tune)) < len(self.tune)
            or not set(self.tune) <= _TUNABLE.keys()
        ):
            raise UsageError(f"expected tune to be a tuple of {known}, each once, got {self.tune!r}")
        if "weight_decay" in self.tune and self.weight_decay == 0:
            raise UsageError("expected a weight_decay above 0 to tune it around, got 0")

    @property
    def data_settings(self) -> DataSettings:
        """The part of the task that names its images."""
        return DataSettings(
            self.data, self.data_root, self.train_images, self.val_images, self.image_size, self.split_seed
        )

    @property
    def images(self) -> Images:
        """Training and validation images, loaded once in a process. Raises `UsageError` as `load_images`."""
        return load_images(self.data_settings)

    @property
    def settings(self) -> TrainSettings:
        """How networks are trained here, without a None. Raises `UsageError` for CUDA where there is none."""
        default = _DEFAULTS[self.data.split(":")[0]]
        device = _device(self.device)
        batch_size = self.batch_size or (_CUDA_BATCH_SIZE if device == "cuda" else default.batch_size)
        lr = default.lr * math.sqrt(batch_size / default.batch_size) if self.lr is None else self.lr
        padding = min(self.input_shape[1:]) // 8 if default.crop_padding is None else default.crop_padding
        return TrainSettings(
            epochs=self.epochs or default.epochs,
            batch_size=batch_size,
            lr=lr,
            weight_decay=default.weight_decay if self.weight_decay is None else self.weight_decay,
            crop_padding=padding if self.augment else 0,
            flip=self.augment and default.flip,
            device=device,
        )

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image; loads the images. Raises `UsageError` as `load_images`."""
        return self.images.input_shape

    @property
    def num_classes(self) -> int:
        """How many classes the images have; loads them. Raises `UsageError` as `load_images`."""
        return len(self.images.classes)

    def train(
        self,
        module: nn.Module,
        seed: int,
        on_epoch: OnEpoch | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Learned:
        """Train `module` in place; see `train_images` for what is promised and raised."""
        return train_images(module, self.images, self.settings, seed, on_epoch, checkpoint)

    def test_error(self, module: nn.Module) -> float:
        """Share of the test images that `module` gets wrong: for the end of a search, never to select by."""
        part = load_test(self.data_settings)
        return evaluate(module, self.images, part.x, part.y)

    def suggest(self, trial: optuna.trial.BaseTrial) -> "ImageTask":
        """This task with what `tune` names chosen by `trial`, log-uniform, as "train.lr" and so on."""
        settings = self.settings
        chosen: dict[str, Any] = {}
        for name in self.tune:
            value, factor = getattr(settings, name), _TUNABLE[name]
            chosen[name] = trial.suggest_float(f"train.{name}", value / factor, value * factor, log=True)
        return replace(self, **chosen, tune=())

    def describe(self) -> dict[str, Any]:
        """The images by content, wherever they lie, and every setting of the training."""
        images, settings = self.images, self.settings
        return {
            "data": self.data.split(":")[0],
            "digest": images.digest,
            "n_train": len(images.train_y),
            "n_val": len(images.val_y),
            "input_shape": list(images.input_shape),
            "classes": list(images.classes),
            "skipped_files": len(images.skipped),
            "split_seed": self.split_seed,
            "epochs": settings.epochs,
            "batch_size": settings.batch_size,
            "lr": settings.lr,
            "weight_decay": settings.weight_decay,
            "crop_padding": settings.crop_padding,
            "flip": settings.flip,
            "warmup": settings.warmup,
            "label_smoothing": settings.label_smoothing,
            "tune": sorted(self.tune),
        }


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("expected a CUDA device for device cuda, but torch finds none")
    return name


def _check_whole(name: str, value: object, least: int) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
        raise UsageError(f"expected {name} to be a whole number from {least}, got {value!r}")


def _check_number(name: str, value: object, *, zero: bool) -> None:
    if value is None:
        return
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0 or (value == 0 and not zero):  # type: ignore[arg-type, operator]
        bound = "from 0" if zero else "above 0"
        raise UsageError(f"expected {name} to be a finite number {bound}, got {value!r}")
