"""Silence around libraries that tell their makers what they do, in the middle of our lines."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO

__all__ = ["quiet"]


@contextmanager
def quiet() -> Iterator[None]:
    """Neither warnings nor log lines nor prints: dozens for each network, of use to the makers of the library alone."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
