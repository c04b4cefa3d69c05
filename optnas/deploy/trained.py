"""From a trial of a study to its trained network: weights that were kept, or the same training once more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from torch import nn

from optnas.deploy.checkpoint import Facts
from optnas.deploy.model import Model
from optnas.deploy.record import Recorded, date_of, known_test_errors, readings_of, retrained_of, retraining_folder
from optnas.errors import UsageError
from optnas.front import Network, networks
from optnas.job import Job, train_job
from optnas.objective import ATTRIBUTE
from optnas.space import ReplayTrial, fingerprint, space_name
from optnas.space.graph import fixed_seed
from optnas.study import attribute, versions, weights_folder
from optnas.study.files import weights_path
from optnas.study.reopen import Reopened
from optnas.task import ImageTask, TrainingDiverged
from optnas.task.weights import fill, read_notes

__all__ = ["are_worse", "find_trained", "model_of", "task_of"]

Say = Callable[[str], None]
Weights = Literal["better", "retrained", "searched"]


def model_of(reopened: Reopened, trial: int, say: Say = lambda text: None, *, weights: Weights = "better") -> Model:
    """The trained network of a trial.

    A search in a file keeps the weights of its front. Others are trained again with the trial's own seed,
    which on the same CPU and software gives the same weights bit for bit.

    Args:
        reopened: The study.
        trial: The number of a trained network in it.
        say: Told when a network has to be trained again, and when that ends elsewhere than the search did.
        weights: Which of them. "searched" are those of the search, "retrained" those of `retrain` where there are
            some, "better" the same, but not where they err more on the same validation images.

    Raises:
        UsageError: If the study has no trained network of that number, or it diverges when it is trained again.
        Whatever else the task raises while it trains.
    """
    network = find_trained(reopened, trial)
    facts = _facts(reopened, network)
    recorded = retrained_of(reopened.study, trial) if weights != "searched" else None
    if recorded is not None:
        model = _retrained(reopened, facts, recorded)
        worse = are_worse(reopened, network, recorded)
        if worse and model is not None:
            say(worse)
        if model is not None and (weights == "retrained" or not (worse and _on_same_images(facts.data, recorded))):
            return model
        if model is None:
            say(f"trial {trial}: its retrained weights are gone; optnas retrain brings them back")
    module = _kept(reopened, facts)
    if module is not None:
        return Model(module, facts)
    say(f"trial {trial}: its weights were not kept, so it is trained again as in the search")
    task = task_of(reopened, network.choices)
    job = Job(trial, reopened.objective.build, network.choices, task, facts.seed, network.costs)
    try:
        module, outcome = train_job(job)
    except TrainingDiverged as error:
        raise UsageError(f"trial {trial}: has no weights, since it was trained again and {error}") from None
    assert outcome.error is not None  # nothing stops it
    if outcome.error != facts.search_error:
        say(f"trial {trial}: error {outcome.error:.4f} on validation images, it was {facts.search_error:.4f}")
    return Model(module, replace(facts, error=outcome.error, versions=versions(), date=date_of(datetime.now(UTC))))


def are_worse(reopened: Reopened, network: Network, recorded: Recorded) -> str:
    """A sentence for retrained weights that err more than those of the search; empty if they do not."""
    best = recorded.best.error
    if not best > network.error:
        return ""
    epochs = recorded.data.get("epochs", "?")
    trained = f"{epochs} epoch{'' if epochs == 1 else 's'}"
    same = _on_same_images(task_of(reopened, network.choices).describe(), recorded)
    taken = "which are taken" if same else "on other validation images, and are taken all the same"
    return (
        f"trial {network.trial}: retrained weights of {trained} err more than those of the search "
        f"({best:.2%}, {network.error:.2%}), {taken}"
    )


def _on_same_images(data: Mapping[str, Any], recorded: Recorded) -> bool:
    """Whether both errors are of the same validation images: they are the first ones of one split."""
    return all(data.get(name) == recorded.data.get(name) for name in ("data", "n_val", "split_seed"))


def find_trained(reopened: Reopened, trial: int) -> Network:
    """The trained network of that number.

    Raises:
        UsageError: If there is none; the message says what the trial is instead.
    """
    found = {network.trial: network for network in networks(reopened.study)}
    if trial in found:
        return found[trial]
    name, trials = reopened.study.study_name, reopened.study.get_trials(deepcopy=False)
    if not 0 <= trial < len(trials):
        raise UsageError(f"study {name!r} has no trial {trial}, only {len(trials)} from 0")
    twin = trials[trial].user_attrs.get(ATTRIBUTE + "repeat_of")
    if twin is not None:
        raise UsageError(f"study {name!r}: trial {trial} is the same network as trial {twin}: give that number")
    raise UsageError(f"study {name!r}: trial {trial} was not trained to the end ({trials[trial].state.name.lower()})")


def task_of(reopened: Reopened, choices: Mapping[str, Any], **changes: Any) -> ImageTask:
    """What a network learns, with the training that its trial chose; `changes` are fields of `ImageTask`."""
    return replace(reopened.settings.task, **changes).suggest(ReplayTrial(choices))


def _facts(reopened: Reopened, network: Network) -> Facts:
    """Those of the search's own training."""
    trial = reopened.study.get_trials(deepcopy=False)[network.trial]
    task = task_of(reopened, network.choices)
    return Facts(
        study=reopened.study.study_name,
        trial=network.trial,
        choices=dict(network.choices),
        space=space_name(reopened.settings.space),
        fingerprint=fingerprint(_build(reopened, network.choices), task.input_shape),
        input_shape=task.input_shape,
        classes=task.images.classes,
        mean=task.images.mean,
        std=task.images.std,
        data=task.describe(),
        costs=dict(network.costs),
        search_error=network.error,
        seed=trial.user_attrs[ATTRIBUTE + "seed"],
        error=network.error,
        looks=tuple(read.date for read in readings_of(reopened.study)),
        versions=attribute(reopened.study, "versions") or {},
        date=date_of(trial.datetime_complete),
    )


