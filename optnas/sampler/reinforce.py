"""REINFORCE (Zoph & Le 2017) as a sampler: one controller for the whole front, taught by every finished trial."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import BaseTrial, FrozenTrial

from optnas.sampler.candidates import build_of
from optnas.sampler.controller import Controller, Rollout
from optnas.sampler.draw import allows
from optnas.sampler.fitness import draw_weights, terms_of
from optnas.sampler.history import History, read_history, violation_of
from optnas.sampler.measured import ERROR, outcomes
from optnas.sampler.planned import PlannedSampler, is_repeat, unseen
from optnas.sampler.planner import CostOf, Excess
from optnas.sampler.replay import Choice, Lesson, Replay
from optnas.sampler.seeded import derive_seed
from optnas.space import Choices, StubTrial

__all__ = ["ReinforceSampler"]

Array = NDArray[np.float64]

#: How often the policy is asked again, for a network that is new and within the limits.
_DRAWS = 8
#: A network that cannot be built is worse than any that breaks a limit.
_BROKEN = 1e9


class ReinforceSampler(PlannedSampler):
    """An LSTM that makes one choice after another, trained by REINFORCE (Zoph & Le 2017, arXiv:1611.01578).

    Each trial draws its own weights of the objectives, and the controller is told them first, so that one
    controller covers the whole front. What a finished trial would have been worth under other weights is known too:
    it is learned from under many, again and again (hindsight, Andrychowicz et al. 2017, arXiv:1707.01495), with
    importance ratios clipped as in PPO. Reward, baseline and entropy: see `Replay`.

    The controller is made again from the trials of the study, in the order in which they ended, and from nothing
    else but the seed: a new process proposes what the old one would have. Pruned trials teach what error they would
    probably have reached, if they left their curve and the costs that are objectives; trials that break a constraint
    are worth less than all that do not. A network that a trial has had is drawn again, and at last mutated.

    Args:
        space: Makes all choices of a trial; what it returns is not used. Run for each trial to learn from, so it
            should take milliseconds. If not given, networks make all choices that trials recorded.
        fitness: How objectives become one reward, "sum" or "product": see `optnas.sampler.fitness`.
        cost_of: The costs, by name, of a network of given params; with `excess`, networks over a limit are drawn
            again before they are proposed. None for a network that cannot be built.
        excess: How far costs are beyond the limits, 0 or less if they are within.
        objectives: The names of the study's values, of which "error" is what training tells, if the study has no
            metric names; without names all values are treated alike and pruned trials teach nothing.
        seed: The study's seed.

    Raises:
        UsageError: If the fitness is unknown.
    """

    def __init__(
        self,
        space: Callable[[BaseTrial], object] | None = None,
        *,
        fitness: str = "sum",
        cost_of: CostOf | None = None,
        excess: Excess | None = None,
        objectives: Sequence[str] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(space, seed)
        self._terms, self._objectives = terms_of(fitness), objectives
        self._cost_of, self._excess = cost_of, excess
        self._replay: Replay | None = None
        #: What the replay has been taught: numbers of trials and when they ended.
        self._taught: list[tuple[datetime, int]] = []

    def __getstate__(self) -> dict[str, Any]:
        """Without what is read from the study again."""
        return {**super().__getstate__(), "_replay": None, "_taught": []}

    def _plan(self, study: Study, trial: FrozenTrial) -> Choices:
        history = read_history(study, trial.number, self._plans)
        controller = self._learned(study, history).controller
        fixed = trial.system_attrs.get("fixed_params", {})
        generator = np.random.default_rng(derive_seed(self._seed, trial.number))
        build = self._space or build_of(dict(sorted(history.distributions.items())))
        network, least = {}, math.inf
        for weights in draw_weights(generator, len(study.directions), _DRAWS):
            drawn = _Drawn(controller.begin(weights, generator), fixed)
            build(drawn)
            excess = self._beyond(drawn.params)
            if is_repeat(drawn.params, history.tried):
                continue
            if excess < least:
                network, least = drawn.params, excess
            if least <= 0:
                break
        return unseen(build, network or drawn.params, history.tried, fixed, generator)

    def imagine(self, study: Study, count: int, generator: np.random.Generator) -> list[Choices]:
        """Networks that the policy would draw now, each under weights of its own; repeats are not avoided.

        Args:
            study: What it has learned from.
            count: How many at most: those of which none of eight draws can be built are left out. Each is within the
                limits if one of its draws was.
            generator: Of all draws.
        """
        history = read_history(study, -1, self._plans)
        controller = self._learned(study, history).controller
        build = self._space or build_of(dict(sorted(history.distributions.items())))
        networks: list[Choices] = []
        for _ in range(count):
            found: list[tuple[float, Choices]] = []
            for weights in draw_weights(generator, len(study.directions), _DRAWS):
                drawn = _Drawn(controller.begin(weights, generator), {})
                build(drawn)  # the choices until a space raises; what raises has no price
                found.append((self._beyond(drawn.params), drawn.params))
                if found[-1][0] <= 0:
                    break
            excess, network = min(found, key=lambda pair: pair[0])
            if excess < _BROKEN:
                networks.append(network)
        return networks

    def _beyond(self, network: Choices) -> float:
        """How far a network is beyond the limits, as far as that is known before it is trained."""
        if self._cost_of is None or self._excess is None:
            return 0.0
        costs = self._cost_of(network)
        return _BROKEN if costs is None else self._excess(costs)

    def _learned(self, study: Study, history: History) -> Replay:
        """What the trials that have ended teach."""
        names, objectives = list(self._objectives or study.metric_names or ()), len(study.directions)
        known = sorted(outcomes(history, study, names), key=lambda row: _ended(row[0]))
        ended = [_ended(trial) for trial, _ in known]
        replay = self._replay
        if replay is None or replay.objectives != objectives or self._taught != ended[: len(self._taught)]:
            # Also where a trial ended before one that has been learned from, and was stored after it.
            learned = names.index(ERROR) if ERROR in names else None
            replay = Replay(Controller(objectives, seed=self._seed), objectives, learned, self._terms, self._seed)
            self._replay, self._taught = replay, []
        for trial, losses in known[len(self._taught) :]:
            replay.add(Lesson(trial.number, self._choices_of(trial), losses, violation_of(trial)))
        self._taught = ended
        return replay

    def _choices_of(self, trial: FrozenTrial) -> list[Choice]:
        if self._space is None:
            # Storages do not keep the order in which choices were made.
            return [(name, one, trial.params[name]) for name, one in sorted(trial.distributions.items())]
        known = _Known(trial.params)
        self._space(known)
        return [(name, one, known.params[name]) for name, one in known.distributions.items()]


def _ended(trial: FrozenTrial) -> tuple[datetime, int]:
    assert trial.datetime_complete is not None
    return trial.datetime_complete, trial.number


class _Drawn(StubTrial):
    """Asks the controller for every choice that is not fixed."""

    def __init__(self, rollout: Rollout, fixed: Mapping[str, Any]) -> None:
        super().__init__()
        self._rollout, self._fixed = rollout, fixed

    def decide(self, name: str, distribution: BaseDistribution) -> Any:
        if name in self._fixed and allows(distribution, self._fixed[name]):
            self._rollout.follow(name, distribution, self._fixed[name])
            return self._fixed[name]
        return self._rollout.decide(name, distribution)


class _Known(StubTrial):
    """Makes the choices of a trial, in the order in which the space asks for them, and stops where it lacks one."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        super().__init__()
        self._known = params

    def decide(self, name: str, distribution: BaseDistribution) -> Any:
        if name not in self._known or not allows(distribution, self._known[name]):
            raise LookupError(name)
        return self._known[name]
