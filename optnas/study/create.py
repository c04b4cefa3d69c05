"""Creating a study, or going on with one whose settings are the same."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import optuna
from optuna import Study
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage

from optnas.errors import UsageError
from optnas.objective import ATTRIBUTE
from optnas.study.addresses import shown_storage

__all__ = ["attribute", "differences", "find_study", "open_study", "study_names", "versions"]


def attribute(study: Study, name: str, default: Any = None) -> Any:
    """What optnas keeps of a study under `name`, without the prefix."""
    return study.user_attrs.get(ATTRIBUTE + name, default)


def study_names(storage: BaseStorage) -> list[str]:
    """The names of all studies of a storage, the newest first."""
    return [study.study_name for study in reversed(storage.get_all_studies())]


def find_study(storage: BaseStorage, name: str | None, where: str) -> Study:
    """The study called `name`; without a name the only one that there is, those that belong to it aside.

    Raises:
        UsageError: If there is none of that name, or several and no name.
    """
    names, where = study_names(storage), shown_storage(where)
    if not names:
        raise UsageError(f"storage {where}: there is no study in it yet")
    if name is None and len(names) > 1:
        belong = {one.study_name for one in storage.get_all_studies() if ATTRIBUTE + "part_of" in one.user_attrs}
        names = [one for one in names if one not in belong] or names
    if name is None and len(names) > 1:
        raise UsageError(f"storage {where} holds several studies: choose one with --study: {', '.join(names)}")
    if name is not None and name not in names:
        raise UsageError(f"storage {where}: there is no study {name!r}, only {', '.join(names)}")
    return optuna.load_study(study_name=name or names[0], storage=storage)


def open_study(
    storage: BaseStorage,
    name: str,
    objectives: Sequence[str],
    settings: Mapping[str, Any],
    sampler: BaseSampler | None,
    part_of: str | None = None,
) -> Study:
    """The study called `name`, made if there is none, with what it searches written into it.

    Args:
        storage: Where it is or will be.
        name: Its name.
        objectives: Their names; all are minimised.
        settings: Plain values that must be the same for trials to compare. A mapping in it is compared key by
            key.
        sampler: For the trials to come; None for Optuna's own.
        part_of: The study that it belongs to, if it is not for a person who asks for the study of a storage.

    Raises:
        UsageError: If the study was created with other settings, or by something else than optnas.
    """
    known = name in study_names(storage)
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        directions=None if known else ["minimize"] * len(objectives),
        load_if_exists=True,
        sampler=sampler,
    )
    before = attribute(study, "settings")
    if before is None:
        if study.get_trials(deepcopy=False):
            raise UsageError(f"study {name!r} was not made by optnas: give --study another name")
        if known and len(study.directions) != len(objectives):
            raise UsageError(f"study {name!r} has {len(study.directions)} objectives, expected {len(objectives)}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names(list(objectives))
        if part_of is not None:
            study.set_user_attr(ATTRIBUTE + "part_of", part_of)
        study.set_user_attr(ATTRIBUTE + "versions", versions())
        study.set_user_attr(ATTRIBUTE + "settings", dict(settings))
        return study
    different = differences(before, settings)
    if different:
        raise UsageError(
            f"study {name!r} was made with other settings ({'; '.join(different)}): "
            "give the same ones, or --study another name"
        )
    return study


def differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """What differs between two settings, a phrase each: "epochs: 3 in the study, 5 now"."""
    phrases = []
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            phrases += differences(old, new, f"{prefix}{key}.")
        elif _plain(old) != _plain(new):
            phrases.append(f"{prefix}{key}: {_shown(old)} in the study, {_shown(new)} now")
    return phrases


def versions() -> dict[str, str]:
    """The versions that results depend on."""
    return {
        "optnas": version("optnas"),
        "python": platform.python_version(),
        **{package: version(package) for package in ("torch", "optuna", "fvcore")},
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) or "none" if isinstance(value, list | tuple) else str(value)
