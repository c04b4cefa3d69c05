"""Weight sharing: one store of weights for all networks of a space."""

from optnas.supernet.descent import Descended, Descent
from optnas.supernet.fair import FairPaths, largest_like
from optnas.supernet.gradient import descend
from optnas.supernet.kendall import LEAST_TAU, Agreement, SupernetAudit, audit_scores
from optnas.supernet.score import OneShotTask, inherit, recalibrate
from optnas.supernet.shared import SharedTensors, shared_names
from optnas.supernet.state import SupernetState, load_notes, load_state, save_state
from optnas.supernet.train import Lesson, SupernetDiverged, Taught, teach

__all__ = [
    "LEAST_TAU",
    "Agreement",
    "Descended",
    "Descent",
    "FairPaths",
    "Lesson",
    "OneShotTask",
    "SharedTensors",
    "SupernetAudit",
    "SupernetDiverged",
    "SupernetState",
    "Taught",
    "audit_scores",
    "descend",
    "inherit",
    "largest_like",
    "load_notes",
    "load_state",
    "recalibrate",
    "save_state",
    "shared_names",
    "teach",
]
