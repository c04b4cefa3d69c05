import optuna
import pytest

from optnas.errors import UsageError
from optnas.study import coordinate, open_storage, study_names, weights_folder
from optnas.study.addresses import sqlite_address, sqlite_path, storage_file

AWKWARD = ["odd?x=1.db", "a%20b.db", "a b.db", "50%.db", "a#b&c=d.db", "{x}.db", "at@home:5.db", "é ü'.db"]


@pytest.mark.parametrize("name", AWKWARD)
def test_a_file_of_any_name_is_the_one_that_is_opened(tmp_path, name):
    path = tmp_path / name
    address = sqlite_address(path)
    assert sqlite_path(address) == storage_file(address) == path
    optuna.create_study(storage=open_storage(address), study_name="s")
    assert study_names(open_storage(address, create=False)) == ["s"]
    assert {one.name for one in tmp_path.iterdir()} <= {name, f"{name}-wal", f"{name}-shm"}
    assert weights_folder(address, "s") == tmp_path / f"{name}-weights" / "s"


def test_a_plain_name_is_its_address_as_it_is():
    assert sqlite_address("runs/a b.db") == "sqlite:///runs/a b.db"
    assert sqlite_path("sqlite:////p/a%20b.db").as_posix() == "/p/a b.db"
    assert sqlite_path("postgresql://me@host/a.db") is None
    assert sqlite_path("memory") is None


def test_the_driver_makes_no_other_storage_of_a_file(tmp_path):
    plain = sqlite_address(tmp_path / "a.db")
    named = plain.replace("sqlite", "sqlite+pysqlite", 1)
    assert type(open_storage(named)) is type(open_storage(plain))
    with coordinate(named, "s"), pytest.raises(UsageError, match="is being searched"), coordinate(plain, "s"):
        pass


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("sqlite://", "expected memory or a file such as sqlite:///optnas.db, got 'sqlite://'"),
        ("sqlite:///", "expected memory or a file"),
        ("sqlite:///:memory:", "expected memory or a file"),
        ("sqlite://optnas.db", "expected memory or a file"),
        ("sqlite+aiosqlite:///a.db", "expected memory or a file"),
        ("sqlite:///a.db?timeout=60", r"nothing behind a \?, got 'sqlite:///a.db\?timeout=60': .* written %3F"),
    ],
)
def test_an_address_of_sqlite_that_names_no_file_or_more_than_one(address, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        open_storage(address)
    assert list(tmp_path.iterdir()) == []
