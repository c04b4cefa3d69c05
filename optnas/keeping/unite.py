"""Two studies of the same settings made one: numbers, origins, and networks that both of them trained."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from optnas.errors import UsageError
from optnas.keeping.pictures import Picture
from optnas.keeping.record import Note, StudyRecord
from optnas.objective import ATTRIBUTE, is_trained
from optnas.study.create import differences

__all__ = ["Part", "United", "check_same", "unite"]

_REPEAT, _FINGERPRINT, _FROM = (ATTRIBUTE + name for name in ("repeat_of", "fingerprint", "merged_from"))
_SETTINGS = ATTRIBUTE + "settings"


@dataclass(frozen=True)
class Part:
    """One of the studies that become one."""

    origin: str
    """What its storage is called."""
    record: StudyRecord


@dataclass(frozen=True)
class United:
    """A study made of several."""

    record: StudyRecord
    numbers: tuple[Mapping[int, int], ...]
    """For each part, the new number of each of its trials that are in the study."""
    left_out: tuple[tuple[int, ...], ...]
    """For each part, the trials that were running, and repeats of these."""
    shared: int
    """Trials that a later part had in common with an earlier one, since one is a copy of the other."""
    repeats: int
    """Trainings of a network that another part had trained too."""


def check_same(parts: Sequence[Part]) -> None:
    """Refuse studies whose trials cannot be compared.

    Raises:
        UsageError: With what differs.
    """
    first, *others = parts
    name = first.record.name
    for part in others:
        for one in (first, part):
            if _SETTINGS not in one.record.user_attrs:
                raise UsageError(
                    f"study {name!r} is in {first.origin} and in {part.origin}, and in {one.origin} it was not made by "
                    "optnas, so nobody knows whether their trials compare: choose others with --study"
                )
        ours, theirs = (one.record.user_attrs[_SETTINGS] for one in (first, part))
        different = differences(ours, theirs)
        if (*first.record.directions, *(first.record.metric_names or ())) != (
            *part.record.directions,
            *(part.record.metric_names or ()),
        ):
            different.append("other objectives")
        if different:
            # `differences` speaks of a study and of now; here these are two files.
            phrases = [
                phrase.replace(" in the study, ", f" in {first.origin}, ").removesuffix(" now") + f" in {part.origin}"
                for phrase in different
            ]
            raise UsageError(
                f"study {name!r} was made with other settings ({'; '.join(phrases)}): their trials do not compare; "
                "choose others with --study"
            )


def unite(parts: Sequence[Part]) -> United:
    """One study with the trials of several, those of the first part first and under their numbers.

    Trials that are the same in every attribute are one: one storage began as a copy of the other. A network that
    several parts trained, each for itself, is one network: the training that went furthest, of these the first one,
    stands for it, and the others stay with their values, curves and seeds and are marked as its repeats. A front that
    took the best of several trainings would collect the lucky ones.

    Args:
        parts: At least one; see `check_same`.
    """
    trials: list[FrozenTrial] = []
    numbers: list[dict[int, int]] = []
    left_out: list[tuple[int, ...]] = []
    known: dict[tuple[Any, ...], list[FrozenTrial]] = {}
    shared = 0
    for part in parts:
        mapped: dict[int, int] = {}
        left: list[int] = []
        before = {key: list(same) for key, same in known.items()}
        for trial in part.record.trials:
            repeated = trial.user_attrs.get(_REPEAT)
            if trial.state == TrialState.RUNNING or repeated in left:
                left.append(trial.number)
                continue
            twin = next((one for one in before.get(_key(trial), ()) if _is_same(one, trial)), None)
            if twin is not None:
                mapped[trial.number] = twin.number
                shared += 1
                continue
            moved = _moved(trial, len(trials), part.origin)
            known.setdefault(_key(trial), []).append(moved)
            trials.append(moved)
            mapped[trial.number] = moved.number
        for number in mapped.values():
            _point(trials[number], mapped, part.origin)
        numbers.append(mapped)
        left_out.append(tuple(left))
    repeats = _mark_repeats(trials)
    first = parts[0].record
    record = replace(
        first,
        trials=trials,
        user_attrs=_attributes(parts, numbers, left_out),
        system_attrs={key: value for part in parts[::-1] for key, value in part.record.system_attrs.items()},
        notes=_notes(parts, numbers),
        pictures=_pictures(parts, numbers),
    )
    return United(record, tuple(numbers), tuple(left_out), shared, repeats)


def _key(trial: FrozenTrial) -> tuple[Any, ...]:
    return trial.state, trial.datetime_start, trial.datetime_complete, repr(sorted(trial.params.items()))


def _is_same(ours: FrozenTrial, theirs: FrozenTrial) -> bool:
    """Whether two trials are one event; what a merge wrote, and numbers that it changed, aside."""

    def told(trial: FrozenTrial) -> str:
        attributes = {key: value for key, value in trial.user_attrs.items() if key not in (_FROM, _REPEAT)}
        # As text, where NaN is equal to itself.
        return repr((trial.values, trial.distributions, sorted(attributes.items()), sorted(trial.system_attrs.items())))

    return trial_began(ours) and told(ours) == told(theirs)


def trial_began(trial: FrozenTrial) -> bool:
    """Whether it is an event at all: of trials that wait, two of the same choices are two."""
    return trial.datetime_start is not None


def _moved(trial: FrozenTrial, number: int, origin: str) -> FrozenTrial:
    moved = copy.copy(trial)
    moved.number = number
    earlier = trial.user_attrs.get(_FROM) or []
    here = {"storage": origin, "trial": trial.number}
    moved.user_attrs = {**trial.user_attrs, _FROM: [here, *(earlier if isinstance(earlier, list) else [])]}
    return moved


def _point(trial: FrozenTrial, mapped: Mapping[int, int], origin: str) -> None:
    """Let a repeat name its network by the new number, if this part brought it."""
    repeated, came = trial.user_attrs.get(_REPEAT), trial.user_attrs[_FROM][0]
    if repeated is not None and came["storage"] == origin and mapped.get(came["trial"]) == trial.number:
        trial.user_attrs[_REPEAT] = mapped.get(repeated, repeated)


def _mark_repeats(trials: Sequence[FrozenTrial]) -> int:
    """Mark all but one training of each network as its repeats; returns how many."""
    trained: dict[str, list[FrozenTrial]] = {}
    for trial in trials:
        name = trial.user_attrs.get(_FINGERPRINT)
        if name is not None and is_trained(trial):
            trained.setdefault(name, []).append(trial)
    stands = {}
    for same in trained.values():
        # One that was stopped says less than one that was trained to the end.
        best = min(same, key=lambda trial: (trial.state != TrialState.COMPLETE, trial.number))
        for trial in same:
            if trial is not best:
                trial.user_attrs[_REPEAT] = best.number
                stands[trial.number] = best.number
    for trial in trials:
        repeated = trial.user_attrs.get(_REPEAT)
        if repeated in stands:
            trial.user_attrs[_REPEAT] = stands[repeated]
    return len(stands)


def _attributes(
    parts: Sequence[Part], numbers: Sequence[Mapping[int, int]], left_out: Sequence[Sequence[int]]
) -> dict[str, Any]:
    """The first part's, what only others have, and those that tell of trials by their numbers put together."""
    merged = {key: value for part in parts[::-1] for key, value in part.record.user_attrs.items()}
    kept = [
        {key.removeprefix(ATTRIBUTE): value for key, value in part.record.user_attrs.items()} for part in parts
    ]  # fmt: skip
    merged[_FROM] = [
        {
            "storage": part.origin,
            "trials": len(part.record.trials),
            "first": min(mapped.values(), default=None),
            "left_out": list(left),
            "versions": own.get("versions") or {},
            "earlier": own.get("merged_from") or [],
        }
        for part, mapped, left, own in zip(parts, numbers, left_out, kept, strict=True)
    ]
    together = {
        "samplers": _samplers(kept, numbers),
        "retrained": _retrained(kept, numbers),
        "trained_with": {file: made for own in kept[::-1] for file, made in (own.get("trained_with") or {}).items()},
        "tests": _tests(kept, numbers),
        "descents": list({one["weight"]: one for own in kept[::-1] for one in own.get("descents") or []}.values()),
    }
    return merged | {ATTRIBUTE + name: value for name, value in together.items() if any(name in own for own in kept)}


