import sqlite3
import subprocess
import sys

import optuna
import pytest

from optnas.errors import UsageError
from optnas.study import coordinate, find_study, open_storage, shown_storage


def address(path):
    return f"sqlite:///{path}"


def test_a_new_file_is_in_write_ahead_mode(tmp_path):
    storage = open_storage(address(tmp_path / "a.db"))
    optuna.create_study(storage=storage, study_name="s").ask()
    with sqlite3.connect(tmp_path / "a.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    storage.engine.dispose()


def test_a_file_that_optuna_made_is_opened(tmp_path):
    optuna.create_study(storage=address(tmp_path / "a.db"), study_name="s")
    storage = open_storage(address(tmp_path / "a.db"), create=False)
    assert find_study(storage, None, "a.db").study_name == "s"


@pytest.mark.parametrize("text", ["optnas.db", "nonsense://x/y"])
def test_an_address_that_is_none(text):
    with pytest.raises(UsageError, match="storage"):
        open_storage(text)


def test_files_that_are_not_ours_are_refused_and_left_alone(tmp_path):
    text = tmp_path / "text.db"
    text.write_text("not a database, but longer than sixteen bytes")
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    torn = tmp_path / "torn.db"
    torn.write_bytes(b"SQLite format 3\0" + b"\xff" * 4096)
    for path, message in [
        (text, "got another kind of file"),
        (other, r"belongs to something else \(its tables: bookmarks\)"),
        (torn, "cannot be read"),
        (tmp_path, "got a folder"),
        (tmp_path / "no" / "a.db", "does not exist"),
    ]:
        before = path.read_bytes() if path.is_file() else None
        with pytest.raises(UsageError, match=message):
            open_storage(address(path))
        assert before == (path.read_bytes() if path.is_file() else None)


def test_read_only_and_absent_files(tmp_path):
    path = tmp_path / "a.db"
    optuna.create_study(storage=address(path))
    path.chmod(0o444)
    with pytest.raises(UsageError, match="read-only"):
        open_storage(address(path))
    with pytest.raises(UsageError, match="no such file"):
        open_storage(address(tmp_path / "b.db"), create=False)
    assert not (tmp_path / "b.db").exists()


def test_finding_a_study(tmp_path):
    storage = open_storage(address(tmp_path / "a.db"))
    with pytest.raises(UsageError, match="no study in it yet"):
        find_study(storage, None, "a.db")
    for name in ("one", "two"):
        optuna.create_study(storage=storage, study_name=name)
    with pytest.raises(UsageError, match="several studies: choose one with --study: two, one"):
        find_study(storage, None, "a.db")
    with pytest.raises(UsageError, match="no study 'three'"):
        find_study(storage, "three", "a.db")
    assert find_study(storage, "one", "a.db").study_name == "one"


def test_one_coordinator_a_study(tmp_path):
    storage = address(tmp_path / "a.db")
    holder = (
        "import sys, time\n"
        "from optnas.study import coordinate\n"
        f"with coordinate({storage!r}, 's'):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(UsageError, match=r"'s' in .* is being searched by another process"), coordinate(storage, "s"):
        pass
    with coordinate(storage, "another"):
        pass
    process.kill()  # the lock goes with the process
    process.communicate()
    with coordinate(storage, "s"):
        pass
    assert list(tmp_path.glob("*.lock")) == []


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("sqlite:///optnas.db", "sqlite:///optnas.db"),
        ("postgresql+psycopg://me:secret@host/db", "postgresql+psycopg://me:***@host/db"),
        ("memory", "memory"),
        ("no such: address@host", "host"),
    ],
)
def test_an_address_is_shown_without_its_password(address, shown):
    assert shown_storage(address) == shown
