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
        if (is_trained(trial) or _stopped_elsewhere(trial))
        and all(violation <= 0 for violation in trial.constraints.values())
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


def _stopped_elsewhere(trial: FrozenTrial) -> bool:
    """Whether a trial was pruned in a study that optnas did not make, so that it is not known when; what optnas
    refuses untrained is pruned too, and says so."""
    return trial.state == TrialState.PRUNED and not any(key.startswith(ATTRIBUTE) for key in trial.user_attrs)


def _facts(trial: FrozenTrial, signs: list[float]) -> Audited:
    values = None if trial.values is None else tuple(s * v for s, v in zip(signs, trial.values, strict=True))
    curve = trial.user_attrs.get(ATTRIBUTE + "curve", ())
    epoch = trial.user_attrs.get(ATTRIBUTE + "pruned_epoch")
    return Audited(values, len(curve), epoch, untold=_stopped_elsewhere(trial))
