"""The command line: `optnas search`, `front`, `profile`, `dashboard`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from optnas.errors import UsageError

__all__ = ["main"]

_STORAGE = "sqlite:///optnas.db"
_SHAPE = "1x28x28"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 2 for bad input, 130 when stopped by Ctrl-C."""
    given, unknown = _parser().parse_known_args(arguments)
    if unknown:
        return _refuse(_unknown_flag(given.parser, unknown[0]))
    if not sys.warnoptions:
        # A person watches a search; what libraries whisper to programmers is not for them.
        warnings.simplefilter("ignore")
    try:
        return int(given.command(given))
    except UsageError as error:
        if error.detail:
            print(error.detail.rstrip(), file=sys.stderr)
        return _refuse(str(error))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output, such as `head`, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        sentence = _storage_trouble(error)
        if sentence is None:
            raise
        return _refuse(sentence)


def _refuse(sentence: str) -> int:
    print(f"optnas: {' '.join(sentence.split())}", file=sys.stderr)
    return 2


def _storage_trouble(error: BaseException) -> str | None:
    """What is wrong with the storage, if that is what an exception is about."""
    seen: BaseException | None = error
    while seen is not None:
        if type(seen).__module__.startswith(("sqlite3", "sqlalchemy")):
            reason = str(getattr(seen, "orig", None) or seen).splitlines()[0]
            return f"the storage failed ({reason}); what was stored before is kept, and the same command goes on"
        seen = seen.__cause__ or seen.__context__
    return None


def _unknown_flag(parser: argparse.ArgumentParser, flag: str) -> str:
    close = get_close_matches(flag.split("=")[0], parser._option_string_actions, 1)
    return f"unknown argument {flag}" + (f"; did you mean {close[0]}?" if close else f" (see {parser.prog} --help)")


