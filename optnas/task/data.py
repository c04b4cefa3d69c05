"""What a task learns from: images as tensors in memory, and the settings that name them.

The test split is apart. `load_images` gives training and validation images and never opens a test image;
`load_test` reads the test images, once, when a search is over.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import torch

from optnas.errors import UsageError
from optnas.task import folder, known
from optnas.task.parts import Part, balanced

_FOLDER = "imagefolder:"
_adopted: dict["DataSettings", "Images"] = {}


@dataclass(frozen=True)
class DataSettings:
    """Which images, and how they are cut into parts."""

    data: str
    """"digits", "fashion-mnist", "cifar10", or "imagefolder:DIR"."""

    data_root: str = "data"
    """Folder with the files of Fashion-MNIST or CIFAR-10; a download goes there."""

    train_images: int | None = None
    """How many training images to draw, as many of each class; None takes all. Validation stays whole."""

    val_images: int | None = None
    """The same for validation images."""

    image_size: int | None = None
    """Side in pixels to which images are brought: shorter side resized, then the centre; None keeps them."""

    split_seed: int = 0
    """Seed of the split into training and validation, and of the draws of `train_images` and `val_images`."""


@dataclass(frozen=True, eq=False)
class Images:
    """Training and validation images of one data set."""

    train_x: torch.Tensor
    """Training images, uint8, (n_train, channels, height, width)."""

    train_y: torch.Tensor
    """Their class indices, int64, (n_train,)."""

    val_x: torch.Tensor
    """Validation images, uint8, (n_val, channels, height, width)."""

    val_y: torch.Tensor
    """Their class indices, int64, (n_val,)."""

    mean: tuple[float, ...]
    """Mean of each channel over the training images, pixels scaled to [0, 1]."""

    std: tuple[float, ...]
    """Standard deviation of each channel over the training images, pixels scaled to [0, 1]."""

    classes: tuple[str, ...]
    """Class names, in the order of the class indices."""

    skipped: tuple[str, ...] = ()
    """Training and validation files that could not be decoded, named from the image folder on."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        channels, height, width = self.train_x.shape[1:]
        return channels, height, width

    @cached_property
    def digest(self) -> str:
        """SHA-256 (16 hex digits) of pixels, labels and class names: the same wherever the files lie.

        JPEG decoders may differ in the last bit, so another version of Pillow can give another digest.
        """
        sha = hashlib.sha256(repr((self.classes, self.input_shape)).encode())
        for tensor in (self.train_x, self.train_y, self.val_x, self.val_y):
            sha.update(tensor.contiguous().numpy().data)
        return sha.hexdigest()[:16]


def load_images(settings: DataSettings) -> Images:
    """Training and validation images, read once in a process and then kept.

    Raises `UsageError` for an unknown data set, files that are missing or unreadable, images of several sizes
    without `image_size`, and more `train_images` or `val_images` than there are.
    """
    return _adopted.get(settings) or _load(_located(settings))


def adopt_images(settings: DataSettings, images: Images) -> None:
    """Have `load_images(settings)` give these images in this process: no file is looked for, here or elsewhere."""
    _adopted[settings] = images


def load_test(settings: DataSettings) -> Part:
    """The test images, brought to the channels and size of the training images. For the end of a search only.

    Raises `UsageError` as `load_images` does, and for an image folder without test images.
    """
    settings = _located(settings)
    if settings.data.startswith(_FOLDER):
        path = Path(settings.data.removeprefix(_FOLDER))
        shape = _load(settings).input_shape
        return folder.read_test(path, settings.image_size, settings.split_seed, shape)
    part = known.read_test(settings.data, Path(settings.data_root), settings.split_seed)
    return _resized(part, settings.image_size)


def check_test(settings: DataSettings) -> None:
    """Raises `UsageError` for an image folder without test images, from the names of files alone."""
    settings = _located(settings)
    if settings.data.startswith(_FOLDER):
        folder.check_test(Path(settings.data.removeprefix(_FOLDER)), settings.split_seed)


def check_data_name(data: object) -> None:
    """Raises `UsageError` unless `data` names a data set; the files are not looked for."""
    if isinstance(data, str) and (data in known.NAMES or (data.startswith(_FOLDER) and data != _FOLDER)):
        return
    raise UsageError(f"expected data to be one of {', '.join(known.NAMES)}, {_FOLDER}DIR, got {data!r}")


def _located(settings: DataSettings) -> DataSettings:
    """The same settings with absolute paths: what is kept must not depend on the working folder."""
    check_data_name(settings.data)
    root = str(Path(settings.data_root).expanduser().resolve())
    if not settings.data.startswith(_FOLDER):
        return replace(settings, data_root=root)
    path = Path(settings.data.removeprefix(_FOLDER)).expanduser().resolve()
    return replace(settings, data=f"{_FOLDER}{path}", data_root=root)


@lru_cache(maxsize=2)
def _load(settings: DataSettings) -> Images:
    if settings.data.startswith(_FOLDER):
        path = Path(settings.data.removeprefix(_FOLDER))
        train, val, classes = folder.read_search(path, settings.image_size, settings.split_seed)
    else:
        train, val, classes = known.read_search(settings.data, Path(settings.data_root), settings.split_seed)
    train = _limited(train, settings.train_images, "train_images", settings, len(classes))
    val = _limited(val, settings.val_images, "val_images", settings, len(classes))
    if not settings.data.startswith(_FOLDER):
        train, val = _resized(train, settings.image_size), _resized(val, settings.image_size)
    mean, std = _moments(train.x)
    skipped = tuple(sorted({*train.skipped, *val.skipped}))
    return Images(train.x, train.y, val.x, val.y, mean, std, classes, skipped)


def _limited(part: Part, count: int | None, name: str, settings: DataSettings, n_classes: int) -> Part:
    if count is None:
        return part
    if not n_classes <= count <= len(part.y):
        kind = {"train_images": "training", "val_images": "validation"}[name]
        raise UsageError(
            f"expected {name} from {n_classes} (the classes) to {len(part.y)} (the {kind} images) "
            f"of {settings.data}, got {count}"
        )
    return part[balanced(part.y.numpy(), count, settings.split_seed)]


def _resized(part: Part, size: int | None) -> Part:
    """Only the named data sets come here: their images are square, so nothing is cropped."""
    if size is None or part.x.shape[-1] == size:
        return part
    x = torch.nn.functional.interpolate(part.x, (size, size), mode="bilinear", antialias=True)
    return Part(x, part.y, part.skipped)


def _moments(x: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, summed in pieces: a float64 copy of all could not fit."""
    total = torch.zeros(x.shape[1], dtype=torch.float64)
    squares = torch.zeros_like(total)
    for piece in torch.split(x, 1024):
        pixels = piece.double() / 255
        total += pixels.sum((0, 2, 3))
        squares += pixels.square().sum((0, 2, 3))
    count = x.numel() / x.shape[1]
    mean = total / count
    # A channel of one value has no spread to divide by: one grey level stands in.
    std = (squares / count - mean.square()).clamp(min=0).sqrt().clamp(min=1 / 255)
    return tuple(mean.tolist()), tuple(std.tolist())
