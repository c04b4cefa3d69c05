import os
import subprocess
import sys
import time

import handmade
import optuna
import pytest

from optnas.cli import main
from optnas.errors import UsageError
from optnas.front import front
from optnas.keeping.archive import archive_study
from optnas.keeping.doctor import examine
from optnas.keeping.mend import mend
from optnas.keeping.merge import merge
from optnas.keeping.overview import overview, storage_bytes
from optnas.keeping.restore import restore_study
from optnas.study import open_storage, versions, weights_folder


def address(path):
    return f"journal:///{path}"


@pytest.fixture
def journal(tmp_path):
    """A journal with a study as optnas search makes it."""
    path = tmp_path / "a.journal"
    study = handmade.new_study(name="s", storage=open_storage(address(path)))
    study.set_user_attr("optnas:versions", versions())
    study.set_user_attr("optnas:settings", {"task": {"data": "digits", "epochs": 1}})
    study.set_user_attr("optnas:request", {"data": "digits"})
    kept = {"costs": {"macs": 100.0}, "fingerprint": "a", "seed": 0, "curve": [0.5]}
    handmade.add(study, (0.5, 100.0), seconds=(0, 1), **kept)
    weights = weights_folder(address(path), "s")
    weights.mkdir(parents=True)
    (weights / "0.safetensors").write_text("front")
    return path


def told(path):
    return [(one.severity, one.what, one.mend) for one in examine(address(path)).findings]


def test_a_journal_in_order_leaves_no_trace_of_a_look(journal, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    found = examine(address(journal))
    assert (found.studies, found.trials, found.findings) == (("s",), 1, ())
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    with pytest.raises(UsageError, match="no study 't', only s"):
        examine(address(journal), "t")


def test_half_a_record_is_told_and_mended(journal, tmp_path):
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":4,')
    assert told(journal) == [
        ("next search", "the journal ends with half a record (13 bytes)", "copies the file and takes that half out")
    ]
    assert examine(address(journal)).trials == 1
    (sentence,) = mend(address(journal), examine(address(journal)))
    kept = tmp_path / "a.journal.backup-halves"
    assert str(kept) in sentence
    assert kept.read_bytes() == whole + b'{"op_code":4,'
    assert journal.read_bytes() == whole
    assert examine(address(journal)).well


def test_a_line_that_was_written_on_in_is_told_and_mended(journal):
    whole = journal.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    journal.write_bytes(whole[: -len(last)] + b'{"op_code":4,"work' + last + b"{")
    found = examine(address(journal))
    assert found.damaged
    assert [(one.severity, one.cut) for one in found.findings] == [("lost", True), ("next search", False)]
    assert "begins with half a record" in found.findings[0].what
    assert len(mend(address(journal), found)) == 1
    assert journal.read_bytes() == whole
    assert examine(address(journal)).well


def test_a_line_without_a_record_is_told_with_what_is_before_it(journal):
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:2], b"garbage\n", *lines[2:]]))
    (one,) = examine(address(journal)).findings
    assert (one.severity, one.mend) == ("lost", "")
    assert one.what == "line 3 of the journal holds no record, and nothing can be read"
    assert one.advice == f"head -n 2 {journal} > NEW leaves what was before"


def test_records_of_a_newer_optuna_are_told(journal):
    journal.write_bytes(journal.read_bytes() + b'{"op_code":99,"worker_id":"x"}\n')
    (one,) = examine(address(journal)).findings
    assert (one.severity, one.mend) == ("lost", "")
    assert "is of a kind (99)" in one.what


def test_a_lock_that_a_killed_writer_left(journal):
    lock = journal.with_name("a.journal.lock")
    lock.touch()
    assert told(journal) == [], "its writer may live"
    os.utime(lock, (time.time() - 60,) * 2)
    assert told(journal) == [("worth knowing", "a.journal.lock was left by a writer that was killed",
                              "removes a.journal.lock")]  # fmt: skip
    mend(address(journal), examine(address(journal)))
    assert not lock.exists()


def test_a_journal_that_is_searched_is_left_alone(journal):
    whole = journal.read_bytes()
    holder = (
        "import time\nfrom optnas.study import coordinate\n"
        f"with coordinate({address(journal)!r}, 's'):\n    print('held', flush=True)\n    time.sleep(600)\n"
    )
    journal.write_bytes(whole + b"{")
    found = examine(address(journal))
    process = subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    try:
        assert told(journal) == [], "its writer is in the middle of a record"
        with pytest.raises(UsageError, match="is being searched by another process"):
            mend(address(journal), found)
        assert journal.read_bytes() == whole + b"{"
        (row,) = overview(open_storage(address(journal), create=False), address(journal))
        assert row.searched is True
    finally:
        process.kill()
        process.communicate()


def test_overview_archive_restore_and_merge(journal, tmp_path):
    where = address(journal)
    opened = open_storage(where, create=False)
    (row,) = overview(opened, where)
    assert (row.trained, row.weights, row.searched) == (1, 1, False)
    assert storage_bytes(where) == journal.stat().st_size
    study = optuna.load_study(study_name="s", storage=opened)
    archive_study(study, where, tmp_path / "s.zip")
    there = address(tmp_path / "b.journal")
    restore_study(tmp_path / "s.zip", open_storage(there), there)
    again = optuna.load_study(study_name="s", storage=open_storage(there, create=False))
    assert [network.values for network in front(again)] == [{"error": 0.5, "macs": 100.0}]
    assert (weights_folder(there, "s") / "0.safetensors").read_text() == "front"
    (merged,) = merge([where, there], tmp_path / "c.db")
    assert (merged.trials, merged.shared, merged.weights) == (1, 1, 1)
    with pytest.raises(UsageError, match="is the same storage as"):
        merge([where, address(tmp_path / "." / "a.journal")], tmp_path / "d.db")


def test_what_is_refused_in_a_sentence(journal, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("neither")
    for given, words in [
        (["doctor", "--storage", "journal:///text"], "expected a journal of Optuna, got another kind of file"),
        (["doctor", "--storage", "journal:///no"], "there is no such file"),
        (["doctor", "--storage", "journal:///."], "got a folder"),
        (["doctor", "--storage", "a.journal"], "got a journal, whose address is journal:///a.journal"),
        (["studies", "--storage", "a.journal"], "got a journal, whose address is journal:///a.journal"),
        (["doctor", "--storage", "journal:///a.journal", "--rescue-into", "x.db"], "expected a SQLite file alone"),
        (["front", "--storage", "journal:///text"], "got another kind of file"),
        (["front", "--storage", "redis://localhost"], "pickles"),
        (["merge", "journal:///text", "journal:///a.journal", "--into", "x.db"], "got another kind of file"),
    ]:
        assert main(given) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line
    assert not (tmp_path / "x.db").exists()
