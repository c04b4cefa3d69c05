"""An explanation in sentences, each with its uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from optnas.explain.changes import Advice, Change
from optnas.explain.importance import Importances
from optnas.explain.prices import Price
from optnas.explain.shared import Sharing
from optnas.explain.words import amount, cost_change, effect, limits, listed, steps
from optnas.printable import counted

if TYPE_CHECKING:
    from optnas.explain.explanation import Explanation

__all__ = ["sentences_of"]

#: As many are named in a sentence.
_NAMED = 4


def sentences_of(explanation: Explanation, best: str) -> tuple[str, ...]:
    """What a person should know, the most important first.

    Args:
        explanation: Without its sentences.
        best: The best trained network within the budget, in words; empty without a budget.
    """
    learned = explanation.learned
    texts = [_opening(explanation), _importance(explanation.importances, learned)]
    texts += _prices(explanation)
    if explanation.advice is not None:
        texts += _advice(explanation.advice, learned, list(explanation.objective_costs), best)
    texts.append(_sharing(explanation.sharing))
    if explanation.estimated:
        names = listed(explanation.estimated)
        verb = "is" if len(explanation.estimated) == 1 else "are"
        texts.append(f"{names} {verb} estimated from what trials measured, not counted.")
    return (*texts, *explanation.notes)


def _opening(explanation: Explanation) -> str:
    front = len(explanation.front)
    return (
        f"{explanation.study}: {counted(explanation.trained, 'network')} trained to the end, {front} of them on the "
        f"front; {explanation.learned} is what training tells."
    )


def _importance(found: Importances, learned: str) -> str:
    if found.why:
        return f"What decides cannot be told: {found.why}."
    told = [one for one in found.choices if one.told]
    best = f"Being among the best {found.best} of {found.trials} in {learned}"
    if not told:
        return f"{best}: none of {counted(len(found.choices), 'choice')} can be told from chance."
    named = [f"{one.choice} (share {one.share:.0%}, {one.low:.0%} to {one.high:.0%})" for one in told]
    rest = len(found.choices) - len(told)
    other = f"; the other {counted(rest, 'choice')} cannot be told from chance" if rest else ""
    return f"{best} goes with {listed(named)}{other}."


def _prices(explanation: Explanation) -> list[str]:
    if not explanation.prices:
        return []
    prices, learned = explanation.prices, explanation.learned
    texts = []
    if explanation.priced:
        texts.append(
            f"{explanation.priced} networks were priced without training one: costs of the price list are exact, mean "
            "and, in brackets, the range without the lowest and the highest tenth."
        )
    if explanation.foretold is None:
        return [*texts, f"What a change does to the {learned} takes more trained networks to say."]
    share = f"{explanation.foretold:.0%}" if explanation.foretold > 0.005 else "nothing"
    texts.append(
        f"A model of the {learned} foretells {share} of its variation over networks that it has not seen; ± is one "
        "standard deviation of the mean, were both networks of each pair trained again."
    )
    sign = 1 if explanation.direction == "minimize" else -1
    told = [one for one in prices if one.learned is not None and one.learned.told]
    best: dict[str, Price] = {}
    for one in sorted(told, key=lambda one: sign * one.learned.mean if one.learned else 0.0):
        if one.learned is not None and sign * one.learned.mean < 0:
            best.setdefault(one.choice, one)
    changes = f"Of {counted(len(prices), 'single change')} from a choice's usual option"
    if not told:
        return [*texts, f"{changes} none moves the {learned} by two standard deviations."]
    moved = f"{changes} {len(told)} {'moves' if len(told) == 1 else 'move'} the {learned} by two standard deviations"
    if not best:
        return [*texts, f"{moved} or more, none for the better."]
    named = [_price(one, explanation) for one in list(best.values())[:_NAMED]]
    return [*texts, f"{moved} or more. For the better, one of each choice: {'; '.join(named)}."]


def _price(price: Price, explanation: Explanation) -> str:
    known = {name: price.costs[name] for name in explanation.objective_costs if name in price.costs}
    costs = [cost_change(name, change) for name, change in known.items() if change.told]
    assert price.learned is not None
    return f"{price.choice} {price.usual} -> {price.option}: " + ", ".join(
        [effect(explanation.learned, price.learned), *costs]
    )


def _advice(advice: Advice, learned: str, names: Sequence[str], best: str) -> list[str]:
    own = listed([amount(learned, advice.value), *(amount(name, advice.costs[name]) for name in names)])
    who = f"Trial {advice.trial} ({own})"
    budget = limits(advice.budget) or "the constraints"
    texts = []
    if not advice.within and advice.smallest is None:
        texts.append(f"{who}: no change that was looked at leads within {budget} ({advice.searched}).")
    elif advice.smallest is not None:
        count = len(advice.smallest.changed)
        texts.append(
            f"{who} comes within {budget} by {counted(count, 'change')}: {_change(advice.smallest, learned, names)}. "
            f"Priced for that: {advice.searched}."
        )
    elif advice.most is None:
        texts.append(f"{who}: no single change is expected to make its {learned} better.")
    else:
        texts.append(f"{who}: the single change that promises most is {_change(advice.most, learned, names)}.")
        if advice.bargain is not None and advice.bargain != advice.most:
            texts.append(f"Most for what it costs: {_change(advice.bargain, learned, names)}.")
    return texts + ([best] if best else [])


def _change(change: Change, learned: str, names: Sequence[str]) -> str:
    costs = [amount(name, change.costs[name]) for name in names]
    if change.value is not None:
        told = f"trial {change.trial} has trained that: {amount(learned, change.value)}"
    elif change.learned is None:
        told = f"what it does to the {learned} is not known"
    else:
        doubt = "" if change.learned.told else ", which may be nothing"
        told = f"expected {effect(learned, change.learned)}{doubt}"
    return f"{steps(change.changed)} ({', '.join([*costs, told])})"


def _sharing(sharing: Sharing) -> str:
    if sharing.found:
        named = [
            f"{one.choice} {one.option} in {one.members} of {one.members_of} "
            f"({one.members / one.members_of:.0%}, of all trained {one.trained / one.trained_of:.0%})"
            for one in sorted(sharing.found, key=lambda one: not one.often)
        ]
        return f"The front's members have more or less often than all trained, beyond chance: {'; '.join(named)}."
    if not sharing.tellable:
        return (
            f"What the front's members share cannot be told: {counted(sharing.members, 'member')} of "
            f"{counted(sharing.trained, 'feasible network')} are too few."
        )
    return (
        f"The front's {counted(sharing.members, 'member')} share no option beyond chance, of "
        f"{counted(sharing.tested, 'option')} looked at."
    )
