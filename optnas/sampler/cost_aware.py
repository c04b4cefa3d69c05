"""A sampler that knows what a network costs before it is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import BaseTrial, FrozenTrial, TrialState, create_trial

from optnas.errors import UsageError
from optnas.sampler.candidates import NothingToPropose, build_of
from optnas.sampler.draw import draw
from optnas.sampler.planned import PlannedSampler
from optnas.sampler.planner import CostOf, Excess, Planner
from optnas.sampler.warm import Experience, silent
from optnas.space import Choices

__all__ = ["STARTUP", "CostAwareSampler"]

#: The trainings that are spread at random before the model chooses, unless a study says otherwise.
STARTUP = 5


class CostAwareSampler(PlannedSampler):
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
        excess: How far costs are beyond the limits, 0 or less if they are within, such as
            `lambda costs: max(constraint.violation(costs) for constraint in constraints)`. In a large space the
            way to tight limits is found by it.
        objectives: The names of the study's values, if the study has no metric names.
        seed: The study's seed.
        startup: How many trainings are spread at random before the model chooses.
        candidates: About how many networks are compared for a proposal from a space that is too large to list.
        experience: What another study (other data, another device) learned of networks that this space has too. A
            model of it is one more thing known of each network beforehand, until it proves no help.
        say: Told when the experience is given up.

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
        excess: Excess | None = None,
        objectives: Sequence[str] | None = None,
        seed: int = 0,
        startup: int = STARTUP,
        candidates: int = 512,
        experience: Experience | None = None,
        say: Callable[[str], None] = silent,
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
        super().__init__(space, seed)
        self._cost_of, self._excess = cost_of, excess
        self._networks, self._objectives = networks, objectives
        self._startup, self._candidates = startup, candidates
        self._experience, self._say = experience, say
        self._planner: Planner | None = None
        self._choices: dict[str, BaseDistribution] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Without what is read from the study again."""
        return {**super().__getstate__(), "_planner": None}

    def prepare(self, study: Study) -> None:
        """Look at the space now rather than when the first trial asks.

        Args:
            study: One with the same directions and metric names will do.

        Raises:
            NothingToPropose: As the class says.
        """
        with self._lock:
            self._planner_of(study)

    def spread(self, study: Study, count: int) -> list[Choices]:
        """Up to so many networks that may be proposed, from all of the costs' range, in random order: what to look at
        where something has to be measured. None if no network is within the limits.

        Args:
            study: As for `prepare`.
            count: How many.

        Raises:
            NothingToPropose: As the class says.
        """
        with self._lock:
            return self._planner_of(study).spread(count)

    def expected_gain(self, study: Study) -> float | None:
        """How much the next training is expected to add to the study's hypervolume, as a share of it.

        From the same model that proposes. None while there is none: among the first trainings, or where there is
        no network left.
        """
        trial = create_trial(state=TrialState.RUNNING)
        trial.number = len(study.get_trials(deepcopy=False))
        choices = self.infer_relative_search_space(study, trial)
        with self._lock:
            if self._space is None and self._networks is None:
                if not choices:
                    return None
                if self._choices != choices:
                    self._planner, self._choices = None, choices
            try:
                planner = self._planner_of(study)
                planner.plan(study, trial, self._plans)
            except NothingToPropose:
                return None
            return None if planner.judge is None else planner.judge.gain

    def foresight(self, study: Study, cost: str) -> float | None:
        """How well a cost that is measured, such as `latency_ms`, is predicted for a network before: the root mean
        square of the relative error, of each network from all others. None while few were measured.

        Args:
            study: With trials of `optnas.Objective`, which keeps what it measures.
            cost: Its name.
        """
        with self._lock:
            return self._planner_of(study).foresight(study, cost)

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
        if self._space is None and self._networks is None:
            return draw(self._seed, study, trial, param_name, param_distribution)
        return super().sample_independent(study, trial, param_name, param_distribution)

    def _plan(self, study: Study, trial: FrozenTrial) -> Choices:
        return self._planner_of(study).plan(study, trial, self._plans)

    def _planner_of(self, study: Study) -> Planner:
        if self._planner is None:
            names = self._objectives or study.metric_names
            space = self._space or self._networks or build_of(self._choices)
            self._planner = Planner(
                self._cost_of,
                space,
                list(names or (f"value{index}" for index in range(len(study.directions)))),
                self._excess,
                self._seed,
                self._startup,
                self._candidates,
                self._experience,
                self._say,
            )
            if len(study.directions) > 1 and not names and not self._planner.known:
                raise NothingToPropose(
                    "cost-aware sampler: expected the names of the study's values, to know which of them are costs: "
                    "give `objectives` or call `study.set_metric_names`"
                )
        return self._planner
