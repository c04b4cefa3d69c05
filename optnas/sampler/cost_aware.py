"""A sampler that knows what a network costs before it is trained."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import BaseTrial, FrozenTrial, TrialState

from optnas.errors import UsageError
from optnas.sampler.candidates import build_of
from optnas.sampler.draw import allows, draw
from optnas.sampler.planner import CostOf, Planner
from optnas.space import Choices

__all__ = ["CostAwareSampler"]


class CostAwareSampler(BaseSampler):
    """Proposes the network that is expected to add most to the front, given what each network costs.

    Costs are known for any network before it is trained, so only the other objectives (usually the error) are
    modelled, by a Gaussian process; the expected improvement of the hypervolume is then exact. Networks over
    a limit and networks that a trial has had are never proposed, until there is no other.

    The first trainings are spread over the range of the costs at random. Trials in training count as if they
    had reached what is expected of them, so that parallel workers get different networks. A pruned trial that
    left its curve informs the model. Everything is read from the study: with equal trials a new process
    proposes the same. One sampler serves one study; it works in `study.optimize` and with ask and tell.

    Args:
        cost_of: The costs, by name, of a network of given params. Those that the study optimises are taken
            as known; others help to predict the error. Called once for each network and kept, so it may take
            milliseconds. None for a network that cannot be built.
        space: Makes the choices of a network on a trial; what it returns is not used. Called a few hundred
            times at most if all networks make the same choices, else for every candidate.
        networks: Instead of a space: the params of all networks there are.
        feasible: Whether costs are within the limits, such as
            `lambda costs: all(c.violation(costs) <= 0 for c in constraints)`.
        objectives: The names of the study's values, if the study has no metric names.
        seed: The study's seed.
        startup: How many trainings are spread at random before the model chooses.
        candidates: About how many networks are compared for a proposal from a space that is too large to list.

    With neither space nor networks, choices are learned from the trials so far; params of a branch that a
    network does not take may then reach `cost_of`.

    Raises:
        UsageError: If both a space and networks are given, or no network, or a number is too small; when a
            trial asks, if no cost is an objective though there are several, or no network is within the limits.
    """

    def __init__(
        self,
        cost_of: CostOf,
        *,
        space: Callable[[BaseTrial], object] | None = None,
        networks: Sequence[Choices] | None = None,
        feasible: Callable[[Mapping[str, float]], bool] | None = None,
        objectives: Sequence[str] | None = None,
        seed: int = 0,
        startup: int = 5,
        candidates: int = 512,
    ) -> None:
        if space is not None and networks is not None:
            raise UsageError("cost-aware sampler: expected a space or networks, got both")
        if networks is not None and not networks:
            raise UsageError("cost-aware sampler: expected at least one network, got none")
        if startup < 2 or candidates < 16:
            raise UsageError(
                "cost-aware sampler: expected startup of at least 2 and candidates of at least 16, "
                f"got {startup} and {candidates}"
            )
        self._cost_of, self._feasible = cost_of, feasible
        self._space, self._networks = space, networks
        self._objectives = objectives
        self._seed, self._startup, self._candidates = seed, startup, candidates
        self._plans: dict[int, Choices] = {}
        self._planner: Planner | None = None
        self._choices: dict[str, BaseDistribution] = {}
        # Threads of one study must see each other's plans.
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def reseed_rng(self) -> None:
        """Nothing to do: parallel workers hold trials of different numbers."""

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Nothing where a space or networks are given, else all choices that finished trials made.

        A conditional choice cannot be promised beforehand; `sample_independent` serves those of the plan.
        """
        if self._space is not None or self._networks is not None:
            return {}
        seen: dict[str, BaseDistribution] = {}
        for earlier in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)):
            seen |= earlier.distributions
        return {name: distribution for name, distribution in seen.items() if not distribution.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not search_space:
            return {}
        with self._lock:
            if self._choices != search_space:
                self._planner = None
                self._choices = dict(search_space)
            return self._planned(study, trial)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        if self._space is not None or self._networks is not None:
            with self._lock:
                plan = self._planned(study, trial)
            if param_name in plan and allows(param_distribution, plan[param_name]):
                return plan[param_name]
        return draw(self._seed, study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self._plans.pop(trial.number, None)

    def _planned(self, study: Study, trial: FrozenTrial) -> Choices:
        if trial.number not in self._plans:
            if self._planner is None:
                names = self._objectives or study.metric_names
                space = self._space or self._networks or build_of(self._choices)
                self._planner = Planner(
                    self._cost_of,
                    space,
                    list(names or (f"value{index}" for index in range(len(study.directions)))),
                    self._feasible,
                    self._seed,
                    self._startup,
                    self._candidates,
                )
            self._plans[trial.number] = self._planner.plan(study, trial, self._plans)
        return self._plans[trial.number]
