import errno
import json
import os
import random
import re
import sqlite3
import subprocess
import sys
from contextlib import closing

import handmade
import numpy as np
import optuna
import pytest

from optnas.errors import UsageError
from optnas.keeping.pictures import uploads_of
from optnas.keeping.rescue import rescue
from optnas.keeping.salvage import is_short, opened_damaged, salvage
from optnas.study import checkpoints_folder, open_storage, weights_folder
from optnas.study.snapshot import snapshot

TRIALS = 100


def address(path):
    return f"sqlite:///{path}"


def facts(trial):
    return {key: value for key, value in trial.__dict__.items() if key != "_trial_id"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A file of 100 trials with curves of 20 epochs, at rest."""
    path = tmp_path_factory.mktemp("whole") / "a.db"
    storage = open_storage(address(path))
    handmade.large(TRIALS, name="s", storage=storage)
    storage.engine.dispose()
    return path


@pytest.fixture
def file(whole, tmp_path):
    path = tmp_path / "a.db"
    path.write_bytes(whole.read_bytes())
    return path


def page_of(path, table, row):
    """The number, from 0, of the page that holds a row, and the size of a page: found by damaging each of them."""
    content = path.read_bytes()
    size = int.from_bytes(content[16:18], "big")
    probe = path.with_name("probe.db")
    for page in range(1, len(content) // size):
        if content[page * size] == 0x0D:  # a leaf of a table
            probe.write_bytes(content[: page * size] + bytes(size) + content[(page + 1) * size :])
            with closing(sqlite3.connect(probe)) as connection:
                try:
                    connection.execute("SELECT sql FROM sqlite_master").fetchall()
                except sqlite3.DatabaseError:
                    continue
                try:
                    connection.execute(f"SELECT * FROM {table} NOT INDEXED WHERE rowid = ?", (row,)).fetchone()
                except sqlite3.DatabaseError:
                    probe.unlink()
                    return page, size
    raise AssertionError


def overwrite(path, page, size, seed=0):
    noise = np.random.default_rng(seed).bytes(size)
    with path.open("r+b") as opened:
        opened.seek(page * size)
        opened.write(noise)


def loaded(path, name="s"):
    return optuna.load_study(study_name=name, storage=open_storage(address(path)))


def test_of_a_whole_file_nothing_is_lost(file, whole, tmp_path):
    before = file.read_bytes()
    made = rescue(file, tmp_path / "new.db")
    assert file.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.db", "new.db"]
    assert made.gaps == 0
    assert [(one.study, one.trials, one.lost, one.broken, one.poorer, one.guessed) for one in made.studies] == [
        ("s", TRIALS, (), (), (), False)
    ]
    new, old = loaded(tmp_path / "new.db"), loaded(whole)
    assert [facts(trial) for trial in new.trials] == [facts(trial) for trial in old.trials]
    assert (new.user_attrs, new.metric_names, new.directions) == (old.user_attrs, old.metric_names, old.directions)


def test_trials_around_a_lost_page_of_trials_are_as_they_were(file, whole, tmp_path):
    overwrite(file, *page_of(file, "trials", 30))
    made = rescue(file, tmp_path / "new.db")
    (one,) = made.studies
    assert one.trials == TRIALS
    assert 29 in one.lost  # the trial of row 30
    assert list(one.lost) == list(range(one.lost[0], one.lost[-1] + 1))
    assert (one.broken, one.poorer) == ((), ())
    new, old = loaded(tmp_path / "new.db"), loaded(whole)
    for trial, known in zip(new.trials, old.trials, strict=True):
        if trial.number in one.lost:
            assert (trial.state.name, trial.user_attrs) == ("FAIL", {"optnas:reason": "lost with a damaged file"})
        else:
            assert facts(trial) == facts(known)


def test_what_lost_choices_has_failed_and_nothing_else_has(file, whole, tmp_path):
    with closing(sqlite3.connect(file)) as connection:
        number = connection.execute("SELECT trial_id FROM trial_params WHERE rowid = 90").fetchone()[0] - 1
    overwrite(file, *page_of(file, "trial_params", 90))
    (one,) = rescue(file, tmp_path / "new.db").studies
    assert number in one.broken
    assert (one.lost, one.recomputed) == ((), ())
    assert len(one.broken) < TRIALS / 2
    new, old = loaded(tmp_path / "new.db"), loaded(whole)
    for trial, known in zip(new.trials, old.trials, strict=True):
        if trial.number in one.broken:
            assert trial.state.name == "FAIL"
            assert "choices lost with a damaged file, it was" in trial.user_attrs["optnas:reason"]
        else:
            assert facts(trial) == facts(known)


def test_values_that_are_lost_come_from_costs_and_curves(file, whole, tmp_path):
    overwrite(file, *page_of(file, "trial_values", 1))
    (one,) = rescue(file, tmp_path / "new.db").studies
    assert one.recomputed
    assert (one.lost, one.broken) == ((), ())
    new, old = loaded(tmp_path / "new.db"), loaded(whole)
    assert [facts(trial) for trial in new.trials] == [facts(trial) for trial in old.trials]


def test_values_that_nothing_tells_are_not_made_up(tmp_path):
    path = tmp_path / "a.db"
    storage = open_storage(address(path))
    study = handmade.new_study(name="s", storage=storage)
    handmade.add(study, (0.5, 1.0), curve=[0.5])  # of which cost the second value was, is not said
    handmade.add(study, state=optuna.trial.TrialState.PRUNED, curve=[0.9])
    storage.engine.dispose()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM trial_values")
        connection.commit()
    (one,) = rescue(path, tmp_path / "new.db").studies
    assert one.broken == (0,)
    trials = loaded(tmp_path / "new.db").trials
    assert [trial.state.name for trial in trials] == ["FAIL", "PRUNED"]
    assert trials[0].user_attrs["optnas:reason"] == "values lost with a damaged file, it was complete"


def test_what_may_lack_attributes_is_named(file, whole, tmp_path):
    overwrite(file, *page_of(file, "trial_user_attributes", 120))
    (one,) = rescue(file, tmp_path / "new.db").studies
    assert one.broken == one.lost == ()
    new, old = loaded(tmp_path / "new.db"), loaded(whole)
    changed = {
        trial.number for trial, known in zip(new.trials, old.trials, strict=True) if facts(trial) != facts(known)
    }
    assert changed
    assert changed <= {*one.poorer}
    assert len(one.poorer) <= len(changed) + 2  # the two at the edge may be whole


def test_many_pages_of_noise_in_the_middle(file, whole, tmp_path):
    content = file.read_bytes()
    size = int.from_bytes(content[16:18], "big")
    pages = len(content) // size
    for place in range(pages // 2, pages // 2 + 8):
        overwrite(file, place, size, seed=place)
    before = file.read_bytes()
    made = rescue(file, tmp_path / "new.db")
    assert file.read_bytes() == before
    (one,) = made.studies
    spoilt = {*one.lost, *one.broken, *one.poorer}
    new, old = loaded(tmp_path / "new.db"), loaded(whole)
    assert len(spoilt) < TRIALS
    for trial in new.trials:
        if trial.number not in spoilt:
            assert facts(trial) == facts(old.trials[trial.number])


@pytest.mark.parametrize("share", [0.95, 0.8])
def test_a_file_that_ends_too_early(share, file, whole, tmp_path):
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    assert is_short(file)
    (one,) = rescue(file, tmp_path / "new.db").studies
    new, old = loaded(tmp_path / "new.db"), loaded(whole)
    told = {*one.lost, *one.broken}
    for trial, known in zip(new.trials, old.trials, strict=False):
        if trial.number in told:
            assert trial.state.name == "FAIL"
        elif trial.number in one.poorer:
            assert (trial.state, trial.values, trial.params) == (known.state, known.values, known.params)
        else:
            assert facts(trial) == facts(known)
    assert len(told) < len(new.trials)


def test_the_log_of_a_killed_search_counts_where_it_is(tmp_path):
    path = tmp_path / "a.db"
    script = (
        "import os, optuna\n"
        "from optnas.study import open_storage\n"
        "storage = open_storage('sqlite:///a.db')\n"
        "study = optuna.create_study(storage=storage, study_name='s')\n"
        "storage.engine.dispose()\n"  # so far all is in the file
        "for _ in range(3):\n"
        "    study.tell(study.ask(), 1.0)\n"
        "os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env={**os.environ}, capture_output=True)
    assert (tmp_path / "a.db-wal").stat().st_size > 0
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir() if one.suffix in (".db", ".db-wal")}
    assert rescue(path, tmp_path / "with.db").studies[0].trials == 3
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    (tmp_path / "a.db-wal").unlink()
    assert rescue(path, tmp_path / "without.db").studies[0].trials == 0


def test_a_study_whose_name_is_lost_gets_one(file, tmp_path):
    overwrite(file, 1, int.from_bytes(file.read_bytes()[16:18], "big"))  # the page of the table of studies
    (one,) = rescue(file, tmp_path / "new.db").studies
    assert (one.study, one.trials, one.guessed) == ("rescued 1", TRIALS, True)


#: With the second noise the first page says that the file has pages of 3526 bytes and is too short.
@pytest.mark.parametrize("noise", [0, 47])
@pytest.mark.parametrize(("start", "end"), [(0, 4096), (100, 4096), (22 * 4096, 24 * 4096)])
def test_a_lost_list_of_tables_is_that_of_any_storage(start, end, noise, file, whole, tmp_path):
    content = bytearray(file.read_bytes())
    content[start:end] = random.Random(noise).randbytes(end - start)
    file.write_bytes(content)
    (one,) = rescue(file, tmp_path / "new.db").studies
    assert (one.study, one.lost, one.broken) == ("s", (), ())
    new, old = loaded(tmp_path / "new.db"), loaded(whole)
    assert [facts(trial) for trial in new.trials] == [facts(trial) for trial in old.trials]


def test_what_lies_beside_comes_along_with_what_tells_of_it(file, tmp_path):
    artifact, study = "00000000-0000-4000-8000-000000000001", loaded(file)
    meta = {"artifact_id": artifact, "filename": "photo.png", "mimetype": "image/png", "encoding": None}
    key = f"dashboard:artifacts:{study.trials[4]._trial_id}:{artifact}"
    study._storage.set_study_system_attr(study._study_id, key, json.dumps(meta))
    study._storage.engine.dispose()
    for folder in ("weights", "checkpoints", "artifacts", "supernets"):
        (tmp_path / f"a.db-{folder}").mkdir()
        (tmp_path / f"a.db-{folder}" / "one").write_text(folder)
    rescue(file, tmp_path / "new.db")
    for folder in ("weights", "checkpoints", "artifacts", "supernets"):
        assert (tmp_path / f"new.db-{folder}" / "one").read_text() == folder
    (picture,) = uploads_of(loaded(tmp_path / "new.db"))
    assert (picture.trial, picture.meta.artifact_id) == (4, artifact)


def test_weights_come_along(file, tmp_path):
    folder = weights_folder(address(file), "s")
    folder.mkdir(parents=True)
    (folder / "3.safetensors").write_text("weights")
    rescue(file, tmp_path / "new.db")
    assert (weights_folder(address(tmp_path / "new.db"), "s") / "3.safetensors").read_text() == "weights"


def test_checkpoints_come_along_to_where_a_search_looks_for_them(file, tmp_path):
    given, study = str(tmp_path / "given"), loaded(file)
    study.set_user_attr("optnas:request", {"checkpoints": given})
    study.ask()
    study._storage.engine.dispose()
    folder = checkpoints_folder(address(file), "s", given)
    folder.mkdir(parents=True)
    (folder / f"{TRIALS}.safetensors").write_text("begun")
    rescue(file, tmp_path / "new.db")
    folder = checkpoints_folder(address(tmp_path / "new.db"), "s", given)
    assert (folder / f"{TRIALS}.safetensors").read_text() == "begun"


def test_what_cannot_be_rescued(file, tmp_path):
    with pytest.raises(UsageError, match="expected a file that does not exist"):
        rescue(file, file)
    (tmp_path / "noise.db").write_bytes(b"SQLite format 3\0" + random.Random(0).randbytes(100_000))
    with pytest.raises(UsageError, match=r"the list of tables in noise\.db is lost|nothing of its studies"):
        rescue(tmp_path / "noise.db", tmp_path / "new.db")
    for length in (20, 10_000, 300_000):
        (tmp_path / "text.db").write_text("not a database " * (length // 15))
        with pytest.raises(UsageError, match=r"text\.db holds nothing of Optuna|nothing of its studies"):
            rescue(tmp_path / "text.db", tmp_path / "new.db")
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    with pytest.raises(UsageError, match="has no tables of Optuna"):
        rescue(tmp_path / "other.db", tmp_path / "new.db")
    assert not (tmp_path / "new.db").exists()


def test_rows_around_two_gaps_are_all_read(tmp_path):
    path = tmp_path / "t.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(n, f"{n:0200d}") for n in range(1, 2001)])
        connection.commit()
    content = path.read_bytes()
    leaves = [page for page in range(1, len(content) // 4096) if content[page * 4096] == 0x0D]
    for place in (20, 50):
        overwrite(path, leaves[place], 4096, seed=place)
    with snapshot(path) as copied, opened_damaged(copied) as connection:
        found = salvage(connection, "t", ["text"])
    assert len(found.gaps) == 2
    lost = {number for low, high in found.gaps for number in range(low, high + 1)}
    assert {*found.rows} | lost == {*range(1, 2001)}
    assert not {*found.rows} & lost
    assert 20 < len(lost) < 60  # a page holds 19
    assert all(text == (f"{number:0200d}".encode(),) for number, text in found.rows.items())


def test_a_snapshot_leaves_no_trace(file):
    before = {path: path.stat().st_mtime_ns for path in file.parent.iterdir()}
    with snapshot(file) as copied, closing(sqlite3.connect(copied)) as connection:
        assert connection.execute("SELECT count(*) FROM trials").fetchone() == (TRIALS,)
    assert {path: path.stat().st_mtime_ns for path in file.parent.iterdir()} == before


def test_a_snapshot_while_somebody_writes(file, monkeypatch):
    monkeypatch.setattr("optnas.study.snapshot._copy_at_rest", lambda path, copied: False)
    storage = open_storage(address(file))
    optuna.load_study(study_name="s", storage=storage).ask()
    with snapshot(file) as copied, closing(sqlite3.connect(copied)) as connection:
        assert connection.execute("SELECT count(*) FROM trials").fetchone() == (TRIALS + 1,)
    storage.engine.dispose()


def test_no_room_for_a_snapshot_is_not_blamed_on_the_file(file, tmp_path, monkeypatch):
    def full_disk(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))

    def full_database(*_):
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.execute("PRAGMA max_page_count = 1")
            connection.execute("CREATE TABLE one (a)")

    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    sentence = f"storage {file}: no room for a copy of it in {temporary}: the variable TMPDIR names another folder"
    monkeypatch.setattr("optnas.study.snapshot._copy_at_rest", full_disk)
    with pytest.raises(UsageError, match=f"^{re.escape(sentence)}$"), snapshot(file):
        pass
    monkeypatch.setattr("optnas.study.snapshot._copy_at_rest", lambda path, copied: False)
    monkeypatch.setattr("optnas.study.snapshot.copy_database", full_database)
    with pytest.raises(UsageError, match=f"^{re.escape(sentence)}$"), snapshot(file):
        pass
    temporary.rmdir()
    with pytest.raises(UsageError, match="cannot be copied to a temporary folder: No such file"), snapshot(file):
        pass
