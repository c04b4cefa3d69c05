"""Why a pruner stopped a trial, or would have stopped one that was trained to the end as an audit."""

from __future__ import annotations

from optnas.facts.trials import TrialFacts
from optnas.prune.base import beyond

__all__ = ["is_spared", "stop_words"]


def is_spared(trial: TrialFacts) -> bool:
    """Whether its pruner would have stopped it, and an audit had it trained to the end."""
    return trial.stop_epoch is not None and bool(trial.values)


def stop_words(trial: TrialFacts) -> str:
    """What became of a trial and why: `TrialFacts.why`, and of an audited trial that it was audited.

    Why it was stopped is told anew from its curve, since older studies tell it in shares where all else is in per cent.
    """
    told, epoch = trial.why, trial.stop_epoch
    if epoch is not None and 0 < epoch <= min(len(trial.curve), len(trial.bounds)):
        bound = trial.bounds[epoch - 1]
        told = told if bound is None else beyond(epoch, min(trial.curve[:epoch]), bound)
    if not is_spared(trial):
        return told
    return f"audited: would have been stopped after epoch {epoch}" + (f": {told}" if told else "")
