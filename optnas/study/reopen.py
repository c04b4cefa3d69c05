"""What a study searches, from its settings: the same objective for a search and for all that comes after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import optuna
from optuna import Study
from optuna.storages import BaseStorage

from optnas.cost import USUAL, Prices
from optnas.errors import UsageError
from optnas.objective import ATTRIBUTE, Objective
from optnas.printable import shell_word
from optnas.prune import DominancePruner, Pruner, make_pruner
from optnas.space import space_name, stored_space
from optnas.study.create import attribute, differences, find_study, study_names
from optnas.study.digest import space_digest
from optnas.study.settings import Settings, settings_from
from optnas.study.storage import open_storage

__all__ = ["LATENCY_TIE", "Reopened", "attributes_before", "identity_of", "make_objective", "reopen"]

#: Latencies that differ by less, as a share, are ties: about twice the spread of one measurement.
LATENCY_TIE = 0.03


@dataclass(frozen=True)
class Reopened:
    """A study that `optnas search` made, with what it searches."""

    study: Study
    storage: str
    """Its address."""
    settings: Settings
    """What it was made with."""
    objective: Objective


def reopen(name: str | None, storage: str, *, read_only: bool = False, **given: Any) -> Reopened:
    """Open a study for what comes after its search; latency need not be measured where it was.

    Args:
        name: Of the study; None for the only one of the storage.
        storage: Its address.
        read_only: For who keeps nothing in the study, see `open_storage`.
        given: Settings of the call that are not those of the study: `workers`, or `data_root` where it moved.

    Raises:
        UsageError: If there is no such study, `optnas search` did not make it, or the space or the data are no longer
            those that it was made with.
    """
    opened = open_storage(storage, create=False, read_only=read_only)
    study = find_study(opened, name, storage)
    before = attributes_before(opened, study.study_name)
    if before.get("request") is None:
        raise UsageError(f"study {study.study_name!r} was not made by optnas search")
    settings = settings_from({"storage": storage, **given}, before["request"])
    objective = make_objective(settings, before, timed=False)
    now, then = _learned(settings, objective), dict(attribute(study, "settings") or {})
    different = [phrase for key in ("task", "space") for phrase in differences(then.get(key, {}), now[key], f"{key}.")]
    if different:
        raise UsageError(f"study {study.study_name!r} was made with other images or networks ({'; '.join(different)})")
    return Reopened(study, storage, settings, objective)


def attributes_before(storage: BaseStorage, name: str) -> Mapping[str, Any]:
    """What optnas keeps of a study, without the prefix; nothing if there is none of that name."""
    if name not in study_names(storage):
        return {}
    attributes = optuna.load_study(study_name=name, storage=storage).user_attrs
    return {key.removeprefix(ATTRIBUTE): value for key, value in attributes.items() if key.startswith(ATTRIBUTE)}


def make_objective(settings: Settings, before: Mapping[str, Any], *, timed: bool = True) -> Objective:
    """The objective of a study.

    Args:
        settings: Those of the study.
        before: What the study keeps, see `attributes_before`.
        timed: Whether latency will be measured; if not, what measured it may be gone.

    Raises:
        UsageError: If the space, the data or the runtime cannot be used, a device does not answer, or the study was
            timed by a command that the person has not given again.
    """
    space, where = settings.space, f"study {settings.study_name!r}"
    if isinstance(space, str):
        space = stored_space(space, where)
    reference_ms = before.get("reference_ms")
    if not timed:
        prices = Prices(settings.runtime or "eager", reference_ms=reference_ms)
    else:
        _check_command(settings, before, where)
        prices = settings.prices
    if timed and settings.times_latency:
        prices = replace(prices, reference_ms=reference_ms).calibrated()
    task = settings.task
    if prices.table is not None:
        prices.table.check_study(space_name(settings.space), task.input_shape, task.num_classes)
    return Objective(
        space,
        task,
        USUAL,
        objectives=settings.objectives,
        constraints=settings.budget,
        seed=settings.seed,
        pruner=_pruner(settings),
        audit=settings.audit,
        prices=prices,
    )


def _check_command(settings: Settings, before: Mapping[str, Any], where: str) -> None:
    """Refuse to go on by a command that only the study names: it would be a stranger's, in a shell."""
    command = (before.get("request") or {}).get("device_command")
    if command is not None and settings.times_latency and (settings.device_command or settings.latency_table) is None:
        raise UsageError(
            f"{where}: its latency was timed by a command, and a command in a file is not run: if you trust it, give "
            f"it yourself with --device-command {shell_word(command)}"
        )


def _pruner(settings: Settings) -> Pruner:
    pruner = make_pruner(settings.pruner, settings.task.settings.epochs)
    if isinstance(pruner, DominancePruner) and settings.latency_table is None:  # what is foretold has no spread
        return replace(pruner, ties={"latency_ms": LATENCY_TIE})
    return pruner


def identity_of(settings: Settings, objective: Objective) -> dict[str, Any]:
    """What makes trials comparable: a study goes on only with the same."""
    identity = {
        **_learned(settings, objective),
        "objectives": list(objective.objectives),
        "constraints": sorted(map(str, objective.constraints)),
        "seed": objective.seed,
    }
    if "size_bytes" in (*objective.objectives, *(constraint.cost for constraint in objective.constraints)):
        identity["size_bytes"] = "as deployed"  # before, all buffers were counted
    if "latency_ms" in objective.costs:
        identity["device"] = objective.prices.fingerprint()
    return identity


def _learned(settings: Settings, objective: Objective) -> dict[str, Any]:
    """The images and the networks."""
    return {
        "task": objective.task.describe(),
        "space": {
            "name": space_name(settings.space),
            "digest": space_digest(objective.build, objective.task.input_shape),
        },
    }
