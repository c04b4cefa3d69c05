"""The tables of Optuna as plain values: what of a row makes sense, and what is as good as lost."""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Any

from optuna.distributions import json_to_distribution
from optuna.trial import TrialState

__all__ = ["TABLES", "Table", "checked_table"]

#: A larger number of a trial or an objective is noise.
_MOST_TRIALS = 10_000_000


@dataclass(frozen=True)
class Table:
    """The rows of a table that are what they should be."""

    rows: Mapping[int, tuple[Any, ...]]
    gaps: Sequence[tuple[int, int]]

    def near(self) -> list[tuple[float, float]]:
        """What the first column may have held in the rows that are lost, as least and largest values."""
        found = []
        numbers = sorted(self.rows)
        for low, high in self.gaps:
            place, after = bisect_left(numbers, low), bisect_right(numbers, high)
            ends = [
                self.rows[number][0] for number in (*numbers[max(place - 1, 0) : place], *numbers[after : after + 1])
            ]
            found.append((min(ends) if place else -inf, max(ends) if after < len(numbers) else inf))
        return found


def _text(value: Any) -> str:
    return bytes(value).decode()


def _json(value: Any) -> Any:
    return json.loads(_text(value))


def _whole(value: Any) -> int:
    if not isinstance(value, int):
        raise ValueError(value)
    return value


def _place(value: Any) -> int:
    if not 0 <= _whole(value) < _MOST_TRIALS:
        raise ValueError(value)
    return int(value)


def _moment(value: Any) -> datetime | None:
    if value is None:
        return None
    # As Optuna reads it: UTC that does not say so.
    return datetime.fromisoformat(_text(value)).replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _state(value: Any) -> TrialState:
    return TrialState[_text(value)]


_ATTRIBUTE = {"key": _text, "value_json": _json}
#: What is read of each table, and how.
TABLES: Mapping[str, Mapping[str, Callable[[Any], Any]]] = {
    "studies": {"study_id": _whole, "study_name": _text},
    "study_directions": {"study_id": _whole, "objective": _place, "direction": _text},
    "study_user_attributes": {"study_id": _whole, **_ATTRIBUTE},
    "study_system_attributes": {"study_id": _whole, **_ATTRIBUTE},
    "trials": {
        "trial_id": _whole, "number": _place, "study_id": _whole, "state": _state, "datetime_start": _moment,
        "datetime_complete": _moment,
    },
    "trial_params": {
        "trial_id": _whole, "param_name": _text, "param_value": float,
        "distribution_json": lambda value: json_to_distribution(_text(value)),
    },
    "trial_values": {"trial_id": _whole, "objective": _place, "value": _number, "value_type": _text},
    "trial_intermediate_values": {
        "trial_id": _whole, "step": _whole, "intermediate_value": _number, "intermediate_value_type": _text,
    },
    "trial_user_attributes": {"trial_id": _whole, **_ATTRIBUTE},
    "trial_system_attributes": {"trial_id": _whole, **_ATTRIBUTE},
}  # fmt: skip


def checked_table(
    rows: Mapping[int, tuple[Any, ...]], gaps: Sequence[tuple[int, int]], columns: Mapping[str, Callable[[Any], Any]]
) -> Table:
    """Rows that are readable and senseless are lost as well."""
    good, bad = {}, list(gaps)
    for number, row in rows.items():
        try:
            good[number] = tuple(read(value) for read, value in zip(columns.values(), row, strict=True))
        except (ValueError, TypeError, KeyError):
            bad.append((number, number))
    return Table(good, bad)
