"""From trained networks to a folder for phones: every file judged against PyTorch on real images, and timed."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from optnas.cost import device_fingerprint
from optnas.deploy.card import ExportedFile, write_card
from optnas.deploy.files import FileJob, make_all, time_all
from optnas.deploy.model import Model
from optnas.deploy.shelf import Exported, Shelf, write_file
from optnas.errors import UsageError
from optnas.runtime import runtime_of
from optnas.study import attribute
from optnas.study.executors import make_executor
from optnas.study.reopen import Reopened

__all__ = ["Exported", "check_formats", "export_models", "file_job", "study_digest", "study_references"]

Say = Callable[[str], None]
_STUDY = "study.json"


def export_models(
    models: Sequence[Model],
    reopened: Reopened,
    folder: Path,
    formats: Sequence[str],
    int8: bool = False,
    *,
    int8_loss: float = 0.01,
    images: int | None = None,
    calibration: int = 200,
    seed: int = 0,
    workers: int | None = None,
    say: Say = lambda text: None,
) -> list[Exported]:
    """Write each network into a folder `trial-N` of its own, with its weights and its card.

    A file in 32-bit floats whose logits are further from PyTorch's than `PARITY` is not kept. Files that are there
    already, of the same weights and made in the same way, are not made again.

    Args:
        models: The networks.
        reopened: Their study, whose validation images judge and whose training images calibrate.
        folder: Made if there is none.
        formats: Some of `optnas.runtime.FORMATS`.
        int8: Whether to write 8-bit integers beside the floats.
        int8_loss: Accuracy, in [0, 1], that an int8 file may lose before its record has a problem.
        images: How many validation images to run; None for all.
        calibration: How many training images the ranges of activations are seen on.
        seed: Draws those.
        workers: Processes; 0 works in this one, None takes those of the study.
        say: Told what was finished.

    Returns:
        A record for each file, by network, format and precision.

    Raises:
        UsageError: If the folder cannot be written or holds the files of another study, or a format is unknown or
            not installed, before any work.
    """
    check_formats(formats)
    _check_numbers(int8_loss, images, calibration)
    _check_folder(folder)
    _claim(folder, models, reopened)
    jobs = [
        file_job(model, reopened, format, int8, images, calibration, seed) for model in models for format in formats
    ]
    shelves = {model.facts.trial: Shelf(folder / f"trial-{model.facts.trial}", model) for model in models}
    left = [job for job in jobs if not shelves[job.trial].has(job)]
    if len(left) < len(jobs):
        say(f"{len(jobs) - len(left)} of {len(jobs)} networks and formats were exported before")
    settings = reopened.settings if workers is None else replace(reopened.settings, workers=workers)
    with closing(make_executor(settings)) as executor:
        for done, (job, made) in enumerate(make_all(left, executor), 1):
            shelves[job.trial].put(job, made)
            problems = "; ".join(one.problem for one in made.values() if one.problem)
            say(f"[{done}/{len(left)}] trial {job.trial}, {job.format}: {problems or 'agrees with PyTorch'}")
        untimed = [
            ((job, precision), job.format, content, job.task.input_shape)
            for job in jobs
            for precision, content in shelves[job.trial].untimed(job)
        ]
        references = study_references(reopened, formats)
        for shelf in shelves.values():
            references = {**shelf.references(), **references}
        for (job, precision), latency in time_all(untimed, references, executor):
            shelves[job.trial].time(job, precision, latency)
    found = [one for job in jobs for one in shelves[job.trial].exported(job, int8_loss)]
    for model in models:
        _describe(model, shelves[model.facts.trial].folder, [one for one in found if one.trial == model.facts.trial])
    return found


def file_job(
    model: Model, reopened: Reopened, format: str, int8: bool, images: int | None, calibration: int, seed: int
) -> FileJob:
    """The job that makes a network's files of one format."""
    return FileJob(
        model.facts.trial, model.deployable.eval(), reopened.settings.task, format, int8, images, calibration, seed
    )


def check_formats(formats: Sequence[str]) -> None:
    """Refuse formats that cannot be written here. Raises `UsageError`."""
    if not formats:
        raise UsageError("format: expected at least one, got none")
    for format in formats:
        runtime_of(format)


def study_references(reopened: Reopened, formats: Sequence[str]) -> dict[str, float]:
    """Milliseconds of the reference network by format, where the study was timed in that runtime on this machine."""
    prices, then = reopened.objective.prices, (attribute(reopened.study, "settings") or {}).get("device")
    return {
        format: prices.reference_ms
        for format in formats
        if prices.reference_ms is not None and prices.command is None and then == device_fingerprint(runtime_of(format))
    }


def _describe(model: Model, folder: Path, found: Sequence[Exported]) -> None:
    """The weights and the card."""
    model.save(folder / "network.safetensors")
    size = (folder / "network.safetensors").stat().st_size
    files = [
        ExportedFile(
            "network.safetensors", "safetensors", "fp32", size, model.facts.data.get("n_val", 0), model.facts.error
        )
    ]
    for one in found:
        if one.file is not None and one.size_bytes is not None:
            files.append(
                ExportedFile(
                    Path(one.file).name,
                    one.format,
                    one.precision,
                    one.size_bytes,
                    one.images,
                    one.error,
                    one.max_difference,
                    one.latency_ms,
                    one.problem,
                )
            )
    write_card(model, folder, files)


def _check_numbers(int8_loss: float, images: int | None, calibration: int) -> None:
    if not 0 <= int8_loss <= 1:
        raise UsageError(f"int8_loss: expected a share of accuracy from 0 to 1, got {int8_loss}")
    for name, value in (("images", images), ("calibration", calibration)):
        if value is not None and value < 1:
            raise UsageError(f"{name}: expected a whole number from 1, got {value}")


def study_digest(reopened: Reopened) -> str:
    """Tells one study from another of the same name: what it searches, and when that began (16 hex digits)."""
    trials = reopened.study.get_trials(deepcopy=False)
    told = [attribute(reopened.study, "settings"), str(trials[0].datetime_start) if trials else ""]
    return hashlib.blake2b(json.dumps(told, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()


def _claim(folder: Path, models: Sequence[Model], reopened: Reopened) -> None:
    """Write into a folder whose networks lie there: those of two studies may have the same numbers."""
    if not models:
        return
    mine = {"study": models[0].facts.study, "digest": study_digest(reopened)}
    try:
        there = json.loads((folder / _STUDY).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        there = None
    if isinstance(there, dict) and there != mine:
        raise UsageError(
            f"export: expected a folder of study {mine['study']!r}, got {folder} with the files of study "
            f"{there.get('study')!r}{' of another search' if there.get('study') == mine['study'] else ''}"
        )
    write_file(folder / _STUDY, json.dumps(mine, indent=2).encode())


def _check_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = "it is a file" if folder.is_file() else error.strerror
        raise UsageError(f"export: expected a folder that can be written, got {folder}: {reason}") from None
