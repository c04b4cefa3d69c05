"""What the commands share: a parser that answers in one sentence, and flags that several have."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from optnas.cost import Constraint, parse_constraints
from optnas.terminal import one_line

__all__ = ["STORAGE", "Parser", "add_command", "add_study", "budget_of", "refuse"]

STORAGE = "sqlite:///optnas.db"


def refuse(sentence: str) -> int:
    """Say in one sentence on standard error why nothing was done; returns the exit status for that, 2."""
    print(f"optnas: {one_line(sentence)}", file=sys.stderr)
    return 2


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


def budget_of(texts: Iterable[str]) -> tuple[Constraint, ...]:
    """Constraints from flags; one flag may hold several with commas."""
    return parse_constraints([part for text in texts for part in text.split(",")])
