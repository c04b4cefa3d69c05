"""WHEN to stop a trial: its costs are known before the first epoch, so the rule is a bound for each epoch."""

from optnas.prune.accuracy import AccuracyPruner, MedianPruner
from optnas.prune.audit import Audit, Audited, audit, is_audited
from optnas.prune.base import Finished, NoPruner, Pruner, Stopper, kept_error
from optnas.prune.dominance import DominancePruner
from optnas.prune.halving import ParetoHalvingPruner
from optnas.prune.presets import PRUNERS, make_pruner
from optnas.prune.reporter import Reporter, finished_trials, plain_bounds, read_bounds, reporter

__all__ = [
    "PRUNERS",
    "AccuracyPruner",
    "Audit",
    "Audited",
    "DominancePruner",
    "Finished",
    "MedianPruner",
    "NoPruner",
    "ParetoHalvingPruner",
    "Pruner",
    "Reporter",
    "Stopper",
    "audit",
    "finished_trials",
    "is_audited",
    "kept_error",
    "make_pruner",
    "plain_bounds",
    "read_bounds",
    "reporter",
]
