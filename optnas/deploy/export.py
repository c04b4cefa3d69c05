"""From trained networks to a folder for phones: every file judged against PyTorch on real images, and timed."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from optnas.cost import Latency, device_fingerprint
from optnas.deploy.card import ExportedFile, write_card
from optnas.deploy.files import FileJob, Judged, make_all, time_all, weights_digest
from optnas.deploy.model import Model
from optnas.errors import UsageError
from optnas.runtime import runtime_of
from optnas.study import attribute
from optnas.study.reopen import Reopened
from optnas.study.search import make_executor

__all__ = ["Exported", "check_formats", "export_models", "file_job", "study_references"]

Say = Callable[[str], None]
_RECORD = "files.json"


@dataclass(frozen=True)
class Exported:
    """What came of one file of one network."""

    trial: int
    """The network's number in its study."""
    format: str
    """One of `optnas.runtime.FORMATS`."""
    precision: str
    """"fp32" or "int8"."""
    file: str | None
    """Where it lies; None if it was not kept."""
    size_bytes: int | None = None
    images: int = 0
    """Validation images that it was run on, one by one."""
    torch_error: float | None = None
    """Of the network in PyTorch on them, in [0, 1]."""
    error: float | None = None
    """Of the file on them."""
    max_difference: float | None = None
    """The largest difference of a logit from PyTorch's, as a share of the largest logit."""
    latency_ms: float | None = None
    """Of one image in the file's runtime on one thread of this machine."""
    latency_spread_ms: float | None = None
    reference_ms: float | None = None
    """Of the reference network, which gives latencies their unit."""
    problem: str = ""
    """Why it was not kept or not timed, or that int8 lost more accuracy than allowed."""

    @property
    def loss(self) -> float | None:
        """Accuracy that the file lost against PyTorch, in [-1, 1]."""
        return None if self.error is None or self.torch_error is None else self.error - self.torch_error


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
        UsageError: If the folder cannot be written, or a format is unknown or not installed, before any work.
    """
    check_formats(formats)
    _check_numbers(int8_loss, images, calibration)
    _check_folder(folder)
    jobs = [
        file_job(model, reopened, format, int8, images, calibration, seed) for model in models for format in formats
    ]
    shelves = {model.facts.trial: _Shelf(folder / f"trial-{model.facts.trial}", model) for model in models}
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


class _Shelf:
    """The folder of one network, with what is known of the files in it."""

    def __init__(self, folder: Path, model: Model) -> None:
        self.folder = folder
        self._weights = weights_digest(model.deployable)
        self._problems: dict[str, Exported] = {}
        try:
            self._records: dict[str, dict[str, Any]] = dict(json.loads((folder / _RECORD).read_text()))
        except (OSError, ValueError, TypeError):
            self._records = {}

    def has(self, job: FileJob) -> bool:
        return all(self._content(job, precision) is not None for precision in _precisions(job))

    def put(self, job: FileJob, made: Mapping[str, Judged]) -> None:
        for precision, judged in made.items():
            name = _name(job, precision)
            facts = Exported(
                job.trial, job.format, precision, str(self.folder / name), len(judged.content or b""), judged.images,
                judged.torch_error, judged.error, judged.max_difference, problem=judged.problem,
            )  # fmt: skip
            self._records.pop(name, None)
            if judged.content is None:
                (self.folder / name).unlink(missing_ok=True)  # of an earlier export: no longer what it says
                self._problems[name] = replace(facts, file=None, size_bytes=None)
            else:
                _write(self.folder / name, judged.content)
                sha = hashlib.sha256(judged.content).hexdigest()
                self._records[name] = {"made": self._made(job, precision), "sha256": sha, "facts": asdict(facts)}
        self._save()

    def untimed(self, job: FileJob) -> list[tuple[str, bytes]]:
        contents = [(precision, self._content(job, precision)) for precision in _precisions(job)]
        return [
            (precision, content)
            for precision, content in contents
            if content is not None and self._records[_name(job, precision)]["facts"]["latency_ms"] is None
        ]

    def time(self, job: FileJob, precision: str, latency: Latency | str) -> None:
        facts = self._records[_name(job, precision)]["facts"]
        if isinstance(latency, str):
            facts["problem"] = latency
        else:
            facts.update(
                latency_ms=latency.latency_ms,
                latency_spread_ms=latency.spread_ms,
                reference_ms=latency.latency_ms / latency.ratio,
                problem="",
            )
            self._records[_name(job, precision)]["device"] = latency.device_fingerprint
        self._save()

    def references(self) -> dict[str, float]:
        """Reference times that files here were timed with, on this machine and this software."""
        return {
            record["facts"]["format"]: record["facts"]["reference_ms"]
            for record in self._records.values()
            if record.get("device") == device_fingerprint(runtime_of(record["facts"]["format"]))
        }

    def exported(self, job: FileJob, int8_loss: float) -> list[Exported]:
        found = []
        for precision in _precisions(job):
            name = _name(job, precision)
            one = self._problems.get(name) or Exported(**self._records[name]["facts"])
            one = replace(one, file=one.file and str(self.folder / name))
            if precision == "int8" and one.loss is not None and one.loss > int8_loss:
                lost = f"loses {one.loss:.2%} of accuracy, expected at most {int8_loss:.2%}"
                one = replace(one, problem="; ".join(filter(None, (one.problem, lost))))
            found.append(one)
        return found

    def _content(self, job: FileJob, precision: str) -> bytes | None:
        """Of a file that is there, whole, of these weights and made as this job would; else None."""
        name = _name(job, precision)
        record = self._records.get(name)
        if record is None or record.get("made") != self._made(job, precision):
            return None
        try:
            content = (self.folder / name).read_bytes()
        except OSError:
            return None
        return content if hashlib.sha256(content).hexdigest() == record["sha256"] else None

    def _made(self, job: FileJob, precision: str) -> dict[str, Any]:
        made = {
            "weights": self._weights, "images": job.images, "data": job.task.images.digest,
            "version": runtime_of(job.format).version,
        }  # fmt: skip
        return {**made, "calibration": [job.calibration, job.seed]} if precision == "int8" else made

    def _save(self) -> None:
        _write(self.folder / _RECORD, json.dumps(self._records, indent=2).encode())


def _precisions(job: FileJob) -> tuple[str, ...]:
    return ("fp32", "int8") if job.int8 else ("fp32",)


def _name(job: FileJob, precision: str) -> str:
    return f"network{'' if precision == 'fp32' else '-int8'}{runtime_of(job.format).suffix}"


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


def _check_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = "it is a file" if folder.is_file() else error.strerror
        raise UsageError(f"export: expected a folder that can be written, got {folder}: {reason}") from None


def _write(path: Path, content: bytes) -> None:
    """Who reads the file meanwhile sees the old one or the new one."""
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:
        raise UsageError(f"export {path}: cannot be written: {error.strerror}") from None
    finally:
        beside.unlink(missing_ok=True)
