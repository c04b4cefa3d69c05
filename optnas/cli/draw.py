"""`optnas draw`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optuna import Study

from optnas.cli.command import add_command, add_study
from optnas.errors import UsageError, first_line
from optnas.printable import one_line
from optnas.report import check_picture
from optnas.report.blocks import Block, summary, trial_blocks
from optnas.report.differences import differences
from optnas.report.network import save_blocks, save_difference
from optnas.study import find_study, open_storage
from optnas.study.known_space import known_space
from optnas.terminal import Terminal

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "draw", _draw, "a network block by block, or two and what differs")
    add_study(parser)
    parser.add_argument(
        "--trial", type=int, action="append", required=True, metavar="N", help="its network; twice to compare two"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the picture: .svg, .png or .pdf")


def _draw(given: argparse.Namespace) -> int:
    if len(given.trial) > 2:
        raise UsageError(f"--trial: expected one or two trials, got {len(given.trial)}")
    check_picture(given.out)
    study = find_study(open_storage(given.storage, read_only=True), given.study, given.storage)
    networks = _networks(study, given.trial)
    titles = [f"trial {number}" for number in given.trial]
    console = Terminal(soft_wrap=True)
    for title, blocks in zip(titles, networks, strict=True):
        console.print(one_line(f"{title}: {summary(blocks)}"))
    if len(networks) == 1:
        save_blocks(networks[0], given.out, f"Trial {given.trial[0]} of {study.study_name}")
    else:
        save_difference(networks[0], networks[1], given.out, (titles[0], titles[1]))
        told = [str(difference) for difference in differences(networks[0], networks[1])]
        console.print("\n".join(f"  {one_line(sentence)}" for sentence in told or ["no difference"]))
    console.print(f"\npicture: {given.out}")
    return 0


def _networks(study: Study, numbers: Sequence[int]) -> list[list[Block]]:
    """The blocks of trials. Raises `UsageError` if one cannot be built."""
    params = [_params(study, number) for number in numbers]
    space = known_space(study)
    networks = []
    for number, one in zip(numbers, params, strict=True):
        try:
            networks.append(trial_blocks(space.build, space.input_shape, one))
        except UsageError:
            raise
        except Exception as error:  # trials of networks that do not work are kept too
            raise UsageError(f"the network of trial {number} does not work: {first_line(error)}") from None
    return networks


def _params(study: Study, number: int) -> dict[str, Any]:
    """What a trial chose. Raises `UsageError` if there is no such trial, or it chose nothing."""
    trials = study.get_trials(deepcopy=False)
    if not 0 <= number < len(trials):
        known = f"0 to {len(trials) - 1}" if trials else "none"
        raise UsageError(f"study {study.study_name!r} has no trial {number}; it has {known}")
    params = trials[number].params
    if not params:
        raise UsageError(
            f"trial {number} of study {study.study_name!r} has no params: it made no choices to build from"
        )
    return params
