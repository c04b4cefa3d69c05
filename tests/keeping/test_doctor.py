import errno
import os
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace

import handmade
import older
import optuna
import pytest
from filelock import FileLock
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from optnas.errors import UsageError
from optnas.keeping.archive import archive_study
from optnas.keeping.beside import searched_now
from optnas.keeping.doctor import examine, examine_studies
from optnas.keeping.mend import mend
from optnas.keeping.record import read_record
from optnas.keeping.restore import restore_study
from optnas.study import coordinate, open_storage, versions, weights_folder
from optnas.study.locks import lock_path


def address(path):
    return f"sqlite:///{path}"


def new(storage=None, name="s", **settings):
    """A study that optnas search might have made, of two epochs."""
    study = handmade.new_study(name=name, storage=storage)
    study.set_user_attr("optnas:versions", versions())
    study.set_user_attr("optnas:settings", {"task": {"data": "digits", "epochs": 2}, **settings})
    study.set_user_attr("optnas:request", {"data": "digits"})
    return study


def add(study, error=0.5, macs=100.0, **changes):
    number = len(study.trials)
    kept = {
        "costs": {"macs": macs, "params": 10}, "fingerprint": f"{number}", "seed": 0, "curve": [0.9, error],
        "values": (error, macs), "seconds": (number, number + 1), **changes,
    }  # fmt: skip
    handmade.add(study, kept.pop("values"), **{key: value for key, value in kept.items() if value is not None})


def told(study, storage="memory"):
    """What is found: severity, trials and the sentence."""
    found = examine_studies(study._storage, storage).findings
    return [(one.severity, one.trials, one.what) for one in found]


def test_all_is_well():
    study = new(constraints=["macs<=500"])
    for _ in range(3):
        add(study, constraints={"macs<=500": -1.0})
    add(study, values=None, state=TrialState.PRUNED, curve=[0.9], pruned_epoch=1, constraints={"macs<=500": -1.0})
    add(study, fingerprint="0", repeat_of=0, curve=None)
    add(study, values=None, state=TrialState.PRUNED, curve=None, fingerprint=None, seed=None, reason="over budget")
    add(study, values=None, state=TrialState.FAIL, curve=None, reason="diverged")
    assert told(study) == []


SHORT = "with a curve of other epochs than they trained"
OTHER = "with values that are not those of their costs and the end of their curve"
RUNS = "running; whether a search trains them cannot be told here"
PRUNED = {"values": None, "state": TrialState.PRUNED}


@pytest.mark.parametrize(
    ("changes", "severity", "words"),
    [
        ({"costs": None}, "lost", "trained without costs"),
        ({"fingerprint": None}, "lost", "trained without fingerprint"),
        ({"seed": None}, "lost", "trained without seed"),
        ({"curve": None}, "lost", "trained without curve"),
        ({"curve": [0.5]}, "lost", SHORT),
        ({"curve": [0.9, 0.8, 0.5]}, "lost", SHORT),
        ({"curve": [0.9, 0.4]}, "lost", OTHER),
        ({"costs": {"macs": 101.0}}, "lost", OTHER),
        ({"curve": [0.9], "pruned_epoch": 2, **PRUNED}, "lost", SHORT),
        ({"repeat_of": 9}, "lost", "repeats of a trial that trained nothing"),
        ({"values": (0.5, float("inf"))}, "worth knowing", "complete with a value that is no finite number"),
        ({"fingerprint": "0"}, "worth knowing", "networks that were trained more than once"),
        ({"state": TrialState.WAITING, "values": None}, "worth knowing", "waiting"),
        ({"state": TrialState.RUNNING, "values": None}, "worth knowing", RUNS),
    ],
)  # fmt: skip
def test_one_trial_of_which_something_is_wrong(changes, severity, words):
    study = new()
    add(study)
    add(study, **changes)
    trials = (0, 1) if words == "networks that were trained more than once" else (1,)
    assert told(study) == [(severity, trials, words)]


