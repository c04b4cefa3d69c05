"""What `optnas front` answers beside the front itself: how sure it is, its knee, and who is the fittest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

from optuna import Study
from rich.table import Table

from optnas.cost import Constraint
from optnas.errors import UsageError
from optnas.facts.certainty import Certainty, certainty, expected_errors, expected_sentence
from optnas.facts.fitness import Fitness, Ranked, chances, in_words, rank
from optnas.facts.summary import format_value
from optnas.facts.trained import learned_of
from optnas.facts.weights import WeightMap
from optnas.front import Network, objective_names
from optnas.objective import ERROR
from optnas.printable import one_line
from optnas.watch import front_table

__all__ = [
    "certainty_or_none",
    "fitness_facts",
    "fitness_table",
    "fittest_sentence",
    "map_lines",
    "member_facts",
    "plain",
]

#: Rows of the ranking that are printed.
_ROWS = 8
#: Networks that may be the fittest in truth, of which so many are named.
_LIKELY = 4


def certainty_or_none(study: Study, budget: Sequence[Constraint]) -> Certainty | None:
    """None where the chance in a study's errors cannot be told: too few networks, or unknown objectives."""
    try:
        return certainty(study, budget)
    except UsageError:
        return None


def member_facts(members: Sequence[Network], sure: Certainty | None) -> list[dict[str, Any]]:
    """The front for programs."""
    rows = []
    for member in members:
        known = sure and sure.of(member.trial)
        rows.append(
            {
                **plain(asdict(member)),
                "sure": known.probability if known else None,
                "expected": known.expected if known else None,
                "ties_with": list(known.ties_with) if known else [],
            }
        )
    return rows


def plain(answer: Any) -> Any:
    """An answer as plain values, networks by the number of their trial and None for what is not finite."""

    def walk(value: Any) -> Any:
        if isinstance(value, Network):
            return value.trial
        if hasattr(value, "__dataclass_fields__"):
            return {name: walk(getattr(value, name)) for name in value.__dataclass_fields__}
        if isinstance(value, Mapping):
            return {name: walk(one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [walk(one) for one in value]
        return None if isinstance(value, float) and not isfinite(value) else value

    return walk(answer)


def fitness_facts(study: Study, fitness: Fitness, budget: Sequence[Constraint], weights: WeightMap) -> dict[str, Any]:
    """The ranking and the map for programs."""
    wins = _chances(study, fitness, budget)
    ranked = rank(study, fitness, budget)
    told = {} if wins is None else expected_errors(study, {one.network.trial for one in ranked})
    ranking = [
        {
            "trial": one.network.trial,
            "fitness": one.fitness,
            "parts": dict(one.parts),
            "wins": None if wins is None else wins.get(one.network.trial, 0.0),
            "expected": told[one.network.trial][1] if one.network.trial in told else None,
        }
        for one in ranked
    ]
    return {"weights": dict(fitness.weights), "ranking": ranking, "map": plain(weights)}


def fitness_table(study: Study, fitness: Fitness, budget: Sequence[Constraint]) -> tuple[Table, str]:
    """The first of the ranking, and what there is to say of it."""
    ranked = rank(study, fitness, budget)
    shown, wins = ranked[:_ROWS], _chances(study, fitness, budget)
    beside = {"fitness": [f"{one.fitness:.4f}" for one in shown]}
    if wins is not None:
        beside["wins"] = [f"{wins.get(one.network.trial, 0.0):.0%}" for one in shown]
    for term in fitness.weights:
        beside[term] = [f"{one.parts[term]:.4f}" for one in shown]
    table = front_table([one.network for one in shown], objective_names(study), beside=beside)
    return table, " ".join(filter(None, (in_words(study, fitness), _noise_sentence(study, wins))))


def fittest_sentence(study: Study, fitness: Fitness, fittest: Ranked) -> str:
    """Which network a fitness picks, and what it has of the objectives."""
    values = fittest.network.values
    told = ", ".join(f"{name} {format_value(name, values[name])}" for name in objective_names(study))
    return f"The fittest by {', '.join(str(fitness).split(','))} is trial {fittest.network.trial}: {told}."


def map_lines(fitness: Fitness, weights: WeightMap) -> list[str]:
    """Which weights pick which network: a line for each interval of two terms, a sentence for more."""
    regions, terms = weights.regions, weights.terms
    if len(terms) < 2 or not regions:
        return []
    unit = "Shares count each term in units of its spread among the trained networks."
    if len(terms) > 2:
        shares = ", ".join(f"{region.share:.0%} trial {region.network.trial}" for region in regions)
        how = "" if weights.exact else ", counted among drawn ones"
        return [
            one_line(
                f"Of all mixtures of {', '.join(terms[:-1])} and {terms[-1]} the fittest is{how}: {shares}. {unit}"
            )
        ]
    first = fitness.weights[terms[0]] or 1.0
    lines = [f"Which weight picks which network, with {one_line(terms[0])}={first:g}:"]
    for region in regions:
        low, high = (weights.weights(corner, first)[1] for corner in region.corners)
        if isfinite(high):
            span = f"up to {high:.3g}" if low == 0 else f"{low:.3g} to {high:.3g}"
        else:
            span = f"above {low:.3g}" if low else "any"
        here = " (yours)" if region.corners[0][1] <= weights.given[1] <= region.corners[1][1] else ""
        span = f"{one_line(terms[1])} {span}"
        lines.append(f"  {span:34} trial {region.network.trial}, {region.share:.0%} of all mixtures{here}")
    return [*lines, unit]


def _chances(study: Study, fitness: Fitness, budget: Sequence[Constraint]) -> dict[int, float] | None:
    try:
        return chances(study, fitness, budget)
    except UsageError:
        return None


def _noise_sentence(study: Study, wins: dict[int, float] | None) -> str:
    if not wins:
        return ""
    likely = [trial for trial in sorted(wins, key=lambda trial: (-wins[trial], trial)) if wins[trial] >= 0.05]
    likely = likely[:_LIKELY]
    shown = ", ".join(f"{trial} ({wins[trial]:.0%})" for trial in likely) or "any of many"
    text = f"Given the noise, the fittest in truth is trial {shown}"
    if len(likely) < 2:
        return f"{text}."
    told = expected_errors(study, wins)
    learned = learned_of(objective_names(study))
    expected = expected_sentence(learned, {trial: told[trial] for trial in likely if trial in told})
    errors = "errors" if learned == ERROR else "results"
    return (
        f"{text}: in truth means on average over many trainings, as far as can be told by pulling the {errors} of "
        f"similar networks together; one that few resemble may be far better or worse. {expected}"
    )
