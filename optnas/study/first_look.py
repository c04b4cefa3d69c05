"""What the networks of a space cost, looked at before a study is made."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optnas.cost import EXACT, Constraint, Profile, format_cost, profile
from optnas.objective import ERROR, Objective
from optnas.space import Choices, ReplayTrial

__all__ = ["FirstLook", "first_look", "survey"]

_PROBES = 60
_TIMED_PROBES = 8
_LATENCY = "latency_ms"
#: What a sampler learns from: further networks, as long as they take no longer than that, and so many at most.
_SURVEY_SECONDS, _SURVEYED = 15.0, 48


@dataclass(frozen=True)
class FirstLook:
    """What random networks of a space cost."""

    reference: dict[str, float]
    """By objective the corner of a box: the error of guessing, and the budget of a cost or the dearest network."""
    surveyed: list[dict[str, Any]]
    """Networks with costs that cannot be foreseen: their params, costs and how far they break constraints on these, as
    `optnas.sampler` reads them. From them it learns what a network's latency depends on before the first is trained."""


def first_look(objective: Objective, space: str, say: Callable[[str], None]) -> FirstLook:
    """Price random networks, and say if the budget is out of reach."""
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
    return FirstLook(reference, [one for part in (look, timed) if part for one in _measured(part, objective)])


def survey(
    objective: Objective, networks: Callable[[int], Sequence[Choices]], say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Measure networks before the first is trained, in the form of `FirstLook.surveyed`.

    Args:
        objective: With costs that have to be measured.
        networks: Gives up to so many, spread over what may be proposed, and any beginning of them as well.
        say: Told what is done.
    """
    began, found = time.monotonic(), []
    for choices in networks(_SURVEYED):
        try:
            module = objective.build(ReplayTrial(choices))
        except Exception:
            continue  # the trial that proposes it will say why
        costs, _, _ = objective.price(module)
        if set(costs) >= set(objective.measured):
            found.append(_plain(choices, costs, objective))
        if time.monotonic() - began > _SURVEY_SECONDS:
            break
    say(f"measured {len(found)} networks, to foretell {' and '.join(objective.measured)} of others")
    return found


def _measured(look: Profile, objective: Objective) -> list[dict[str, Any]]:
    if not set(look.costs) & set(objective.measured):
        return []
    some = list(zip(look.choices, *look.costs.values(), strict=True))[:_SURVEYED]
    return [_plain(choices, dict(zip(look.costs, row, strict=True)), objective) for choices, *row in some]


def _plain(choices: Choices, costs: Mapping[str, float], objective: Objective) -> dict[str, Any]:
    found = {name: costs[name] for name in objective.measured if name in costs}
    broken = {str(one): one.violation(found) for one in objective.constraints if one.cost in found}
    return {"params": choices, "costs": found, "constraints": broken}


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
