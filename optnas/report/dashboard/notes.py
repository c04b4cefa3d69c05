"""The notes of a trial and of a study, in the Markdown that optuna-dashboard shows.

A trial's note says only what stays true: a later trial may beat it, but not change what it cost or why it was stopped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite

from optuna import Study

from optnas.cost import COSTS
from optnas.facts.reasons import audit_phrase
from optnas.facts.summary import summarise
from optnas.facts.trials import TrialFacts
from optnas.front import objective_names
from optnas.objective import ERROR
from optnas.report.markdown import escaped
from optnas.report.style import thinned
from optnas.report.units import amount

__all__ = ["study_note", "trial_note"]

#: Between two cells, with a wide space: the dashboard sets columns side by side.
_GAP = " | \u2003"
#: Networks of the front that a study's note lists; of more the middle is left out evenly.
_LISTED = 20


def trial_note(trial: TrialFacts, pictures: Mapping[str, str], commands: Sequence[str] = ()) -> str:
    """What became of a trial and why, its pictures, costs and choices, and what to do with it.

    Args:
        trial: One that has ended.
        pictures: Addresses, by what they show.
        commands: For a network that was trained to the end.
    """
    shown = [f"![{escaped(name)}]({address})" for name, address in pictures.items()]
    amounts = {**trial.values, **{name: trial.costs[name] for name in COSTS if name in trial.costs}}
    parts = [
        _state(trial),
        *shown,
        _table(("objective or cost", ""), [(name, _amount(name, value)) for name, value in amounts.items()], ":--|--:"),
        "\u2003" if amounts and trial.choices else "",  # room between the tables
        _table(("choice", ""), trial.choices.items(), ":--|:--"),
        _commands(commands) if trial.values and trial.state != "repeat" else "",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def study_note(study: Study, trials: Sequence[TrialFacts], page: str, commands: Sequence[str] = ()) -> str:
    """What a study searches, how far it is, its front, and how to go on.

    Args:
        study: Any study.
        trials: All of its trials.
        page: The address of a trial's page, to which the number is added.
        commands: How to go on.
    """
    summary = summarise(study)
    members = sorted((trial for trial in trials if trial.state == "front"), key=lambda trial: [*trial.values.values()])
    names = [*objective_names(study)]
    names += [name for name in COSTS if name not in names and any(name in trial.costs for trial in members)]
    rows = [
        [f"[{one.trial}]({page}{one.trial})", *(_amount(name, one.known.get(name)) for name in names)]
        for one in thinned(members, _LISTED)
    ]
    parts = [
        f"# {escaped(study.study_name)}",
        *(escaped(" ".join(sentences)) for sentences in (summary.intro, summary.findings)),
        _table(("trial", *names), rows, "--:|" * len(names) + "--:", links=1),
        f"{len(members) - _LISTED} of the front are left out of this table." if len(members) > _LISTED else "",
        _commands(commands),
        "*This note is written anew while trials end, until you edit it.*",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _state(trial: TrialFacts) -> str:
    why = escaped(trial.why)
    epochs = f" after {_number(len(trial.curve), 'epoch')}" if trial.curve else ""
    end = f" of {len(trial.bounds)}" if len(trial.bounds) > len(trial.curve) else ""
    match trial.state:
        case "refused":
            return f"**Never trained:** {why or 'refused'}."
        case "pruned":
            return f"**Pruned**{epochs}{end}{': ' * bool(why)}{why}."
        case "failed":
            return f"**Failed**{epochs}: {why or 'no reason was kept'}."
        case "repeat":
            return f"**Not trained again:** it is {why}, whose result it has."
    error = trial.values.get(ERROR)
    found = "**Trained to the end**" if error is None else f"**{_amount(ERROR, error)} validation error**"
    beyond = f", but it is {why}: it cannot be on the front" if trial.state == "infeasible" else ""
    audited = ""
    if trial.audited and trial.stop_epoch is not None:
        told = escaped(trial.why if trial.state != "infeasible" else audit_phrase(trial.stop_epoch))
        audited = f" {told[:1].upper()}{told[1:]}."
    return f"{found}{epochs}{beyond}.{audited}"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _amount(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return amount(name, value, noun=False) if isfinite(value) else str(value)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]], align: str, links: int = 0) -> str:
    """Nothing without a row. The first `links` columns are Markdown already."""
    lines = [_GAP.join([*map(str, row[:links]), *map(escaped, row[links:])]) for row in rows]
    whole = [_GAP.join(map(escaped, head)), align, *lines] if lines else []
    return "\n".join(f"| {line} |" for line in whole)


def _commands(commands: Sequence[str]) -> str:
    """To copy: a block of code whose fence is longer than any in a study's name."""
    if not commands:
        return ""
    text = "\n".join(commands)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}\n{text}\n{fence}"
