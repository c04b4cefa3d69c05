"""What lies beside the file of a storage, held against what the storage says that should."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from optuna import Study
from optuna.trial import TrialState

from optnas.front import front
from optnas.keeping.beside import Kept, checkpoints_of, folders_beside, is_alive, is_held, kept_in, leftovers, locks_of
from optnas.keeping.draft import drafts_of
from optnas.keeping.findings import Finding
from optnas.keeping.pictures import missing_pictures
from optnas.study import artifacts_folder, checkpoints_folder, sqlite_path, storage_file, weights_folder

__all__ = ["check_beside", "check_files"]


def check_files(study: Study, storage: str, searched: bool | None) -> list[Finding]:
    """The weights, checkpoints and pictures of a study.

    Args:
        study: It may be read from a copy of the storage.
        storage: The address of the storage itself.
        searched: Whether a search runs, whose files change and are no matter of ours; None where that cannot be told.
    """
    found = [*_pictures(study, artifacts_folder(storage))]
    weights = weights_folder(storage, study.study_name)
    checkpoints = checkpoints_of(study, storage) or checkpoints_folder(storage, study.study_name)
    if searched or (searched is None and weights is None):  # a server's, where nobody knows whose files these are
        return found
    name, trials = study.study_name, study.get_trials(deepcopy=False)
    kept, members = kept_in(weights), {network.trial for network in front(study)}
    strange = [number for number in (*kept.files, *kept_in(checkpoints).files) if number >= len(trials)]
    if strange:
        log = sqlite_path(storage)
        without = "" if log is None else f"copied without its {log}-wal, or "
        advice = f"was the storage {without}replaced by an older one?"
        found.append(_of(kept, strange, "lost", "with files of their own are not in the storage", advice, name))
    stale = [number for number in kept.files if number < len(trials) and number not in members]
    if stale:
        found.append(_removing(kept, stale, "not on the front, whose weights are kept all the same", name))
    bare = sorted(members - {*kept.files})
    if bare and weights is not None:  # on a server none ever are
        advice = "where they are needed they are trained again, with the same seed"
        found.append(Finding("worth knowing", "on the front, whose weights are not kept", advice, name, tuple(bare)))
    running = {trial.number for trial in trials if trial.state == TrialState.RUNNING}
    begun = kept_in(checkpoints)
    stale = [number for number in begun.files if number < len(trials) and number not in running]
    if stale:
        found.append(_removing(begun, stale, "not running, whose checkpoints are kept all the same", name))
    bare = sorted(running - {*begun.files})
    if bare and checkpoints is not None and checkpoints.parent.is_dir():
        advice = "they begin again with the first epoch"
        found.append(Finding("next search", "running without a checkpoint", advice, name, tuple(bare)))
    halves = [*leftovers(weights), *leftovers(checkpoints)]
    if halves:
        found.append(
            Finding("worth knowing", "halves of files of writers that were killed", "", name, (), tuple(halves))
        )
    return found


def check_beside(names: Sequence[str], storage: str) -> list[Finding]:
    """What belongs to no study of a storage: locks, drafts, and folders of studies that are gone."""
    path = storage_file(storage)
    if path is None:
        return []
    path, found = path.resolve(), []
    free = [lock for lock in locks_of(storage) if not is_held(lock)]
    if free:
        found.append(Finding("worth knowing", "locks of searches that are dead; they hold nothing", remove=tuple(free)))
    for draft, process in drafts_of(path).items():
        if not is_alive(process):
            found.append(Finding("worth knowing", f"{draft.name} was left half by a kill", "it may be deleted by hand"))
    halves = leftovers(folders_beside(path).get("-supernets"))
    if halves:
        names_of = ", ".join(half.name for half in halves)
        found.append(Finding("worth knowing", f"halves of shared weights: {names_of}", "they may be deleted by hand"))
    for folder, what in ((weights_folder, "weights"), (checkpoints_folder, "checkpoints")):
        known = {folder(storage, name) for name in names}
        beside = folder(storage, "any")
        if beside is None or not beside.parent.is_dir():
            continue
        gone = [one.name for one in sorted(beside.parent.iterdir()) if one.is_dir() and one not in known]
        if gone:
            sentence = f"{what} of studies that are not in the storage: {', '.join(gone)}"
            found.append(Finding("worth knowing", sentence, "they may be deleted by hand"))
    return found


def _pictures(study: Study, folder: Path | None) -> list[Finding]:
    missing = missing_pictures(study, folder)
    found = []
    for drawn, what, advice in (
        (True, "whose drawings are gone", "optnas dashboard draws them again"),
        (False, "whose uploaded files are gone", f"they were in {folder}"),
    ):
        trials = tuple(sorted({picture.trial for picture in missing if picture.drawn == drawn}))
        if trials:
            severity = "worth knowing" if drawn else "lost"
            found.append(Finding(severity, what, advice, study.study_name, trials))  # type: ignore[arg-type]
    return found


def _of(kept: Kept, numbers: Sequence[int], severity: str, what: str, advice: str, study: str) -> Finding:
    return Finding(severity, what, advice, study, tuple(sorted({*numbers})))  # type: ignore[arg-type]


def _removing(kept: Kept, numbers: Sequence[int], what: str, study: str) -> Finding:
    numbers = sorted(numbers)
    return Finding(
        "next search", what, "it removes them", study, tuple(numbers), tuple(kept.files[number] for number in numbers)
    )  # fmt: skip
