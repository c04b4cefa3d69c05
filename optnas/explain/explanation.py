"""A study explained: what decides, what changes cost and bring, what to change, what the front shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from optuna import Study

from optnas.cost import COSTS, Constraint
from optnas.errors import UsageError, first_line
from optnas.explain.changes import Advice, advise
from optnas.explain.foresight import Foresight
from optnas.explain.importance import Importances, importances
from optnas.explain.prices import Price, price_list
from optnas.explain.sentences import sentences_of
from optnas.explain.shared import Sharing, sharing
from optnas.explain.trained import Trained, read_trained
from optnas.explain.words import amount, limits, listed
from optnas.front import best
from optnas.objective import Objective

__all__ = ["Explanation", "explain"]


@dataclass(frozen=True)
class Explanation:
    """Of one study."""

    study: str
    learned: str
    """The objective that only training tells, usually "error"."""
    direction: str
    """ "minimize" or "maximize": which way it is better."""
    trained: int
    """Networks trained to the end, repeats left out."""
    front: tuple[int, ...]
    """The trials of the front, the best in what is learned first."""
    objective_costs: tuple[str, ...]
    """Costs of the price list that sentences, tables and pictures show, by name: those that matter in this study."""
    estimated: tuple[str, ...]
    """Which of the costs are estimated from what trials measured; all others are counted, which is exact."""
    priced: int
    """Networks whose costs were counted for this, none of them trained."""
    foretold: float | None
    """Share of the variance of what is learned (its logarithm) that a model foretells of networks it has not seen, at
    most 1; 0 or less is nothing. None if too few networks were trained."""
    importances: Importances
    prices: tuple[Price, ...]
    """Empty if the space is not at hand and has conditional choices."""
    advice: Advice | None
    """On one network; None where there is no price list."""
    sharing: Sharing
    notes: tuple[str, ...]
    """What could not be done, and why."""
    sentences: tuple[str, ...]
    """All of it for a person."""


def explain(
    study: Study,
    objective: Objective | None = None,
    budget: Sequence[Constraint] = (),
    trial: int | None = None,
    seed: int = 0,
    absent: str = "",
) -> Explanation:
    """Explain a study.

    Args:
        study: Any study with a network that was trained to the end.
        objective: What it searches, of `optnas.study.reopen.reopen`; without it only what the trials say is used.
        budget: What the network that is asked about should cost; its smallest change is then looked for.
        trial: The network to change; by default one of the front, see `advise`.
        seed: Of all that is drawn.
        absent: Why there is no objective, in words.

    Raises:
        UsageError: If no network was trained to the end with finite values, all objectives are costs, the trial
            trained no network to the end, or nothing is known of a cost of the budget.
    """
    trained = read_trained(study)
    foresight, notes = _foresight(trained, objective, budget, seed, absent)
    prices: tuple[Price, ...] = ()
    advice = None
    if foresight is not None:
        prices = price_list(foresight, seed=seed)
        advice = advise(foresight, trial, budget)
    elif budget or trial is not None:
        raise UsageError(f"study {study.study_name!r}: what to change cannot be said: {listed(notes)}")
    shown = tuple(name for name in _wanted(trained, budget) if foresight is not None and name in foresight.costs)
    explanation = Explanation(
        study.study_name,
        trained.learned,
        "minimize" if trained.sign > 0 else "maximize",
        len(trained.networks),
        tuple(trained.networks[row].trial for row in trained.front),
        shown or (foresight.costs[-1:] if foresight is not None else ()),
        () if foresight is None else tuple(foresight.estimated),
        0 if foresight is None else foresight.priced,
        None if foresight is None or foresight.errors is None else foresight.errors.explained,
        importances(trained, seed),
        prices,
        advice,
        sharing(trained),
        notes,
        (),
    )
    return replace(explanation, sentences=sentences_of(explanation, _best(study, trained, budget)))


def _foresight(
    trained: Trained, objective: Objective | None, budget: Sequence[Constraint], seed: int, absent: str
) -> tuple[Foresight | None, tuple[str, ...]]:
    """What can be foreseen, and notes of what cannot."""
    wanted = _wanted(trained, budget)
    if objective is not None:
        try:
            return Foresight(trained, objective, wanted, seed), ()
        except Exception as error:  # a space that raises is a person's own code
            absent = first_line(error)
    reason = f" ({absent})" if absent else ""
    note = f"The space is not at hand{reason}, so only what the trials say is used"
    if not trained.movable():
        return None, (f"{note}, and they had no choice.",)
    if trained.conditional:
        return None, (f"{note}: no price list, since some choices depend on others in ways that trials do not show.",)
    return Foresight(trained, None, wanted, seed), (
        f"{note}: costs are estimated, and options are those of the trials.",
    )


def _wanted(trained: Trained, budget: Sequence[Constraint]) -> tuple[str, ...]:
    """Names of the costs that matter: other objectives, constraints, budget; else the first that was measured."""
    names = [*trained.known, *(one.cost for one in (*trained.constraints, *budget))]
    measured = (name for name in ("macs", *COSTS) if any(name in network.costs for network in trained.networks))
    return tuple(dict.fromkeys(names)) or tuple(name for _, name in zip(range(1), measured, strict=False))


def _best(study: Study, trained: Trained, budget: Sequence[Constraint]) -> str:
    """The best network within a budget that was trained, in words."""
    if not budget:
        return ""
    try:
        network = best(study, budget)
    except UsageError:  # of a cost that trials did not measure
        return ""
    within = limits([str(one) for one in budget])
    if network is None:
        return f"No network within {within} was trained to the end."
    value = amount(trained.learned, network.values[trained.learned])
    return f"The best that was trained within {within} is trial {network.trial}: {value}."
