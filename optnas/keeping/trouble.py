"""What the system refuses, in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from optnas.errors import UsageError

__all__ = ["in_a_sentence"]


@contextmanager
def in_a_sentence(what: str) -> Iterator[None]:
    """Turn what the system refuses (no right to write, no room, a name that is too long) into bad input.

    Args:
        what: What a person asked for.

    Raises:
        UsageError: With the reason, and the file that it is about.
    """
    try:
        yield
    except OSError as error:
        about = "" if error.filename is None else f": {str(error.filename)[:200]}"
        raise UsageError(f"{what}: {error.strerror or error}{about}") from None