def test_a_curve_of_six_digits_is_that_of_its_value():
    study = new()
    add(study, error=1 / 3, curve=[0.9, 0.333333])
    assert told(study) == []


def test_constraints_that_are_missing():
    study = new(constraints=["macs<=500", "params<=9"])
    add(study, constraints={"macs<=500": -1.0, "params<=9": -1.0})
    add(study, constraints={"macs<=500": -1.0})
    assert told(study) == [("worth knowing", (1,), "without some of the study's constraints")]


def test_intermediate_values_that_break_a_sampler():
    study = new()
    trial = optuna.trial.create_trial(state=TrialState.PRUNED, intermediate_values={1: 0.5})
    study.add_trial(trial)
    assert [(one[0], one[1]) for one in told(study)] == [("worth knowing", (0,))]


def test_what_a_study_says_of_itself():
    plain = handmade.new_study(name="plain")
    assert [one[0] for one in told(plain)] == ["worth knowing"]
    assert "was not made by optnas search" in told(plain)[0][2]
    half = handmade.new_study(name="half")
    half.set_user_attr("optnas:versions", versions())
    assert told(half)[0][0] == "lost"
    begun = new()
    begun.set_user_attr("optnas:request", None)
    assert told(begun) == [("next search", (), "was stopped while it was made")]
    old = new()
    old.set_user_attr("optnas:versions", {**versions(), "torch": "1.0"})
    assert told(old) == [("worth knowing", (), f"was made with torch 1.0, here {versions()['torch']}")]
    part = new()
    part.set_user_attr("optnas:part_of", "gone")
    assert told(part) == [("worth knowing", (), "belongs to the study 'gone', which is gone")]


def test_trials_that_nobody_runs(tmp_path):
    where = address(tmp_path / "a.db")
    study = new(open_storage(where))
    add(study, values=None, state=TrialState.RUNNING, curve=None)
    study.ask()
    add(study, values=None, state=TrialState.RUNNING, curve=None, starts=10)
    found = examine(where)
    assert [(one.severity, one.trials, one.what) for one in found.findings] == [
        ("next search", (0,), "running, and nobody searches"),
        ("next search", (1,), "running without choices, and nobody searches"),
        ("next search", (2,), "interrupted 10 times"),
    ]
    assert not found.well
    (tmp_path / "a.db-checkpoints" / "s").mkdir(parents=True)
    (tmp_path / "a.db-checkpoints" / "s" / "0.safetensors").touch()
    assert ("running without a checkpoint", (1, 2)) in [(one.what, one.trials) for one in examine(where).findings]


@pytest.fixture
def littered(tmp_path):
    """A storage with everything beside it that nobody needs, and what is needed."""
    where = address(tmp_path / "a.db")
    study = new(open_storage(where))
    add(study, error=0.1, macs=10.0)
    add(study, error=0.2, macs=20.0)
    weights, checkpoints = weights_folder(where, "s"), tmp_path / "a.db-checkpoints" / "s"
    for folder in (weights, checkpoints):
        folder.mkdir(parents=True)
    (weights / "0.safetensors").write_text("front")
    (weights / "1.safetensors").write_text("beaten")
    done = subprocess.Popen(["true"])
    done.wait()  # its number belongs to nobody now
    (weights / f"0.safetensors.{done.pid}").write_text("half")
    (weights / f"0.safetensors.{os.getpid()}").write_text("being written")
    (checkpoints / "1.safetensors").write_text("ended")
    (tmp_path / "a.db.0123456789ab.lock").touch()
    (tmp_path / "a.db-weights" / "gone").mkdir()
    (tmp_path / f"a.db.draft-{done.pid}-x").mkdir()
    study._storage._backend.engine.dispose()
    return where


