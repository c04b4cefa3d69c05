"""What optuna-dashboard reads of a study: system attributes of the storage, with keys and pieces of its own.

Its functions read all of them to write one, which for a study with a thousand notes takes 70 ms, and commit each
piece by itself, so that two writers could mix the pieces of two texts. Here a text is written in one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from optuna import Study
from optuna.storages import RDBStorage
from sqlalchemy import column, delete, insert, or_, select, table

__all__ = ["NOTE", "OURS", "Attributes", "artifact_key", "note_key", "plot_key", "text_pieces"]

_PREFIX = "dashboard:"
NOTE = f"{_PREFIX}note"
"""The note of the study itself."""
#: The version of a note that nobody has edited: the dashboard counts from 1, and an edit adds one.
OURS = 1000
#: A text is kept in pieces of so many characters; what is longer does not fit into every database.
_PIECE = 2045

_ROWS = table("study_system_attributes", column("study_id"), column("key"), column("value_json"))


def note_key(trial_id: int) -> str:
    """The note of a trial. To the key of a note belong `_ver`, its version, and `_str:0`, `_str:1` and so on."""
    return f"{_PREFIX}{trial_id}:note"


def artifact_key(trial_id: int, artifact: str) -> str:
    """What is known of an artifact of a trial. The trial's own attributes cannot be written once it has ended."""
    return f"{_PREFIX}artifacts:{trial_id}:{artifact}"


def plot_key(name: str) -> str:
    """A plot; its pieces follow as `:0`, `:1` and so on."""
    return f"{_PREFIX}plot_data:{name}"


class Attributes:
    """Those of one study, in any storage of Optuna."""

    def __init__(self, study: Study) -> None:
        self._storage, self._study_id = study._storage, study._study_id
        backend = getattr(self._storage, "_backend", self._storage)  # behind Optuna's cache
        self._engine = backend.engine if isinstance(backend, RDBStorage) else None

    def keys(self) -> set[str]:
        """All that optuna-dashboard reads."""
        if self._engine is None:
            return {key for key in self._storage.get_study_system_attrs(self._study_id) if key.startswith(_PREFIX)}
        query = select(_ROWS.c.key).where(_ROWS.c.study_id == self._study_id, _ROWS.c.key.startswith(_PREFIX))
        with self._engine.connect() as connection:
            return set(connection.scalars(query))

    def read(self, keys: Iterable[str]) -> dict[str, Any]:
        """The values of those keys that are there."""
        keys = list(keys)
        if self._engine is None:
            everything = self._storage.get_study_system_attrs(self._study_id)
            return {key: everything[key] for key in keys if key in everything}
        query = select(_ROWS.c.key, _ROWS.c.value_json).where(_ROWS.c.study_id == self._study_id, _ROWS.c.key.in_(keys))
        with self._engine.connect() as connection:
            return {key: json.loads(value) for key, value in connection.execute(query)}

    def write(self, values: Mapping[str, Any], texts: Mapping[str, str] | None = None) -> None:
        """Set values by their keys, and texts by what the keys of their pieces begin with, all at once."""
        new = {**values, **{key: piece for text in (texts or {}).items() for key, piece in text_pieces(*text)}}
        stale = [f"{prefix}:" for prefix in texts or ()]  # an older text may have been longer
        if self._engine is None:
            left = [key for key in self.keys() if key.startswith(tuple(stale))]
            for key, value in {**dict.fromkeys(left, ""), **new}.items():
                self._storage.set_study_system_attr(self._study_id, key, value)
            return
        replaced = or_(
            _ROWS.c.key.in_(list(new)), *(_ROWS.c.key.startswith(prefix, autoescape=True) for prefix in stale)
        )
        rows = [{"study_id": self._study_id, "key": key, "value_json": json.dumps(value)} for key, value in new.items()]
        with self._engine.begin() as connection:
            connection.execute(delete(_ROWS).where(_ROWS.c.study_id == self._study_id, replaced))
            connection.execute(insert(_ROWS), rows)


def text_pieces(prefix: str, text: str) -> list[tuple[str, str]]:
    """The pieces in which a text is kept, each with its key, from what their keys begin with."""
    starts = range(0, len(text), _PIECE)
    return [(f"{prefix}:{place}", text[start : start + _PIECE]) for place, start in enumerate(starts)]
