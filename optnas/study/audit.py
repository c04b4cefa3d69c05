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
    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    # In a study that optnas had no part in a pruned trial says nothing; what optnas refuses untrained is pruned too.
    foreign = not any(key.startswith(ATTRIBUTE) for trial in ended for key in trial.user_attrs)
    trials = [
        _facts(trial, signs, foreign)
        for trial in ended
        if (is_trained(trial) or foreign) and all(violation <= 0 for violation in trial.constraints.values())
    ]
    reference = attribute(study, "reference")
    request = attribute(study, "request")
    request = request if isinstance(request, dict) else {}
    share, pruner = request.get("audit"), request.get("pruner")
    return audit(
        trials,
        max((trial.epochs for trial in trials), default=1),
        reference=None if reference is None else [reference[name] for name in objective_names(study)],
        share=share if isinstance(share, float) else 0.0,
        accepted=accepted,
        pruner=pruner if isinstance(pruner, str) else "",
    )


def _facts(trial: FrozenTrial, signs: list[float], foreign: bool) -> Audited:
    values = None if trial.values is None else tuple(s * v for s, v in zip(signs, trial.values, strict=True))
    curve = trial.user_attrs.get(ATTRIBUTE + "curve", ())
    epoch = trial.user_attrs.get(ATTRIBUTE + "pruned_epoch")
    return Audited(values, len(curve), epoch, untold=foreign and values is None)
