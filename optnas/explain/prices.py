"""The price list of a study: what another option of a choice costs, and what it brings.

In each of some networks (the front's and random ones within the constraints, by turns) one choice is set to each of
its options and everything else is kept; choices that thereby come up are drawn. The networks of a row differ in
nothing else, so differences of counted costs are exact effects, for these networks. What is learned is not known but
expected, by a Gaussian process of all trainings, with the uncertainty of the mean difference; what an option brings by
making the network larger is part of its effect. That a sampler chose the trainings does less harm to this than to a
comparison of averages, since the model knows all choices of each network.

How often intervals of 90 % held the truth on tables of all networks, after 60 and 150 trainings proposed at random, by
NSGA-II and by the cost-aware sampler (`studies/explain_coverage.py`, 10 studies each): on NAS-Bench-Macro in 89 to 94 %
with a noise of 0.3 points in the errors, and in 79 to 90 % without any, where what the model leaves open is no noise
that averages out; on NAS-Bench-201, where some networks are at chance, in 76 to 89 %. Of effects of two standard
deviations none had the wrong sign on the first table and up to 2 % on the second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from optnas.explain.foresight import Foresight
from optnas.explain.surface import Effect
from optnas.sampler.levels import Levels, levels_of
from optnas.space import Choices

__all__ = ["CostChange", "Price", "labels_of", "price_list"]

Array = NDArray[np.float64]

#: Parts of a number with more than 8 values.
_PARTS = 3
#: Networks on which an option is tried.
_FEWEST, _MOST = 12, 60
#: The range that is told of a change of cost.
_RANGE = (0.1, 0.9)


@dataclass(frozen=True)
class CostChange:
    """By how much a cost changes, over some networks; in the cost's unit."""

    mean: float
    low: float
    """In one network of ten it changes by less."""
    high: float
    """In one network of ten it changes by more."""
    std: float
    """Of the mean; 0 where the cost is counted, which is exact."""

    @property
    def exact(self) -> bool:
        """Whether all networks were counted."""
        return self.std == 0

    @property
    def told(self) -> bool:
        """Whether it is exact, or an estimate lies two standard deviations from nothing."""
        return self.exact or abs(self.mean) > 2 * self.std


@dataclass(frozen=True)
class Price:
    """What one option costs and brings in place of the usual one of its choice."""

    choice: str
    usual: str
    """The option that most trained networks have."""
    option: str
    """Another one; of a long range of numbers a third of it."""
    networks: int
    """On how many networks both were tried."""
    costs: Mapping[str, CostChange]
    """By the cost's name."""
    learned: Effect | None
    """The mean change of what training tells, in its own unit and direction; None if too few networks were trained.
    The uncertainty is that of the mean over these networks."""


def labels_of(distribution: BaseDistribution) -> tuple[Levels, list[str]]:
    """The options of a choice, of a number with more than 8 values three parts, and their names for people."""
    levels = levels_of(distribution, _PARTS)
    names = levels.keys
    if isinstance(distribution, CategoricalDistribution):
        plain = [str(option) for option in distribution.choices]
        names = plain if len(set(plain)) == len(plain) else names
    if isinstance(distribution, IntDistribution) and not distribution.log and any(".." in name for name in names):
        names = [_whole(distribution, name) for name in names]
    return levels, names


def _whole(distribution: IntDistribution, part: str) -> str:
    """The values in a part of a range: "11..20" for "10.5..20.5"."""
    edges = [(float(edge) - distribution.low) / distribution.step for edge in part.split("..")]
    first, last = (
        distribution.low + int(steps) * distribution.step for steps in (np.ceil(edges[0]), np.floor(edges[1]))
    )
    return f"{first}..{last}"


def price_list(foresight: Foresight, networks: int = 2000, seed: int = 0) -> tuple[Price, ...]:
    """All options of all choices, in the order of the choices.

    Args:
        foresight: Of the study.
        networks: About how many are priced; at least 12 for each option.
        seed: Of values drawn from parts of long ranges.
    """
    choices = {
        name: labels_of(distribution)
        for name, distribution in foresight.distributions.items()
        if not distribution.single()
    }
    bases = foresight.bases()
    each = int(np.clip(networks // max(1, sum(len(names) for _, names in choices.values())), _FEWEST, _MOST))
    prices: list[Price] = []
    for index, (choice, (levels, names)) in enumerate(choices.items()):
        made = [one.choices[choice] for one in foresight.trained.networks if choice in one.choices]
        if not made:
            continue
        usual = Counter(levels.place(value) for value in made).most_common(1)[0][0]
        generator = np.random.default_rng([seed, 6, index])
        makers = [base for base in bases if choice in base][:each]
        variants = [_variants(foresight, base, choice, levels, generator) for base in makers]
        prices += _prices(foresight, choice, names, usual, [row for row in variants if usual in row])
    return tuple(prices)


def _variants(
    foresight: Foresight, base: Choices, choice: str, levels: Levels, generator: np.random.Generator
) -> dict[int, Choices]:
    """By the place of an option, the network that has it and is otherwise the same."""
    own = levels.place(base[choice])
    values: dict[int, Any] = {place: levels.value(place, generator) for place in range(len(levels.keys))}
    values[own] = base[choice]
    changed = {place: foresight.changed(base, {choice: value}) for place, value in values.items()}
    return {place: network for place, network in changed.items() if network is not None}


def _prices(
    foresight: Foresight, choice: str, names: Sequence[str], usual: int, variants: Sequence[Mapping[int, Choices]]
) -> list[Price]:
    """Of one choice, from networks that all have a variant with the usual option."""
    places = [place for place in range(len(names)) if place != usual and any(place in row for row in variants)]
    if not places:
        return []
    networks = [network for row in variants for network in row.values()]
    rows = [(index, place) for index, row in enumerate(variants) for place in row]
    where = {key: position for position, key in enumerate(rows)}
    pairs = {
        place: [(where[index, usual], where[index, place]) for index, row in enumerate(variants) if place in row]
        for place in places
    }
    features, weights = foresight.features(networks), np.zeros((len(places), len(networks)))
    for row, place in zip(weights, places, strict=True):
        for before, after in pairs[place]:
            row[before] -= 1 / len(pairs[place])
            row[after] += 1 / len(pairs[place])
    effects = None if foresight.errors is None else foresight.errors.combined(features, weights)
    expected = foresight.expected(networks)
    stds = {
        name: [one.std for one in surface.combined(features, weights)] for name, surface in foresight.estimated.items()
    }
    sign = foresight.trained.sign
    return [
        Price(
            choice,
            names[usual],
            names[place],
            len(pairs[place]),
            {
                name: _change(values, pairs[place], stds[name][row] if name in stds else 0.0)
                for name, values in expected.items()
            },
            None if effects is None else Effect(sign * effects[row].mean, effects[row].std),
        )
        for row, place in enumerate(places)
    ]


def _change(values: Array, pairs: Sequence[tuple[int, int]], std: float) -> CostChange:
    before, after = np.array(pairs).T
    change = values[after] - values[before]
    low, high = np.quantile(change, _RANGE)
    return CostChange(float(change.mean()), float(low), float(high), std)
