"""The command line: one module for each command."""

from __future__ import annotations

import argparse
import errno
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from difflib import get_close_matches
from threading import Event

from optuna.exceptions import StorageInternalError

from optnas.cli import (
    archive,
    bench,
    dashboard,
    doctor,
    draw,
    explain,
    export,
    figures,
    front,
    latency,
    latency_table,
    merge,
    profile,
    prune_audit,
    report,
    rerank,
    retrain,
    search,
    studies,
    supernet_audit,
    verdict,
)
from optnas.cli.command import Parser, refuse, say
from optnas.cli.interrupts import interruptible
from optnas.credentials import has_password
from optnas.errors import UsageError
from optnas.space import load_space

__all__ = ["main"]

#: Complaints of the system about a place where a person wants something, or has something.
_REFUSED = (errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOSPC, errno.EDQUOT)
#: In the order of a person's work.
_COMMANDS = (
    search,
    front,
    explain,
    draw,
    report,
    figures,
    dashboard,
    retrain,
    export,
    rerank,
    profile,
    latency,
    latency_table,
    prune_audit,
    supernet_audit,
    verdict,
    studies,
    doctor,
    archive,
    merge,
    bench,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 2 for bad input, 130 when stopped, by Ctrl-C or another
    signal that asks it to end."""
    given, unknown = _parser().parse_known_args(arguments)
    if unknown:
        return refuse(_unknown_flag(given.parser, unknown[0]))
    if not sys.warnoptions:
        # A person watches a search; what libraries whisper to programmers is not for them.
        warnings.simplefilter("ignore")
    try:
        _heed(given)
        # Stopped like this, a command takes its copy of the storage out of the temporary folder before it ends.
        given.stop = Event()
        with interruptible(given.stop):
            return int(given.command(given))
    except UsageError as error:
        if error.detail:
            say(error.detail)
        return refuse(str(error))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output, such as `head`, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        sentence = _storage_trouble(error) or _file_trouble(error)
        if sentence is None:
            say(traceback.format_exc())  # not Python's own, which would show an address with its password
            return 1
        return refuse(sentence)


def _heed(given: argparse.Namespace) -> None:
    """What is the same for all commands: a password that others can read, and a space that the person vouches for."""
    if has_password(str(getattr(given, "storage", ""))):
        say(
            "optnas: whoever lists the processes of this machine can read the password in --storage; "
            "leave it out and give it by PGPASSWORD or ~/.pgpass"
        )
    if getattr(given, "own_space", None) is not None:
        load_space(given.own_space)


def _parser() -> Parser:
    parser = Parser(prog="optnas", description="Find small neural networks: accuracy against what they cost.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
    for module in _COMMANDS:
        module.add(commands)
    return parser


def _unknown_flag(parser: argparse.ArgumentParser, flag: str) -> str:
    flag = flag.partition("=")[0]  # what is given for it may be a secret
    close = get_close_matches(flag, parser._option_string_actions, 1)
    return f"unknown argument {flag}" + (f"; did you mean {close[0]}?" if close else f" (see {parser.prog} --help)")


def _file_trouble(error: BaseException) -> str | None:
    """What is wrong with a file that a person named, if the system refuses it; other errors of files are ours."""
    if isinstance(error, OSError) and error.filename is not None and error.errno in _REFUSED:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return None


def _storage_trouble(error: BaseException) -> str | None:
    """What is wrong with the storage, if that is what an exception is about."""
    seen: BaseException | None = error
    while seen is not None:
        reason = None
        if type(seen).__module__.startswith(("sqlite3", "sqlalchemy")):
            reason = str(getattr(seen, "orig", None) or seen).splitlines()[0]
        if isinstance(seen, StorageInternalError) and isinstance(seen.__cause__, OSError):  # of a journal
            reason = f"{seen}: {seen.__cause__.strerror}"
        if reason is not None:
            return f"the storage failed ({reason}); what was stored before is kept, and the same command goes on"
        seen = seen.__cause__ or seen.__context__
    return None
