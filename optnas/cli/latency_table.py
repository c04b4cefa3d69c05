"""`optnas latency-table`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from optnas.cli.command import Parser, add_command
from optnas.cli.profile import shape_of
from optnas.cost import LatencyTable, Prices, load_table
from optnas.cost.collect import build_table
from optnas.cost.kept import KeptBlocks
from optnas.errors import UsageError
from optnas.printable import shell_word
from optnas.runtime import default_runtime, make_runtime
from optnas.space import bind_space, load_space
from optnas.terminal import Terminal

__all__ = ["add"]

#: Blocks after which it is said how long the rest will take.
_FIRST = 10
#: Kendall's tau below which a table is not fit to search by.
_TAU = 0.7


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
    kept, said = KeptBlocks(out.with_name(f"{out.name}.partial")), Terminal(stderr=True)
    with said.status("") as status:
        progress = _Progress(partial(said.print, soft_wrap=True), status.update)
        table = build_table(
            build,
            shape,
            Prices(runtime, command=given.device_command),
            space=given.space,
            classes=given.classes,
            blocks=given.blocks,
            seed=given.seed,
            kept=kept,
            on_step=progress,
        )
    table.save(out)
    kept.remove()
    _print(table)
    Terminal().print(f"\nnext:\n  {_next_command(table, given.out)}", soft_wrap=True)
    return 0


class _Progress:
    """Shows how far a build is, and says once how long the rest will take."""

    def __init__(self, say: Callable[[str], None], show: Callable[[str], None]) -> None:
        self._say, self._show = say, show
        self._began: tuple[int, float] | None = None

    def __call__(self, what: str, done: int, of: int) -> None:
        left = ""
        if what == "blocks timed":
            if self._began is None:
                self._began = done, time.monotonic()
                if done:
                    self._say(f"{done} of {of} blocks were timed before")
            before, then = self._began
            if done - before >= _FIRST:
                left = f", about {_duration((time.monotonic() - then) / (done - before) * (of - done))} more"
            if done - before == _FIRST and done < of:
                self._say(f"timing {of} blocks{left}, then whole networks; what is timed is kept if this is stopped")
        self._show(f"{what}: {done} of {of}{left}")


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def _next_command(table: LatencyTable, file: str) -> str:
    """A search for which the table was made, with the data set of optnas that has such images."""
    channels, height, width = table.input_shape
    data, side = "imagefolder:DIR", 0
    if table.classes == 10 and channels == 1:
        data, side = ("digits", 8) if height == 8 else ("fashion-mnist", 28)
    elif table.classes == 10 and channels == 3:
        data, side = "cifar10", 32
    search = f"optnas search --space {shell_word(table.space)}"
    rest = f"--objectives error,latency_ms --latency-table {shell_word(file)}"
    shape = f"{channels}x{height}x{width}"
    if height != width or (channels == 1 and not side) or channels not in (1, 3):
        return f"{search} {rest}    # with --data of images of {shape} in {table.classes} classes"
    size = "" if height == side else f" --image-size {height}"
    note = "" if side else f"    # a folder for each of {table.classes} classes"
    return f"{search} --data {data}{size} {rest}{note}"


def _show(given: argparse.Namespace) -> int:
    _print(load_table(given.file))
    return 0


def _print(table: LatencyTable) -> None:
    console = Terminal()
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
    if not error.kendall_tau >= _TAU:  # nan, of networks that all take the same, is not either
        console.print(
            f"beware:  the table does not order networks well (Kendall's tau is below {_TAU}): a search by it may "
            "miss the fastest ones; a search without a table times each network",
            soft_wrap=True,
        )
