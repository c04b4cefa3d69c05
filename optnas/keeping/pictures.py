"""Files that belong to trials of a study, as optuna-dashboard and Optuna's artifact store keep them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from optuna import Study
from optuna.artifacts import ArtifactMeta

from optnas.report.dashboard.attributes import artifact_key
from optnas.whole import whole_file

__all__ = [
    "Picture",
    "meta_of",
    "missing_pictures",
    "picture_attributes",
    "pictures_in",
    "pictures_of",
    "put_files",
    "uploads_of",
]

_BY_DASHBOARD, _BY_OPTUNA = "dashboard:artifacts:", "artifacts:"
#: Optuna's and the dashboard's are such; what is not could name another file.
_IDENTITY = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: Drawn by `optnas dashboard`, which draws them again wherever the study is.
_DRAWN = ("network.svg", "curve.svg")


@dataclass(frozen=True)
class Picture:
    """A file of a trial."""

    trial: int
    """Its number."""
    meta: ArtifactMeta
    """What it is called and of which type; its `artifact_id` is the name of the file in the folder of artifacts."""
    in_trial: bool
    """Whether the trial itself tells of it, as with Optuna's `upload_artifact`."""
    content: bytes = b""

    @property
    def name(self) -> str:
        """Safe as the name of a file, and telling."""
        stem, _, ending = self.meta.filename.rpartition(".")
        stem, ending = (re.sub(r"[^A-Za-z0-9_-]+", "_", part).strip("_") for part in (stem or "picture", ending))
        return f"{self.meta.artifact_id[:8]}-{stem[:50]}.{ending[:8] or 'bin'}"

    @property
    def drawn(self) -> bool:
        """Whether `optnas dashboard` draws it again by itself."""
        return self.meta.filename in _DRAWN and not self.in_trial

    def facts(self) -> dict[str, Any]:
        """Plain values, without the content."""
        return {**asdict(self.meta), "in_trial": self.in_trial}


def pictures_of(study: Study, folder: Path | None) -> list[Picture]:
    """All pictures of a study whose files are there, with their contents."""
    found = []
    for picture in _told(study):
        try:
            content = (folder / picture.meta.artifact_id).read_bytes() if folder else b""
        except OSError:
            continue
        found.append(Picture(picture.trial, picture.meta, picture.in_trial, content))
    return found


def uploads_of(study: Study) -> list[Picture]:
    """The pictures of a study that people gave to it, without their contents."""
    return [picture for picture in _told(study) if not picture.drawn]


def missing_pictures(study: Study, folder: Path | None) -> list[Picture]:
    """The pictures that a study tells of and whose files are gone."""
    return [one for one in _told(study) if folder is None or not (folder / one.meta.artifact_id).is_file()]


def put_files(pictures: Sequence[Picture], folder: Path) -> None:
    """Put the contents of pictures into a folder of artifacts; no file that is there is written over."""
    for picture in pictures:
        path = folder / picture.meta.artifact_id
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as beside:
                beside.write_bytes(picture.content)


def pictures_in(attributes: Mapping[str, Any], ids: Mapping[int, int]) -> list[Picture]:
    """The pictures of which the system attributes of a study tell, without their contents.

    Args:
        attributes: See above.
        ids: By number of each trial, what the storage calls it.
    """
    numbers = {str(one): number for number, one in ids.items()}
    found = []
    for key, value in attributes.items():
        if key.startswith(_BY_DASHBOARD):
            number = numbers.get(key.removeprefix(_BY_DASHBOARD).partition(":")[0])
            meta = _meta(value)
            if number is not None and meta is not None:
                found.append(Picture(number, meta, False))
    return found


def picture_attributes(pictures: Sequence[Picture], ids: Mapping[int, int]) -> dict[str, str]:
    """The system attributes of a study that tell of pictures: the way back from `pictures_in`."""
    return {artifact_key(ids[one.trial], one.meta.artifact_id): json.dumps(asdict(one.meta)) for one in pictures}


def meta_of(plain: Any) -> ArtifactMeta | None:
    """From plain values; None if they are none, or name another file than one of the folder of artifacts."""
    if not isinstance(plain, dict):
        return None
    kept = {name: plain.get(name) for name in ("artifact_id", "filename", "mimetype", "encoding")}
    texts = [kept["artifact_id"], kept["filename"], kept["mimetype"]]
    if not all(isinstance(text, str) for text in texts) or not _IDENTITY.fullmatch(str(kept["artifact_id"])):
        return None
    return ArtifactMeta(**kept)  # type: ignore[arg-type]


def _told(study: Study) -> Iterator[Picture]:
    """What a study says that there is."""
    trials = study.get_trials(deepcopy=False)
    for trial in trials:
        for key, value in trial.system_attrs.items():
            meta = _meta(value) if key.startswith(_BY_OPTUNA) else None
            if meta is not None:
                yield Picture(trial.number, meta, True)
    attributes = study._storage.get_study_system_attrs(study._study_id)
    yield from pictures_in(attributes, {trial.number: trial._trial_id for trial in trials})


def _meta(text: Any) -> ArtifactMeta | None:
    """None for one that a person has deleted, or that is none."""
    try:
        return meta_of(json.loads(text))
    except (TypeError, ValueError):
        return None
