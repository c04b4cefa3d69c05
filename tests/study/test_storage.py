import gc
import sqlite3
from contextlib import closing

import optuna
import pytest
from optuna.trial import create_trial

from optnas.errors import UsageError
from optnas.study import find_study, open_storage, shown_storage, study_names


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


@pytest.fixture
def foreign(tmp_path):
    """A file that Optuna made and nobody may write, with what lies beside it."""
    folder = tmp_path / "mount"
    folder.mkdir()
    optuna.create_study(storage=address(folder / "a.db"), study_name="s").add_trial(create_trial(value=1.0))
    (folder / "a.db").chmod(0o444)
    return folder / "a.db"


def test_a_file_is_read_without_a_trace_in_it_or_beside_it(foreign):
    content = foreign.read_bytes()
    opened = open_storage(address(foreign), read_only=True)
    assert find_study(opened, None, "a.db").trials[0].value == 1.0
    assert foreign.read_bytes() == content
    assert [path.name for path in foreign.parent.iterdir()] == ["a.db"]


def test_what_a_search_has_only_in_its_log_is_read_too_also_by_a_link(tmp_path):
    writer = optuna.create_study(storage=open_storage(address(tmp_path / "a.db")), study_name="s")
    writer.add_trial(create_trial(value=2.0))
    assert (tmp_path / "a.db-wal").stat().st_size
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.db"
    link.symlink_to(tmp_path / "a.db")
    for path in (tmp_path / "a.db", link):
        assert find_study(open_storage(address(path), read_only=True), "s", "a.db").trials[0].value == 2.0


def test_reading_makes_no_tables_and_no_file(tmp_path):
    (tmp_path / "empty.db").touch()
    assert study_names(open_storage(address(tmp_path / "empty.db"), read_only=True)) == []
    assert (tmp_path / "empty.db").stat().st_size == 0
    for scheme in ("sqlite", "journal"):
        with pytest.raises(UsageError, match="no such file"):
            open_storage(f"{scheme}:///{tmp_path}/no.db", read_only=True)
    assert [path.name for path in tmp_path.iterdir()] == ["empty.db"]


def test_a_journal_that_nobody_may_write_is_read(tmp_path):
    storage = f"journal:///{tmp_path}/a.log"
    optuna.create_study(storage=open_storage(storage), study_name="s")
    (tmp_path / "a.log").chmod(0o444)
    assert study_names(open_storage(storage, read_only=True)) == ["s"]


def test_the_copy_that_is_read_goes_with_the_storage(foreign, tmp_path, monkeypatch):
    copies = tmp_path / "copies"
    copies.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(copies))
    opened = open_storage(address(foreign), read_only=True)
    assert len(list(copies.iterdir())) == 1
    del opened
    gc.collect()
    assert list(copies.iterdir()) == []


def test_a_file_that_cannot_be_read_is_called_by_its_own_name(tmp_path):
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    with pytest.raises(UsageError, match=f"storage {tmp_path}/other.db: the database belongs to something else"):
        open_storage(address(tmp_path / "other.db"), read_only=True)
