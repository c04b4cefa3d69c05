"""A database server that does not answer for a moment ends no search."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from optuna.storages import RDBStorage
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, OperationalError

from optnas.errors import first_line

__all__ = ["PATIENCE_S", "Say", "patiently", "transact"]

_T = TypeVar("_T")
Say = Callable[[str], None]

#: So long a server is asked again, with twice the pause each time up to the longest.
PATIENCE_S = 120.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 5.0


def patiently(backend: RDBStorage, ask: Callable[[], _T], say: Say, patience_s: float = PATIENCE_S) -> _T:
    """What `ask` returns, asked again where the connection to a server was lost; what it did may have been done then.

    Args:
        backend: Where it asks. A file is asked once: SQLite waits for others by itself, and a full disk is not mended
            by waiting.
        ask: Called until it does not fail.
        say: Told once when the server does not answer, and when it does again.
        patience_s: For so long.

    Raises:
        OperationalError: If the server does not come back, or as it is raised by Optuna, `StorageInternalError`.
    """
    began: float | None = None
    told, pause = False, 0.0
    while True:
        try:
            answer = ask()
        except Exception as error:
            reason = _lost(error)
            if reason is None or backend.engine.name == "sqlite":
                raise
            if began is None:
                # At once and without a word: the server was started anew since the connection was used last.
                began = time.monotonic()
                continue
            if time.monotonic() - began >= patience_s:
                raise
            if not told:
                told = True
                say(
                    f"the storage does not answer ({first_line(reason)}): it is asked again for {patience_s:g} s; "
                    "what is in training goes on"
                )
        else:
            if told:
                say("the storage answers again")
            return answer
        pause = min(2 * pause, _LONGEST_PAUSE_S) or _FIRST_PAUSE_S
        time.sleep(pause * random.uniform(0.5, 1))


def transact(backend: RDBStorage, work: Callable[[Connection], _T], say: Say, patience_s: float = PATIENCE_S) -> _T:
    """What `work` returns, in a transaction of its own; begun again where a server's connection was lost.

    A connection that is lost while it commits leaves open whether it has: `work` has to bear being done twice.

    Raises:
        OperationalError: If the database cannot be written or does not come back.
    """

    def once() -> _T:
        with backend.engine.begin() as connection:
            return work(connection)

    return patiently(backend, once, say, patience_s)


def _lost(error: BaseException | None) -> BaseException | None:
    """What the driver said, if an exception is about a connection that is lost or cannot be made."""
    while error is not None:
        if isinstance(error, OperationalError) or (isinstance(error, DBAPIError) and error.connection_invalidated):
            return error.orig or error
        error = error.__cause__
    return None
