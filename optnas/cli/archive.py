"""`optnas archive` and `optnas restore`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import optuna
from rich.console import Console

from optnas.cli.command import STORAGE, add_command, add_study, say
from optnas.errors import UsageError
from optnas.keeping.archive import archive_study
from optnas.keeping.beside import searched_now
from optnas.keeping.restore import restore_study
from optnas.printable import counted, printable, shell_word
from optnas.study import find_study, open_storage, shown_storage

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the commands."""
    parser = add_command(commands, "archive", _archive, "a study as one zip file for the shelf, plain JSON and weights")
    add_study(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the zip file, which must not exist")
    parser.add_argument("--pictures", action="store_true", help="with the pictures that the dashboard shows")
    parser = add_command(commands, "restore", _restore, "a study back from its archive")
    parser.add_argument("archive", type=Path, metavar="FILE", help="a file of optnas archive")
    parser.add_argument("--storage", default=STORAGE, help="where to put it (default: %(default)s)")
    parser.add_argument("--as", dest="name", metavar="NAME", help="another name for the study")


def _archive(given: argparse.Namespace) -> int:
    study = find_study(open_storage(given.storage, read_only=True), given.study, given.storage)
    made = archive_study(study, given.storage, given.out, pictures=given.pictures)
    pictures = f", {counted(made.pictures, 'picture')}" if given.pictures else ""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"archive: {printable(made.path)} ({made.size_bytes / 1e6:.1f} MB): {counted(made.trials, 'trial')} of "
        f"{printable(made.study)}, weights of {made.weights} of {counted(made.front, 'network')} on the front{pictures}"
    )
    if searched_now(given.storage, made.study):
        console.print("a search of it runs: what it had finished is in the archive")
    console.print(f"back:    optnas restore {shell_word(made.path)}")
    return 0


def _restore(given: argparse.Namespace) -> int:
    if given.storage == "memory":
        raise UsageError("restore: expected a storage that stays, got memory")
    if given.name == "":
        raise UsageError("restore: expected a name after --as, got nothing")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    made = restore_study(given.archive, open_storage(given.storage, say=say), given.storage, given.name)
    where = "" if given.storage == STORAGE else f" --storage {shell_word(shown_storage(given.storage))}"
    console = Console(highlight=False, markup=False, soft_wrap=True)
    pictures = f", {counted(made.pictures, 'picture')}" if made.pictures else ""
    weights = f", weights of {counted(made.weights, 'network')}" if made.weights else ""
    console.print(f"restored: {printable(made.study)}, {counted(made.trials, 'trial')}{weights}{pictures}")
    if made.weights_left:
        console.print(
            f"weights of {counted(made.weights_left, 'network')} stay in the archive: they are kept beside files"
        )
    console.print(f"next:     optnas front --study {shell_word(made.study)}{where}")
    return 0
