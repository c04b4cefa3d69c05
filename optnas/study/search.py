"""From settings to a finished study: what `optnas search` and `optnas.search` do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import optuna
from optuna import Study
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from threadpoolctl import threadpool_limits

from optnas.errors import UsageError
from optnas.front import Network, front, hypervolume, networks, objective_names
from optnas.objective import ATTRIBUTE, Objective
from optnas.prune import NoPruner
from optnas.sampler import CostAwareSampler, Experience
from optnas.sampler.history import SURVEYED
from optnas.space import space_name
from optnas.study.addresses import storage_file
from optnas.study.coordinator import Event, SearchStopped, run
from optnas.study.create import attribute, find_study, open_study, study_names
from optnas.study.ending import Ending, after, first_of, never, stagnant
from optnas.study.executor import Executor
from optnas.study.executors import make_executor
from optnas.study.first_look import FirstLook, first_look, survey
from optnas.study.gradient import check_gradient, gradient
from optnas.study.holding import Sole
from optnas.study.locks import can_share, coordinate, setting_up
from optnas.study.one_shot import check_one_shot, one_shot
from optnas.study.reopen import Reopened, attributes_before, identity_of, make_objective
from optnas.study.settings import GRADIENT, Settings, settings_from
from optnas.study.shared import Shared
from optnas.study.storage import closed_if_it_fails, open_storage
from optnas.study.supernet import image_task, supernet_path
from optnas.study.supernet_audit import audit_supernet
from optnas.study.supernet_training import train_supernet
from optnas.study.write_behind import WriteBehindStorage
from optnas.supernet import SupernetAudit, SupernetDiverged
from optnas.threads import one_thread

__all__ = ["Searched", "Watcher", "hypervolume_so_far", "make_executor", "search", "supernet_audit"]

_LATENCY = "latency_ms"


@dataclass(frozen=True)
class Searched(Reopened):
    """A study after a search."""

    stopped: str = ""
    """Why the search ended before it had trained as many networks as asked; empty if it did not."""


class Watcher:
    """Hears what a search does. This one is silent; `optnas.watch.Watch` shows it to a person."""

    def start(self, study: Study, settings: Settings) -> None:
        """The study is open and the first trial about to be asked."""

    def say(self, text: str) -> None:
        """A sentence that a person should read."""

    def __call__(self, event: Event) -> None:
        """A trial's state changed."""

    def close(self) -> None:
        """The search ended, in whatever way."""


def search(watcher: Watcher | None = None, **given: Any) -> Searched:
    """Search until the study holds `trials` trained networks, or the time is over: see `optnas.search`.

    Raises:
        UsageError: If a setting is unknown or out of range, the data or the storage cannot be used, or the
            study was made with other settings.
        KeyboardInterrupt: On Ctrl-C; the same call goes on.
    """
    watcher = watcher or Watcher()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # What can be known to be wrong is refused before a file is made.
    settings = settings_from(given)
    if settings.times_latency:
        settings.prices  # noqa: B018
    settings.make_checkpoints()
    clock = after(settings.seconds) if settings.seconds else never
    name = settings.study_name
    storage = open_storage(settings.storage, say=watcher.say)
    shares = _shares(settings.storage, (attributes_before(storage, name).get("request") or {}) | given)
    if isinstance(storage, WriteBehindStorage):
        storage.say = watcher.say
    elif settings.storage != "memory" and storage_file(settings.storage) is None:
        watcher.say("in this storage a second search of the study is not noticed: see that there is one only")
    # The sampler's small matrices too: a second thread of theirs takes a core from a worker and gains nothing.
    with (
        one_thread(),
        threadpool_limits(1),
        closing(watcher),
        closed_if_it_fails(storage),
        coordinate(settings.storage, name, alone=not shares) as check,
    ):
        if isinstance(storage, WriteBehindStorage):
            storage.check = check
        with setting_up(settings.storage, name, watcher.say):
            before = attributes_before(storage, name)
            settings = settings_from(given, before.get("request"))
            objective = make_objective(settings, before)
            if settings.evaluator == "one-shot":
                check_one_shot(settings)
                image_task(objective)
            if settings.sampler == GRADIENT:
                check_gradient(objective)
            _say_skipped(settings, watcher)
            experience = _experience(settings, "warm_start" in given, storage, watcher)
            # Descents propose by themselves; what a study is opened with makes no difference to them.
            own = "random" if settings.sampler == GRADIENT else settings.sampler
            sampler = objective.sampler(own, settings.population, experience, watcher.say)
            # Before the study is made: a space or a warm start that does not work leaves nothing behind.
            look = _look(before, objective, sampler, settings, watcher)
            study = open_study(
                storage,
                name,
                objective.objectives,
                identity_of(settings, objective),
                sampler,
            )
            if isinstance(storage, WriteBehindStorage) and not shares:
                storage.hold_alone(study._study_id)
            request = settings.plain()
            if look.surveyed and "reference" not in before:
                storage.set_study_system_attr(study._study_id, SURVEYED, look.surveyed)
            known = {"request": request, "reference_ms": objective.prices.reference_ms, "reference": look.reference}
            for key, value in known.items():
                # One by one: an earlier run may have been killed between two of them.
                if key not in before:
                    study.set_user_attr(ATTRIBUTE + key, value)
            told = ["latency_table", "storage", *(["checkpoints"] if "checkpoints" in given else [])]
            kept, here = before.get("request"), {name: request[name] for name in told}
            if kept is not None and {**kept, **here} != kept:
                # The same table elsewhere, or another place for checkpoints: the next call looks for it there. And what
                # is kept of the address has no password, which an earlier version wrote with it.
                study.set_user_attr(ATTRIBUTE + "request", {**kept, **here})
            _keep_sampler(study, settings)
        with closing(make_executor(settings)) as executor:
            watcher.start(study, settings)
            stopped = ""
            try:
                study.sampler = _by_shared_weights(study, objective, executor, settings, watcher) or sampler
                ending = _ending(settings, objective, sampler, clock)
                files = settings.files(executor.slots)
                holding = Shared(study, objective) if shares else Sole(study)
                run(study, objective, executor, settings.limit, watcher, ending, files, holding)
            except SearchStopped as error:
                stopped = str(error)
            _say_foresight(study, objective, sampler, watcher)
    return Searched(study, settings.storage, settings, objective, stopped)


