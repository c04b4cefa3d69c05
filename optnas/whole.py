"""Files that are whole whenever somebody reads them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["remove_halves", "whole_file"]


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to, whose file takes the place of `path` at the end.

    Who reads `path` meanwhile, or after a power cut, sees the old file or the new one. If writing raises, the old one
    stays.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        yield beside
        _flush(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def remove_halves(path: Path) -> None:
    """Remove what processes that were killed wrote to take the place of `path`; nobody else may be writing it."""
    for half in path.parent.glob(f"{glob.escape(path.name)}.*"):
        if half.suffix[1:].isdigit():
            half.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Have the content on the disk before the name: else a power cut may leave the name without the content."""
    descriptor = os.open(path, os.O_RDWR)  # Windows flushes only what may be written
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
