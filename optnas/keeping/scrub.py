"""What an archive says without the passwords that stand in it; what a network chose stays what it was."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Any

from optuna.trial import FrozenTrial

from optnas.credentials import HIDDEN, scrubbed, scrubbed_json

__all__ = ["choice_names", "scrubbed_study", "scrubbed_trial"]

#: Where Optuna keeps the choices of a trial that waits.
_FIXED = "fixed_params"
_ATTRIBUTES = ("user_attrs", "system_attrs")
#: A password stands behind one of these: password=, "password": and ://user:, or password%3D.
_SIGNS = "=:%"


def choice_names(trials: Iterable[FrozenTrial]) -> frozenset[str]:
    """What the choices of a study are called: `class_token` may be one of them, and says nothing secret."""
    names: set[str] = set()
    for trial in trials:
        names.update(trial.params)
        names.update(trial.system_attrs.get(_FIXED) or ())
    return frozenset(names)


def scrubbed_study(plain: dict[str, Any], choices: Collection[str]) -> dict[str, Any]:
    """The study of `plain_study` without passwords in its attributes and notes.

    Args:
        plain: The study.
        choices: See `choice_names`.
    """
    notes = [{**note, "text": scrubbed(note["text"])} for note in plain["notes"]]
    return {**plain, **{kind: _scrubbed(plain[kind], choices) for kind in _ATTRIBUTES}, "notes": notes}


def scrubbed_trial(plain: dict[str, Any], choices: Collection[str]) -> dict[str, Any]:
    """As `scrubbed_study`, a trial of `plain_trial`: one without its choices would be none."""
    found = {**plain, **{kind: _scrubbed(plain[kind], choices) for kind in _ATTRIBUTES}}
    if _FIXED in plain["system_attrs"]:
        found["system_attrs"][_FIXED] = plain["system_attrs"][_FIXED]
    return found


def _scrubbed(value: Any, choices: Collection[str]) -> Any:
    if isinstance(value, str):
        return scrubbed(value) if any(sign in value for sign in _SIGNS) else value
    if isinstance(value, dict):
        found = {}
        for key, one in value.items():
            shown, is_secret = _of_key(key)
            hidden = is_secret and isinstance(one, str) and key not in choices
            found[shown] = HIDDEN if hidden else _scrubbed(one, choices)
        return found
    if isinstance(value, list):
        return [_scrubbed(one, choices) for one in value]
    return value


@lru_cache(maxsize=4096)
def _of_key(key: str) -> tuple[str, bool]:
    """A key as it is shown, and whether what it holds is a password; a study has few, and each of them often."""
    ((shown, value),) = scrubbed_json({key: "value"}).items()
    return shown, value == HIDDEN
