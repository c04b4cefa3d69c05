"""The files of a study that lie beside its storage, brought along to where it goes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from optuna import Study
from optuna.trial import TrialState

from optnas.front import front
from optnas.keeping.beside import checkpoints_of, folders_beside, kept_in
from optnas.keeping.pictures import uploads_of
from optnas.study import artifacts_folder, checkpoints_folder, storage_file, weights_folder
from optnas.study.files import weights_path

__all__ = ["Origin", "bring_checkpoints", "bring_files", "bring_supernets"]

#: The address of a storage, and for each trial that a study has from it the number there and here.
Origin = tuple[str, Mapping[int, int]]


def bring_files(study: Study, address: str, origins: Sequence[Origin]) -> int:
    """Copy the weights of the front and of what was trained again, and pictures that people gave.

    Args:
        study: As it is in the new place.
        address: Of the storage there, which is a file.
        origins: Where it comes from; of several that have a file the first one counts.

    Returns:
        Of how many networks on the front the weights came along.
    """
    name = study.study_name
    weights = weights_folder(address, name)
    assert weights is not None
    members = {network.trial for network in front(study)}
    copied = 0
    for storage, numbers in origins:
        there = weights_folder(storage, name)
        copied += _copy_numbered(there, weights, numbers, members)
        if there is not None:
            for path in sorted((there / "retrained").glob("*.safetensors")):
                _copy(path, weights / "retrained" / path.name)  # the same name is the same training
    shown = artifacts_folder(address)
    assert shown is not None
    for picture in uploads_of(study):
        for storage, _ in origins:
            folder = artifacts_folder(storage)
            if folder is not None:
                _copy(folder / picture.meta.artifact_id, shown / picture.meta.artifact_id)
    return copied


def bring_checkpoints(study: Study, draft: str, address: str, origins: Sequence[Origin]) -> None:
    """Copy the checkpoints of what is in training to where a search looks for them.

    Args:
        study: As it is in the new place.
        draft: The address of the storage for now.
        address: The one that it will have, which names the folder where a search was told of one for checkpoints.
        origins: See `bring_files`.
    """
    beside = checkpoints_folder(address, study.study_name)
    folder = checkpoints_of(study, address)
    if folder == beside:  # what lies beside the storage appears with it
        folder = checkpoints_folder(draft, study.study_name)
    if folder is None:
        return
    running = {trial.number for trial in study.get_trials(deepcopy=False) if trial.state == TrialState.RUNNING}
    for storage, numbers in origins:
        _copy_numbered(checkpoints_of(study, storage), folder, numbers, running)


def bring_supernets(storages: Sequence[str], path: Path) -> None:
    """Copy shared weights, whose names tell the studies and settings that they are for.

    Args:
        storages: Addresses; of several that have a file the first one counts.
        path: The file of the storage that they come to lie beside.
    """
    for storage in storages:
        there = storage_file(storage)
        folder = None if there is None else folders_beside(there).get("-supernets")
        for one in sorted(folder.glob("*.safetensors")) if folder is not None else ():
            _copy(one, path.with_name(f"{path.name}-supernets") / one.name)


def _copy_numbered(there: Path | None, here: Path, numbers: Mapping[int, int], wanted: set[int]) -> int:
    copied = 0
    for number, path in kept_in(there).files.items():
        place = numbers.get(number)
        if place is not None and place in wanted:
            copied += _copy(path, weights_path(here, place))
    return copied


def _copy(path: Path, target: Path) -> bool:
    """False where there is one already, or the file is gone: a search drops what it needs no more."""
    if target.exists() or not path.is_file():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(path, target)
    except FileNotFoundError:
        return False
    return True
