"""What can still be read of a damaged SQLite file, as a new storage; the file itself stays as it is."""

from __future__ import annotations

import shutil
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from optnas.errors import UsageError
from optnas.keeping.beside import folders_beside
from optnas.keeping.bring import bring_checkpoints
from optnas.keeping.draft import appearing, check_target, let_go
from optnas.keeping.record import (
    METRIC_NAMES,
    StudyRecord,
    make_trial,
    notes_in,
    own_attributes,
    uploaded_in,
    write_record,
)
from optnas.keeping.salvage import opened_damaged, salvage
from optnas.keeping.tables import TABLES, Table, checked_table
from optnas.objective import ATTRIBUTE, ERROR
from optnas.study import open_storage
from optnas.study.addresses import sqlite_address
from optnas.study.snapshot import snapshot

__all__ = ["Rescued", "RescuedStudy", "rescue"]

_REASON = ATTRIBUTE + "reason"
_LOST = "lost with a damaged file"
_INFINITE = {"INF_POS": float("inf"), "INF_NEG": -float("inf"), "NAN": float("nan")}


@dataclass(frozen=True)
class RescuedStudy:
    """What became of one study."""

    study: str
    trials: int
    lost: tuple[int, ...]
    """Trials of which nothing is left: they keep their numbers and have failed."""
    broken: tuple[int, ...]
    """Trials whose choices or values are, or may be, incomplete: they have failed too."""
    recomputed: tuple[int, ...]
    """Trials whose values were lost and are taken from their costs and curves, where errors have six digits."""
    poorer: tuple[int, ...]
    """Trials of which attributes may be missing, such as costs or curves."""
    guessed: bool
    """Whether its name or directions were lost, so that it has others now."""


@dataclass(frozen=True)
class Rescued:
    """What came of a file."""

    path: Path
    studies: tuple[RescuedStudy, ...]
    rows: int
    """Rows that were read."""
    gaps: int
    """Stretches of rows that could not be read."""


def rescue(path: Path, into: Path) -> Rescued:
    """Write what can be read of a damaged file into a new one, with the folders that lie beside it.

    Trials keep their numbers. One whose choices or values cannot be trusted any more has failed and says why, and so
    has one of which nothing is left; nothing is made up.

    Raises:
        UsageError: If nothing can be read, or there is something in the new place.
    """
    check_target(into, "rescue-into")
    with snapshot(path) as copied, _opened(copied) as connection:
        there = {bytes(row[0]).decode(errors="replace") for row in connection.execute("SELECT name FROM sqlite_master")}
        if not {"studies", "trials"} <= there:
            raise UsageError(f"storage {path}: has no tables of Optuna to rescue")
        tables = {}
        for name, columns in TABLES.items():
            found = salvage(connection, name, list(columns)) if name in there else None
            tables[name] = checked_table(found.rows, found.gaps, columns) if found else Table({}, ())
    records = _records(tables)
    if not records:
        raise UsageError(f"storage {path}: nothing of its studies can be read")
    with appearing(into) as draft:
        storage = open_storage(sqlite_address(draft))
        for ending, beside in folders_beside(path).items():
            shutil.copytree(beside, draft.with_name(f"{draft.name}{ending}"))
        for record, _ in records:
            study, numbers = write_record(record, storage), {trial.number: trial.number for trial in record.trials}
            bring_checkpoints(study, sqlite_address(draft), sqlite_address(into), [(sqlite_address(path), numbers)])
        let_go(storage)
    rows, gaps = (sum(len(getattr(table, name)) for table in tables.values()) for name in ("rows", "gaps"))
    return Rescued(into, tuple(facts for _, facts in records), rows, gaps)


@contextmanager
def _opened(copied: Path) -> Iterator[sqlite3.Connection]:
    pattern = copied.with_name("pattern.db")
    let_go(open_storage(sqlite_address(pattern)))
    with opened_damaged(copied, pattern) as connection:
        yield connection


def _records(tables: Mapping[str, Table]) -> list[tuple[StudyRecord, RescuedStudy]]:
    names = dict(tables["studies"].rows.values())
    trials: dict[int, dict[int, tuple[Any, ...]]] = defaultdict(dict)
    for one, number, study, *rest in tables["trials"].rows.values():
        trials[study][number] = (one, *rest)
    return [
        _record(study, names.get(study), trials[study], tables) for study in sorted({*names, *trials})
    ]  # fmt: skip