def supernet_audit(
    study: str | None = None,
    storage: str = "sqlite:///optnas.db",
    networks: int = 20,
    *,
    workers: int | None = None,
    device_command: str | None = None,
    watcher: Watcher | None = None,
) -> SupernetAudit:
    """Compare the shared weights of a study with training from scratch, on networks drawn fairly within its budget.

    Weights that were not trained yet are. The trainings are trials of a study of their own, "NAME supernet-audit",
    and go on where they stopped.

    Raises:
        UsageError: If there is no such study, networks are fewer than 4, or weights cannot be shared in it.
    """
    watcher = watcher or Watcher()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if networks < 4:
        raise UsageError(f"supernet-audit: expected at least 4 networks, got {networks}")
    opened = open_storage(storage, create=False)
    found = find_study(opened, study, storage)
    request = attribute(found, "request")
    if request is None:
        raise UsageError(f"supernet-audit: study {found.study_name!r} was not made by optnas search")
    name = f"{found.study_name} supernet-audit"
    with one_thread(), threadpool_limits(1), closing(watcher), coordinate(storage, found.study_name):
        given = {"storage": storage, "workers": workers, "device_command": device_command}
        settings = settings_from(given, request)
        objective = make_objective(settings, attributes_before(opened, found.study_name)).variant(pruner=NoPruner())
        identity = identity_of(settings, objective)
        # Refuses a space or data that are no longer those of the study.
        open_study(opened, found.study_name, objective.objectives, identity, None)
        audited = open_study(opened, name, objective.objectives, identity, None, found.study_name)
        path = supernet_path(found, storage, objective)
        with closing(make_executor(settings)) as executor:
            try:
                supernet = train_supernet(
                    objective, executor, path, passes=settings.supernet_epochs, keep=True, say=watcher.say
                )
            except SupernetDiverged as error:
                raise UsageError(f"supernet-audit: {error}") from None
            watcher.say(f"shared weights: {supernet}")
            watcher.start(audited, replace(settings, study=name, trials=networks, time=None, until_stagnant=None))
            return audit_supernet(audited, objective, executor, supernet, networks, watcher)


def hypervolume_so_far(study: Study, members: Sequence[Network] | None = None) -> float | None:
    """The share of the study's reference box that its front dominates, or None if the study has no box.

    The box reaches from 0 to the error of guessing, and for each cost to its budget, or else to the dearest
    of the random networks drawn when the study was created. It stays the same as long as the study lives.

    Args:
        study: Made by a search, or any other.
        members: Its front, where that is known already.
    """
    reference = attribute(study, "reference")
    if reference is None:
        return None
    names, members = objective_names(study), front(study) if members is None else members
    losses = np.array([[network.values[name] for name in names] for network in members])
    return hypervolume(losses.reshape(-1, len(names)), [reference[name] for name in names])


