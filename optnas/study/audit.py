"""What pruning saved in a study and what it lost."""

from __future__ import annotations

from optuna import Study
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optnas.front import objective_names
from optnas.objective import ATTRIBUTE
from optnas.prune import Audit, Audited, audit
from optnas.study.coordinator import is_trained
from optnas.study.create import attribute

__all__ = ["audit_study"]


def audit_study(study: Study, accepted: float = 0.05) -> Audit:
    """The account of a study: epochs saved, members of the front lost among the audited, hypervolume regret.

    Args:
        study: A study whose trials keep their curves, as those of `Objective` and `prune.reporter` do.
        accepted: The share of the front's members that may be lost.

    Raises:
        UsageError: If `accepted` is not a share.
    """
    signs = [-1.0 if direction == StudyDirection.MAXIMIZE else 1.0 for direction in study.directions]
    trials = [
        _facts(trial, signs)
        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        if is_trained(trial) and all(violation <= 0 for violation in trial.constraints.values())
    ]
    reference = attribute(study, "reference")
    request = attribute(study, "request")
    share = request.get("audit") if isinstance(request, dict) else None
    return audit(
        trials,
        max((trial.epochs for trial in trials), default=1),
        reference=None if reference is None else [reference[name] for name in objective_names(study)],
        share=share if isinstance(share, float) else 0.0,
        accepted=accepted,
    )


def _facts(trial: FrozenTrial, signs: list[float]) -> Audited:
    values = None if trial.values is None else tuple(s * v for s, v in zip(signs, trial.values, strict=True))
    curve = trial.user_attrs.get(ATTRIBUTE + "curve", ())
    return Audited(values, len(curve), trial.user_attrs.get(ATTRIBUTE + "pruned_epoch"))