def _kept(reopened: Reopened, facts: Facts) -> nn.Module | None:
    """The network with the weights that the search kept; None if there are none."""
    folder = weights_folder(reopened.storage, reopened.study.study_name)
    if folder is None:
        return None
    known = {"choices": dict(facts.choices), "seed": facts.seed, "error": facts.search_error}
    return _filled(reopened, facts, weights_path(folder, facts.trial), known)


def _retrained(reopened: Reopened, facts: Facts, recorded: Recorded) -> Model | None:
    """The network with the least validation error of its retrainings; None if its file is gone."""
    training = recorded.best
    path = retraining_folder(reopened) / training.file
    module = _filled(reopened, facts, path, {"seed": training.seed, "error": training.error})
    if module is None:
        return None
    read = known_test_errors(reopened.study, recorded.trainings)
    facts = replace(
        facts,
        mean=recorded.mean,
        std=recorded.std,
        data=recorded.data,
        seed=training.seed,
        error=training.error,
        retrained=True,
        seeds=tuple(one.seed for one in recorded.trainings),
        errors=tuple(one.error for one in recorded.trainings),
        test_errors=tuple(error for error in read if error is not None) if None not in read else (),
        versions=recorded.versions,
        date=recorded.date,
    )
    return Model(module, facts)


def _filled(reopened: Reopened, facts: Facts, path: Path, known: Mapping[str, Any]) -> nn.Module | None:
    try:
        notes = read_notes(path)
        if any(notes.get(name) != value for name, value in known.items()):
            return None  # of an older study of the same name
        network = _build(reopened, facts.choices)
        fill(network, path)
    except UsageError:
        return None
    return network


def _build(reopened: Reopened, choices: Mapping[str, Any]) -> nn.Module:
    with fixed_seed():
        return reopened.objective.build(ReplayTrial(choices))