class _Parser(argparse.ArgumentParser):
    """One clear sentence instead of a page of usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(_refuse(f"{message} (see {self.prog} --help)"))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="optnas", description="Find small neural networks: accuracy against what they cost.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)

    search = _command(commands, "search", _search, "search networks for a data set, or go on with a search")
    _add_settings(search)

    front = _command(commands, "front", _front, "the best networks of a study")
    front.add_argument("--study", help="name of the study; needed if the storage holds several")
    front.add_argument("--storage", default=_STORAGE, help="where it is kept (default: %(default)s)")
    front.add_argument(
        "--budget",
        action="append",
        default=[],
        metavar="BUDGET",
        help='only networks within it: "latency_ms<=2"',
    )
    front.add_argument("--json", action="store_true", help="a list of objects on standard output")
    front.add_argument("--plot", type=Path, metavar="FILE", help="draw the front into a picture")

    profile = _command(commands, "profile", _profile, "what the networks of a space cost, without training any")
    profile.add_argument("--space", default="mobile", help="mobile, cell or module:function (default: %(default)s)")
    profile.add_argument("--input", default=_SHAPE, metavar="CxHxW", help="shape of one image (default: %(default)s)")
    profile.add_argument("--classes", type=int, default=10, metavar="N", help="outputs (default: %(default)s)")
    profile.add_argument("--samples", type=int, default=200, metavar="N", help="random networks (default: %(default)s)")
    profile.add_argument("--constraint", action="append", default=[], metavar="BUDGET", help='a budget: "params<=100k"')
    profile.add_argument("--latency", action="store_true", help="time every network too, half a second each")
    profile.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws (default: %(default)s)")
    profile.add_argument("--json", action="store_true", help="an object on standard output")

    dashboard = _command(commands, "dashboard", _dashboard, "look at the studies of a storage in a browser")
    dashboard.add_argument("--storage", default=_STORAGE, help="where they are kept (default: %(default)s)")
    dashboard.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    dashboard.add_argument("--port", type=int, default=8080, metavar="N", help="(default: %(default)s)")
    return parser


def _command(commands: Any, name: str, run: Callable[[argparse.Namespace], int], text: str) -> _Parser:
    parser: _Parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(command=run, parser=parser)
    return parser


def _add_settings(parser: argparse.ArgumentParser) -> None:
    from optnas.study.settings import Settings, explanations

    texts = explanations()
    for field in fields(Settings):
        flag, text = "--" + field.name.replace("_", "-"), texts[field.name].replace("%", "%%")
        # None stands for "not given": the study's own setting, or the default, takes its place.
        if field.name == "constraints":
            parser.add_argument("--constraint", dest=field.name, action="append", metavar="BUDGET", help=text)
        elif field.name in ("objectives", "tune"):
            parser.add_argument(flag, type=lambda words: tuple(words.split(",")), metavar="A,B", help=text)
        elif isinstance(field.default, bool):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
        elif "int" in str(field.type):
            parser.add_argument(flag, type=int, metavar="N", help=text)
        elif "float" in str(field.type):
            parser.add_argument(flag, type=float, metavar="X", help=text)
        else:
            parser.add_argument(flag, metavar="WORD", help=text)


def _search(given: argparse.Namespace) -> int:
    from rich.console import Console

    from optnas.report import save_front
    from optnas.study import SearchStopped
    from optnas.study.search import search
    from optnas.watch import Watch, front_table

    settings = {
        key: value for key, value in vars(given).items() if key not in ("command", "parser") and value is not None
    }
    if "constraints" in settings:
        settings["constraints"] = tuple(part for text in settings["constraints"] for part in text.split(","))
    # The machine's "please end" is a person's Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        result = search(Watch(), **settings)
    except KeyboardInterrupt:
        print("optnas: stopped; the same command goes on", file=sys.stderr)
        return 130
    except SearchStopped as error:
        return _refuse(f"{error}; what was trained is kept")
    study, console = result.study, Console(highlight=False)
    members = result.front
    names = [*result.settings.objectives]
    names += [name for name in (members[0].costs if members else ()) if name not in names]
    console.print(front_table(members, f"front of {study.study_name}: {len(members)} networks", names))
    picture = Path(f"{study.study_name.replace(os.sep, '_')}-front.png")
    save_front(study, picture)
    console.print(f"\npicture: {picture}\nstudy:   {result.settings.storage}\n\nnext:")
    for command in _next_commands(result.settings, members):
        console.print(f"  {command}", soft_wrap=True)
    return 0


def _next_commands(settings: Any, members: Sequence[Any]) -> list[str]:
    where = "" if settings.storage == _STORAGE else f" --storage {settings.storage}"
    study = f"--study {settings.study_name}"
    cost = next((name for name in settings.objectives if name != "error"), "macs")
    middle = members[len(members) // 2] if members else None
    budget = f' --budget "{cost}<={middle.costs[cost]:g}"' if middle is not None else ""
    return [
        f"optnas search {study} --trials {settings.trials * 2}{where}    # go on, to {settings.trials * 2} in all",
        f"optnas front {study}{where}{budget}    # the best under a budget",
        f"optnas dashboard{where}    # every trial in a browser",
    ]


def _front(given: argparse.Namespace) -> int:
    from rich.console import Console

    from optnas.cost import COSTS, parse_constraints
    from optnas.front import front, objective_names
    from optnas.report import save_front
    from optnas.study import find_study, open_storage
    from optnas.watch import front_table

    budget = parse_constraints([part for text in given.budget for part in text.split(",")])
    study = find_study(open_storage(given.storage, create=False), given.study, given.storage)
    members = front(study, budget)
    if given.plot is not None:
        save_front(study, given.plot)
    if given.json:
        print(json.dumps([asdict(network) for network in members], indent=2))
        return 0
    console = Console(highlight=False)
    if not members:
        within = f" within {', '.join(map(str, budget))}" if budget else ""
        console.print(f"study {study.study_name}: no trained network{within}")
        return 0
    names = [*objective_names(study)]
    names += [name for name in COSTS if name not in names and any(name in member.costs for member in members)]
    console.print(front_table(members, f"front of {study.study_name}: {len(members)} networks", names))
    console.print()
    for member in members:
        choices = " ".join(f"{name}={value}" for name, value in member.choices.items())
        console.print(f"trial {member.trial}: {choices}", soft_wrap=True, markup=False)
    return 0


def _profile(given: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from optnas.cost import EXACT, format_cost, parse_constraints, profile
    from optnas.space import bind_space, load_space

    constraints = parse_constraints([part for text in given.constraint for part in text.split(",")])
    for name, value in (("--samples", given.samples), ("--classes", given.classes)):
        if value < 1:
            raise UsageError(f"{name}: expected a whole number from 1, got {value}")
    if given.seed < 0:
        raise UsageError(f"--seed: expected a whole number from 0, got {given.seed}")
    shape = _shape(given.input)
    build = bind_space(load_space(given.space), shape, given.classes)
    errors = Console(stderr=True)
    costs = [*EXACT, *(["latency_ms"] if given.latency else [])]
    with errors.status("") as status:
        found = profile(
            build, shape, costs, given.samples, constraints, given.seed,
            on_sample=lambda done: status.update(f"{done} of {given.samples} networks"),
        )  # fmt: skip
    quantiles = {
        name: {
            "min": found.quantile(name, 0),
            "median": found.quantile(name, 0.5),
            "max": found.quantile(name, 1),
        }
        for name in found.costs
    }
    if given.json:
        budget = [str(constraint) for constraint in constraints]
        print(json.dumps({
            "space": given.space, "input": list(shape), "samples": found.samples, "invalid": found.invalid,
            "costs": quantiles, "constraints": budget, "share": found.share,
        }, indent=2))  # fmt: skip
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("cost")
    for column in ("min", "median", "max"):
        table.add_column(column, justify="right")
    for name, row in quantiles.items():
        table.add_row(name, *(format_cost(name, value) for value in row.values()))
    console = Console(highlight=False)
    console.print(f"{found.samples} random networks of {given.space} at {given.input}")
    console.print(table)
    if found.invalid:
        console.print(f"{found.invalid} of them do not work: {found.problem.strip().splitlines()[-1]}", markup=False)
    if constraints:
        console.print(f"{found.share:.1%} meet {', '.join(map(str, constraints))}")
    return 0


def _shape(text: str) -> tuple[int, int, int]:
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise UsageError(f"--input: expected channels x height x width such as {_SHAPE}, got {text!r}")
    channels, height, width = map(int, parts)
    return channels, height, width


def _dashboard(given: argparse.Namespace) -> int:
    from optuna_dashboard import run_server

    from optnas.study import open_storage

    storage = open_storage(given.storage, create=False)
    print(f"http://{given.host}:{given.port}/    (Ctrl-C ends it)", file=sys.stderr)
    try:
        run_server(storage, host=given.host, port=given.port)
    except OSError as error:
        raise UsageError(f"dashboard: cannot listen on {given.host}:{given.port}: {error.strerror}") from None
    return 0
