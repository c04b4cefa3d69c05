"""The data sets with a name: digits, Fashion-MNIST, CIFAR-10."""

import contextlib
import gzip
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from optnas.errors import UsageError
from optnas.task.parts import Part, stratified
from optnas.task.vision import import_torchvision

NAMES = ("digits", "fashion-mnist", "cifar10")

_DIGITS_SHARES = (0.6, 0.2, 0.2)
_VALIDATION_IMAGES = 5_000
"""As in ENAS (Pham et al. 2018); the standard error at 90 % accuracy is 0.4 points."""

_FASHION_CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat",
                    "sandal", "shirt", "sneaker", "bag", "ankle boot")  # fmt: skip
_FASHION_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_FOUND_AS = {
    "fashion-mnist": "the four files named like train-images-idx3-ubyte.gz, or FashionMNIST/raw/",
    "cifar10": "the folder cifar-10-batches-py/ of cifar-10-python.tar.gz",
}
_FROM = {
    "fashion-mnist": "https://github.com/zalandoresearch/fashion-mnist",
    "cifar10": "https://www.cs.toronto.edu/~kriz/cifar.html",
}


def read_search(name: str, root: Path, seed: int) -> tuple[Part, Part, tuple[str, ...]]:
    """Training part, validation part and class names of a data set; its test part is left alone."""
    if name == "digits":
        whole = _digits()
        train, val, _ = stratified(whole.y.numpy(), _DIGITS_SHARES, seed)
        return whole[train], whole[val], tuple("0123456789")
    whole, classes = _torchvision(name, root, "train")
    share = _VALIDATION_IMAGES / len(whole.y)
    train, val = stratified(whole.y.numpy(), (1 - share, share), seed)
    return whole[train], whole[val], classes


def read_test(name: str, root: Path, seed: int) -> Part:
    """The test part: the data set's own, or for digits the share that `read_search` leaves out."""
    if name == "digits":
        whole = _digits()
        return whole[stratified(whole.y.numpy(), _DIGITS_SHARES, seed)[2]]
    return _torchvision(name, root, "test")[0]


def _digits() -> Part:
    """1797 images of 8x8 (Alpaydin and Kaynak 1998), which scikit-learn installs with itself."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    return Part(torch.from_numpy(x[:, None]), torch.from_numpy(bunch.target.astype(np.int64)))


def _torchvision(name: str, root: Path, split: str) -> tuple[Part, tuple[str, ...]]:
    if root.exists() and not root.is_dir():
        raise UsageError(f"expected a folder as data_root for {name}, got the file {root}")
    if not root.parent.is_dir():
        raise UsageError(f"expected an existing folder as data_root for {name}, got {root}")
    read = _fashion_mnist if name == "fashion-mnist" else _cifar10
    try:
        try:
            return read(root, split, False)
        except RuntimeError:  # torchvision's word for "not there"
            return _downloaded(name, root, split)
    except (OSError, ValueError, EOFError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(
            f"expected whole files of {name} in data_root {root}, got {type(error).__name__}: {error}"
        ) from error


def _downloaded(name: str, root: Path, split: str) -> tuple[Part, tuple[str, ...]]:
    existed = root.exists()
    read = _fashion_mnist if name == "fashion-mnist" else _cifar10
    try:
        with contextlib.redirect_stdout(sys.stderr):  # torchvision prints; stdout is for results
            return read(root, split, True)
    except (OSError, RuntimeError) as error:
        if not existed:
            shutil.rmtree(root, ignore_errors=True)
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise UsageError(
            f"expected {_FOUND_AS[name]} in data_root {root}, found neither them nor a way to download them "
            f"({reason}): fetch them from {_FROM[name]} elsewhere, copy them there, and run again"
        ) from error


def _fashion_mnist(root: Path, split: str, download: bool) -> tuple[Part, tuple[str, ...]]:
    """Xiao et al. 2017; also straight from the four .gz files in `root` or `root`/fashion-mnist."""
    for folder in (root, root / "fashion-mnist"):
        if all((folder / f"{file}.gz").is_file() for files in _FASHION_FILES.values() for file in files):
            return _fashion_mnist_from_gz(folder, split)
    return _fashion_mnist_part(root, split, download)


def _fashion_mnist_from_gz(folder: Path, split: str) -> tuple[Part, tuple[str, ...]]:
    """torchvision takes .gz files only with its own checksums, so they are unpacked where it looks next."""
    with tempfile.TemporaryDirectory() as temporary:
        raw = Path(temporary, "FashionMNIST", "raw")
        raw.mkdir(parents=True)
        for files in _FASHION_FILES.values():
            for file in files:
                (raw / file).touch()  # torchvision wants all four present, also where it reads only two
        for file in _FASHION_FILES[split]:
            with gzip.open(folder / f"{file}.gz") as packed, open(raw / file, "wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
        return _fashion_mnist_part(Path(temporary), split, False)


def _fashion_mnist_part(root: Path, split: str, download: bool) -> tuple[Part, tuple[str, ...]]:
    datasets: Any = import_torchvision().datasets
    data = datasets.FashionMNIST(str(root), train=split == "train", download=download)
    return Part(data.data[:, None].contiguous(), data.targets.long()), _FASHION_CLASSES


def _cifar10(root: Path, split: str, download: bool) -> tuple[Part, tuple[str, ...]]:
    """Krizhevsky 2009."""
    datasets: Any = import_torchvision().datasets
    data = datasets.CIFAR10(str(root), train=split == "train", download=download)
    x = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()
    return Part(x, torch.tensor(data.targets, dtype=torch.int64)), tuple(data.classes)