def _record(
    study: int, name: str | None, rows: Mapping[int, tuple[Any, ...]], tables: Mapping[str, Table]
) -> tuple[StudyRecord, RescuedStudy]:
    user = {key: value for one, key, value in tables["study_user_attributes"].rows.values() if one == study}
    system = {key: value for one, key, value in tables["study_system_attributes"].rows.values() if one == study}
    pieces = _Pieces(tables)
    metric_names = system.get(METRIC_NAMES)
    told = {place: direction for one, place, direction in tables["study_directions"].rows.values() if one == study}
    seen = [1 + max(pieces.values[one[0]], default=-1) for one in rows.values()]
    count = max([1, len(told), *seen, len(metric_names or ())])
    directions = [told.get(place, "MINIMIZE").lower() for place in range(count)]
    pieces.names = tuple(metric_names or ())
    trials = []
    found: dict[str, list[int]] = {fate: [] for fate in ("lost", "broken", "recomputed", "poorer")}
    for number in range(1 + max(rows, default=-1)):
        trial, fates = pieces.trial(number, rows[number], count) if number in rows else (None, ("lost",))
        trials.append(_failed(number) if trial is None else trial)
        for fate in fates:
            found[fate].append(number)
    ids = {number: row[0] for number, row in rows.items()}
    record = StudyRecord(
        name or f"rescued {study}", directions, metric_names, user, own_attributes(system), trials,
        notes_in(system, ids), uploaded_in(system, ids),
    )  # fmt: skip
    guessed = name is None or len(told) < count
    became = {fate: tuple(numbers) for fate, numbers in found.items()}
    return record, RescuedStudy(record.name, len(trials), **became, guessed=guessed)


def _failed(number: int) -> FrozenTrial:
    now = datetime.now()
    return make_trial(number, TrialState.FAIL, None, now, now, user_attrs={_REASON: _LOST})


@dataclass
class _Pieces:
    """What the tables hold of each trial, by what the storage called it."""

    tables: Mapping[str, Table]
    values: dict[int, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    names: tuple[str, ...] = ()
    """Of the study's objectives."""

    def __post_init__(self) -> None:
        self.params: dict[int, dict[str, Any]] = defaultdict(dict)
        self.distributions: dict[int, dict[str, Any]] = defaultdict(dict)
        self.intermediate: dict[int, dict[int, float]] = defaultdict(dict)
        for one, name, value, distribution in self.tables["trial_params"].rows.values():
            self.params[one][name] = distribution.to_external_repr(value)
            self.distributions[one][name] = distribution
        for one, place, value, kind in self.tables["trial_values"].rows.values():
            self.values[one][place] = _INFINITE.get(kind, value)
        for one, step, value, kind in self.tables["trial_intermediate_values"].rows.values():
            self.intermediate[one][step] = _INFINITE.get(kind, value)
        self.user, self.system = (self._attributes(f"trial_{kind}_attributes") for kind in ("user", "system"))
        # Of values it is known how many there have to be; of choices it is not.
        self._suspect = self.tables["trial_params"].near()
        self._poorer = [*self.tables["trial_user_attributes"].near(), *self.tables["trial_system_attributes"].near()]

    def _attributes(self, table: str) -> dict[int, dict[str, Any]]:
        found: dict[int, dict[str, Any]] = defaultdict(dict)
        for one, key, value in self.tables[table].rows.values():
            found[one][key] = value
        return found

    def trial(self, number: int, row: tuple[Any, ...], objectives: int) -> tuple[FrozenTrial | None, tuple[str, ...]]:
        """The trial, None if it is none, and what happened to it: see `RescuedStudy`."""
        one, state, started, ended = row
        user, fates = dict(self.user[one]), []
        values = None
        if state == TrialState.COMPLETE:
            values = [self.values[one].get(place) for place in range(objectives)]
            if None in values:
                values = self._recomputed(user)
                fates.append("recomputed" if values else "broken")
        if any(low <= one <= high for low, high in self._suspect):
            fates = ["broken"]
        if any(low <= one <= high for low, high in self._poorer):
            fates.append("poorer")
        if "broken" in fates:
            what = "values" if state == TrialState.COMPLETE and values is None else "choices"
            user[_REASON] = f"{what} {_LOST}, it was {state.name.lower()}"
            state, values, started = TrialState.FAIL, None, started or datetime.now()
            ended = ended or started
        try:
            trial = make_trial(
                number,
                state,
                values,  # type: ignore[arg-type]
                started,
                ended,
                params=self.params[one],
                distributions=self.distributions[one],
                user_attrs=user,
                system_attrs=self.system[one],
                intermediate_values=self.intermediate[one],
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return None, ("lost",)
        return trial, tuple(fates)

    def _recomputed(self, user: Mapping[str, Any]) -> list[float | None] | None:
        """Values from what the trial keeps beside them; None where that does not tell all."""
        costs, curve = (user.get(ATTRIBUTE + name) for name in ("costs", "curve"))
        error = {ERROR: curve[-1]} if isinstance(curve, list) and curve else {}
        known = {**error, **(costs if isinstance(costs, dict) else {})}
        values = [known.get(name) for name in self.names]
        return values if values and None not in values else None
