"""When a search ends, other than by the number of its trainings."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from optuna import Study

from optnas.errors import UsageError

__all__ = ["Ending", "after", "first_of", "never", "parse_duration"]

#: Asked before each training; says why none is begun any more, or None.
Ending = Callable[[Study], str | None]

_UNITS = (3600, 60, 1)
_DURATION = re.compile(r"(?=\d)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def never(study: Study) -> str | None:
    """Does not end a search."""
    return None


def after(seconds: float) -> Ending:
    """Ends a search so long after this call."""
    began = time.monotonic()

    def ending(study: Study) -> str | None:
        return "the time is over" if time.monotonic() - began >= seconds else None

    return ending


def first_of(*endings: Ending) -> Ending:
    """Ends a search as soon as one of them does."""

    def ending(study: Study) -> str | None:
        return next((reason for one in endings if (reason := one(study)) is not None), None)

    return ending


def parse_duration(text: str) -> int:
    """Seconds of a duration such as "90s", "30m" or "1h30m".

    Raises:
        UsageError: If it is none, or no time at all.
    """
    parts = _DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
    given = parts.groups() if parts else ()
    seconds = sum(int(part or 0) * unit for part, unit in zip(given, _UNITS, strict=False))
    if seconds == 0:
        raise UsageError(f"time: expected hours, minutes or seconds such as 8h, 30m or 1h30m, got {text!r}")
    return seconds