def _by_shared_weights(
    study: Study, objective: Objective, executor: Executor, settings: Settings, watcher: Watcher
) -> BaseSampler | None:
    """The sampler of a search that shares weights, once they are trained; None for one that does not."""

    def clock(share: float) -> Ending:
        return after(share * settings.seconds) if settings.seconds else never

    try:
        if settings.sampler == GRADIENT:
            return gradient(study, objective, executor, settings, watcher.say)
        if settings.evaluator == "one-shot":
            return one_shot(study, objective, executor, settings, watcher, watcher.say, clock)
        return None
    except SupernetDiverged as error:
        raise UsageError(
            f"{error}; what was trained before is kept, but it takes a smaller lr, and --study another name"
        ) from None


def _shares(storage: str, settings: Mapping[str, Any]) -> bool:
    """Whether other coordinators may take part; shared weights are one process's."""
    own = settings.get("sampler") == GRADIENT or settings.get("evaluator") == "one-shot"
    return can_share(storage) and not own


def _ending(settings: Settings, objective: Objective, sampler: BaseSampler, clock: Ending) -> Ending:
    if settings.until_stagnant is None:
        return clock
    # Whoever proposes: the model of the cost-aware sampler tells what is still to be gained.
    model = sampler if isinstance(sampler, CostAwareSampler) else objective.sampler("cost-aware")
    assert isinstance(model, CostAwareSampler)
    return first_of(clock, stagnant(settings.until_stagnant, model.expected_gain))


def _look(
    before: Mapping[str, Any], objective: Objective, sampler: BaseSampler, settings: Settings, watcher: Watcher
) -> FirstLook:
    """What the study knows of its space beforehand; looked at now if it is new."""
    if before.get("reference"):
        return FirstLook(before["reference"], [])
    look = first_look(objective, space_name(settings.space), watcher.say)
    if not isinstance(sampler, CostAwareSampler):
        return look
    alike = optuna.create_study(directions=[StudyDirection.MINIMIZE] * len(objective.objectives))
    sampler.prepare(alike)
    if not objective.measured:
        return look
    more = survey(objective, partial(sampler.spread, alike), watcher.say)
    return replace(look, surveyed=[*look.surveyed, *more])


def _say_foresight(study: Study, objective: Objective, sampler: BaseSampler, watcher: Watcher) -> None:
    if _LATENCY in objective.costs and isinstance(sampler, CostAwareSampler):
        error = sampler.foresight(study, _LATENCY)
        if error is not None:
            watcher.say(f"{_LATENCY} of a network that is not measured yet is predicted within {error:.0%}")


def _say_skipped(settings: Settings, watcher: Watcher) -> None:
    skipped = settings.task.images.skipped
    if skipped:
        more = f" and {len(skipped) - 3} more" if len(skipped) > 3 else ""
        watcher.say(f"{len(skipped)} image files cannot be read and are left out: {', '.join(skipped[:3])}{more}")


def _experience(settings: Settings, given: bool, storage: BaseStorage, watcher: Watcher) -> Experience | None:
    """The trained networks of the study to start from; one that the study remembers may be gone by now."""
    name, known = settings.warm_start, study_names(storage)
    if name is None or name == "none" or (settings.sampler != "cost-aware" and not given):
        return None
    if name == settings.study_name:
        raise UsageError(f"warm start: expected another study than {name!r} itself")
    if name not in known and not given:
        watcher.say(f"there is no study {name} any more: the search goes on without its warm start")
        return None
    if name not in known:
        raise UsageError(
            f"warm start: there is no study {name!r} in the storage, it holds {', '.join(known) or 'none'}"
        )
    trained = networks(optuna.load_study(study_name=name, storage=storage))
    return Experience(name, [dict(one.choices) for one in trained], [one.error for one in trained])


def _keep_sampler(study: Study, settings: Settings) -> None:
    """Who proposed from which trial on: what a verdict must know."""
    samplers = attribute(study, "samplers") or []
    shares = settings.evaluator == "one-shot"
    own = [f"{settings.sampler} one-shot" if shares else settings.sampler, settings.population]
    if not samplers or samplers[-1][1:] != own:
        samplers = [*samplers, [len(study.get_trials(deepcopy=False)), *own]]
        study.set_user_attr(ATTRIBUTE + "samplers", samplers)
