"""What the commands share: a parser that answers in one sentence, and flags that several have."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from optnas.cost import Constraint, parse_budget, parse_constraints
from optnas.credentials import scrubbed
from optnas.printable import printable

__all__ = [
    "STORAGE", "Parser", "add_command", "add_space", "add_study", "budget_of", "constraints_of", "file_stem", "refuse",
    "say",
]  # fmt: skip

STORAGE = "sqlite:///optnas.db"


def refuse(sentence: str) -> int:
    """Say in one sentence on standard error why nothing was done; returns the exit status for that, 2."""
    say(f"optnas: {' '.join(sentence.split())}")
    return 2


def say(text: str) -> None:
    """A text of one or several lines on standard error, without passwords, and without what a terminal would obey."""
    print(printable(scrubbed(text.rstrip()), lines=True), file=sys.stderr)


class Parser(argparse.ArgumentParser):
    """One clear sentence instead of a page of usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(refuse(f"{message} (see {self.prog} --help)"))


def add_command(commands: Any, name: str, run: Callable[[argparse.Namespace], int], text: str) -> Parser:
    """A command `name` that calls `run` with its arguments and ends with the status that it returns."""
    parser: Parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(command=run, parser=parser)
    return parser


def add_study(parser: argparse.ArgumentParser) -> None:
    """The flags that say which study is meant."""
    parser.add_argument("--study", help="name of the study; needed if the storage holds several")
    parser.add_argument("--storage", default=STORAGE, help="where it is kept (default: %(default)s)")
    add_space(parser)


def add_space(parser: argparse.ArgumentParser) -> None:
    """The flag by which a person vouches for the code of a study's own space; `main` imports it."""
    parser.add_argument(
        "--space", dest="own_space", metavar="MODULE:FUNCTION", help="what builds its networks, if they are of a space "
        "of your own: no code is run because a study names it",
    )  # fmt: skip


def file_stem(study_name: str) -> str:
    """How files that a command writes of its own accord begin: one in the working folder, whatever the study's name."""
    return re.sub(r"[^\w.+@ -]", "_", study_name)[:80].lstrip(".- ") or "study"


def budget_of(texts: Iterable[str]) -> tuple[Constraint, ...]:
    """Limits on networks that are trained already, from flags; one flag may hold several with commas."""
    return parse_budget(_split(texts))


def constraints_of(texts: Iterable[str]) -> tuple[Constraint, ...]:
    """Limits on what is known before training, from flags; one flag may hold several with commas."""
    return parse_constraints(_split(texts))


def _split(texts: Iterable[str]) -> list[str]:
    return [part for text in texts for part in text.split(",")]
