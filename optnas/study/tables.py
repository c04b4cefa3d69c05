"""Optuna's tables, and how a trial is stored in them and read back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial
from sqlalchemy import Column, Row, Table, inspect

__all__ = [
    "DIRECTIONS",
    "KEYS",
    "PARAMS",
    "PARTS",
    "STEPS",
    "STUDIES",
    "STUDY_SYSTEM",
    "STUDY_USER",
    "SYSTEM",
    "TRIALS",
    "USER",
    "VALUES",
    "attribute_rows",
    "param_rows",
    "step_rows",
    "stored_moment",
    "trial_of",
    "value_rows",
]

STUDIES: Table = models.StudyModel.__table__
DIRECTIONS: Table = models.StudyDirectionModel.__table__
STUDY_USER: Table = models.StudyUserAttributeModel.__table__
STUDY_SYSTEM: Table = models.StudySystemAttributeModel.__table__
TRIALS: Table = models.TrialModel.__table__
VALUES: Table = models.TrialValueModel.__table__
PARAMS: Table = models.TrialParamModel.__table__
USER: Table = models.TrialUserAttributeModel.__table__
SYSTEM: Table = models.TrialSystemAttributeModel.__table__
STEPS: Table = models.TrialIntermediateValueModel.__table__

#: What belongs to a trial: the table, its columns, and their order; in the order of the arguments of `trial_of`.
PARTS: list[tuple[Table, Sequence[Column[Any]], Column[Any]]] = [
    (VALUES, [VALUES.c.value, VALUES.c.value_type], VALUES.c.objective),
    (PARAMS, [PARAMS.c.param_name, PARAMS.c.param_value, PARAMS.c.distribution_json], PARAMS.c.param_id),
    (USER, [USER.c.key, USER.c.value_json], USER.c.trial_user_attribute_id),
    (SYSTEM, [SYSTEM.c.key, SYSTEM.c.value_json], SYSTEM.c.trial_system_attribute_id),
    (STEPS, [STEPS.c.step, STEPS.c.intermediate_value, STEPS.c.intermediate_value_type], STEPS.c.step),
]
#: What tells the rows of these tables apart.
KEYS = {
    VALUES: ("trial_id", "objective"),
    PARAMS: ("trial_id", "param_name"),
    USER: ("trial_id", "key"),
    SYSTEM: ("trial_id", "key"),
    STEPS: ("trial_id", "step"),
}

_START, _COMPLETE = (
    inspect(models.TrialModel).get_property_by_column(column).key
    for column in (TRIALS.c.datetime_start, TRIALS.c.datetime_complete)
)


def stored_moment(moment: datetime | None) -> Any:
    """A moment as Optuna's version stores it, which has changed its mind on time zones."""
    return getattr(models.TrialModel(datetime_start=moment), _START)


def value_rows(trial_id: int, values: Iterable[float]) -> list[dict[str, Any]]:
    """The rows of `VALUES`."""
    stored = map(models.TrialValueModel.value_to_stored_repr, values)
    return [
        {"trial_id": trial_id, "objective": place, "value": value, "value_type": kind}
        for place, (value, kind) in enumerate(stored)
    ]


def param_rows(trial_id: int, params: Mapping[str, tuple[float, str]]) -> list[dict[str, Any]]:
    """The rows of `PARAMS`, of choices in Optuna's own form and their distributions as JSON, by name."""
    return [
        {"trial_id": trial_id, "param_name": name, "param_value": value, "distribution_json": text}
        for name, (value, text) in params.items()
    ]


def attribute_rows(trial_id: int, attributes: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rows of `USER` or `SYSTEM`, of attributes as JSON."""
    return [{"trial_id": trial_id, "key": key, "value_json": text} for key, text in attributes.items()]


def step_rows(trial_id: int, intermediate_values: Mapping[int, float]) -> list[dict[str, Any]]:
    """The rows of `STEPS`."""
    to_stored = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr
    return [
        {"trial_id": trial_id, "step": step, "intermediate_value": stored, "intermediate_value_type": kind}
        for step, (stored, kind) in ((step, to_stored(value)) for step, value in intermediate_values.items())
    ]


def trial_of(
    row: Row[Any],
    values: Iterable[Sequence[Any]],
    params: Iterable[Sequence[Any]],
    user_attrs: Iterable[Sequence[Any]],
    system_attrs: Iterable[Sequence[Any]],
    steps: Iterable[Sequence[Any]],
) -> FrozenTrial:
    """A trial from its row of `TRIALS` and what was read of it by `PARTS`."""
    times = models.TrialModel(**{_START: row.datetime_start, _COMPLETE: row.datetime_complete})
    distributions = {name: _distribution(text) for name, _, text in params}
    return FrozenTrial(
        number=row.number,
        state=row.state,
        value=None,
        values=[_value(value, kind) for value, kind in values] or None,
        datetime_start=times.datetime_start,
        datetime_complete=times.datetime_complete,
        params={name: distributions[name].to_external_repr(value) for name, value, _ in params},
        distributions=distributions,
        user_attrs={key: json.loads(text) for key, text in user_attrs},
        system_attrs={key: json.loads(text) for key, text in system_attrs},
        intermediate_values={step: _step(value, kind) for step, value, kind in steps},
        trial_id=row.trial_id,
    )


@lru_cache(maxsize=4096)
def _distribution(text: str) -> BaseDistribution:
    return json_to_distribution(text)


def _value(value: float | None, kind: Any) -> float:
    kinds = models.TrialValueModel.TrialValueType
    return models.TrialValueModel.stored_repr_to_value(value, kind if isinstance(kind, kinds) else kinds[kind])


def _step(value: float | None, kind: Any) -> float:
    kinds = models.TrialIntermediateValueModel.TrialIntermediateValueType
    stored = kind if isinstance(kind, kinds) else kinds[kind]
    return models.TrialIntermediateValueModel.stored_repr_to_intermediate_value(value, stored)
