"""What the page's own program reads: the trials as rows of plain numbers, and drawings of those that can be picked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import isfinite
from typing import Any

import moocore
import numpy as np
from optuna.study import StudyDirection

from optnas.cost import COSTS
from optnas.facts.summary import words_of
from optnas.facts.trials import STATES, TrialFacts
from optnas.front import objective_names
from optnas.objective import ERROR
from optnas.printable import shell_word
from optnas.report.blocks import trial_blocks
from optnas.report.network import network_svg
from optnas.report.page.part import Reading
from optnas.study import attribute

__all__ = ["COSTS_IN_WORDS", "columns_of", "data_of", "first_objective"]

#: Networks that are drawn: of a front in six costs there may be hundreds.
_DRAWINGS = 150
COSTS_IN_WORDS: Mapping[str, tuple[str, str, str]] = {
    ERROR: ("validation error", "", "percent"),
    "params": (words_of("params"), "", "count"),
    "macs": (words_of("macs"), "", "count"),
    "size_bytes": (words_of("size_bytes"), "B", "count"),
    "peak_memory_bytes": (words_of("peak_memory_bytes"), "B", "count"),
    "energy_mj": ("energy (estimate)", "mJ", "fraction"),
    "latency_ms": (words_of("latency_ms"), "ms", "fraction"),
}
"""By name of an objective or cost: its words, unit, and how its numbers are written."""
_WORDS = {"beaten": "beaten", "infeasible": "beyond a constraint", "refused": "refused untrained"}


def first_objective(names: Sequence[str]) -> str:
    """What a person reads up the page: the error, or else the first objective."""
    return ERROR if ERROR in names else names[0]


def columns_of(reading: Reading) -> list[str]:
    """Objectives first, then every cost that some trial has."""
    names = list(objective_names(reading.study))
    return names + [
        name for name in COSTS if name not in names and any(name in trial.known for trial in reading.trials)
    ]


def data_of(reading: Reading, sure: Mapping[int, float]) -> dict[str, Any]:
    """Everything that hovering, sliders and the table need.

    Args:
        reading: The study.
        sure: By trial number the probability that it is on the true front, where it is known.
    """
    study, names = reading.study, objective_names(reading.study)
    larger = {
        name for name, direction in zip(names, study.directions, strict=True) if direction == StudyDirection.MAXIMIZE
    }
    columns, y = columns_of(reading), first_objective(names)
    known = [name for name in columns if name != y and any(_number(t.known.get(name)) for t in reading.trials)]
    choices = sorted({name for trial in reading.trials for name in trial.choices})
    options = {
        name: list(dict.fromkeys(str(trial.choices[name]) for trial in reading.trials if name in trial.choices))
        for name in choices
    }
    places = {name: {option: index for index, option in enumerate(options[name])} for name in choices}
    states = list(STATES)
    return {
        "study": study.study_name,
        "y": y,
        # What the study optimises first, then what is merely known.
        "axes": known or [y],
        "columns": [_column(name, name in larger) for name in columns],
        "states": states,
        "words": {state: _WORDS.get(state, state) for state in states},
        "meaning": dict(STATES),
        "choices": [{"name": name, "options": options[name]} for name in choices],
        "rows": [
            [
                trial.trial,
                states.index(trial.state),
                [_number(trial.known.get(name)) for name in columns],
                [places[name].get(str(trial.choices[name])) if name in trial.choices else None for name in choices],
                len(trial.curve),
                trial.why,
            ]
            for trial in reading.trials
        ],
        "drawings": drawings(reading, _pickable(reading.trials, [y, *known], larger)),
        "sure": {str(number): round(share, 3) for number, share in sure.items()},
        "flags": _flags(reading),
    }


def drawings(reading: Reading, wanted: Sequence[TrialFacts]) -> dict[str, str]:
    """By trial number the drawing of its network; none where the space is gone or a network cannot be built."""
    found: dict[str, str] = {}
    if reading.space is None:
        return found
    for trial in wanted:
        with suppress(Exception):  # a space of a person's own may raise anything; the page says the choices instead
            blocks = trial_blocks(reading.space.build, reading.space.input_shape, trial.choices)
            found[str(trial.trial)] = network_svg(blocks)
    return found


def _pickable(trials: Sequence[TrialFacts], names: Sequence[str], larger: set[str]) -> list[TrialFacts]:
    """The trials that some budget makes the best: those that no other beats in everything; members come first."""
    usable = [
        trial
        for trial in trials
        if trial.state in ("front", "beaten") and all(_number(trial.known.get(name)) is not None for name in names)
    ]
    if not usable:
        return []
    losses = np.array([[-t.known[name] if name in larger else t.known[name] for name in names] for t in usable])
    kept = moocore.is_nondominated(losses) if len(usable) > 1 else np.array([True])
    chosen = [trial for trial, keep in zip(usable, kept, strict=True) if keep]
    return sorted(chosen, key=lambda trial: (trial.state != "front", trial.known[names[0]]))[:_DRAWINGS]


def _column(name: str, larger: bool) -> dict[str, Any]:
    label, unit, scale = COSTS_IN_WORDS.get(name, (name, "", "plain"))
    return {"name": name, "label": label, "unit": unit, "scale": scale, "larger": larger}


def _number(value: float | None) -> float | None:
    """JSON has no word for what is not finite."""
    if value is None or not isfinite(value):
        return None
    return int(value) if float(value).is_integer() else float(f"{value:.6g}")


def _flags(reading: Reading) -> str:
    """What names the study in commands; nothing for a study that `optnas search` did not make."""
    if attribute(reading.study, "request") is None:
        return ""
    return f"--study {shell_word(reading.study.study_name)} --storage {shell_word(reading.storage)}"
