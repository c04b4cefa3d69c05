"""`optnas retrain`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from optnas.cli.command import STORAGE, add_command, add_study, budget_of
from optnas.cost import format_cost
from optnas.deploy.retrain import Retrained, Retraining, choose_networks, retrain
from optnas.errors import UsageError
from optnas.printable import shell_word
from optnas.study import shown_storage
from optnas.study.reopen import Reopened, reopen
from optnas.terminal import Terminal, titled

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "retrain", _retrain, "train the chosen networks properly, several seeds each")
    add_study(parser)
    parser.add_argument(
        "--budget", action="append", default=[], metavar="BUDGET", help='only networks within it: "latency_ms<=2"'
    )
    parser.add_argument("--trial", type=_numbers, default=(), metavar="N,N", help="these networks instead of the best")
    parser.add_argument(
        "--networks", type=int, default=3, metavar="N", help="how many of the most accurate (default: %(default)s)"
    )
    parser.add_argument(
        "--epochs", type=int, metavar="N", help="of each training (default: six times what a search takes)"
    )
    parser.add_argument(
        "--seeds", type=int, default=3, metavar="N", help="trainings of each network (default: %(default)s)"
    )
    parser.add_argument(
        "--augment",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="crop training images at random and mirror them where that makes sense (default: yes)",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="training processes; 0 trains in this process")
    parser.add_argument("--data-root", metavar="DIR", help="folder of fashion-mnist and cifar10, if it moved")
    parser.add_argument("--no-test", action="store_true", help="leave the test images for another day")
    parser.add_argument(
        "--test-again", action="store_true", help="read the test images though they were read; the study remembers it"
    )
    parser.add_argument("--json", action="store_true", help="an object on standard output")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


_numbers.__name__ = "list of trial numbers"  # what argparse calls it in its sentence


def _retrain(given: argparse.Namespace) -> int:
    if given.trial and given.budget:
        raise UsageError("retrain: expected --budget or --trial, got both")
    if given.no_test and given.test_again:
        raise UsageError("retrain: expected --no-test or --test-again, got both")
    budget = budget_of(given.budget)
    reopened = reopen(given.study, given.storage, data_root=given.data_root)
    chosen = choose_networks(reopened, budget, given.networks, given.trial)
    progress = Terminal(stderr=True, soft_wrap=True)
    try:
        result = retrain(
            reopened,
            chosen,
            epochs=given.epochs,
            seeds=given.seeds,
            augment=given.augment,
            workers=given.workers,
            test=not given.no_test,
            test_again=given.test_again,
            say=progress.print,
        )
    except KeyboardInterrupt:
        print("optnas: stopped; the same command goes on", file=sys.stderr)
        return 130
    if given.json:
        print(json.dumps({**asdict(result), "networks": [_plain(one) for one in result.networks]}, indent=2))
    else:
        _print(Terminal(soft_wrap=True), reopened, result, given.own_space)
    return 0 if any(one.errors for one in result.networks) else 1


def _plain(one: Retrained) -> dict[str, Any]:
    known = {"mean": one.mean if one.errors else None, "std": one.std if len(one.errors) > 1 else None}
    return {**asdict(one), **known}


def _print(console: Console, reopened: Reopened, result: Retraining, own_space: str | None) -> None:
    costs = [name for name in reopened.settings.objectives if name != "error"]
    title = f"{reopened.study.study_name}, retrained for {result.settings['epochs']} epochs"
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("trial", *costs, "in the search", "validation error", "n", "test error"):
        table.add_column(head, justify="right")
    table.add_column("")
    for one in result.networks:
        shown = [format_cost(name, one.costs[name]) for name in costs]
        validation = f"{one.mean:.2%}{_spread(one.std)}" if one.errors else "-"
        tested = f"{sum(one.test_errors) / len(one.test_errors):.2%}" if one.test_errors else "-"
        table.add_row(
            str(one.trial), *shown, f"{one.search_error:.2%}", validation, str(len(one.errors)), tested,
            _standing(one, result),
        )  # fmt: skip
    console.print(titled(title, table))
    for one in result.networks:
        for failure in one.failures:
            console.print(f"trial {one.trial}, {failure}")
    looks = "" if result.looks < 2 else f"; the study has read them {result.looks} times"
    if result.tested:
        console.print(f"\ntest images: read on {result.tested} (UTC), after the choice on validation images{looks}")
    else:
        console.print(f"\ntest images: not read{looks}")
    if len(result.networks) > 1 and all(len(one.errors) < 2 for one in result.networks):
        console.print("one seed each: cannot be told apart")
    console.print("\nnext:")
    study = f"--study {shell_word(reopened.study.study_name)}"
    study += f" --space {shell_word(own_space)}" if own_space else ""
    where = "" if reopened.storage == STORAGE else f" --storage {shell_word(shown_storage(reopened.storage))}"
    trials = ",".join(str(one.trial) for one in result.networks if one.errors)
    if trials:
        console.print(
            f"  optnas export {study}{where} --trial {trials} --format onnx,executorch,litert --int8 --out deploy/"
        )
    console.print(f"  optnas rerank {study}{where}    # the front as it runs in the files")


def _spread(std: float) -> str:
    return f" ± {std:.2%}" if std == std else ""


def _standing(one: Retrained, result: Retraining) -> str:
    best = result.networks[0]
    if one is best:
        return "best" if one.errors else "failed"
    if one.ties:
        return f"ties with trial {best.trial}"
    return "" if one.errors else "failed"
