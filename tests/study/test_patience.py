import sqlite3
from types import SimpleNamespace

import pytest
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import IntegrityError, OperationalError

from optnas.study import patience
from optnas.study.patience import patiently

SERVER, FILE = (SimpleNamespace(engine=SimpleNamespace(name=name)) for name in ("postgresql", "sqlite"))


@pytest.fixture
def pauses(monkeypatch):
    """The pauses that are made, by a clock that runs only in them."""
    made = []
    monkeypatch.setattr(patience.time, "sleep", made.append)
    monkeypatch.setattr(patience.time, "monotonic", lambda: sum(made))
    return made


def gone():
    return OperationalError("SELECT 1", {}, sqlite3.OperationalError("connection refused\nis it running?"))


def failing(errors):
    """Raises these one after the other, then answers."""

    def ask():
        if errors:
            raise errors.pop(0)
        return 7

    return ask


def test_a_server_is_asked_again_and_a_person_told_once(pauses):
    said = []
    internal = StorageInternalError("in a commit")
    internal.__cause__ = gone()
    assert patiently(SERVER, failing([gone(), internal, gone()]), said.append) == 7
    assert said == [
        "the storage does not answer (connection refused): it is asked again for 120 s; what is in training goes on",
        "the storage answers again",
    ]
    assert len(pauses) == 2


def test_a_connection_that_was_idle_while_the_server_was_started_anew_is_nothing_to_tell(pauses):
    assert patiently(SERVER, failing([gone()]), pytest.fail) == 7
    assert pauses == []


def test_patience_ends(pauses):
    said = []
    with pytest.raises(OperationalError):
        patiently(SERVER, failing([gone() for _ in range(1000)]), said.append)
    assert 120 < sum(pauses) < 126
    assert max(pauses) <= 5
    assert len(said) == 1


@pytest.mark.parametrize(
    ("where", "error"),
    [(FILE, gone()), (SERVER, IntegrityError("INSERT", {}, sqlite3.IntegrityError("twice"))), (SERVER, KeyError(1))],
)
def test_what_waiting_does_not_mend_is_raised_at_once(pauses, where, error):
    with pytest.raises(type(error)):
        patiently(where, failing([error]), pytest.fail)
    assert pauses == []
