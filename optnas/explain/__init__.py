"""Why these networks: what decides, what each choice costs and brings, what to change, what the front shares."""

from optnas.explain.changes import Advice, Change, advise
from optnas.explain.explanation import Explanation, explain
from optnas.explain.foresight import Foresight
from optnas.explain.importance import Importance, Importances, importances
from optnas.explain.prices import CostChange, Price, price_list
from optnas.explain.shared import Shared, Sharing, sharing
from optnas.explain.surface import Effect
from optnas.explain.trained import Trained, read_trained

__all__ = [
    "Advice",
    "Change",
    "CostChange",
    "Effect",
    "Explanation",
    "Foresight",
    "Importance",
    "Importances",
    "Price",
    "Shared",
    "Sharing",
    "Trained",
    "advise",
    "explain",
    "importances",
    "price_list",
    "read_trained",
    "sharing",
]
