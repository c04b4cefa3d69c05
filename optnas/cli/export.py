"""`optnas export`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from optnas.cli.command import add_command, add_study, budget_of
from optnas.cost import format_cost
from optnas.deploy import model_of
from optnas.deploy.export import Exported, check_formats, export_models
from optnas.errors import UsageError
from optnas.front import front
from optnas.runtime import FORMATS
from optnas.study.reopen import Reopened, reopen
from optnas.terminal import Terminal, titled

__all__ = ["add", "add_chosen", "chosen_trials"]


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "export", _export, "write networks as files for phones, checked against PyTorch")
    add_study(parser)
    add_chosen(parser)
    parser.add_argument(
        "--format", default="onnx", metavar="A,B", help=f"some of {', '.join(FORMATS)} (default: %(default)s)"
    )
    parser.add_argument("--int8", action="store_true", help="write 8-bit integers too, calibrated on training images")
    parser.add_argument(
        "--int8-loss", type=float, default=0.01, metavar="X", help="accuracy it may lose (default: %(default)s)"
    )
    parser.add_argument("--images", type=int, metavar="N", help="validation images to run (default: all)")
    parser.add_argument("--workers", type=int, metavar="N", help="processes; 0 works in this process")
    parser.add_argument("--data-root", metavar="DIR", help="folder of fashion-mnist and cifar10, if it moved")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="where to write a folder for each network"
    )
    parser.add_argument("--json", action="store_true", help="a list of objects on standard output")


def add_chosen(parser: argparse.ArgumentParser) -> None:
    """The flags that say which networks are meant."""
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--front", action="store_true", help="all networks of the front (the default)")
    chosen.add_argument("--trial", metavar="N,N", help="these networks")
    chosen.add_argument(
        "--budget", action="append", default=[], metavar="BUDGET", help='the front within it: "latency_ms<=2"'
    )


def chosen_trials(given: argparse.Namespace, reopened: Reopened) -> list[int]:
    """The numbers of the networks that those flags choose. Raises `UsageError` if there are none."""
    if given.trial:
        try:
            return list(dict.fromkeys(int(word) for word in given.trial.split(",")))
        except ValueError:
            raise UsageError(f"--trial: expected numbers of trials with commas, got {given.trial!r}") from None
    budget = budget_of(given.budget)
    trials = [network.trial for network in front(reopened.study, budget)]
    if not trials:
        within = f" within {', '.join(map(str, budget))}" if budget else ""
        raise UsageError(f"study {reopened.study.study_name!r} has no trained network{within}")
    return trials


def _export(given: argparse.Namespace) -> int:
    formats = tuple(dict.fromkeys(given.format.split(",")))
    check_formats(formats)
    if given.workers is not None and given.workers < 0:
        raise UsageError(f"--workers: expected a whole number from 0, got {given.workers}")
    if given.out.exists() and not given.out.is_dir():
        raise UsageError(f"--out: expected a folder, got the file {given.out}")
    reopened = reopen(given.study, given.storage, read_only=True, data_root=given.data_root)
    progress = Terminal(stderr=True, soft_wrap=True)
    try:
        models = [model_of(reopened, trial, progress.print) for trial in chosen_trials(given, reopened)]
        found = export_models(
            models, reopened, given.out, formats, given.int8, int8_loss=given.int8_loss, images=given.images,
            workers=given.workers, say=progress.print,
        )  # fmt: skip
    except KeyboardInterrupt:
        print("optnas: stopped; the same command goes on", file=sys.stderr)
        return 130
    if given.json:
        print(json.dumps([{**asdict(one), "loss": one.loss} for one in found], indent=2))
    else:
        _print(Terminal(soft_wrap=True), found, given.out)
    return 1 if any(one.file is None for one in found) else 0


def _print(console: Console, found: Sequence[Exported], folder: Path) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("trial", justify="right")
    for head in ("format", "precision"):
        table.add_column(head)
    for head in ("size", "PyTorch error", "its error", "largest difference", "latency"):
        table.add_column(head, justify="right")
    for one in found:
        table.add_row(
            str(one.trial), one.format, one.precision,
            "-" if one.size_bytes is None else format_cost("size_bytes", one.size_bytes),
            "-" if one.torch_error is None else f"{one.torch_error:.2%}",
            "-" if one.error is None else f"{one.error:.2%}",
            "-" if one.max_difference is None else f"{one.max_difference:.1e}",
            "-" if one.latency_ms is None else format_cost("latency_ms", one.latency_ms),
        )  # fmt: skip
    console.print(titled(str(folder), table))
    for one in found:
        if one.problem:
            kept = "" if one.file is not None else "not written: "
            console.print(f"trial {one.trial}, {one.format} {one.precision}: {kept}{one.problem}")
    if any(one.images for one in found):
        console.print(f"errors on {max(one.images for one in found)} validation images, one by one")
