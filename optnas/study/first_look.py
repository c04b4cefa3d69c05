"""What the networks of a space cost, looked at before a study is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from optnas.cost import EXACT, Constraint, Profile, format_cost, profile
from optnas.objective import ERROR, Objective

__all__ = ["first_look"]

_PROBES = 60
_TIMED_PROBES = 8
_LATENCY = "latency_ms"


def first_look(objective: Objective, space: str, say: Callable[[str], None]) -> dict[str, float]:
    """Price random networks, and say if the budget is out of reach.

    Returns:
        By objective the corner of a box: the error of guessing, and the budget of a cost or the dearest network.
    """
    say(f"pricing {_PROBES} random networks of {space}")
    exact = [name for name in objective.costs if name in EXACT]
    shape, prices, seed = objective.task.input_shape, objective.prices, objective.seed
    budget = [constraint for constraint in objective.constraints if constraint.cost in EXACT]
    look = profile(objective.build, shape, exact, _PROBES, budget, seed, prices)
    timed = None
    if _LATENCY in objective.costs:
        probes = _TIMED_PROBES if prices.table is None else _PROBES
        timed = profile(objective.build, shape, [_LATENCY], probes, objective.constraints, seed, prices)
        if timed.unknown:
            say(f"{timed.unknown / probes:.0%} of {probes} random networks cannot be foretold, and so cannot be found")
    if look.invalid:
        last = look.problem.strip().splitlines()[-1]
        say(f"{look.invalid} of {look.samples} random networks do not work; the first: {last}")
    for line in _budget_warnings(objective.constraints, look, timed):
        say(line)
    costs = {**look.costs, **(timed.costs if timed else {})}
    limits = {constraint.cost: constraint.limit for constraint in objective.constraints if constraint.op in ("<=", "<")}
    reference = {name: float(limits.get(name) or max(costs[name])) for name in objective.objectives if name != ERROR}
    if ERROR in objective.objectives:
        reference[ERROR] = 1 - 1 / objective.task.num_classes
    return reference


def _budget_warnings(constraints: Sequence[Constraint], look: Profile, timed: Profile | None) -> list[str]:
    share, samples = look.share, look.samples
    if timed is not None and timed.share == 0 and share > 0:
        share, samples = 0.0, timed.samples
    if not constraints or share >= 0.05:
        return []
    costs = {**look.costs, **(timed.costs if timed else {})}
    reached = "; ".join(
        f"{name} from {format_cost(name, min(costs[name]))} to {format_cost(name, max(costs[name]))}"
        for name in dict.fromkeys(constraint.cost for constraint in constraints)
    )
    budget = ", ".join(map(str, constraints))
    return [f"the budget {budget} is met by {share:.0%} of {samples} random networks; they reach {reached}"]
