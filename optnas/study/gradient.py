"""A search by gradients: a sweep over what a cost weighs in the loss, each descent a trial to train from scratch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler

from optnas.cost import BLOCKWISE
from optnas.errors import UsageError
from optnas.objective import ATTRIBUTE, ERROR, Objective
from optnas.sampler import derive_seed
from optnas.sampler.draw import allows
from optnas.sampler.ranked import RankedSampler
from optnas.space import CHOSEN, Choices, RandomTrial
from optnas.space.graph import fixed_seed
from optnas.study.create import attribute
from optnas.study.executor import Executor
from optnas.study.settings import Settings
from optnas.study.supernet import Supernet, image_task, supernet_path
from optnas.study.supernet_training import train_supernet
from optnas.supernet import Descended, Descent, descend

__all__ = ["check_gradient", "gradient"]

#: Of the values of each choice.
Probabilities = Mapping[str, Sequence[tuple[Any, float]]]

#: What a network as dear as the mean of random ones adds to the cross-entropy: from hardly anything, so that
#: accuracy alone counts, to more than the cross-entropy of guessing among ten classes can give back.
_LIGHTEST, _HEAVIEST = 0.01, 3.0
#: Descents of a sweep, if so many trials are asked for; steps of each, after which choices on the mobile space are
#: decided for the most part; and the rate of the logits with these. In fewer steps they have to move faster.
SWEEP, _STEPS, _RATE = 8, 1000, 0.03
#: Passes over the images for the shared weights before the first descent, in epochs of a training from scratch:
#: each descent trains them on.
_PASSES = 3
#: Where the time is limited: descents, and the shares of the time for the weights before them and for these.
_HASTY_SWEEP, _TRAINING, _DESCENDING = 4, 0.2, 0.4
#: Random networks that are looked at for a `choose`.
_LOOKS = 8
#: How often a network is drawn from what the descents found, for trials beyond their own.
_TRIES = 400


def gradient(
    study: Study, objective: Objective, executor: Executor, settings: Settings, say: Callable[[str], None]
) -> BaseSampler:
    """Descend for each weight of a sweep and enqueue the networks found; what was done before a kill is kept.

    Shared weights are trained first, and every descent goes on from these.

    Returns:
        The sampler for trials beyond the sweep: draws from the probabilities that the descents ended with.

    Raises:
        UsageError: If the space cannot be searched by gradients.
        SupernetDiverged: If a loss is not finite.
    """
    path = supernet_path(study, settings.storage, objective)
    passes = settings.supernet_epochs or _PASSES * image_task(objective).settings.epochs
    limit = settings.seconds
    supernet = train_supernet(objective, executor, path, passes=passes, seconds=limit and _TRAINING * limit, say=say)
    say(f"shared weights: {supernet}")
    known = {found["weight"]: found for found in attribute(study, "descents", [])}
    queue = [
        descent
        for descent in _descents(objective, supernet, settings, limit, executor.slots)
        if descent.weight not in known
    ]
    if queue:
        say(
            f"gradient: {len(queue)} descents of {queue[0].steps} steps; {queue[0].cost} weighs "
            f"{min(one.weight for one in queue):g} to {max(one.weight for one in queue):g}"
        )
    pending: dict[Future[Descended], Descent] = {}
    trouble: Exception | None = None
    while queue or pending:
        while queue and len(pending) < executor.slots:
            descent = queue.pop(0)
            pending[executor.submit(descend, descent)] = descent
        done, _ = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
        for future in done:
            descent = pending.pop(future)
            try:
                found = known[descent.weight] = _kept(future.result(), descent.weight)
            except UsageError:
                raise  # what a descent refuses, all of them do
            except Exception as error:
                trouble = error
                say(f"gradient: weight {descent.weight:g} brought no network: {type(error).__name__}: {error}")
                continue
            study.set_user_attr(ATTRIBUTE + "descents", sorted(known.values(), key=lambda one: float(one["weight"])))
            _enqueue(study, objective, found)
            say(_sentence(found, descent.cost))
    if trouble is not None and not known:
        raise trouble
    for found in known.values():
        # Also after a kill between the two steps above.
        _enqueue(study, objective, found)
    return RankedSampler(_draws(objective, list(known.values()), _TRIES), objective.explore, objective.seed)


def _descents(
    objective: Objective, supernet: Supernet, settings: Settings, limit: float | None, slots: int
) -> list[Descent]:
    """The sweep, whose steps fit into a share of the seconds `limit` on so many workers."""
    task, most = image_task(objective), SWEEP if limit is None else _HASTY_SWEEP
    sweep = _sweep(min(most, settings.limit or most))
    steps = settings.gradient_steps or _STEPS
    if settings.gradient_steps is None and limit is not None:
        # A step of a descent is one of the weights and one of the logits.
        pace = 2 * supernet.seconds * slots / supernet.steps
        steps = max(1, min(_STEPS, int(_DESCENDING * limit * slots / len(sweep) / pace)))
    costs = [name for name in settings.objectives if name != ERROR]
    cost = next((name for name in costs if name in (*BLOCKWISE, "latency_ms")), "macs")
    return [
        Descent(
            objective.build,
            task,
            supernet.path,
            cost=cost,
            weight=weight,
            steps=steps,
            lr=min(0.3, _RATE * _STEPS / steps),
            seed=derive_seed(objective.seed, index),
        )
        for index, weight in enumerate(sweep)
    ]


def check_gradient(objective: Objective) -> None:
    """Refuse an objective that no search by gradients can have, before anything is made.

    Raises:
        UsageError: If its task is none of images, or none of some random networks holds a module of `choose`.
    """
    image_task(objective)
    generator = np.random.default_rng(objective.seed)
    for _ in range(_LOOKS):
        with suppress(Exception), fixed_seed():  # what is wrong with a space is said when it is profiled
            module = objective.build(RandomTrial(generator))
            if any(CHOSEN in part.__dict__ for part in module.modules()):
                return
    raise UsageError("sampler gradient: expected a space with a choose(), got one without")


def _sweep(count: int) -> list[float]:
    """Weights in geometric order, the ends and the middle first: whenever it is stopped, they are spread."""
    if count == 1:
        return [float(np.sqrt(_LIGHTEST * _HEAVIEST))]
    values = [float(f"{value:.3g}") for value in np.geomspace(_LIGHTEST, _HEAVIEST, count)]
    order, gaps = [0, count - 1], [(0, count - 1)]
    while gaps:
        low, high = gaps.pop(0)
        middle = (low + high) // 2
        if middle not in (low, high):
            order.append(middle)
            gaps += [(low, middle), (middle, high)]
    return [values[index] for index in order]


def _kept(found: Descended, weight: float) -> dict[str, Any]:
    """What the study keeps of a descent, as plain values."""
    return {
        "weight": weight,
        "choices": dict(found.choices),
        "expected_cost": found.expected_cost[-1],
        "entropy": found.entropy[-1],
        "free_share": found.free_share,
        "verdict": found.verdict,
        "seconds": len(found.losses) / found.steps_per_second,
        # Pairs, since values of choices need not be strings.
        "probabilities": {name: [[value, round(p, 5)] for value, p in options.items()]
                          for name, options in found.probabilities.items()},
    }  # fmt: skip


def _enqueue(study: Study, objective: Objective, found: Mapping[str, Any]) -> None:
    """Its network, or one within the budget that its probabilities lead to."""
    choices = found["choices"]
    if not _is_within(objective, choices):
        choices = next(iter(_draws(objective, [found], 1)), choices)
    study.enqueue_trial(choices, user_attrs={ATTRIBUTE + "descent_weight": found["weight"]}, skip_if_exists=True)


def _is_within(objective: Objective, choices: Choices) -> bool:
    beyond = objective.beyond(choices)
    return beyond is not None and beyond <= 0


def _sentence(found: Mapping[str, Any], cost: str) -> str:
    return (
        f"gradient: weight {found['weight']:g} expects {cost} of {found['expected_cost']:.3g}, "
        f"{found['entropy']:.0%} undecided, {found['seconds']:.0f} s. {found['verdict']}"
    )


def _draws(objective: Objective, descents: Sequence[Mapping[str, Any]], most: int) -> list[Choices]:
    """Networks within the budget, drawn from the probabilities of each descent in turn."""
    generator = np.random.default_rng([objective.seed, 7])
    drawn: list[Choices] = []
    for index in range(_TRIES if descents else 0):
        trial = _Policy(descents[index % len(descents)]["probabilities"], generator)
        with suppress(Exception):  # what cannot be built has no costs
            objective.explore(trial)
        if trial.params not in drawn and _is_within(objective, trial.params):
            drawn.append(trial.params)
        if len(drawn) == most:
            break
    return drawn


class _Policy(RandomTrial):
    """Draws choices by given probabilities, those that it has none for uniformly."""

    def __init__(self, probabilities: Probabilities, generator: np.random.Generator) -> None:
        super().__init__(generator)
        self._probabilities = probabilities

    def decide(self, name: str, distribution: BaseDistribution) -> Any:
        known = [pair for pair in self._probabilities.get(name, ()) if allows(distribution, pair[0])]
        total = sum(weight for _, weight in known)
        if not total:
            return super().decide(name, distribution)
        return known[int(self._generator.choice(len(known), p=[weight / total for _, weight in known]))][0]
