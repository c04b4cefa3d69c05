"""What every picture of a front has in common: its sides, and the sentence above it."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from optuna import Study

from optnas.cost import COSTS
from optnas.facts.trials import TrialFacts
from optnas.front import objective_names
from optnas.objective import ERROR
from optnas.printable import counted
from optnas.report.units import amount, sign

__all__ = ["front_finding", "front_sides"]


def front_sides(study: Study, trials: Sequence[TrialFacts]) -> tuple[str, str]:
    """What a front is drawn against: (x, y), the first cost and the error, or what comes nearest to them.

    Without a second objective x is a cost that is known of some trial, and without that "trial", for its number.
    """
    names = objective_names(study)
    y = ERROR if ERROR in names else names[0]
    known = [name for name in ("macs", *COSTS) if any(name in trial.costs for trial in trials)]
    return next((name for name in (*names, *known) if name != y), "trial"), y


def front_finding(study: Study, trials: Sequence[TrialFacts]) -> str:
    """The size of the front and its ends, the best by x and then the best by y.

    "6 networks on the front: 4.18% error at 26.5 k MACs to 0.84% error at 609 k MACs". Of members that are equally good
    in one the end is that which is best in the other; x and y are the sides of `front_sides`.

    Args:
        study: Any study.
        trials: All of its trials.
    """
    x, y = front_sides(study, trials)
    members = [trial for trial in trials if trial.state == "front"]
    places = [(_loss(study, trial, x), _loss(study, trial, y), trial) for trial in members]
    known = [(px, py, trial) for px, py, trial in places if isfinite(px) and isfinite(py)]
    if not known:
        return f"No feasible network among {sum(trial.trained for trial in trials)} trained"
    left, best = min(known, key=lambda place: place[:2]), min(known, key=lambda place: (place[1], place[0]))
    ends = dict.fromkeys(f"{_told(y, trial)} at {_told(x, trial)}" for _, _, trial in (left, best))
    return f"{counted(len(known), 'network')} on the front: {' to '.join(ends)}"


def _loss(study: Study, trial: TrialFacts, name: str) -> float:
    return sign(study, name) * (float(trial.trial) if name == "trial" else trial.known.get(name, float("nan")))


def _told(name: str, trial: TrialFacts) -> str:
    return f"trial {trial.trial}" if name == "trial" else amount(name, trial.known[name])
