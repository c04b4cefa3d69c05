"""A study in a few plain sentences: what it searches, how far it is, what it found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna import Study

from optnas.cost import COSTS, format_cost
from optnas.facts.course import Moment, course
from optnas.facts.trials import TrialFacts, read_trials
from optnas.front import Network, front, objective_names
from optnas.objective import ERROR
from optnas.study import attribute

__all__ = ["Summary", "format_value", "progress_sentence", "summarise", "words_of"]

_SHARE = 0.9
_WORDS: Mapping[str, str] = {
    "params": "parameters",
    "macs": "MACs",
    "size_bytes": "size",
    "peak_memory_bytes": "peak memory",
    "energy_mj": "energy",
    "latency_ms": "latency",
}


@dataclass(frozen=True)
class Summary:
    """What a person reads first."""

    intro: tuple[str, ...]
    """What is searched, and what was done for it."""
    counts: Mapping[str, str]
    """A few numbers, each under the words for it."""
    findings: tuple[str, ...]
    """What came of it."""


def format_value(name: str, value: float) -> str:
    """An objective or cost for people: an error in per cent, a cost with its unit."""
    if name == ERROR:
        return f"{value:.2%}"
    return format_cost(name, value) if name in COSTS else f"{value:.4g}"


def words_of(name: str) -> str:
    """An objective or cost in a sentence, without its unit: "MACs" for "macs"; a name that is not known as it is."""
    return _WORDS.get(name, name)


def summarise(study: Study) -> Summary:
    """The summary of any study, finished, running or empty."""
    trials, moments, members = read_trials(study), course(study), front(study)
    counted = Counter(trial.state for trial in trials)
    trained = sum(trial.trained for trial in trials)
    epochs = moments[-1].epochs if moments else 0
    counts = {"networks trained": str(trained), "on the front": str(len(members))}
    for state, words in (("pruned", "stopped early"), ("refused", "refused untrained"), ("running", "in training")):
        if counted[state]:
            counts[words] = str(counted[state])
    if any(trial.curve for trial in trials):
        counts["epochs"] = str(epochs)
    if moments and moments[-1].seconds > 0:
        counts["of work"] = _duration(moments[-1].seconds)
    findings = [_front_sentence(study, members), progress_sentence(moments)]
    return Summary(
        (_searched(study), _done(trials, counted, trained)), counts, tuple(text for text in findings if text)
    )


def progress_sentence(moments: Sequence[Moment]) -> str:
    """When most of the hypervolume was there, and whether the last trainings still added to it; empty for none."""
    if len(moments) < 2 or moments[-1].hypervolume <= 0:
        return ""
    final, total = moments[-1].hypervolume, len(moments)
    early = next(moment.trainings for moment in moments if moment.hypervolume >= _SHARE * final)
    last = next(moment.trainings for moment in moments if moment.hypervolume >= final - 1e-12)
    text = f"{_SHARE:.0%} of the hypervolume that it covers was there after {early} of {total} trainings"
    idle = total - last
    if idle == 0:
        return f"{text}; the last training still added to it."
    return f"{text}; the last {idle} added nothing." if idle > 1 else f"{text}; the last one added nothing."


def _searched(study: Study) -> str:
    names = objective_names(study)
    words = [
        f"{words_of(name)} ({'larger' if direction.name == 'MAXIMIZE' else 'smaller'} is better)"
        for name, direction in zip(names, study.directions, strict=True)
    ]
    settings: Mapping[str, Any] = attribute(study, "settings") or {}
    task, space = settings.get("task", {}), settings.get("space", {})
    budget = ", ".join(settings.get("constraints", ()))
    within = f" within {budget}" if budget else ""
    if "data" not in task or "name" not in space:
        return f"A study of {_listed(words)}{within}, which optnas search did not make."
    shape, classes = "x".join(map(str, task.get("input_shape", ()))), len(task.get("classes", ()))
    images = f"{task['n_train']} images" if "n_train" in task else "images"
    return (
        f"A search of the space {space['name']} for networks that tell {classes} classes of {task['data']} apart "
        f"({images} of {shape}), by {_listed([*map(words_of, names)])}{within}. Errors are those of validation images."
    )


def _done(trials: Sequence[TrialFacts], counted: Counter[str], trained: int) -> str:
    if not trials:
        return "It has no trial yet."
    stopped = sum(trial.trained for trial in trials if trial.state == "pruned")
    unseen = counted["pruned"] - stopped
    parts = [f"{unseen} pruned that kept no curve"] if unseen else []
    for state, words in (
        ("refused", "refused before training"),
        ("repeat", "repeats of a network that was trained"),
        ("failed", "failed"),
        ("running", "in training now"),
        ("waiting", "waiting"),
    ):
        if counted[state]:
            parts.append(f"{counted[state]} {words}")
    plural = "network was" if trained == 1 else "networks were"
    early = f", {stopped} of them stopped early" if stopped else ""
    rest = f"; besides, {_listed(parts)}" if parts else ""
    return f"{trained} {plural} trained{early}{rest}."


def _front_sentence(study: Study, members: Sequence[Network]) -> str:
    names = objective_names(study)
    if not members:
        return "No network is on the front: none was trained to the end within the constraints."

    def told(member: Network) -> str:
        return " and ".join(f"{words_of(name)} {format_value(name, member.values[name])}" for name in names)

    if len(members) == 1:
        return f"One network is on the front, trial {members[0].trial}: {told(members[0])}."
    first, last = members[0], members[-1]
    return (
        f"{len(members)} networks are on the front, from {told(first)} (trial {first.trial}) to {told(last)} "
        f"(trial {last.trial})."
    )


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes, hours = seconds / 60, seconds / 3600
    return f"{minutes:.0f} min" if minutes < 90 else f"{hours:.1f} h"
