"""What is particular to PostgreSQL: its connections, and locks that go with a process."""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from optnas.study.patience import Say

__all__ = ["Lock", "engine_settings", "is_locked", "is_postgresql", "lock_key", "locked", "one_at_a_time", "tune"]

_LOOK_S = 0.2
_TRY_S = 0.05
#: Whoever holds a lock looks so often whether the connection lives with which it goes.
_BEAT_S = 2.0
#: To let a lock go is waited for no longer: the server may be gone.
_CLOSE_S = 5.0
#: A server that cannot be reached is given up after so long, a connection on which nothing comes back too. By
#: themselves both take from minutes to hours.
_CONNECT_S, _SILENT_S = 10, 30
#: What holds a study keeps the others waiting: a process that stops in the middle of a transaction loses it.
_TRANSACTION_S = 30

#: An advisory lock's number stands there in two halves, without signs; the last column tells it from two small numbers.
_HOLDERS = text(
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND (CAST(classid AS bigint) << 32 | CAST(objid AS bigint)) = :key"
)
#: The server need not have noticed yet that nobody is at the other end of a connection.
_END_OTHERS = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = :name AND pid <> pg_backend_pid()"
)


def is_postgresql(storage: str) -> bool:
    """Whether an address is one of a PostgreSQL."""
    return storage.partition("://")[0].partition("+")[0] == "postgresql"


def engine_settings(storage: str) -> dict[str, Any]:
    """Arguments of `create_engine` for a server that may be started anew, or cut off, while networks train."""
    given = make_url(storage).query
    wanted = {
        "connect_timeout": _CONNECT_S,
        "keepalives_idle": _SILENT_S,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 1000 * _SILENT_S,
        "application_name": "optnas",
    }
    connect = {name: value for name, value in wanted.items() if name not in given}
    known = make_url(storage).get_driver_name() in ("psycopg", "psycopg2")  # the others do not know libpq's words
    return {"connect_args": connect if known else {}}


def tune(engine: Engine) -> None:
    """Set what the locks rely on, on each new connection, whatever the server's own settings are.

    Whoever has waited for a row sees what was written meanwhile, and what a process holds that stopped or was cut off
    is freed.
    """

    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED")
            cursor.execute(f"SET idle_in_transaction_session_timeout = '{_TRANSACTION_S}s'")
            cursor.execute(f"SET tcp_keepalives_idle = {_SILENT_S}")
            cursor.execute("SET tcp_keepalives_interval = 10")
            cursor.execute("SET tcp_keepalives_count = 3")
        connection.commit()


@contextmanager
def one_at_a_time(storage: str, what: str, say: Say = lambda text: None) -> Iterator[None]:
    """Do something to a database that nobody else does at the same time; waits for its turn.

    Args:
        storage: Its address.
        what: Names what is done.
        say: Told if it has to wait.
    """
    with _connected(storage) as connection:
        key = lock_key(what)
        told = False
        while not connection.scalar(select(func.pg_try_advisory_lock(key))):
            if not told:
                told = True
                say(f"another process is at it: waiting until {what}")
            time.sleep(_LOOK_S)
        yield


class Lock:
    """A lock that this process holds, alone or together with others that do not hold it alone.

    It goes with the process, however it ends, or with its connection; where that is lost, it is taken again on a new
    one. Somebody else may have taken it meanwhile.

    Args:
        storage: The address.
        what: Names what is held.
        alone: See above.
    """

    def __init__(self, storage: str, what: str, *, alone: bool) -> None:
        self._storage, self._key = storage, lock_key(what)
        ask = func.pg_try_advisory_lock if alone else func.pg_try_advisory_lock_shared
        self._ask = select(ask(self._key))
        self._lost = False
        self._opened = ExitStack()
        self._connection: Connection | None = None
        self._name = f"optnas {uuid.uuid4().hex}"
        """By which the server knows the connections of this lock."""
        self._closed = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="optnas-lock", daemon=True)

    @property
    def lost(self) -> bool:
        """Whether somebody else has it."""
        return self._lost

    def take(self, wait_s: float = 0.0) -> bool:
        """Try for so long, since whoever holds it may be about to end; False if it is not to be had."""
        give_up = time.monotonic() + wait_s
        while not (held := self._try()) and time.monotonic() < give_up:
            time.sleep(_TRY_S)
        if held:
            self._keeper.start()
        return held

    def close(self) -> None:
        """Let it go."""
        self._closed.set()
        if self._keeper.ident is None:
            self._opened.close()
        else:
            self._keeper.join(_CLOSE_S)

    def _try(self) -> bool:
        if self._connection is None:
            self._connection = self._opened.enter_context(_connected(self._storage))
            self._connection.execute(select(func.set_config("application_name", self._name, False)))
        return bool(self._connection.scalar(self._ask))

    def _keep(self) -> None:
        with self._opened:
            while not self._closed.wait(_BEAT_S) and not self._lost:
                # What cannot be done now is done at the next beat. Errors while a new connection is tuned are the
                # driver's own.
                with suppress(Exception):
                    self._look()
            if self._connection is not None:
                # The end of a connection is noticed a moment later.
                with suppress(SQLAlchemyError):
                    self._connection.execute(select(func.pg_advisory_unlock_all()))

    def _look(self) -> None:
        if self._connection is not None:
            try:
                self._connection.scalar(select(1))
            except SQLAlchemyError:
                self._let_go()
            else:
                return
        try:
            if not self._try():
                assert self._connection is not None
                own = self._connection.execute(_END_OTHERS, {"name": self._name}).all()
                # Once more, since an old connection may have ended between the two.
                self._lost = not own and not self._try()
                if own:
                    self._let_go()
        except Exception:
            self._let_go()
            raise

    def _let_go(self) -> None:
        self._connection = None
        self._opened.close()


@contextmanager
def locked(storage: str, what: str, *, alone: bool, wait_s: float = 0.0) -> Iterator[Lock | None]:
    """Hold a lock while the block runs, see `Lock`; None if it is not to be had."""
    with closing(Lock(storage, what, alone=alone)) as lock:
        yield lock if lock.take(wait_s) else None


def is_locked(storage: str, what: str) -> bool:
    """Whether anybody holds a lock, see `locked`; it is not touched, so nobody is kept from taking it."""
    with _connected(storage) as connection:
        return bool(connection.scalar(_HOLDERS, {"key": lock_key(what)}))


@contextmanager
def _connected(storage: str) -> Iterator[Connection]:
    """A connection of its own: locks are a connection's."""
    engine = create_engine(storage, poolclass=NullPool, isolation_level="AUTOCOMMIT", **engine_settings(storage))
    tune(engine)
    with engine.connect() as connection:
        try:
            yield connection
        finally:
            connection.invalidate()  # nothing is asked of it any more: the server may be gone


def lock_key(what: str) -> int:
    """Advisory locks are known by numbers of 64 bits, in each database."""
    return int.from_bytes(hashlib.blake2b(f"optnas {what}".encode(), digest_size=8).digest(), "big", signed=True)
