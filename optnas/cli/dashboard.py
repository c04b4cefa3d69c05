"""`optnas dashboard`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from socket import AF_INET6
from socketserver import ThreadingMixIn
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from optuna.artifacts import FileSystemArtifactStore
from optuna_dashboard import wsgi

from optnas.cli.command import STORAGE, add_command, add_space, say
from optnas.errors import UsageError
from optnas.report.dashboard import Follower
from optnas.report.dashboard.guard import Guard, is_loopback
from optnas.study import artifacts_folder, find_study, open_storage

__all__ = ["add"]

#: How long Ctrl-C waits for the trial whose extras are being written.
_PATIENCE_SECONDS = 3.0


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "dashboard", _dashboard, "look at the studies of a storage in a browser: every trial with its drawing"
    )
    parser.add_argument("--study", help="open this one, and write notes and pictures for it alone (default: for all)")
    parser.add_argument("--storage", default=STORAGE, help="where they are kept (default: %(default)s)")
    add_space(parser)
    parser.add_argument(
        "--artifact-dir", type=Path, metavar="DIR", help="where pictures are kept (default: beside the storage's file)"
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; others than this machine's own let everybody in (default: %(default)s)",
    )
    parser.add_argument("--port", type=int, default=8080, metavar="N", help="(default: %(default)s)")


def _dashboard(given: argparse.Namespace) -> int:
    if not 0 < given.port < 65536:
        raise UsageError(f"--port: expected a number from 1 to 65535, got {given.port}")
    folder = given.artifact_dir or artifacts_folder(given.storage)
    if folder is None:
        raise UsageError("dashboard: expected a storage that is kept, such as sqlite:///optnas.db, got memory")
    _check_folder(folder)
    storage = open_storage(given.storage, create=False)
    page = ""
    if given.study is not None:
        page = f"dashboard/studies/{find_study(storage, given.study, given.storage)._study_id}"
    app = Guard(wsgi(storage, artifact_store=FileSystemArtifactStore(folder)), given.host)
    follower = Follower(storage, given.storage, folder, given.study, say=say)
    with _listening(given.host, given.port, app) as server:
        shown = f"[{given.host}]" if ":" in given.host else given.host
        say(f"http://{shown}:{given.port}/{page}    (Ctrl-C ends it)")
        if not is_loopback(given.host):
            say(f"warning: anybody who can reach port {given.port} of this machine can change and delete these studies")
        thread = Thread(target=follower.follow, name="optnas-dashboard", daemon=True)
        thread.start()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
        finally:
            follower.stop.set()
            thread.join(_PATIENCE_SECONDS)
    return 0


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--artifact-dir {folder}: expected a folder, got a file")
    if not folder.exists() and not folder.parent.is_dir():
        raise UsageError(f"--artifact-dir {folder}: the folder {folder.parent} does not exist")


def _listening(host: str, port: int, app: Any) -> WSGIServer:
    """A server that holds its port already, so that it is known to be free before anything is said or written."""
    try:
        server = (_Server6 if ":" in host else _Server)((host, port), _Handler)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"dashboard: cannot listen on {host}:{port}: {reason}") from None
    server.set_app(app)
    return server


class _Server(ThreadingMixIn, WSGIServer):
    """A page asks for a dozen pictures while the study is still being read."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Server6(_Server):
    address_family = AF_INET6


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """A line for every request hides what a person should read."""