def _samplers(kept: Sequence[Mapping[str, Any]], numbers: Sequence[Mapping[int, int]]) -> list[list[Any]]:
    """Who proposed from which trial on; the trials that a later part adds follow one another."""
    found: list[list[Any]] = []
    end = 0
    for own, mapped in zip(kept, numbers, strict=True):
        new = {number: place for number, place in mapped.items() if place >= end}
        for start, *who in own.get("samplers") or []:
            places = [place for number, place in new.items() if number >= start]
            if places and (not found or found[-1][1:] != who):
                if found and found[-1][0] == min(places):
                    found.pop()  # of trials that are not here
                found.append([min(places), *who])
        end = max([end, *(place + 1 for place in mapped.values())])
    return found


def _retrained(kept: Sequence[Mapping[str, Any]], numbers: Sequence[Mapping[int, int]]) -> dict[str, Any]:
    return {
        str(mapped[int(number)]): one
        for own, mapped in list(zip(kept, numbers, strict=True))[::-1]
        for number, one in (own.get("retrained") or {}).items()
        if int(number) in mapped
    }


def _tests(kept: Sequence[Mapping[str, Any]], numbers: Sequence[Mapping[int, int]]) -> list[Any]:
    """Every look at the test split, by date: each of them counts, whatever became of its trials."""
    looks: list[Any] = []
    for own, mapped in zip(kept, numbers, strict=True):
        for look in own.get("tests") or []:
            moved = {**look, "trials": [mapped[number] for number in look["trials"] if number in mapped]}
            if moved not in looks:  # a copy's past
                looks.append(moved)
    return sorted(looks, key=lambda look: str(look["date"]))


def _pictures(parts: Sequence[Part], numbers: Sequence[Mapping[int, int]]) -> list[Picture]:
    """Those of all parts; of a trial that is in several they may be the same ones."""
    found: dict[tuple[int, str], Picture] = {}
    for part, mapped in zip(parts, numbers, strict=True):
        for picture in part.record.pictures:
            if picture.trial in mapped:
                moved = replace(picture, trial=mapped[picture.trial])
                found.setdefault((moved.trial, moved.meta.artifact_id), moved)
    return [*found.values()]


def _notes(parts: Sequence[Part], numbers: Sequence[Mapping[int, int]]) -> dict[int | None, Note]:
    """What people wrote of the same trial or study is put together."""
    found: dict[int | None, Note] = {}
    for part, mapped in zip(parts, numbers, strict=True):
        for number, note in part.record.notes.items():
            if number is not None and number not in mapped:
                continue
            place = None if number is None else mapped[number]
            there = found.get(place)
            if there is None:
                found[place] = note
            elif note.text not in there.text:
                found[place] = Note(max(there.version, note.version), f"{there.text}\n\n{note.text}")
    return found
