"""The chosen networks of a study, trained properly: several seeds each, and one look at the test split."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, as_completed
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from optnas.cost import Constraint
from optnas.deploy.look import Look, check_look, take_look
from optnas.deploy.record import (
    Recorded,
    Training,
    date_of,
    keep_made,
    keep_retrained,
    known_test_errors,
    made_of,
    readings_of,
    retraining_folder,
)
from optnas.deploy.ties import ties_with_best
from optnas.deploy.trained import are_worse, find_trained, task_of
from optnas.errors import UsageError, first_line
from optnas.front import Network, front
from optnas.job import Job, Outcome, run_job
from optnas.objective import ATTRIBUTE
from optnas.study import coordinate, versions
from optnas.study.executors import make_executor
from optnas.study.reopen import Reopened
from optnas.task import ImageTask, remove_checkpoint
from optnas.task.weights import read_notes, remove_leftovers
from optnas.threads import one_thread

__all__ = ["Retrained", "Retraining", "choose_networks", "default_epochs", "retrain"]

Say = Callable[[str], None]

#: A search trains for an order of networks, which shows early; a network for use is trained until it gains no more.
_LONGER = 6


@dataclass(frozen=True)
class Retrained:
    """A network and what came of its trainings."""

    trial: int
    costs: Mapping[str, float]
    search_error: float
    """Validation error in the search, in [0, 1]."""
    seeds: tuple[int, ...]
    """Of the trainings that ended well."""
    errors: tuple[float, ...]
    """Their validation errors."""
    test_errors: tuple[float, ...]
    """Their errors on the test split; empty if it was not read."""
    failures: tuple[str, ...]
    """A sentence for each training that did not."""
    ties: bool
    """Whether its mean error is that of the best within the noise of the seeds; the best ties with itself."""

    @property
    def mean(self) -> float:
        """Of the validation errors; NaN without one."""
        return statistics.fmean(self.errors) if self.errors else float("nan")

    @property
    def std(self) -> float:
        """Their standard deviation; NaN for fewer than two."""
        return statistics.stdev(self.errors) if len(self.errors) > 1 else float("nan")


@dataclass(frozen=True)
class Retraining:
    """What `retrain` leaves."""

    networks: tuple[Retrained, ...]
    """Least mean validation error first; a network whose trainings all failed comes last."""
    settings: Mapping[str, Any]
    """Epochs, seeds and augmentation."""
    tested: str
    """When the test split was read for these networks; empty if it was not."""
    looks: int
    """How often it has been read in the life of the study."""


@dataclass(frozen=True)
class _Plan:
    """A network with the trainings that it needs."""

    network: Network
    task: ImageTask
    files: Mapping[int, str]
    """By seed."""


def retrain(
    reopened: Reopened,
    chosen: Sequence[Network],
    *,
    epochs: int | None = None,
    seeds: int = 3,
    augment: bool = True,
    workers: int | None = None,
    test: bool = True,
    test_again: bool = False,
    say: Say = lambda text: None,
) -> Retraining:
    """Train networks from scratch on all training images, for several seeds each, then read the test split once.

    What is finished is kept, and how far the others came, so the same call goes on after a kill. A network stands for
    the training of its least validation error, which `model_of` gives from then on.

    Args:
        reopened: The study.
        chosen: Networks of it, see `choose_networks`.
        epochs: Of each training; None for `default_epochs`.
        seeds: Trainings of each network: with the seeds 0, 1 and so on.
        augment: Whether training images are cropped at random and, where that makes sense, mirrored.
        workers: Training processes; None for what the study's search would use, 0 for none.
        test: Whether the test split is read.
        test_again: Whether it is read even if it was read before for other trainings; that is remembered.
        say: Told of each training that ends, and of what was known before.

    Raises:
        UsageError: If a number is out of range, the test split was read before for other trainings, it does not
            exist, or another process searches or retrains the study.
    """
    _check(chosen, epochs, seeds, workers)
    epochs = default_epochs(reopened) if epochs is None else epochs
    plans = [_plan(reopened, network, epochs, seeds, augment) for network in chosen]
    files = {file for plan in plans for file in plan.files.values()}
    if test:
        check_look(reopened, files, test_again)
    settings = {"epochs": epochs, "seeds": seeds, "augment": augment}
    say(f"{len(chosen)} networks, {seeds} trainings each, {epochs} epochs")
    with one_thread(), threadpool_limits(1), coordinate(reopened.storage, reopened.study.study_name):
        remove_leftovers(retraining_folder(reopened))
        failures = _train(reopened, plans, workers, say)
        recorded = {plan.network.trial: _recorded(reopened, plan) for plan in plans}
        keep_retrained(reopened.study, {trial: one for trial, one in recorded.items() if one.trainings})
        for plan in plans:
            one = recorded[plan.network.trial]
            worse = are_worse(reopened, plan.network, one) if one.trainings else ""
            if worse:
                say(worse)
        look = Look("", len(readings_of(reopened.study)))
        if test:
            look = take_look(reopened, recorded, files, settings, say)
    results = _results(reopened, plans, recorded, failures, test)
    return Retraining(results, settings, look.date, look.number)


def choose_networks(
    reopened: Reopened, budget: Sequence[Constraint] = (), networks: int = 3, trials: Sequence[int] = ()
) -> list[Network]:
    """The networks of least error on the front within a budget, or those of the given trials.

    Raises:
        UsageError: If there is none, a trial was not trained, or the budget names a cost that was not measured.
    """
    if trials:
        return [find_trained(reopened, trial) for trial in dict.fromkeys(trials)]
    if networks < 1:
        raise UsageError(f"networks: expected a whole number from 1, got {networks}")
    members = sorted(front(reopened.study, budget), key=lambda network: network.error)
    if not members:
        within = f" within {', '.join(map(str, budget))}" if budget else ""
        raise UsageError(f"study {reopened.study.study_name!r} has no trained network{within}")
    return members[:networks]


def default_epochs(reopened: Reopened) -> int:
    """Six times what a search of these images takes by default: 48 for digits, 30 for Fashion-MNIST."""
    return _LONGER * replace(reopened.settings.task, epochs=None).settings.epochs


def _check(chosen: Sequence[Network], epochs: int | None, seeds: int, workers: int | None) -> None:
    if not chosen:
        raise UsageError("retrain: expected at least one network")
    for name, value, least in (("epochs", epochs, 1), ("seeds", seeds, 1), ("workers", workers, 0)):
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            raise UsageError(f"{name}: expected a whole number from {least}, got {value!r}")


def _plan(reopened: Reopened, network: Network, epochs: int, seeds: int, augment: bool) -> _Plan:
    task = task_of(reopened, network.choices, epochs=epochs, augment=augment, train_images=None, val_images=None)
    trial = reopened.study.get_trials(deepcopy=False)[network.trial]
    name = trial.user_attrs[ATTRIBUTE + "fingerprint"]
    files = {}
    for seed in range(seeds):
        identity = json.dumps([name, dict(network.choices), task.describe(), seed], sort_keys=True)
        digest = hashlib.blake2b(identity.encode(), digest_size=6).hexdigest()
        files[seed] = f"trial-{network.trial}-seed-{seed}-{digest}.safetensors"
    return _Plan(network, task, files)


def _train(reopened: Reopened, plans: Sequence[_Plan], workers: int | None, say: Say) -> dict[int, list[str]]:
    """Run what is not finished yet; returns the failures of each trial."""
    folder = retraining_folder(reopened)
    jobs = [
        Job(plan.network.trial, reopened.objective.build, plan.network.choices, plan.task, seed, plan.network.costs,
            weights=str((folder / file).resolve()), checkpoint=str(_checkpoint(folder, file).resolve()))
        for plan in plans
        for seed, file in plan.files.items()
        if _finished(folder, file, seed) is None
    ]  # fmt: skip
    total = sum(len(plan.files) for plan in plans)
    if len(jobs) < total:
        say(f"{total - len(jobs)} of {total} trainings were finished before")
    for file in {file for plan in plans for file in plan.files.values()} - {
        Path(str(job.weights)).name for job in jobs
    }:
        remove_checkpoint(_checkpoint(folder, file))
    failures: dict[int, list[str]] = {plan.network.trial: [] for plan in plans}
    done = 0

    def report(job: Job, future: Future[Outcome]) -> None:
        nonlocal done
        done, error = done + 1, future.exception()
        if error is None and not Path(str(job.weights)).exists():
            error = OSError(f"its weights cannot be written to {folder}")
        if error is not None:
            failures[job.number].append(f"seed {job.seed}: {first_line(error)}")
        else:
            made = {"versions": versions(), "date": date_of(datetime.now(UTC))}
            keep_made(reopened.study, Path(str(job.weights)).name, made)
            remove_checkpoint(Path(str(job.checkpoint)))
            if future.result().warning:
                say(f"trial {job.number}, seed {job.seed}: {future.result().warning}")
        came = f"error {future.result().error:.2%}" if error is None else f"failed: {first_line(error)}"
        say(f"[{done}/{len(jobs)}] trial {job.number}, seed {job.seed}: {came}")

    settings = reopened.settings if workers is None else replace(reopened.settings, workers=workers)
    with closing(make_executor(settings)) as executor:
        pending: dict[Future[Outcome], Job] = {}
        for job in jobs:
            future = executor.submit(run_job, job)
            pending[future] = job
            if future.done():
                report(pending.pop(future), future)
        for future in as_completed(pending):
            report(pending[future], future)
    return failures


def _checkpoint(folder: Path, file: str) -> Path:
    """Where a training that will leave its weights in `file` keeps how far it came."""
    return folder / "checkpoints" / file


def _finished(folder: Path, file: str, seed: int) -> Training | None:
    """The training of a file; None if there is none yet."""
    try:
        notes = read_notes(folder / file)
    except UsageError:
        return None
    error = notes.get("error")
    return Training(seed, error, file) if isinstance(error, float) and 0 <= error <= 1 else None


def _recorded(reopened: Reopened, plan: _Plan) -> Recorded:
    folder, images = retraining_folder(reopened), plan.task.images
    found = [_finished(folder, file, seed) for seed, file in plan.files.items()]
    trainings = tuple(training for training in found if training is not None)
    best = min(trainings, key=lambda training: training.error, default=None)
    made = {} if best is None else made_of(reopened.study, best.file)
    return Recorded(
        trainings, plan.task.describe(), images.mean, images.std, made.get("versions", {}), made.get("date", "")
    )


def _results(
    reopened: Reopened,
    plans: Sequence[_Plan],
    recorded: Mapping[int, Recorded],
    failures: Mapping[int, Sequence[str]],
    test: bool,
) -> tuple[Retrained, ...]:
    errors = [[training.error for training in recorded[plan.network.trial].trainings] for plan in plans]
    results = []
    for plan, ties in zip(plans, ties_with_best(errors), strict=True):
        trainings = recorded[plan.network.trial].trainings
        read = known_test_errors(reopened.study, trainings) if test else [None] * len(trainings)
        results.append(
            Retrained(
                plan.network.trial,
                plan.network.costs,
                plan.network.error,
                tuple(training.seed for training in trainings),
                tuple(training.error for training in trainings),
                tuple(error for error in read if error is not None) if None not in read else (),
                tuple(failures[plan.network.trial]),
                ties,
            )
        )
    return tuple(sorted(results, key=lambda one: one.mean if one.errors else float("inf")))
