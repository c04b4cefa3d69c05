import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from older import downgraded, renumbered

from optnas.errors import UsageError
from optnas.study import open_storage
from optnas.study.schema import set_aside, upgrade

#: Optuna's tables before values had a type, which came with 3.0.0.
OLD = "v3.0.0.c"
NEW = "v3.2.0.a"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A file of an older Optuna with a study of three trials."""
    path = tmp_path_factory.mktemp("older") / "a.db"
    study = optuna.create_study(storage=f"sqlite:///{path}", study_name="s", directions=["minimize", "maximize"])
    study.set_user_attr("kept", {"a": [1, 2]})
    for number in range(3):
        trial = study.ask()
        trial.suggest_int("width", number, 9)
        trial.suggest_categorical("op", ["a", "b"])
        trial.set_user_attr("curve", [0.5, 0.25])
        study.tell(trial, [0.125 * number, 2.0])
    study._storage.remove_session()
    study._storage._backend.engine.dispose()
    downgraded(path, OLD)
    return path


@pytest.fixture
def old(made, tmp_path):
    """A copy of it."""
    return Path(shutil.copy(made, tmp_path))


def columns(path, table):
    with closing(sqlite3.connect(path)) as connection:
        return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


def test_who_opens_to_write_upgrades_and_keeps_a_copy(old, tmp_path):
    assert "value_type" not in columns(old, "trial_values")
    said = []
    storage = open_storage(f"sqlite:///{old}", say=said.append)
    (sentence,) = said
    kept = tmp_path / f"a.db.backup-{OLD}"
    assert f"from {OLD} to {NEW}; the file as it was is {kept}" in sentence
    study = optuna.load_study(study_name="s", storage=storage)
    assert [trial.values for trial in study.trials] == [[0.0, 2.0], [0.125, 2.0], [0.25, 2.0]]
    assert [trial.params["width"] >= trial.number for trial in study.trials] == [True] * 3
    assert {tuple(trial.user_attrs["curve"]) for trial in study.trials} == {(0.5, 0.25)}
    assert study.user_attrs == {"kept": {"a": [1, 2]}}
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MAXIMIZE"]
    study.tell(study.ask(), [float("inf"), 0.0])  # which the old tables could not hold
    assert study.trials[3].values == [float("inf"), 0.0]
    assert "value_type" not in columns(kept, "trial_values")
    with closing(sqlite3.connect(kept)) as connection:
        assert connection.execute("SELECT value FROM trial_values WHERE objective = 0").fetchall() == [
            (0.0,), (0.125,), (0.25,)
        ]  # fmt: skip
    assert sorted(path.name for path in tmp_path.glob("*upgrade*")) == []
    open_storage(f"sqlite:///{old}", say=said.append)
    assert len(said) == 1


def test_who_only_reads_changes_nothing(old, tmp_path):
    content = old.read_bytes()
    with pytest.raises(UsageError, match=rf"expected {NEW} of the installed .*, got {OLD}: optnas doctor .* --mend"):
        open_storage(f"sqlite:///{old}", create=False)
    assert old.read_bytes() == content
    assert list(tmp_path.iterdir()) == [old]


def test_a_newer_file_is_refused_and_left(tmp_path):
    path = tmp_path / "a.db"
    optuna.create_study(storage=f"sqlite:///{path}")
    renumbered(path, "v9.9.9.a")
    content = path.read_bytes()
    for create in (True, False):
        with pytest.raises(UsageError, match=rf"a newer Optuna: expected {NEW} .*, got v9\.9\.9\.a: install that"):
            open_storage(f"sqlite:///{path}", create=create)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_searched_is_not_upgraded(old, tmp_path):
    holder = (
        "import time\nfrom optnas.study import coordinate\n"
        f"with coordinate('sqlite:///{old}', 's'):\n    print('held', flush=True)\n    time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        content = old.read_bytes()
        with pytest.raises(UsageError, match="is being searched by another process"):
            open_storage(f"sqlite:///{old}")
        assert old.read_bytes() == content
        assert list(tmp_path.glob("*.backup-*")) == []
    finally:
        process.kill()
        process.communicate()


def test_an_upgrade_that_fails_leaves_the_file_as_it_was(old, tmp_path):
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("DROP TABLE trial_values")  # which the upgrade alters
        connection.commit()
    content = old.read_bytes()
    with pytest.raises(UsageError, match=r"cannot be upgraded \(.*trial_values.*\); it is as before"):
        open_storage(f"sqlite:///{old}")
    assert old.read_bytes() == content
    assert list(tmp_path.iterdir()) == [old]


def test_another_process_that_writes_meanwhile_loses_nothing(old, tmp_path, monkeypatch):
    from optnas.study import schema

    def upgrade_copy(path):
        with closing(sqlite3.connect(old)) as other:
            other.execute("UPDATE studies SET study_name = 'renamed'")
            other.commit()
        return OLD, NEW

    monkeypatch.setattr(schema, "_upgrade_copy", upgrade_copy)
    with pytest.raises(UsageError, match="another process writes to it"):
        upgrade(old)
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("SELECT study_name FROM studies").fetchall() == [("renamed",)]
    assert list(tmp_path.iterdir()) == [old]


def test_a_kill_before_the_end_of_an_upgrade_leaves_the_file_as_it_was(old):
    content = old.read_bytes()
    script = (
        "import os\nfrom pathlib import Path\nfrom optnas.study import schema\n"
        "schema.set_aside = lambda *given: os._exit(9)\n"
        f"schema.upgrade(Path({str(old)!r}))\n"
    )
    killed = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True)
    assert (killed.returncode, killed.stderr) == (9, ""), "a person is not told each step"
    assert old.read_bytes() == content
    open_storage(f"sqlite:///{old}")


def test_copies_do_not_overwrite_each_other(tmp_path):
    names = []
    for text in ("one", "two", "three"):
        copied = tmp_path / "copied"
        copied.write_text(text)
        names.append(set_aside(copied, tmp_path / "a.db", "v1"))
    assert [path.name for path in names] == ["a.db.backup-v1", "a.db.backup-v1-2", "a.db.backup-v1-3"]
    assert [path.read_text() for path in names] == ["one", "two", "three"]
    assert "copied" not in os.listdir(tmp_path)


def test_triggers_of_a_file_from_elsewhere_call_no_functions(tmp_path):
    path = tmp_path / "a.db"
    study = optuna.create_study(storage=f"sqlite:///{path}", study_name="s")
    study._storage._backend.engine.dispose()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TRIGGER hook AFTER INSERT ON trials BEGIN SELECT act(); END")
        connection.commit()
    storage = open_storage(f"sqlite:///{path}")
    connection = storage.engine.raw_connection()
    called = []
    connection.driver_connection.create_function("act", 0, lambda: called.append(1))
    with pytest.raises(sqlite3.OperationalError, match=r"unsafe use of act\(\)"):
        connection.driver_connection.execute("INSERT INTO trials (number, study_id, state) VALUES (0, 1, 'RUNNING')")
    connection.close()
    assert called == []
    storage.engine.dispose()
