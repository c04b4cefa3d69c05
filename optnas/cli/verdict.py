"""`optnas verdict`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from optuna import Study
from optuna.trial import BaseTrial, TrialState

from optnas.cli.command import add_command, add_study
from optnas.errors import UsageError
from optnas.printable import one_line
from optnas.study import attribute, find_study, open_storage
from optnas.study.known_space import known_space
from optnas.terminal import Terminal
from optnas.verdict import judge_study

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "verdict", _verdict, "whether a study beat random search at equal epochs")
    add_study(parser)
    parser.add_argument(
        "--random",
        type=int,
        metavar="N",
        help="the first N trials were proposed at random (default: what the study's settings say)",
    )
    parser.add_argument("--json", action="store_true", help="an object on standard output")


def _verdict(given: argparse.Namespace) -> int:
    study = find_study(open_storage(given.storage, read_only=True), given.study, given.storage)
    verdict = judge_study(study, _space(study), random=given.random)
    if given.json:
        print(json.dumps({**asdict(verdict), "sentence": str(verdict)}, indent=2))
    else:
        Terminal(soft_wrap=True).print(one_line(verdict))
    return 0


def _space(study: Study) -> Callable[[BaseTrial], object] | None:
    """The space that the study recorded, if its choices are conditional; all others can do without."""
    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    trials = [trial for trial in study.get_trials(deepcopy=False, states=ended) if trial.params]
    names = {name for trial in trials for name in trial.params}
    if all(len(trial.params) == len(names) for trial in trials) or attribute(study, "settings") is None:
        return None
    try:
        return known_space(study).build
    except UsageError as error:
        raise UsageError(f"verdict: a space with conditional choices must be there to draw from: {error}") from None