def test_what_lies_beside_a_storage_is_told_and_left(littered, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    found = {one.what: one for one in examine(littered).findings}
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert {what: (one.trials, len(one.remove)) for what, one in found.items() if one.remove} == {
        "not on the front, whose weights are kept all the same": ((1,), 1),
        "not running, whose checkpoints are kept all the same": ((1,), 1),
        "halves of files of writers that were killed": ((), 1),
        "locks of searches that are dead; they hold nothing": ((), 1),
    }
    assert "weights of studies that are not in the storage: gone" in found
    assert any("was left half by a kill" in what for what in found)


def test_mending_removes_that_and_nothing_else(littered, tmp_path):
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    said = mend(littered, examine(littered))
    assert len(said) == 4
    gone = {path.name.split(".safetensors.")[0] for path in before if not path.exists()}
    assert gone == {"1.safetensors", "0", "a.db.0123456789ab.lock"}
    assert (weights_folder(littered, "s") / "0.safetensors").read_text() == "front"
    assert (weights_folder(littered, "s") / f"0.safetensors.{os.getpid()}").exists()
    assert examine(littered).well


def test_a_study_that_is_searched_is_left_alone(littered, tmp_path):
    holder = (
        "import time\n"
        "from optnas.study import coordinate\n"
        f"with coordinate({littered!r}, 's'):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(600)\n"
    )
    found = examine(littered)
    process = subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    try:
        said = mend(littered, found)
        assert sum("is being searched by another process" in sentence for sentence in said) == 1
        assert (weights_folder(littered, "s") / "1.safetensors").exists()
        assert [one for one in examine(littered).findings if one.study == "s"] == []
    finally:
        process.kill()
        process.communicate()


def test_a_lock_that_is_held_since_it_was_looked_at_stays(littered, tmp_path):
    lock = lock_path(littered, "s")
    lock.touch()
    found = examine(littered)
    assert lock in {path for finding in found.findings for path in finding.remove}
    with coordinate(littered, "s"):
        mend(littered, found)
        with pytest.raises(UsageError, match="is being searched"), coordinate(littered, "s"):
            pass


def test_a_lock_that_another_user_left_is_looked_at_by_reading(tmp_path, monkeypatch):
    where = address(tmp_path / "a.db")
    open_storage(where).engine.dispose()
    lock, holding = lock_path(where, "s"), FileLock(lock_path(where, "s"))

    def denied(self, *arguments):
        raise PermissionError(errno.EACCES, "Permission denied", str(lock))

    holding.acquire()
    monkeypatch.setattr("optnas.keeping.beside.FileLock.acquire", denied)
    assert searched_now(where, "s") is True
    holding.release()
    lock.touch()
    assert searched_now(where, "s") is False
    assert mend(where, examine(where)) == [f"removed {lock.name}"]

    lock.touch()
    found = examine(where)
    monkeypatch.setattr("pathlib.Path.unlink", denied)
    assert mend(where, found) == [f"locks: Permission denied: {lock}"]


def test_a_file_that_is_needed_since_it_was_looked_at_stays(littered):
    found = examine(littered)
    study = optuna.load_study(study_name="s", storage=open_storage(littered))
    add(study, error=0.05, macs=30.0)  # trial 2, whose weights come to the front
    weights = weights_folder(littered, "s")
    (weights / "2.safetensors").write_text("front")
    seen = [
        replace(one, remove=(*one.remove, weights / "2.safetensors")) if one.remove and one.study else one
        for one in found.findings
    ]
    mend(littered, replace(found, findings=tuple(seen)))
    assert (weights / "2.safetensors").exists()
    assert not (weights / "1.safetensors").exists()


def test_half_a_study_of_a_restore_that_was_killed(tmp_path, monkeypatch):
    where = f"journal:///{tmp_path / 'a.journal'}"
    add(study := new())
    archive_study(study, "memory", tmp_path / "s.zip")

    def killed(*arguments, **keywords):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("optnas.keeping.record._system_attrs", killed)
        patched.setattr("optuna.delete_study", killed)  # a process that is dead cleans nothing up
        with pytest.raises(KeyboardInterrupt):
            restore_study(tmp_path / "s.zip", open_storage(where), where)
    (finding,) = examine(where).findings
    assert (finding.severity, finding.study) == ("lost", "s")
    assert "left half by a restore that was killed" in finding.what
    with coordinate(where, "s"):
        (finding,) = examine(where).findings
        assert finding.what == "is being restored from an archive"
    assert restore_study(tmp_path / "s.zip", open_storage(where), where).trials == 1
    assert examine(where).well
    again = read_record(optuna.load_study(study_name="s", storage=open_storage(where)))
    assert again.system_attrs == {}

    with monkeypatch.context() as patched:
        patched.setattr("optnas.keeping.record._system_attrs", killed)
        patched.setattr("optuna.delete_study", killed)
        with pytest.raises(KeyboardInterrupt):
            restore_study(tmp_path / "s.zip", open_storage(where), where, "t")
    assert mend(where, examine(where)) == ["deleted the half of study 't'"]
    assert [study.study_name for study in open_storage(where).get_all_studies()] == ["s"]


def test_files_of_trials_that_the_storage_does_not_have(tmp_path):
    where = address(tmp_path / "a.db")
    add(new(open_storage(where)))
    folder = weights_folder(where, "s")
    folder.mkdir(parents=True)
    for number in (0, 5):
        (folder / f"{number}.safetensors").touch()
    (one,) = examine(where).findings
    assert (one.severity, one.trials, one.remove) == ("lost", (5,), ())
    assert "without its" in one.advice


def test_a_damaged_file(tmp_path):
    path = tmp_path / "a.db"
    storage = open_storage(address(path))
    study = new(storage)
    for _ in range(5):
        add(study)
    storage.engine.dispose()
    content = path.read_bytes()
    path.write_bytes(content[:-5000])
    found = examine(address(path))
    assert found.damaged
    assert [one.severity for one in found.findings][:1] == ["lost"]
    assert "ends too early" in found.findings[0].what
    size = int.from_bytes(content[16:18], "big")
    path.write_bytes(content[: 12 * size] + random.Random(0).randbytes(size) + content[13 * size :])
    found = examine(address(path))
    assert found.damaged
    assert "is damaged" in found.findings[0].what
    assert "--rescue-into" in found.findings[0].advice


def test_older_tables_are_upgraded_with_a_copy_of_the_file_beside(tmp_path):
    path = tmp_path / "a.db"
    storage = open_storage(address(path))
    add(new(storage))
    storage.remove_session()
    storage.engine.dispose()
    older.downgraded(path, "v3.0.0.c")
    content = path.read_bytes()
    (one,) = examine(address(path)).findings
    assert one.severity == "next search"
    assert "of an older Optuna: expected v3.2.0.a" in one.what
    assert "got v3.0.0.c" in one.what
    assert one.mend == "copies the file and upgrades its tables"
    assert path.read_bytes() == content
    (sentence,) = mend(address(path), examine(address(path)))
    (kept,) = tmp_path.glob("a.db.backup-v3.0.0.c")
    assert str(kept) in sentence
    with closing(sqlite3.connect(kept)) as connection:
        assert connection.execute("SELECT count(*) FROM trials").fetchone() == (1,)
    assert examine(address(path)).trials == 1


def test_newer_tables_are_told(tmp_path):
    path = tmp_path / "a.db"
    open_storage(address(path)).engine.dispose()
    older.renumbered(path, "v9.9.9.a")
    (one,) = examine(address(path)).findings
    assert (one.severity, one.mend) == ("lost", "")
    assert "of a newer Optuna: expected v3.2.0.a" in one.what
    assert "got v9.9.9.a" in one.what


def test_what_is_no_storage(tmp_path):
    (tmp_path / "text.db").write_text("not a database, but longer than sixteen bytes")
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
        connection.commit()
    (tmp_path / "nothing.db").touch()
    for name, words in [
        ("text.db", "got another kind of file"),
        ("other.db", r"belongs to something else \(its tables: bookmarks\)"),
        ("no.db", "there is no such file"),
        (".", "got a folder"),
    ]:
        with pytest.raises(UsageError, match=words):
            examine(address(tmp_path / name))
    assert examine(address(tmp_path / "nothing.db")).well
    with pytest.raises(UsageError, match="there is no study 't', only none"):
        examine_studies(InMemoryStorage(), "memory", "t")
