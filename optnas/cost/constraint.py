"""Limits on what a network may cost, as a person writes them and as Optuna reads them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import ceil, floor, isfinite
from typing import Literal, cast, get_args

from optnas.cost.names import check_cost
from optnas.errors import UsageError

__all__ = ["Constraint", "parse_budget", "parse_constraint", "parse_constraints", "parse_quantity"]

Op = Literal["<=", "<", ">=", ">"]

_GRAMMAR = 'expected NAME OP NUMBER like "params<=100k", OP one of <=, <, >=, > and k, M, G powers of 1000'
#: What only training tells, as shares of images: a limit on what a study has trained already.
_TRAINED = ("error", "accuracy")
_NUMBER = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*([kMG]?)")
_PARTS = re.compile(r"\s*(\w+)\s*(<=|>=|<|>)\s*(.*?)\s*")
_FACTORS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


@dataclass(frozen=True)
class Constraint:
    """A cost and its limit, or of what a study has trained already the error or accuracy.

    `<` and `>` mean what they say: a cost equal to the limit is refused.

    Raises:
        UsageError: The cost is unknown, or the limit is negative or not finite, or nothing can be below it.
    """

    cost: str
    """One of `optnas.cost.COSTS`, "error" or "accuracy"."""
    op: Op
    """What holds between the cost and the limit of a feasible network."""
    limit: float
    """In the cost's own unit."""

    def __post_init__(self) -> None:
        where = f"constraint {self.cost}{self.op}{self.limit}"
        if self.cost not in _TRAINED:
            check_cost(self.cost, where)
        if self.op not in get_args(Op):
            raise UsageError(f"{where}: expected one of {', '.join(get_args(Op))}, got {self.op!r}")
        if not isfinite(self.limit) or self.limit < 0:
            raise UsageError(f"{where}: expected a finite limit of at least 0, got {self.limit}")
        if self.op == "<" and self.limit == 0:
            raise UsageError(f"{where}: expected a limit above 0 with <, got 0, and no network costs less")

    def __str__(self) -> str:
        if self.cost in _TRAINED:
            return f"{self.cost}{self.op}{100 * self.limit:.10g}%"
        exact = self.limit == int(self.limit) and self.limit < 1e16
        return f"{self.cost}{self.op}{int(self.limit) if exact else repr(float(self.limit))}"

    def violation(self, costs: Mapping[str, float]) -> float:
        """How far a network is on the wrong side, as Optuna's constraints are: feasible is <= 0.

        A share of the limit, so that limits on different costs compare: 0.1 is ten percent beyond it. With a
        limit of 0 it is the cost itself. A tie under `<` or `>` is beyond by the float epsilon, 2.2e-16.

        Args:
            costs: The costs of the network by name; those that are not constrained are not read.

        Raises:
            UsageError: The cost is missing or not finite.
        """
        value = costs.get(self.cost)
        if value is None or not isfinite(value):
            raise UsageError(f"constraint {self}: expected a finite {self.cost} among the costs, got {value}")
        beyond = value - self.limit if self.op in ("<=", "<") else self.limit - value
        if beyond == 0 and self.op in ("<", ">"):
            return sys.float_info.epsilon
        return beyond / (self.limit or 1.0)


def parse_constraint(text: str) -> Constraint:
    """Read one limit, such as "params<=100k", "latency_ms < 2.5" or "macs <= 3e6".

    Spaces may stand between the parts. There are no unit words: the unit is in the cost's name.

    Raises:
        UsageError: The text does not follow the grammar, or `Constraint` refuses what it says.
    """
    parts = _PARTS.fullmatch(text)
    if parts is None:
        raise UsageError(f"constraint {text!r}: {_GRAMMAR}, got {text!r}")
    cost, op, right = parts.groups()
    check_cost(cost, f"constraint {text!r}")
    limit = parse_quantity(right)
    if limit is None:
        raise UsageError(
            f"constraint {text!r}: {_GRAMMAR}, got {right!r} as the number, which may not be "
            f"negative, infinite or carry a unit word (the unit is in the name {cost})"
        )
    return Constraint(cost, cast(Op, op), limit)


def parse_budget(texts: Iterable[str]) -> tuple[Constraint, ...]:
    """Read several limits on networks that are trained already, so "error<=1%" and "accuracy>=0.99" too.

    Raises:
        UsageError: As `parse_constraints`; or an error or accuracy is no share of images.
    """
    return _agreed(_parse_limit(text) for text in texts)


def _parse_limit(text: str) -> Constraint:
    parts = _PARTS.fullmatch(text)
    if parts is None or parts[1] not in _TRAINED:
        return parse_constraint(text)
    name, op, right = parts.groups()
    number = _NUMBER.fullmatch(right.removesuffix("%").rstrip())
    limit = Decimal(number[0]) / (100 if right.endswith("%") else 1) if number is not None and not number[3] else None
    if limit is None or limit > 1:
        raise UsageError(
            f"budget {text!r}: expected a share of images from 0 to 1 or a percentage, like {name}{op}1%, got {right!r}"
        )
    return Constraint(name, cast(Op, op), float(limit))


def parse_quantity(text: str) -> float | None:
    """A number such as 2.5, 3e6, 100k or 4G, with k, M and G as powers of 1000; None if it is none."""
    number = _NUMBER.fullmatch(text)
    if number is None:
        return None
    digits, exponent, prefix = number.groups(default="")
    # Decimal, because 1.1 * 1000 is not 1100 in binary.
    return float(Decimal(digits + exponent) * _FACTORS[prefix])


def parse_constraints(texts: Iterable[str]) -> tuple[Constraint, ...]:
    """Read several limits that must hold together; one that is repeated is kept once.

    Raises:
        UsageError: One of them cannot be read, or no value of a cost fulfils all of its limits.
    """
    return _agreed(map(parse_constraint, texts))


def _agreed(limits: Iterable[Constraint]) -> tuple[Constraint, ...]:
    constraints = tuple(dict.fromkeys(limits))
    for upper in constraints:
        for lower in constraints:
            same = upper.cost == lower.cost and upper.op in ("<=", "<") and lower.op in (">=", ">")
            if same and not _room_between(lower, upper):
                raise UsageError(
                    f"constraints: expected limits that some {upper.cost} can meet, got {lower} together with {upper}"
                )
    return constraints


def _room_between(lower: Constraint, upper: Constraint) -> bool:
    if lower.cost in ("latency_ms", *_TRAINED):
        strict = upper.op == "<" or lower.op == ">"
        return lower.limit < upper.limit or (lower.limit == upper.limit and not strict)
    # Every other cost is a whole number.
    least = floor(lower.limit) + 1 if lower.op == ">" else ceil(lower.limit)
    most = ceil(upper.limit) - 1 if upper.op == "<" else floor(upper.limit)
    return least <= most
