"""Multi-objective neural architecture search on Optuna, for networks that fit a phone.

A network's cost is known before it is trained, its accuracy only after: optnas proposes, refuses, prunes and
explains by what is known beforehand.
"""

from optnas.cost import Constraint, parse_constraint
from optnas.errors import UsageError
from optnas.front import Network
from optnas.objective import Objective
from optnas.space import choose
from optnas.study import SearchStopped
from optnas.study.search import SearchResult, search
from optnas.task import ImageTask, Task
from optnas.watch import Watch

__all__ = [
    "Constraint",
    "ImageTask",
    "Network",
    "Objective",
    "SearchResult",
    "SearchStopped",
    "Task",
    "UsageError",
    "Watch",
    "choose",
    "parse_constraint",
    "search",
]
