"""Multi-objective neural architecture search on Optuna, for networks that fit a phone.

A network's cost is known before it is trained, its accuracy only after: optnas proposes, refuses, prunes and
explains by what is known beforehand.
"""

from optnas.cost import Constraint, parse_constraint
from optnas.deploy import Model, load_model
from optnas.errors import UsageError
from optnas.front import Network
from optnas.objective import Objective
from optnas.result import SearchResult, load, search
from optnas.space import choose
from optnas.study import SearchStopped
from optnas.task import ImageTask, Task
from optnas.watch import Watch

__all__ = [
    "Constraint",
    "ImageTask",
    "Model",
    "Network",
    "Objective",
    "SearchResult",
    "SearchStopped",
    "Task",
    "UsageError",
    "Watch",
    "choose",
    "load",
    "load_model",
    "parse_constraint",
    "search",
]
