"""Why a trial ended as it did, in the words that every table, note and picture uses."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from optuna.trial import FrozenTrial, TrialState

from optnas.objective import ATTRIBUTE, ERROR
from optnas.prune.base import beyond

__all__ = ["audit_phrase", "reason_of"]


def reason_of(trial: FrozenTrial, names: Sequence[str] = (ERROR,)) -> str:
    """Why a trial was refused, pruned or failed, which network it repeats, or what its pruner would have done to it.

    A trial that was trained to the end as an audit has a reason too: it says that it is one. Empty for none.

    Args:
        trial: Of any study.
        names: Of the study's objectives; errors are written in per cent if "error" is among them.
    """
    kept = {key.removeprefix(ATTRIBUTE): value for key, value in trial.user_attrs.items() if key.startswith(ATTRIBUTE)}
    if "repeat_of" in kept:
        return f"the same network as trial {kept['repeat_of']}"
    epoch, bound, curve = (kept.get(name) for name in ("pruned_epoch", "pruned_bound", "curve"))
    reason = kept.get("reason") or ""
    seen = [error for error in (curve or ())[:epoch] if isfinite(error)]
    if epoch is not None and bound is not None and seen:
        reason = beyond(epoch, min(seen), bound, in_percent=ERROR in names)
    if epoch is not None and trial.state == TrialState.COMPLETE:
        return audit_phrase(epoch, reason)
    return reason


def audit_phrase(epoch: int, reason: str = "") -> str:
    """What is said of a trial that was trained to the end only to learn what pruning costs.

    Args:
        epoch: After which its pruner would have stopped it, counted from 1.
        reason: Why.
    """
    return f"audit: its pruner would have stopped it after epoch {epoch}{': ' * bool(reason)}{reason}"
