"""Images of one's own: DIR/train/CLASS/* with DIR/test/CLASS/* (and DIR/val/CLASS/*), or DIR/CLASS/*.

The files are cut into parts by name, before any is opened, so that a test image is never decoded in a search.
"""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps

from optnas.errors import UsageError
from optnas.task.parts import Part, stratified

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm"})
"""Endings of the files that are read, in any case; other files are passed over."""

#: What such a file may hold, whatever its ending says: Pillow knows formats that are programs, such as PostScript, and
#: would start an interpreter for them.
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "PPM")

_SHARES = (0.70, 0.15, 0.15)
_VAL_SHARE = 0.15
_SPLIT_NAMES = {"train", "test", "val", "valid", "validation"}

_Pixels = npt.NDArray[np.uint8]
_Labelled = list[tuple[Path, int]]


@dataclass(frozen=True)
class _Listing:
    """The files of each part with their labels; `test` is empty where a folder has no test images."""

    classes: tuple[str, ...]
    train: _Labelled
    val: _Labelled
    test: _Labelled


def read_search(folder: Path, image_size: int | None, seed: int) -> tuple[Part, Part, tuple[str, ...]]:
    """Training part, validation part and class names. One channel if every image is grey, else three.

    Files that cannot be decoded are left out and named in `Part.skipped`. Raises `UsageError` for a folder
    that is not laid out as above, an unreadable or empty one, images of several sizes without `image_size`,
    and where more than half of the files, or all of a class, cannot be decoded.
    """
    listing = _list(folder, seed)
    both = _read(folder, listing.train + listing.val, image_size, "RGB")
    n_train = len(listing.train)
    x = both.pixels
    if bool((x == x[..., :1]).all()):
        x = x[..., :1]
    parts = []
    for name, chosen in (("training", both.index < n_train), ("validation", both.index >= n_train)):
        part = _part(x[chosen], both.labels[chosen], both.skipped)
        _require_every_class(part, listing.classes, f"{name} images of {folder}")
        parts.append(part)
    return parts[0], parts[1], listing.classes


def read_test(folder: Path, image_size: int | None, seed: int, input_shape: tuple[int, int, int]) -> Part:
    """The test part, with the channels of `input_shape`; raises `UsageError` where its size is another."""
    listing = check_test(folder, seed)
    read = _read(folder, listing.test, image_size, "L" if input_shape[0] == 1 else "RGB")
    part = _part(read.pixels, read.labels, read.skipped)
    _require_every_class(part, listing.classes, f"test images of {folder}")
    if part.x.shape[1:] != input_shape:
        raise UsageError(
            f"expected test images of {_size(input_shape[1:])} pixels like the training images, "
            f"got {_size(part.x.shape[2:])} in {folder}"
        )
    return part


def check_test(folder: Path, seed: int) -> _Listing:
    """The files of each part; raises `UsageError` where a folder has no test images."""
    listing = _list(folder, seed)
    if not listing.test:
        raise UsageError(f"expected test images in {folder / 'test'}, got none")
    return listing


def _list(folder: Path, seed: int) -> _Listing:
    """Which file belongs to which part, from names alone."""
    if not folder.is_dir():
        got = "a file" if folder.exists() else "nothing"
        raise UsageError(f"expected a folder of images, found {got} at {folder}")
    top = _subfolders(folder)
    if "train" in top and _subfolders(folder / "train"):
        return _list_split(folder, set(top), seed)
    if top and _SPLIT_NAMES.issuperset(top):
        raise UsageError(f"expected a folder for each class inside {folder / top[0]}, got none")
    files = _classes(folder, len(_SHARES))
    labelled = _labelled(files)
    train, val, test = stratified(np.array([label for _, label in labelled]), _SHARES, seed)
    return _Listing(tuple(files), *([labelled[i] for i in part] for part in (train, val, test)))


def _list_split(folder: Path, top: set[str], seed: int) -> _Listing:
    val_name = next((name for name in ("val", "valid", "validation") if name in top), None)
    files = _classes(folder / "train", 1 if val_name else 2)
    others: dict[str, _Labelled] = {}
    for name in filter(None, (val_name, "test" if "test" in top else None)):
        other = _classes(folder / name, 1)
        if other.keys() != files.keys():
            raise UsageError(
                f"expected the same classes in {folder / 'train'} and {folder / name}, "
                f"got {', '.join(sorted(other.keys() ^ files.keys()))} in one of them only"
            )
        others[name] = _labelled(other)
    labelled = _labelled(files)
    if val_name:
        return _Listing(tuple(files), labelled, others[val_name], others.get("test", []))
    labels = np.array([label for _, label in labelled])
    train, val = stratified(labels, (1 - _VAL_SHARE, _VAL_SHARE), seed)
    return _Listing(tuple(files), [labelled[i] for i in train], [labelled[i] for i in val], others.get("test", []))


def _subfolders(folder: Path) -> list[str]:
    """Sorted names, without what systems leave behind (.ipynb_checkpoints, __MACOSX)."""
    try:
        entries = list(folder.iterdir())
    except PermissionError as error:
        raise UsageError(f"expected a folder that can be read, got no permission for {folder}") from error
    return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith((".", "__")))


