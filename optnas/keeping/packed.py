"""The file of an archive: what is in it, and how one that may come from anywhere is read.

Every name, size and sum is checked before it is used.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optnas.errors import UsageError
from optnas.keeping.pictures import Picture, meta_of
from optnas.keeping.plain import record_from
from optnas.keeping.record import StudyRecord
from optnas.keeping.trouble import in_a_sentence

__all__ = [
    "KIND",
    "MANIFEST",
    "NAMES",
    "README",
    "STUDY",
    "TRIALS",
    "VERSION",
    "Contents",
    "read_archive",
    "weights_name",
]

KIND = "optnas study"
#: Of the format. An archive of a higher one is refused: it may hold what this optnas would lose.
VERSION = 1
MANIFEST, STUDY, TRIALS, README = "manifest.json", "study.json", "trials.jsonl", "README.txt"
#: All that an archive may hold; no name of these leads out of a folder.
NAMES = re.compile(
    r"README\.txt|manifest\.json|study\.json|trials\.jsonl"
    r"|weights/(0|[1-9]\d{0,8})\.safetensors"
    r"|pictures/(0|[1-9]\d{0,8})/[A-Za-z0-9][A-Za-z0-9_-]{0,63}(\.[A-Za-z0-9]{1,8})?"
)
#: Bounds that no archive of a search comes near, so that a small file cannot fill a disk or a memory.
_MOST_FILES = 100_000
_MOST_BYTES = 8 << 30
_MOST_TEXT = 1 << 30
#: Text of trials shrinks to a tenth or a twentieth; a bomb to a thousandth.
_MOST_SHRUNK, _SMALL = 200, 16 << 20
_PIECE = 1 << 20
_WEIGHTS = re.compile(r"weights/(\d+)\.safetensors")
_PICTURE = re.compile(r"pictures/(\d+)/.+")


@dataclass(frozen=True)
class Contents:
    """What an archive holds, checked."""

    path: Path
    record: StudyRecord
    weights: tuple[int, ...]
    """Numbers of trials whose weights are in it."""
    pictures: Mapping[str, Picture]
    """By their names in the archive, without their contents."""
    versions: Mapping[str, str]
    """Of the packages that wrote it."""


def weights_name(number: int) -> str:
    """Where the weights of a trial are in an archive."""
    return f"weights/{number}.safetensors"


def read_archive(path: Path) -> Contents:
    """Read and check an archive without writing anything.

    Raises:
        UsageError: If the file is no archive of optnas, of a newer format, damaged or dangerous.
    """
    where = f"archive {path}"
    with in_a_sentence(where):
        is_there = path.is_file()
    if not is_there:
        raise UsageError(f"{where}: expected a file, got {'a folder' if path.is_dir() else 'nothing of that name'}")
    try:
        with zipfile.ZipFile(path) as file:
            entries = _entries(file, where)
            manifest = _manifest(file, entries, where)
            for name, entry in entries.items():
                if name != MANIFEST:
                    _check_sum(file, entry, manifest["files"][name], where)
            study = _json(file.read(STUDY), f"{where}, {STUDY}")
            lines = file.read(TRIALS).splitlines()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UsageError(
            f"{where}: expected a zip file that optnas archive wrote, got a damaged or other one ({error})"
        ) from None
    except OSError as error:
        raise UsageError(f"{where}: cannot be read: {error.strerror or error}") from None
    trials = [_json(line, f"{where}, {TRIALS}, line {place}") for place, line in enumerate(lines, 1)]
    record = record_from(study, trials, where)
    found = [int(match[1]) for name in entries if (match := _WEIGHTS.fullmatch(name))]
    pictures = {name: _picture(name, manifest["files"][name], where) for name in entries if _PICTURE.fullmatch(name)}
    for number in (*found, *(picture.trial for picture in pictures.values())):
        if number >= len(trials):
            raise UsageError(f"{where}: holds a file of trial {number}, but only {len(trials)} trials")
    return Contents(path, record, tuple(found), pictures, manifest["versions"])


def _entries(file: zipfile.ZipFile, where: str) -> dict[str, zipfile.ZipInfo]:
    """The entries by name, none of which leads elsewhere or swells beyond the bounds."""
    infos = file.infolist()
    if MANIFEST not in {info.filename for info in infos}:
        raise UsageError(f"{where}: expected a file that optnas archive wrote, got a zip file without {MANIFEST}")
    if len(infos) > _MOST_FILES:
        raise UsageError(f"{where}: expected at most {_MOST_FILES} files in it, got {len(infos)}")
    found: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.orig_filename
        if name in found:
            raise UsageError(f"{where}: holds {name} twice")
        if not NAMES.fullmatch(name) or name != info.filename:
            raise UsageError(f"{where}: holds {name[:80]!r}, which is no name of such an archive; nothing was taken")
        mode = info.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG) or info.flag_bits & 0x1:
            raise UsageError(f"{where}: {name} is a link, encrypted or no plain file; nothing was taken")
        is_small = info.file_size <= max(_SMALL, _MOST_SHRUNK * info.compress_size)
        is_stored = info.compress_size >= info.file_size or not name.startswith("weights/")
        if not is_small or not is_stored or (not name.startswith("weights/") and info.file_size > _MOST_TEXT):
            raise UsageError(
                f"{where}: {name} would swell from {info.compress_size} to {info.file_size} bytes; nothing was taken"
            )
        found[name] = info
    total = sum(info.file_size for info in infos)
    if total > _MOST_BYTES:
        raise UsageError(f"{where}: expected at most {_MOST_BYTES} bytes in it, got {total}")
    for name in (README, STUDY, TRIALS):
        if name not in found:
            raise UsageError(f"{where}: lacks {name}")
    return found


def _manifest(file: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo], where: str) -> dict[str, Any]:
    manifest = _json(file.read(MANIFEST), f"{where}, {MANIFEST}")
    if not isinstance(manifest, dict) or manifest.get("format") != KIND:
        raise UsageError(f"{where}: expected the format {KIND!r}, got another one")
    version = manifest.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise UsageError(f"{where}: expected a version of the format, got {str(version)[:20]!r}")
    if version > VERSION:
        raise UsageError(f"{where}: is of format {version}, this optnas reads up to {VERSION}: take a newer optnas")
    files, versions = manifest.get("files"), manifest.get("versions")
    if not isinstance(files, dict) or not isinstance(versions, dict):
        raise UsageError(f"{where}, {MANIFEST}: expected the files and the versions")
    if {*files} != {*entries} - {MANIFEST}:
        odd = sorted({*files} ^ ({*entries} - {MANIFEST}))[0]
        raise UsageError(f"{where}: its files are not those of its manifest: {str(odd)[:80]!r} is in one of both only")
    return manifest


def _check_sum(file: zipfile.ZipFile, entry: zipfile.ZipInfo, told: Any, where: str) -> None:
    digest, size = hashlib.sha256(), 0
    with file.open(entry) as content:
        while piece := content.read(_PIECE):  # never more than the size that the entry says
            digest.update(piece)
            size += len(piece)
    if not isinstance(told, dict) or (told.get("sha256"), told.get("size_bytes")) != (digest.hexdigest(), size):
        raise UsageError(f"{where}: {entry.filename} is damaged: its checksum is another one than the manifest says")


def _picture(name: str, facts: Any, where: str) -> Picture:
    meta = meta_of(facts)
    if meta is None:
        raise UsageError(f"{where}, {MANIFEST}: says of {name} nothing that a picture is known by")
    match = _PICTURE.fullmatch(name)
    assert match is not None
    return Picture(int(match[1]), meta, facts.get("in_trial") is True)


def _json(text: bytes, where: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise UsageError(f"{where}: expected JSON") from None


def _refuse_constant(text: str) -> Any:
    raise ValueError(text)
