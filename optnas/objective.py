"""The corridor of one trial: build, measure, pass the gate, train, give values."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import torch
from optuna import Study, Trial, TrialPruned
from optuna.samplers import BaseSampler
from optuna.trial import BaseTrial, FrozenTrial, TrialState
from torch import nn

from optnas.cost import BLOCKWISE, COSTS, EXACT, BlockCounter, Constraint, DeviceFailed, Prices
from optnas.errors import UsageError, first_line
from optnas.job import Job, Outcome, run_job
from optnas.prune import Finished, NoPruner, Pruner, finished_trials, is_audited, kept_error, plain_bounds, read_bounds
from optnas.sampler import Experience, derive_seed, make_sampler
from optnas.sampler.warm import silent
from optnas.space import Choices, Space, bind_space, fingerprint
from optnas.space.graph import fixed_seed
from optnas.task import Task
from optnas.threads import one_thread

__all__ = ["ATTRIBUTE", "ERROR", "Gate", "Objective", "Refused", "Repeat", "is_trained"]

#: The one objective that is known only after training: 1 - accuracy on validation data, minimised.
ERROR = "error"
#: Prefix of everything that optnas keeps in a trial's or a study's user attributes.
ATTRIBUTE = "optnas:"
_INVALID = "invalid network"


@dataclass(frozen=True)
class Refused:
    """A network that is not worth an epoch."""

    reason: str
    costs: Mapping[str, float]


@dataclass(frozen=True)
class Repeat:
    """A network that another trial has trained."""

    of: int
    values: tuple[float, ...] | None
    """None if that training was stopped."""
    costs: Mapping[str, float]


Gate = Job | Refused | Repeat


class Objective:
    """An objective for `study.optimize`, and the steps of it for a coordinator.

    Costs come first: a network over a budget, one whose forward fails, or one that another trial of the study
    has trained never costs an epoch. In `study.optimize` the first two raise `TrialPruned` (with the
    constraints set) and the last returns the values that are known. A network that the pruner stops raises
    `TrialPruned` too; unlike Optuna's own pruning that works with several objectives.

    Args:
        space: A function of a trial that returns a network. It is given `input_shape` and `num_classes` of
            the task if it has parameters of these names.
        task: What to learn.
        costs: Which costs to measure and keep for each trial; those of the objectives and constraints are
            added.
        objectives: "error" and names of costs, in the order of the study's values. All are minimised.
        constraints: Budgets that a network must meet.
        seed: The study's seed; each trial derives its own from it.
        pruner: When to stop a training, from what is known of the study before its first epoch.
        audit: The share of trials, drawn by the seed, that are trained to the end even if the pruner says stop.
        prices: Measures the costs.

    Raises:
        UsageError: If the objectives do not name "error" once and known costs.
    """

    def __init__(
        self,
        space: Space,
        task: Task,
        costs: Sequence[str] = ("params", "macs", "size_bytes", "peak_memory_bytes"),
        *,
        objectives: Sequence[str] = (ERROR, "macs"),
        constraints: Sequence[Constraint] = (),
        seed: int = 0,
        pruner: Pruner | None = None,
        audit: float = 0.0,
        prices: Prices = Prices(),
    ) -> None:
        self.task = task
        self.build = bind_space(space, task.input_shape, task.num_classes)
        self.objectives = check_objectives(objectives)
        self.constraints = tuple(constraints)
        budgeted = [constraint.cost for constraint in self.constraints]
        named = {*costs, *budgeted, *self.objectives} - {ERROR}
        self.costs = tuple(sorted(named, key=list(COSTS).index))
        self.seed = seed
        self.pruner = pruner or NoPruner()
        self.audit = audit
        self._known: _Known | None = None
        self.prices = prices
        self._counter = BlockCounter(self.build, task.input_shape, prices.table)

    @property
    def directions(self) -> list[str]:
        """For `optuna.create_study`."""
        return ["minimize"] * len(self.objectives)

    @property
    def measured(self) -> tuple[str, ...]:
        """The costs among objectives and constraints that `foresee` does not know: a network has to be measured."""
        foreseen = {*BLOCKWISE, *(["latency_ms"] if self.prices.table is not None else [])}
        budgeted = [constraint.cost for constraint in self.constraints]
        return tuple(name for name in dict.fromkeys([*self.objectives, *budgeted]) if name not in {ERROR, *foreseen})

    def sampler(
        self,
        name: str,
        population: int = 20,
        experience: Experience | None = None,
        say: Callable[[str], None] = silent,
    ) -> BaseSampler:
        """The sampler of that name, told what this objective knows of networks before they are trained.

        Args:
            name: One of `optnas.sampler.SAMPLERS`.
            population: See `make_sampler`.
            experience: What another study learned of networks of this space.
            say: Told when the experience proves no help.

        Raises:
            UsageError: As `make_sampler`.
        """
        return make_sampler(
            name,
            self.seed,
            population,
            space=self.explore,
            cost_of=self.foresee,
            excess=self.excess,
            objectives=self.objectives,
            experience=experience,
            say=say,
        )

    def variant(self, *, task: Task | None = None, pruner: Pruner | None = None) -> Objective:
        """The same objective with another way to learn, or another pruner; what was priced stays known.

        `task` has to have the input and the classes of this one's.
        """
        other = copy.copy(self)
        other.task, other.pruner, other._known = task or self.task, pruner or self.pruner, None
        return other

    def __call__(self, trial: Trial) -> tuple[float, ...]:
        gate = self.admit(trial)
        if isinstance(gate, Refused):
            raise TrialPruned(gate.reason)
        if isinstance(gate, Repeat):
            if gate.values is None:
                raise TrialPruned(f"the same network as trial {gate.of}, which was pruned")
            return gate.values
        outcome = run_job(gate)
        self.keep(trial, gate, outcome)
        values = self.values(gate.costs, outcome)
        if values is None:
            raise TrialPruned(outcome.reason)
        return values

    def admit(self, trial: Trial) -> Gate:
        """Build and measure a trial's network, and say whether it is worth training.

        Keeps the costs, the fingerprint, the seed, the pruner's bounds and the constraints in the trial.

        Raises:
            Whatever the space raises while it builds.
        """
        with fixed_seed():
            module = self.build(trial)
        if not isinstance(module, nn.Module):
            raise UsageError(f"the space must return a torch.nn.Module, got {type(module).__name__}")
        architecture = trial.params
        task = self.task.suggest(trial)
        params = trial.params
        kept = trial.user_attrs
        if ATTRIBUTE + "fingerprint" in kept:
            # It was admitted before a kill; a latency measured again could refuse it now.
            costs, refusal, name = dict(kept[ATTRIBUTE + "costs"]), None, kept[ATTRIBUTE + "fingerprint"]
        else:
            with one_thread():
                costs, refusal, name = self.price(module)
        self._constrain(trial, costs, refusal)
        if refusal is not None:
            _keep(trial, costs=costs, reason=refusal)
            return Refused(refusal, costs)
        training = {key: value for key, value in params.items() if key not in architecture}
        if training and "+" not in name:
            name += f"+{json.dumps(training, sort_keys=True)}"
        twin = self.twin(trial.study, name, trial.number)
        if twin is not None:
            # Its costs too: a latency measured again would be another value of the same network.
            known = twin.user_attrs[ATTRIBUTE + "costs"]
            _keep(trial, costs=known, fingerprint=name, repeat_of=twin.number)
            return Repeat(twin.number, None if twin.values is None else tuple(twin.values), known)
        seed = derive_seed(self.seed, trial.number)
        if ATTRIBUTE + "fingerprint" in kept:
            # As they were before the kill: it ends where it would have, whatever was learnt meanwhile.
            thresholds = read_bounds(kept.get(ATTRIBUTE + "bounds", ()))
        else:
            thresholds = self._thresholds(trial.study, costs)
        bounds = plain_bounds(thresholds)
        if bounds:
            _keep(trial, bounds=bounds)
        _keep(trial, costs=costs, seed=seed, fingerprint=name)  # last, since whoever finds it after a kill has all
        return Job(
            trial.number,
            self.build,
            params,
            task,
            seed,
            costs,
            thresholds,
            is_audited(self.seed, trial.number, self.audit),
        )

    def twin(self, study: Study, network: str, number: int) -> FrozenTrial | None:
        """The trial that trained the network of this fingerprint, or was stopped, if there is one.

        Args:
            study: Where to look.
            network: The fingerprint, with training hyperparameters where those are searched.
            number: Of the trial that asks, which is not its own twin.
        """
        return self._of(study).twin(study, network, number)

    def explore(self, trial: BaseTrial) -> None:
        """Make all choices of a trial, those of its network and those of its training.

        Raises:
            Whatever the space raises: it refuses the choices until then, and so does `foresee`.
        """
        self._counter.walk(trial)
        self.task.suggest(trial)

    def foresee(self, choices: Choices, also: Sequence[str] = ()) -> dict[str, float] | None:
        """The costs that a sampler can know of any network at once, in a millisecond; None if it does not work.

        `macs` and `params`, which say much of what a network can learn, and those objectives and constraints, and
        of the costs in `also`, that are known by blocks: latency too if it is foretold from a table.
        """
        costs = self._counter(choices)
        named = {"macs", "params", *self.objectives, *(constraint.cost for constraint in self.constraints), *also}
        return costs and {name: cost for name, cost in costs.items() if name in named}

    def excess(self, costs: Mapping[str, float]) -> float:
        """How far known costs are beyond their constraints, as a share of them; 0 or less if within."""
        known = (constraint for constraint in self.constraints if constraint.cost in costs)
        return max((constraint.violation(costs) for constraint in known), default=0.0)

    def beyond(self, choices: Choices) -> float | None:
        """How far a network is beyond the constraints, see `excess`; None if it does not work."""
        costs = self.foresee(choices)
        return None if costs is None else self.excess(costs)

    def price(self, module: nn.Module) -> tuple[dict[str, float], str | None, str]:
        """The costs of a network, why it is refused (None if it is not), and its fingerprint.

        A refused network has the costs that were measured until then, and no fingerprint.

        Raises:
            DeviceFailed: If the device that times networks is gone.
        """
        shape = self.task.input_shape
        costs: dict[str, float] = {}
        try:
            # A network over an exact budget is not timed, but all that can be counted is known of it.
            for group in (EXACT, ("latency_ms",)):
                for cost in (name for name in self.costs if name in group):
                    costs |= self.prices(cost, module, shape)
                for constraint in self.constraints:
                    if constraint.cost in group and constraint.violation(costs) > 0:
                        value = f"{costs[constraint.cost]:g}"
                        return costs, f"over budget: {constraint.cost} is {value}, allowed is {constraint}", ""
            _check_output(module, shape, self.task.num_classes)
            return costs, None, fingerprint(module, shape)
        except DeviceFailed:
            raise  # no network is to blame
        except Exception as error:
            return costs, f"{_INVALID}: {type(error).__name__}: {first_line(error)}", ""

    def values(self, costs: Mapping[str, float], outcome: Outcome) -> tuple[float, ...] | None:
        """The values of a trained network, in the order of the objectives; None if it was stopped."""
        if outcome.error is None:
            return None
        return tuple(outcome.error if name == ERROR else float(costs[name]) for name in self.objectives)

    def keep(self, trial: Trial, job: Job, outcome: Outcome) -> None:
        """Keep what training left beside the values: the curve, seconds, and what the pruner said."""
        _keep(trial, curve=list(map(kept_error, outcome.curve)), seconds=round(outcome.seconds, 3))
        verdict: dict[str, Any] = {
            "reason": outcome.reason,
            "pruned_epoch": outcome.stop_epoch,
            "pruned_bound": outcome.bound,
            "resumed_epochs": outcome.resumed_epochs,
            "warning": outcome.warning,
        }
        # Also where it is empty: a run that was killed may have left another.
        _keep(trial, **{k: v for k, v in verdict.items() if v or ATTRIBUTE + k in trial.user_attrs})

    def _thresholds(self, study: Study, costs: Mapping[str, float]) -> tuple[float, ...]:
        if isinstance(self.pruner, NoPruner):
            return ()
        # Only what the study optimises: a network that is dominated in those is not on its front.
        known = {name: costs[name] for name in self.objectives if name != ERROR}
        finished = finished_trials(study, self._of(study).finished)
        return tuple(float(bound) for bound in self.pruner.thresholds(known, finished))

    def _of(self, study: Study) -> _Known:
        if self._known is None or (self._known.storage, self._known.study_id) != (study._storage, study._study_id):
            self._known = _Known(study._storage, study._study_id)
        return self._known

    def _constrain(self, trial: Trial, costs: Mapping[str, float], refusal: str | None) -> None:
        # Every constraint on every trial: samplers that model constraints refuse trials that lack some. One
        # that was not measured, since another had refused the network, adds nothing to the violation.
        present = trial.storage.get_trial(trial._trial_id).constraints
        for constraint in self.constraints:
            if str(constraint) not in present:
                violation = constraint.violation(costs) if constraint.cost in costs else 0.0
                invalid = refusal is not None and refusal.startswith(_INVALID)
                trial.set_constraint(str(constraint), max(violation, 1.0) if invalid else violation)


def check_objectives(objectives: Sequence[str]) -> tuple[str, ...]:
    """The objectives as a tuple.

    Raises:
        UsageError: If one is unknown or named twice, or "error" is missing.
    """
    known = (ERROR, *COSTS)
    for name in objectives:
        if name not in known:
            close = get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise UsageError(f"unknown objective {name!r}: expected some of {', '.join(known)}{hint}")
    if ERROR not in objectives or len(set(objectives)) < len(objectives):
        raise UsageError(f"objectives: expected {ERROR!r} and costs, each once, got {','.join(objectives)!r}")
    return tuple(objectives)


def is_trained(trial: FrozenTrial) -> bool:
    """Whether a network was trained for this trial, to the end or until it was pruned: what `--trials` counts."""
    ended = trial.state == TrialState.COMPLETE or (
        trial.state == TrialState.PRUNED and ATTRIBUTE + "curve" in trial.user_attrs
    )
    return ended and ATTRIBUTE + "repeat_of" not in trial.user_attrs


@dataclass
class _Known:
    """What was learnt of the trials of the study that asked last; an ended trial does not change."""

    storage: object
    study_id: int
    finished: dict[int, Finished] = field(default_factory=dict)
    """By number, for the pruner."""
    trained: dict[str, FrozenTrial] = field(default_factory=dict)
    """By fingerprint, the first that trained the network."""
    seen: set[int] = field(default_factory=set)
    """Numbers of the trials that were looked at for `trained`."""

    def twin(self, study: Study, name: str, number: int) -> FrozenTrial | None:
        """See `Objective.twin`."""
        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)):
            if trial.number not in self.seen:
                self.seen.add(trial.number)
                # One that was killed may have left a fingerprint, and was then refused: that is no training.
                if is_trained(trial) and ATTRIBUTE + "fingerprint" in trial.user_attrs:
                    self.trained.setdefault(trial.user_attrs[ATTRIBUTE + "fingerprint"], trial)
        twin = self.trained.get(name)
        return None if twin is None or twin.number == number else twin


def _check_output(module: nn.Module, input_shape: tuple[int, int, int], num_classes: int) -> None:
    with torch.no_grad():
        output = module.eval()(torch.zeros(1, *input_shape))
    module.train()
    shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
    if shape != (1, num_classes):
        raise ValueError(f"expected an output of shape (1, {num_classes}), got {shape}")


def _keep(trial: Trial, **attributes: Any) -> None:
    for name, value in attributes.items():
        trial.set_user_attr(ATTRIBUTE + name, value)
