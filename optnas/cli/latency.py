"""`optnas latency`."""

from __future__ import annotations

import argparse
import json
import math
from typing import Any

import numpy as np
from rich.table import Table

from optnas.cli.command import add_command
from optnas.cli.profile import shape_of
from optnas.errors import UsageError
from optnas.runtime import RUNTIMES, default_runtime
from optnas.space import bind_space, load_space
from optnas.study.latency_audit import LatencyAudit, audit_latency
from optnas.terminal import Terminal

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "latency", _latency, "whether latencies repeat on this machine, and how runtimes and MACs agree"
    )
    runtimes = ",".join(dict.fromkeys(["eager", default_runtime()]))
    parser.add_argument("--space", default="mobile", help="mobile, cell or module:function (default: %(default)s)")
    parser.add_argument("--input", default="1x28x28", metavar="CxHxW", help="shape of an image (default: %(default)s)")
    parser.add_argument("--classes", type=int, default=10, metavar="N", help="outputs (default: %(default)s)")
    parser.add_argument("--networks", type=int, default=30, metavar="N", help="random networks (default: %(default)s)")
    parser.add_argument(
        "--runtime", default=runtimes, metavar="A,B", help=f"some of {', '.join(RUNTIMES)} (default: %(default)s)"
    )
    parser.add_argument(
        "--processes", type=int, default=3, metavar="N", help="how often each is timed, anew (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=float, metavar="X", help="time for each network; by default the runtime's")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="an object on standard output")


def _latency(given: argparse.Namespace) -> int:
    if given.seed < 0:
        raise UsageError(f"--seed: expected a whole number from 0, got {given.seed}")
    if given.classes < 1:
        raise UsageError(f"--classes: expected a whole number from 1, got {given.classes}")
    if given.seconds is not None and not (math.isfinite(given.seconds) and given.seconds > 0):
        raise UsageError(f"--seconds: expected a finite number above 0, got {given.seconds}")
    shape = shape_of(given.input)
    build = bind_space(load_space(given.space), shape, given.classes)
    with Terminal(stderr=True).status("") as status:
        audit = audit_latency(
            build,
            shape,
            tuple(dict.fromkeys(given.runtime.split(","))),
            given.networks,
            given.processes,
            seconds=given.seconds,
            seed=given.seed,
            say=status.update,
        )
    if given.json:
        print(json.dumps(_facts(audit, given), indent=2))
        return 0
    _print(audit, given)
    return 0


def _facts(audit: LatencyAudit, given: argparse.Namespace) -> dict[str, Any]:
    runtimes = {
        name: {
            "fingerprint": one.fingerprint,
            "latency_ms": [[_number(value) for value in row] for row in one.latency_ms],
            "seconds": float(np.median(one.seconds)),
            "taus": list(map(_number, one.taus)),
            "problem": one.problem,
        }
        for name, one in audit.runtimes.items()
    }
    return {
        "space": given.space,
        "input": given.input,
        "networks": given.networks,
        "runtimes": runtimes,
        "agreement": [{"of": list(pair), "tau": _number(value)} for pair, value in audit.agreement().items()],
        "counted": {name: values.tolist() for name, values in audit.counted.items()},
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _print(audit: LatencyAudit, given: argparse.Namespace) -> None:
    console = Terminal()
    console.print(
        f"{given.networks} random networks of {given.space} at {given.input}, {given.processes} processes\n",
        soft_wrap=True,
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("does it repeat?")
    for column in ("ms, least to most", "median", "differs by", "tau, processes", "s each"):
        table.add_column(column, justify="right")
    for name, one in audit.runtimes.items():
        milliseconds = one.median_ms[np.isfinite(one.median_ms)]
        if not len(milliseconds):
            table.add_row(name, *["-"] * 5)
            continue
        least, middle, most = (f"{value:.3g}" for value in np.quantile(milliseconds, (0, 0.5, 1)))
        table.add_row(
            name,
            f"{least} to {most}",
            middle,
            f"{one.spread:.1%}",
            f"{min(one.taus):.2f} to {max(one.taus):.2f}",
            f"{np.median(one.seconds):.2f}",
        )
    console.print(table)
    for name, one in audit.runtimes.items():
        lost = int(np.isnan(one.latency_ms).any(axis=0).sum())
        if lost:
            console.print(
                f"{lost} of {given.networks} networks cannot be timed in {name}; the first: {one.problem}",
                soft_wrap=True,
            )
    console.print()
    names = [*audit.runtimes, *audit.counted]
    agreement = audit.agreement()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("do they agree?")
    for column in names[1:]:
        table.add_column(column, justify="right")
    for row, name in enumerate(names[:-1]):
        cells = [f"{agreement[name, other]:.2f}" if place > row else "" for place, other in enumerate(names) if place]
        table.add_row(name, *cells)
    console.print(table)
    first = next(iter(audit.runtimes.values())).fingerprint
    versions = ", ".join(f"{name} {one.fingerprint['runtime_version']}" for name, one in audit.runtimes.items())
    console.print("\nBoth in Kendall's tau: 1 is the same order of networks, 0 is none.", soft_wrap=True)
    console.print(f"One image, one thread on {first['processor']}; {versions}.", soft_wrap=True)
