"""`optnas dashboard`."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from optuna_dashboard import run_server

from optnas.cli.command import STORAGE, add_command
from optnas.errors import UsageError
from optnas.study import open_storage

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "dashboard", _dashboard, "look at the studies of a storage in a browser")
    parser.add_argument("--storage", default=STORAGE, help="where they are kept (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, metavar="N", help="(default: %(default)s)")


def _dashboard(given: argparse.Namespace) -> int:
    if not 0 < given.port < 65536:
        raise UsageError(f"--port: expected a number from 1 to 65535, got {given.port}")
    storage = open_storage(given.storage, create=False)
    print(f"http://{given.host}:{given.port}/    (Ctrl-C ends it)", file=sys.stderr)
    try:
        run_server(storage, host=given.host, port=given.port)
    except OSError as error:
        raise UsageError(f"dashboard: cannot listen on {given.host}:{given.port}: {error.strerror}") from None
    return 0
