"""`optnas latency-table`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from optnas.cli.command import Parser, add_command
from optnas.cli.profile import shape_of
from optnas.cost import LatencyTable, Prices, load_table
from optnas.cost.collect import build_table
from optnas.errors import UsageError
from optnas.runtime import default_runtime, make_runtime
from optnas.space import bind_space, load_space

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command and what it can do."""
    parser = commands.add_parser("latency-table", help="times of blocks, by which a search foretells latency")
    parser.set_defaults(parser=parser)
    ways = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
    build = add_command(ways, "build", _build, "time each block of a space once")
    build.add_argument("--space", default="mobile", help="mobile, cell or module:function (default: %(default)s)")
    build.add_argument("--input", default="1x28x28", metavar="CxHxW", help="shape of one image (default: %(default)s)")
    build.add_argument("--classes", type=int, default=10, metavar="N", help="outputs (default: %(default)s)")
    build.add_argument("--runtime", help="onnxruntime, executorch, litert or eager (default: onnxruntime if installed)")
    build.add_argument("--device-command", metavar="CMD", help="a command that times a file where networks will run")
    build.add_argument("--blocks", type=int, metavar="N", help="time so many at most, and estimate the others")
    build.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws (default: %(default)s)")
    build.add_argument("--out", required=True, metavar="FILE", help="where the table is written")
    show = add_command(ways, "show", _show, "what a table holds")
    show.add_argument("file", metavar="FILE", help="a table")


def _build(given: argparse.Namespace) -> int:
    for name, value, least in (
        ("--classes", given.classes, 1),
        ("--blocks", given.blocks, 1),
        ("--seed", given.seed, 0),
    ):
        if value is not None and value < least:
            raise UsageError(f"{name}: expected a whole number from {least}, got {value}")
    out = Path(given.out)
    if not out.parent.is_dir() or out.is_dir():
        raise UsageError(f"--out: expected a file in a folder that exists, got {given.out}")
    shape, runtime = shape_of(given.input), given.runtime or default_runtime()
    make_runtime(runtime)
    build = bind_space(load_space(given.space), shape, given.classes)
    with Console(stderr=True).status("") as status:
        table = build_table(
            build,
            shape,
            Prices(runtime, command=given.device_command),
            space=given.space,
            classes=given.classes,
            blocks=given.blocks,
            seed=given.seed,
            on_step=lambda what, done, of: status.update(f"{what}: {done} of {of}"),
        )
    table.save(out)
    _print(table)
    Console(highlight=False, markup=False).print(
        f"\nnext:\n  optnas search --objectives error,latency_ms --latency-table {given.out}", soft_wrap=True
    )
    return 0


def _show(given: argparse.Namespace) -> int:
    _print(load_table(given.file))
    return 0


def _print(table: LatencyTable) -> None:
    console = Console(highlight=False, markup=False)
    kinds, error, total = (
        {block.kind for block in table.blocks.values()},
        table.error,
        len(table.blocks) + table.untimed,
    )
    shape = "x".join(map(str, table.input_shape))
    estimated = f"{table.untimed / total:.0%}"
    device = ", ".join(f"{name} {value}" for name, value in table.device.items())
    for line in (
        f"latency table {table.digest} of {table.space} at {shape}, {table.classes} classes",
        f"device:  {device}",
        f"runtime: {table.runtime}",
        f"blocks:  {len(table.blocks)} timed, of {len(kinds)} kinds; {estimated} of {total} are estimated",
        f"network: {table.offset_ms:.3g} ms + {table.scale:.3f} of its blocks",
        f"error:   median {error.median:.1%}, 90 % are below {error.p90:.1%}, Kendall's tau {error.kendall_tau:.2f}, "
        f"on {error.networks} networks not used otherwise",
    ):
        console.print(line, soft_wrap=True)
