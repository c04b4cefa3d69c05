"""What the trials of a study say of themselves, held against each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any

from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from optnas.front import objective_names
from optnas.keeping.findings import Finding, Severity
from optnas.objective import ATTRIBUTE, ERROR, is_trained
from optnas.study import attribute, study_names, versions
from optnas.study.coordinator import MOST_STARTS

__all__ = ["check_study", "check_trials"]

#: Kept for each trained network; curves are rounded to six digits.
_KEPT = ("costs", "fingerprint", "seed", "curve")
_ROUNDED = 1e-6


def check_study(study: Study) -> list[Finding]:
    """What the attributes of a study tell: who made it, with what, and whether that is all."""
    name, found = study.study_name, []
    if attribute(study, "settings") is None:
        if any(key.startswith(ATTRIBUTE) for key in study.user_attrs):
            advice = "optnas archive or a backup of the storage; optnas search refuses it"
            found.append(Finding("lost", "has no settings any more, or was left half by a kill", advice, name))
        else:
            what = "was not made by optnas search: only what any study has was checked"
            found.append(Finding("worth knowing", what, "", name))
        return found
    parent = attribute(study, "part_of")
    if parent is None and attribute(study, "request") is None:
        found.append(Finding("next search", "was stopped while it was made", "the same search goes on", name))
    if parent is not None and parent not in study_names(study._storage):
        found.append(Finding("worth knowing", f"belongs to the study {parent!r}, which is gone", "", name))
    made, here = attribute(study, "versions") or {}, versions()
    other = [f"{one} {made[one]}, here {here[one]}" for one in here if one in made and made[one] != here[one]]
    if other:
        advice = "trainings may differ in the last digits from those of now"
        found.append(Finding("worth knowing", f"was made with {', '.join(other)}", advice, name))
    return found


def check_trials(study: Study, searched: bool | None) -> list[Finding]:
    """What is wrong with the trials of a study, and which of them wait for a search.

    Args:
        study: Any study.
        searched: Whether a search runs; None if that is not known.
    """
    trials = study.get_trials(deepcopy=False)
    return [*_stale(study, trials, searched), *_any_study(study, trials), *_ours(study, trials)]


def _stale(study: Study, trials: Sequence[FrozenTrial], searched: bool | None) -> list[Finding]:
    name, found = study.study_name, []
    running = [trial for trial in trials if trial.state == TrialState.RUNNING]
    made = attribute(study, "settings") is not None
    if running and searched is None:
        found.append(
            _of("worth knowing", running, "running; whether a search trains them cannot be told here", "", name)
        )
    elif running and not searched and not made:
        found.append(_of("worth knowing", running, "running, and optnas searches this study no more", "", name))
    elif running and not searched:
        worn = [trial for trial in running if _kept(trial, "starts", 1) >= MOST_STARTS]
        rest = [trial for trial in running if trial not in worn]
        blank = [trial for trial in rest if not trial.params]
        begun = [trial for trial in rest if trial.params]
        for some, what, advice in (
            (begun, "running, and nobody searches", "it runs them again, with their choices and seeds"),
            (blank, "running without choices, and nobody searches", "it proposes for them anew"),
            (worn, f"interrupted {MOST_STARTS} times", "it gives them up"),
        ):
            if some:
                found.append(_of("next search", some, what, advice, name))
    waiting = [trial for trial in trials if trial.state == TrialState.WAITING]
    if waiting:
        found.append(_of("worth knowing", waiting, "waiting", "the next search runs them first", name))
    return found


def _any_study(study: Study, trials: Sequence[FrozenTrial]) -> list[Finding]:
    name, several = study.study_name, len(study.directions) > 1
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    checks: list[tuple[Severity, Iterable[FrozenTrial], str, str]] = [
        ("lost", (t for place, t in enumerate(trials) if t.number != place),
         "under a number that is not their place: some before them are missing", "doctor --rescue-into fills the gaps"),
        ("lost", (t for t in complete if not t.values or len(t.values) != len(study.directions)),
         "complete without a value for each objective", ""),
        ("worth knowing", (t for t in complete if t.values and not all(map(isfinite, t.values))),
         "complete with a value that is no finite number", "they are never on the front"),
        ("worth knowing", (t for t in trials if several and t.intermediate_values),
         "with intermediate values, which Optuna's TPE fails on in a study of several objectives", ""),
    ]  # fmt: skip
    return _found(checks, name)


def _ours(study: Study, trials: Sequence[FrozenTrial]) -> list[Finding]:
    settings = attribute(study, "settings") or {}
    if not settings:
        return []
    name, names = study.study_name, objective_names(study)
    trained = [trial for trial in trials if is_trained(trial)]
    complete = [trial for trial in trained if trial.state == TrialState.COMPLETE]
    repeats = [trial for trial in trials if _kept(trial, "repeat_of") is not None]
    known = {trial.number for trial in trained}
    epochs = (settings.get("task") or {}).get("epochs")
    checks: list[tuple[Severity, Iterable[FrozenTrial], str, str]] = [
        *(("lost", [t for t in trained if _kept(t, kept) is None], f"trained without {kept}", "") for kept in _KEPT),
        ("lost", (t for t in trained if _is_short(t, epochs)), "with a curve of other epochs than they trained", ""),
        ("lost", (t for t in complete if _is_other(t, names)),
         "with values that are not those of their costs and the end of their curve", ""),
        ("lost", (t for t in repeats if _kept(t, "repeat_of") not in known),
         "repeats of a trial that trained nothing", ""),
        ("worth knowing", (t for t in trained if {*settings.get("constraints", ())} - {*t.constraints}),
         "without some of the study's constraints", "they count as within them"),
    ]  # fmt: skip
    found = _found(checks, name)
    same: dict[str, list[FrozenTrial]] = defaultdict(list)
    for trial in trained:
        if _kept(trial, "fingerprint"):
            same[_kept(trial, "fingerprint")].append(trial)
    twice = [trial for some in same.values() if len(some) > 1 for trial in some]
    if twice:
        groups = "; ".join(", ".join(str(t.number) for t in some) for some in same.values() if len(some) > 1)
        advice = f"the luckier one counts; the same are {groups}"
        found.append(_of("worth knowing", twice, "networks that were trained more than once", advice, name))
    return found


def _is_short(trial: FrozenTrial, epochs: Any) -> bool:
    curve = _kept(trial, "curve")
    if not isinstance(curve, list):
        return False  # told as missing
    if trial.state == TrialState.PRUNED:
        return len(curve) < (_kept(trial, "pruned_epoch") or 0)
    return isinstance(epochs, int) and len(curve) != epochs


def _is_other(trial: FrozenTrial, names: Sequence[str]) -> bool:
    costs, curve = _kept(trial, "costs") or {}, _kept(trial, "curve")
    for name, value in zip(names, trial.values or (), strict=False):
        told = costs.get(name)
        if name == ERROR and curve and isfinite(value) and not abs(curve[-1] - value) <= _ROUNDED:
            return True
        if name != ERROR and told is not None and told != value and isfinite(value):
            return True
    return False


def _kept(trial: FrozenTrial, name: str, default: Any = None) -> Any:
    return trial.user_attrs.get(ATTRIBUTE + name, default)


def _found(checks: Iterable[tuple[Severity, Iterable[FrozenTrial], str, str]], study: str) -> list[Finding]:
    return [
        _of(severity, some, what, advice, study) for severity, found, what, advice in checks if (some := list(found))
    ]


def _of(severity: Severity, trials: Iterable[FrozenTrial], what: str, advice: str, study: str) -> Finding:
    return Finding(severity, what, advice, study, tuple(sorted(trial.number for trial in trials)))
