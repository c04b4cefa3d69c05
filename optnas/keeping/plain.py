"""A study as plain values of strict JSON, and back: what an archive holds.

The format is documented in `FORMAT`. Numbers that JSON does not know are written as `{"__float__": "nan"}`, "inf" or
"-inf"; times are in UTC.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from optnas.errors import UsageError, first_line
from optnas.keeping.record import Note, StudyRecord, make_trial

__all__ = ["FORMAT", "plain_study", "plain_trial", "record_from"]

FORMAT = """\
study.json     one object: name, directions ("minimize" or "maximize" for each objective), metric_names (or null),
               user_attrs (what optnas keeps begins with "optnas:"), system_attrs (Optuna's own), notes (what people
               wrote: trial's number or null, version, text in Markdown)
trials.jsonl   one object a line, in the order of their numbers: number, state (COMPLETE, PRUNED, FAIL, RUNNING,
               WAITING), values (or null), params, distributions (as Optuna writes them), constraints (<= 0 is met),
               intermediate_values (pairs of step and value), datetime_start and datetime_complete (UTC, or null),
               user_attrs, system_attrs
               Numbers that JSON does not know: {"__float__": "nan"}, "inf" or "-inf".
"""
_FLOAT = "__float__"
_STUDY = ("name", "directions", "metric_names", "user_attrs", "system_attrs", "notes")
_TRIAL = (
    "number", "state", "values", "params", "distributions", "constraints", "intermediate_values", "datetime_start",
    "datetime_complete", "user_attrs", "system_attrs",
)  # fmt: skip


def plain_study(record: StudyRecord) -> dict[str, Any]:
    """A study without its trials, as values of strict JSON.

    Raises:
        UsageError: If an attribute is no value of JSON.
    """
    notes = [{"trial": number, "version": note.version, "text": note.text} for number, note in record.notes.items()]
    plain = {
        "name": record.name,
        "directions": list(record.directions),
        "metric_names": None if record.metric_names is None else list(record.metric_names),
        "user_attrs": dict(record.user_attrs),
        "system_attrs": dict(record.system_attrs),
        "notes": notes,
    }
    return _checked(plain, f"study {record.name!r}")


def plain_trial(trial: FrozenTrial) -> dict[str, Any]:
    """A trial as values of strict JSON.

    Raises:
        UsageError: If an attribute is no value of JSON.
    """
    constraints = trial.constraints
    # Optuna keeps constraints among the system attributes; where, is its own business.
    theirs = create_trial(state=TrialState.RUNNING, constraints=constraints).system_attrs
    old = "constraints" in trial.system_attrs  # an older Optuna's way, which stays as it is
    plain = {
        "number": trial.number,
        "state": trial.state.name,
        "values": trial.values,
        "params": dict(trial.params),
        "distributions": {
            name: json.loads(distribution_to_json(distribution)) for name, distribution in trial.distributions.items()
        },
        "constraints": {} if old else constraints,
        "intermediate_values": [[step, value] for step, value in trial.intermediate_values.items()],
        "datetime_start": _utc(trial.datetime_start),
        "datetime_complete": _utc(trial.datetime_complete),
        "user_attrs": dict(trial.user_attrs),
        "system_attrs": {key: value for key, value in trial.system_attrs.items() if old or key not in theirs},
    }
    return _checked(plain, f"trial {trial.number}")


def record_from(study: Any, trials: Sequence[Any], where: str) -> StudyRecord:
    """A study from the plain values of `plain_study` and `plain_trial`.

    Args:
        study: See above.
        trials: See above.
        where: What messages call the place that they are from.

    Raises:
        UsageError: If they are of another shape.
    """
    fields = _fields(study, _STUDY, f"{where}, study.json")
    _expect(
        isinstance(fields["name"], str)
        and fields["name"] != ""
        and _is_texts(fields["directions"])
        and fields["directions"]
        and {*fields["directions"]} <= {direction.name.lower() for direction in StudyDirection} - {"not_set"}
        and (fields["metric_names"] is None or _is_texts(fields["metric_names"]))
        and isinstance(fields["user_attrs"], dict)
        and isinstance(fields["system_attrs"], dict),
        f"{where}, study.json: expected a name, directions and attributes of a study",
    )
    names = fields["metric_names"]
    _expect(
        names is None or len(names) == len(fields["directions"]),
        f"{where}, study.json: expected as many names of objectives as directions",
    )
    return StudyRecord(
        fields["name"],
        fields["directions"],
        names,
        fields["user_attrs"],
        fields["system_attrs"],
        [_trial(trial, number, len(fields["directions"]), where) for number, trial in enumerate(trials)],
        _notes(fields["notes"], len(trials), f"{where}, study.json"),
    )


def _trial(plain: Any, number: int, objectives: int, where: str) -> FrozenTrial:
    where = f"{where}, trial {number}"
    fields = _fields(plain, _TRIAL, where)
    _expect(fields["number"] == number, f"{where}: expected this number, got {str(fields['number'])[:20]}")
    known = {state.name: state for state in TrialState}
    _expect(
        isinstance(fields["state"], str) and fields["state"] in known,
        f"{where}: expected one of {', '.join(known)}, got {str(fields['state'])[:20]!r}",
    )
    values = fields["values"]
    _expect(
        values is None or (isinstance(values, list) and len(values) == objectives and all(map(_is_number, values))),
        f"{where}: expected {objectives} values or none",
    )
    try:
        return make_trial(
            number,
            known[fields["state"]],
            None if values is None else [float(value) for value in values],
            _local(fields["datetime_start"]),
            _local(fields["datetime_complete"]),
            params=fields["params"],
            distributions={name: _distribution(one) for name, one in fields["distributions"].items()},
            user_attrs=fields["user_attrs"],
            system_attrs=fields["system_attrs"],
            intermediate_values={int(step): float(value) for step, value in fields["intermediate_values"]},
            constraints={name: float(value) for name, value in fields["constraints"].items()},
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"{where}: is no trial of Optuna: {first_line(error)}") from None


def _notes(plain: Any, trials: int, where: str) -> dict[int | None, Note]:
    _expect(isinstance(plain, list), f"{where}: expected a list of notes")
    found: dict[int | None, Note] = {}
    for one in plain:
        fields = _fields(one, ("trial", "version", "text"), f"{where}, a note")
        number, version, text = (fields[name] for name in ("trial", "version", "text"))
        _expect(
            (number is None or (isinstance(number, int) and 0 <= number < trials))
            and isinstance(version, int)
            and isinstance(text, str),
            f"{where}: expected notes of its trials, with a version and a text",
        )
        found[number] = Note(version, text)
    return found


def _distribution(plain: Any) -> BaseDistribution:
    return json_to_distribution(json.dumps(plain))


def _utc(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="microseconds")


def _local(text: str | None) -> datetime | None:
    """As Optuna has it: the time of this place, without saying so."""
    return None if text is None else datetime.fromisoformat(text).astimezone().replace(tzinfo=None)


def _checked(plain: dict[str, Any], where: str) -> dict[str, Any]:
    try:
        encoded: dict[str, Any] = _encoded(plain)
        json.dumps(encoded, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{where}: an attribute cannot be written as JSON: {first_line(error)}") from None
    return encoded


def _encoded(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: repr(float(value))}
    if isinstance(value, Mapping):
        encoded = {key: _encoded(one) for key, one in value.items()}
        return {_FLOAT: encoded} if {*encoded} == {_FLOAT} else encoded  # somebody's own, not ours
    return [_encoded(one) for one in value] if isinstance(value, list | tuple) else value


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(one) for one in value]
    if not isinstance(value, dict):
        return value
    if {*value} != {_FLOAT}:
        return {key: _decoded(one) for key, one in value.items()}
    inner = value[_FLOAT]
    if isinstance(inner, dict):
        return {key: _decoded(one) for key, one in inner.items()}
    return float(inner)


def _fields(plain: Any, names: Sequence[str], where: str) -> dict[str, Any]:
    _expect(isinstance(plain, dict), f"{where}: expected an object")
    missing = [name for name in names if name not in plain]
    _expect(not missing, f"{where}: expected {', '.join(missing)}, which it lacks")
    try:
        return {name: _decoded(plain[name]) for name in names}
    except (ValueError, TypeError, RecursionError):
        raise UsageError(f'{where}: expected "nan", "inf" or "-inf" under {_FLOAT}') from None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _expect(holds: Any, sentence: str) -> None:
    if not holds:
        raise UsageError(sentence)
