"""When a search ends, other than by the number of its trainings."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from optuna import Study

from optnas.errors import UsageError
from optnas.objective import is_trained

__all__ = ["Ending", "after", "first_of", "never", "parse_duration", "stagnant"]

#: Asked before each training; says why none is begun any more, or None.
Ending = Callable[[Study], str | None]

_PATIENCE = 3
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


def stagnant(share: float, expected_gain: Callable[[Study], float | None]) -> Ending:
    """Ends a search when a training is expected to add less than a share of the hypervolume, three times in a row.

    Three times, because a model that is fitted anew after each training may be wrong for a moment.

    Args:
        share: Of the hypervolume, between 0 and 1.
        expected_gain: Such as that of `CostAwareSampler`; asked again after each training.
    """
    low, seen = 0, -1

    def ending(study: Study) -> str | None:
        nonlocal low, seen
        trained = sum(map(is_trained, study.get_trials(deepcopy=False)))
        if trained != seen:
            seen, gain = trained, expected_gain(study)
            low = low + 1 if gain is not None and gain < share else 0
        return f"a training is expected to add less than {share:.2%} to the hypervolume" if low >= _PATIENCE else None

    return ending


def first_of(*endings: Ending) -> Ending:
    """Ends a search as soon as one of them does."""

    def ending(study: Study) -> str | None:
        return next((reason for one in endings if (reason := one(study)) is not None), None)

    return ending


#: More than a century: no clock need add it up.
_FOR_EVER_S = 10**10


def parse_duration(text: str, name: str = "time") -> int:
    """Seconds of a duration such as "90s", "30m" or "1h30m".

    Args:
        text: The duration.
        name: The setting that it is, for the sentence.

    Raises:
        UsageError: If it is none, or no time at all.
    """
    parts = _DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
    given = parts.groups() if parts else ()
    seconds = sum(int(part or 0) * unit for part, unit in zip(given, _UNITS, strict=False))
    if not 0 < seconds < _FOR_EVER_S:
        raise UsageError(f"{name}: expected hours, minutes or seconds such as 8h, 30m or 1h30m, got {text!r}")
    return seconds
