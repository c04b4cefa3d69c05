"""The folder of one exported network: its files, and what is known of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from optnas.cost import Latency, device_fingerprint
from optnas.deploy.files import FileJob, Judged, weights_digest
from optnas.deploy.model import Model
from optnas.errors import UsageError
from optnas.runtime import FORMATS, runtime_of
from optnas.whole import whole_file

__all__ = ["Exported", "Shelf", "write_file"]

_RECORD = "files.json"
_PLAIN = {"format", "precision", "file", "problem", "trial", "size_bytes", "images"}


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


class Shelf:
    """The folder of one network, with what is known of the files in it."""

    def __init__(self, folder: Path, model: Model) -> None:
        self.folder = folder
        self._weights = weights_digest(model.deployable)
        self._problems: dict[str, Exported] = {}
        self._records: dict[str, dict[str, Any]] = {}
        for name, record in _read(folder / _RECORD).items():
            if not _is_whole(name, record):
                continue
            if record["made"].get("weights") == self._weights:
                self._records[name] = record
            else:
                (folder / name).unlink(missing_ok=True)  # of other weights than those that the card will tell of

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
                write_file(self.folder / name, judged.content)
                sha = hashlib.sha256(judged.content).hexdigest()
                self._records[name] = {"made": self._made(job, precision), "sha256": sha, "facts": asdict(facts)}
        self._save()

    def untimed(self, job: FileJob) -> list[tuple[str, bytes]]:
        contents = [(precision, self._content(job, precision)) for precision in _precisions(job)]
        return [
            (precision, content)
            for precision, content in contents
            if content is not None and not self._is_timed_here(self._records[_name(job, precision)])
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
            if self._is_timed_here(record)
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

    def _is_timed_here(self, record: Mapping[str, Any]) -> bool:
        facts = record["facts"]
        if facts["latency_ms"] is None or facts["reference_ms"] is None:
            return False
        try:
            runtime = runtime_of(facts["format"])
        except UsageError:  # not installed any more
            return False
        return bool(record.get("device") == device_fingerprint(runtime))

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
        write_file(self.folder / _RECORD, json.dumps(self._records, indent=2).encode())


def _read(path: Path) -> Mapping[str, Any]:
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return records if isinstance(records, dict) else {}


def _is_whole(name: str, record: Any) -> bool:
    """Whether a record is one that was written here; a person, or another version, may have written anything."""
    if not isinstance(record, dict) or Path(name).name != name or not name.startswith("network"):
        return False
    made, facts = record.get("made"), record.get("facts")
    if not isinstance(made, dict) or not isinstance(facts, dict) or not isinstance(record.get("sha256"), str):
        return False
    if set(facts) != {one.name for one in fields(Exported)}:
        return False
    texts, counts = ("precision", "file", "problem"), ("trial", "size_bytes", "images")
    return (
        facts["format"] in FORMATS
        and all(isinstance(facts[key], str) for key in texts)
        and all(isinstance(facts[key], int) for key in counts)
        and all(facts[key] is None or isinstance(facts[key], int | float) for key in set(facts) - _PLAIN)
    )


def _precisions(job: FileJob) -> tuple[str, ...]:
    return ("fp32", "int8") if job.int8 else ("fp32",)


def _name(job: FileJob, precision: str) -> str:
    return f"network{'' if precision == 'fp32' else '-int8'}{runtime_of(job.format).suffix}"


def write_file(path: Path, content: bytes) -> None:
    """Who reads the file meanwhile sees the old one or the new one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as beside:
            beside.write_bytes(content)
    except OSError as error:
        raise UsageError(f"export {path}: cannot be written: {error.strerror}") from None
