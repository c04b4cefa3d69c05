"""Several storages made one SQLite file; studies of one name and the same settings become one study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.storages import BaseStorage

from optnas.errors import UsageError
from optnas.keeping.bring import bring_checkpoints, bring_files, bring_supernets
from optnas.keeping.draft import appearing, check_target, let_go
from optnas.keeping.record import StudyRecord, read_record, write_record
from optnas.keeping.unite import Part, United, check_same, unite
from optnas.objective import ATTRIBUTE
from optnas.study import open_storage, shown_storage, sqlite_path, storage_file
from optnas.study.addresses import sqlite_address
from optnas.study.snapshot import snapshot

__all__ = ["Merged", "as_address", "merge"]

_PART_OF = ATTRIBUTE + "part_of"


@dataclass(frozen=True)
class Merged:
    """What became of one study."""

    study: str
    origins: tuple[str, ...]
    """The storages that it comes from."""
    trials: int
    left_out: Mapping[str, tuple[int, ...]]
    """By storage, the trials that were running, by their numbers there."""
    shared: int
    """Trials that are in several storages, of which one is a copy of the other, and are one now."""
    repeats: int
    """Trainings of a network that another storage had trained too, marked as repeats of that one."""
    weights: int
    """Networks on its front whose weights came along."""
    dropped: tuple[str, ...] = ()
    """Storages whose study of this name belongs to another one and was made otherwise: not in here."""


@dataclass(frozen=True)
class _Source:
    origin: str
    address: str
    """Of the storage itself, beside which its files lie."""
    storage: BaseStorage

    def records(self) -> dict[str, StudyRecord]:
        names = [study.study_name for study in self.storage.get_all_studies()]
        return {name: read_record(optuna.load_study(study_name=name, storage=self.storage)) for name in names}


def as_address(text: str) -> str:
    """An address of a storage, which a person may give as the name of its SQLite file."""
    return text if "://" in text or text == "memory" else sqlite_address(text)


def merge(sources: Sequence[str], into: Path, studies: Sequence[str] = ()) -> list[Merged]:
    """Make one SQLite file of several storages, which stay as they are; searches may run in them.

    The file appears when it is whole: one that is killed leaves a folder `FILE.draft-*` and nothing else.

    Args:
        sources: Addresses, or names of SQLite files. Of studies in several of them the first one's trials come first
            and keep their numbers.
        into: The file, which must not exist.
        studies: Names of those that are taken, with those that belong to them; all if none is named.

    Raises:
        UsageError: If a source cannot be read, a study of one name was made with several settings, or there is no such
            study; or if the file exists.
    """
    if len(sources) < 2:
        raise UsageError("merge: expected at least two storages")
    if "memory" in sources:
        raise UsageError("merge: expected storages that are kept, got memory")
    check_target(into, "merge --into")
    with ExitStack() as stack:
        opened = [stack.enter_context(_open(source)) for source in _named_apart(sources)]
        records = [source.records() for source in opened]
        chosen = _chosen(records, studies, [source.origin for source in opened])
        united: dict[str, tuple[United, list[int], tuple[str, ...]]] = {}
        for name in chosen:
            places, dropped = _sources_of(name, records, opened)
            parts = [Part(opened[place].origin, records[place][name]) for place in places]
            check_same(parts)
            united[name] = _alone(parts[0]) if len(parts) == 1 else unite(parts), places, dropped
        with appearing(into) as draft:
            storage = open_storage(sqlite_address(draft))
            merged = [
                _write(name, one, [opened[place] for place in places], dropped, storage, draft, into)
                for name, (one, places, dropped) in united.items()
            ]
            bring_supernets([source.address for source in opened], draft)
            let_go(storage)
    return merged


def _alone(part: Part) -> United:
    """A study that only one storage has: as it is, its running trials too."""
    numbers = {trial.number: trial.number for trial in part.record.trials}
    return United(part.record, (numbers,), ((),), 0, 0)


def _write(
    name: str,
    united: United,
    sources: Sequence[_Source],
    dropped: tuple[str, ...],
    storage: BaseStorage,
    draft: Path,
    into: Path,
) -> Merged:
    study = write_record(united.record, storage)
    froms = [(source.address, mapped) for source, mapped in zip(sources, united.numbers, strict=True)]
    weights = bring_files(study, sqlite_address(draft), froms)
    bring_checkpoints(study, sqlite_address(draft), sqlite_address(into), froms)
    left = {source.origin: left for source, left in zip(sources, united.left_out, strict=True) if left}
    origins = tuple(source.origin for source in sources)
    return Merged(
        name, origins, len(united.record.trials), left, united.shared, united.repeats, weights, dropped
    )  # fmt: skip


def _chosen(records: Sequence[Mapping[str, StudyRecord]], studies: Sequence[str], origins: Sequence[str]) -> list[str]:
    names = list(dict.fromkeys(name for held in records for name in held))
    if not names:
        raise UsageError(f"merge: there is no study in {' or '.join(origins)}")
    for name in studies:
        if name not in names:
            raise UsageError(f"merge: there is no study {name!r} in {' or '.join(origins)}, only {', '.join(names)}")
    if not studies:
        return names
    return [
        name
        for name in names
        if name in studies or any(held[name].user_attrs.get(_PART_OF) in studies for held in records if name in held)
    ]


def _sources_of(
    name: str, records: Sequence[Mapping[str, StudyRecord]], opened: Sequence[_Source]
) -> tuple[list[int], tuple[str, ...]]:
    """Which sources a study is taken from, and which have another one of its name that only belongs to a study.

    A search by shared weights keeps scores in such a study, which other weights would give otherwise.
    """
    places = [place for place, held in enumerate(records) if name in held]
    first = records[places[0]][name]
    if _PART_OF not in first.user_attrs:
        return places, ()
    kept, dropped = [], []
    for place in places:
        try:
            check_same([Part("", first), Part("", records[place][name])])
            kept.append(place)
        except UsageError:
            dropped.append(opened[place].origin)
    return kept, tuple(dropped)


def _named_apart(sources: Sequence[str]) -> list[tuple[str, str]]:
    """Addresses with what to call each: the name of a file where that tells them apart."""
    addresses = [as_address(source) for source in sources]
    paths = [storage_file(address) for address in addresses]
    whole = [
        shown_storage(address) if path is None else str(path) for address, path in zip(addresses, paths, strict=True)
    ]
    seen: dict[object, str] = {}
    for path, text in zip(paths, whole, strict=True):
        identity = text if path is None else path.resolve()
        if identity in seen:
            raise UsageError(f"merge: {text} is the same storage as {seen[identity]}")
        seen[identity] = text
    short = [text if path is None else path.name for path, text in zip(paths, whole, strict=True)]
    origins = whole if len({*short}) < len(short) else short
    return list(zip(addresses, origins, strict=True))


@contextmanager
def _open(named: tuple[str, str]) -> Iterator[_Source]:
    address, origin = named
    path = sqlite_path(address)
    if path is None:
        yield _Source(origin, address, open_storage(address, create=False))
        return
    if not path.exists():
        raise UsageError(f"merge: {path}: there is no such file")
    if not path.is_file():
        raise UsageError(f"merge: {path}: expected a SQLite file, got a folder")
    with snapshot(path) as copied:
        try:
            storage = open_storage(sqlite_address(copied))  # the copy of an older Optuna is upgraded
        except UsageError as error:
            raise UsageError(str(error).replace(str(copied), str(path))) from None
        try:
            yield _Source(origin, address, storage)
        finally:
            let_go(storage)
