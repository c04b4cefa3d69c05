"""The test split, which is read once, at the end, and whose every reading is remembered."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from optnas.deploy.record import (
    Reading,
    Recorded,
    Tested,
    date_of,
    keep_test,
    known_test_errors,
    readings_of,
    retraining_folder,
)
from optnas.errors import UsageError
from optnas.front import networks
from optnas.space import ReplayTrial
from optnas.space.graph import fixed_seed
from optnas.study.reopen import Reopened
from optnas.task import evaluate, load_test
from optnas.task.data import check_test
from optnas.task.weights import fill

__all__ = ["Look", "check_look", "take_look"]


@dataclass(frozen=True)
class Look:
    """When the test split was read for some networks, and how often in all."""

    date: str
    number: int


def check_look(reopened: Reopened, files: Collection[str], again: bool) -> None:
    """Refuse before anything is trained what must not be tested after it.

    Args:
        reopened: The study.
        files: Of the trainings that are asked for.
        again: Whether the split may be read although it was read before.

    Raises:
        UsageError: If the split was read before for other trainings, or there is none.
    """
    read = readings_of(reopened.study)
    if not read:
        check_test(reopened.settings.task.data_settings)
    # A training that failed has no error; it does not make the same command another one.
    asked = {*files} <= {file for one in read for file in one.asked}
    if read and not asked and not again:
        trials = ", ".join(map(str, read[-1].trials))
        raise UsageError(
            f"study {reopened.study.study_name!r}: its test images were read on {read[-1].date} for trials {trials} "
            "as they were trained then: give --no-test, or --test-again, which is remembered"
        )


def take_look(
    reopened: Reopened,
    recorded: Mapping[int, Recorded],
    files: Collection[str],
    settings: Mapping[str, Any],
    say: Callable[[str], None],
) -> Look:
    """Read the test images once for all trainings that have no test error yet; what is known is not read again.

    Args:
        reopened: The study.
        recorded: Its retrainings by trial.
        files: Of all trainings that were asked for, those that failed with them.
        settings: How they were trained, to remember.
        say: Told what is read, or that nothing is.
    """
    study = reopened.study
    before = readings_of(study)
    trainings = [(trial, training) for trial, one in recorded.items() for training in one.trainings]
    known = known_test_errors(study, [training for _, training in trainings])
    missing = [pair for pair, error in zip(trainings, known, strict=True) if error is None]
    if not missing:
        relevant = [read for read in before if {*files} & {*read.asked}]
        date = relevant[-1].date if relevant else ""
        if date:
            say(f"the test images were read on {date}; they are not read again")
        return Look(date, len(before))
    if before and not before[-1].complete:
        say(f"a reading of the test images was begun on {before[-1].date} and not completed: it counts as one")
    images = replace(reopened.settings.task, train_images=None, val_images=None).images
    choices = {network.trial: network.choices for network in networks(study)}
    modules = []
    for trial, training in missing:
        with fixed_seed():
            module = reopened.objective.build(ReplayTrial(choices[trial]))
        fill(module, retraining_folder(reopened) / training.file)
        modules.append(module)
    reading = Reading(
        date_of(datetime.now(UTC)),
        (),
        tuple(recorded),
        settings,
        again=bool(before),
        asked=tuple(sorted(files)),
        complete=False,
    )
    keep_test(study, reading)  # before the images are seen: whatever ends this, it is remembered
    part = load_test(reopened.settings.task.data_settings)
    say(f"reading {len(part.y)} test images for {len(missing)} trainings")
    tested = tuple(
        Tested(training.file, training.error, evaluate(module, images, part.x, part.y))
        for (_, training), module in zip(missing, modules, strict=True)
    )
    keep_test(study, replace(reading, tested=tested, complete=True))
    return Look(reading.date, len(before) + 1)