def _classes(folder: Path, least: int) -> dict[str, list[Path]]:
    """Image files of each class folder, sorted by name; at least two classes and `least` files in each."""
    names = _subfolders(folder)
    if len(names) < 2:
        got = f"only {names[0]}" if names else "none"
        raise UsageError(f"expected a folder for each of two or more classes in {folder}, got {got}")
    classes = {}
    for name in names:
        try:
            entries = sorted((folder / name).iterdir())
        except PermissionError as error:
            raise UsageError(f"expected a folder that can be read, got no permission for {folder / name}") from error
        # ._photo.jpg is what macOS writes beside photo.jpg: no image.
        named = [e for e in entries if e.suffix.lower() in SUFFIXES and not e.name.startswith(".")]
        # A pipe or a device of that name would be read for ever.
        classes[name] = [e for e in named if e.is_file() or not e.exists()]
        if len(classes[name]) < least:
            raise UsageError(
                f"expected at least {least} image{'s' * (least > 1)} ({', '.join(sorted(SUFFIXES))}) "
                f"in the class folder {folder / name}, got {len(classes[name])}"
            )
    return classes


def _labelled(classes: dict[str, list[Path]]) -> _Labelled:
    return [(path, label) for label, paths in enumerate(classes.values()) for path in paths]


@dataclass(frozen=True, eq=False)
class _Decoded:
    pixels: _Pixels  # (n, height, width, channels)
    labels: npt.NDArray[np.int64]  # (n,)
    index: npt.NDArray[np.int64]  # (n,) places in the list that was asked for
    skipped: tuple[str, ...]


def _read(folder: Path, files: _Labelled, image_size: int | None, mode: str) -> _Decoded:
    paths = [path for path, _ in files]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # Pillow decodes outside the lock
        decoded = list(pool.map(partial(_decode, image_size=image_size, mode=mode), paths))
    good = np.array([i for i, pixels in enumerate(decoded) if pixels is not None], dtype=np.int64)
    skipped = tuple(
        str(path.relative_to(folder)) for path, pixels in zip(paths, decoded, strict=True) if pixels is None
    )
    if 2 * len(skipped) > len(paths):
        raise UsageError(
            f"expected images in {folder}, got {len(skipped)} of {len(paths)} files that cannot be decoded, "
            f"the first of them {skipped[0]}"
        )
    sizes = Counter(pixels.shape[:2] for pixels in decoded if pixels is not None)
    if len(sizes) > 1:
        found = ", ".join(f"{_size(size)} ({count})" for size, count in sizes.most_common(5))
        more = f" and {len(sizes) - 5} more sizes" if len(sizes) > 5 else ""
        raise UsageError(
            f"expected images of one size in {folder}, got {found}{more}: pass --image-size to resize them"
        )
    return _Decoded(
        np.stack([pixels for pixels in decoded if pixels is not None]),
        np.array([label for _, label in files], dtype=np.int64)[good],
        good,
        skipped,
    )


def _decode(path: Path, image_size: int | None, mode: str) -> _Pixels | None:
    """Pixels, uint8, (height, width, channels), or None if the file is broken."""
    try:
        with open_image(path) as opened:
            return pixels_of(opened, None if image_size is None else (image_size, image_size), mode)
    except PermissionError as error:
        raise UsageError(f"expected images that can be read, got no permission for {path}") from error
    except Exception:  # a broken file raises whatever its decoder stumbled over
        return None


def open_image(path: str | PathLike[str]) -> Image.Image:
    """An image file, opened by Pillow and not decoded yet.

    Raises:
        OSError: If it cannot be read, or is no image of a format that is one of pixels.
        ValueError: If it claims so many pixels that Pillow warns of it: a few kilobytes may claim any number.
    """
    opened = Image.open(path, formats=_FORMATS)
    width, height = opened.size
    if Image.MAX_IMAGE_PIXELS is not None and width * height > Image.MAX_IMAGE_PIXELS:
        opened.close()
        raise ValueError(f"expected at most {Image.MAX_IMAGE_PIXELS:,} pixels, got {width} x {height}")
    return opened


def pixels_of(opened: Image.Image, size: tuple[int, int] | None, mode: str) -> _Pixels:
    """An image upright, in `mode` ("L" or "RGB") and of `size` (height, width): uint8, (height, width, channels).

    Raises:
        Whatever the decoder of a broken file stumbles over.
    """
    if size is not None:
        # A JPEG of a camera decodes several times faster at half, a quarter or an eighth of its size.
        opened.draft("RGB", (2 * size[1], 2 * size[0]))
    image = ImageOps.exif_transpose(opened)
    if image.mode.startswith("I"):  # 16 bits a pixel: Pillow would clip them at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    image = image.convert(mode)
    if size is not None:
        image = ImageOps.fit(image, size[::-1], Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _part(pixels: _Pixels, labels: npt.NDArray[np.int64], skipped: tuple[str, ...]) -> Part:
    x = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    return Part(x, torch.from_numpy(labels), skipped)


def _require_every_class(part: Part, classes: tuple[str, ...], where: str) -> None:
    count = torch.bincount(part.y, minlength=len(classes))
    for name, n in zip(classes, count.tolist(), strict=True):
        if n == 0:
            raise UsageError(f"expected images of the class {name} among the {where}, got broken files only")


def _size(size: tuple[int, ...] | torch.Size) -> str:
    """Height x width."""
    return "x".join(map(str, size))
