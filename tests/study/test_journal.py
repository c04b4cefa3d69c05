import errno
import json
import os
import subprocess
import sys
from contextlib import suppress

import optuna
import pytest
import toy
from optuna.exceptions import StorageInternalError
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from optnas.errors import UsageError
from optnas.sampler import make_sampler
from optnas.study import (
    InProcess,
    artifacts_folder,
    checkpoints_folder,
    coordinate,
    is_trained,
    open_storage,
    run,
    weights_folder,
)
from optnas.study import journal as journals
from optnas.study.journal import cut_halves, read_lines


def address(path):
    return f"journal:///{path}"


@pytest.fixture
def journal(tmp_path):
    """A journal with a study of two trials, of 8 lines."""
    path = tmp_path / "a.journal"
    study = optuna.create_study(storage=open_storage(address(path)), study_name="s")
    for number in range(2):
        trial = study.ask()
        trial.suggest_int("width", 1, 9)
        study.tell(trial, number)
    assert len(path.read_bytes().splitlines()) == 7
    return path


def trials(path):
    return optuna.load_study(study_name="s", storage=open_storage(address(path), create=False)).trials


def test_optuna_reads_it_and_files_lie_beside_it(journal, tmp_path):
    plain = JournalStorage(JournalFileBackend(str(journal)))
    assert [trial.value for trial in optuna.load_study(study_name="s", storage=plain).trials] == [0, 1]
    where = address(journal)
    assert weights_folder(where, "s") == tmp_path / "a.journal-weights" / "s"
    assert checkpoints_folder(where, "s") == tmp_path / "a.journal-checkpoints" / "s"
    assert artifacts_folder(where) == tmp_path / "a.journal-artifacts"


def test_two_writers_at_once_lose_nothing(tmp_path):
    path = tmp_path / "a.journal"
    optuna.create_study(storage=open_storage(address(path)), study_name="s")
    script = (
        "import optuna\nfrom optnas.study import open_storage\n"
        f"study = optuna.load_study(study_name='s', storage=open_storage({address(path)!r}))\n"
        "for _ in range(5): study.tell(study.ask(), 1.0)\n"
    )
    writers = [subprocess.Popen([sys.executable, "-W", "ignore", "-c", script]) for _ in range(2)]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert [trial.state for trial in trials(path)] == [TrialState.COMPLETE] * 10
    assert [path.name for path in tmp_path.iterdir()] == ["a.journal"]


def test_one_coordinator_a_study(journal, tmp_path):
    where = address(journal)
    holder = (
        "import time\nfrom optnas.study import coordinate\n"
        f"with coordinate({where!r}, 's'):\n    print('held', flush=True)\n    time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(UsageError, match=r"'s' in .*a\.journal is being searched by another"), coordinate(where, "s"):
        pass
    assert len(trials(journal)) == 2  # reading needs no lock
    process.kill()
    process.communicate()
    with coordinate(where, "s"):
        pass
    assert list(tmp_path.glob("*.lock")) == []


def test_half_a_record_at_the_end_is_cut_off_by_the_next(journal):
    whole = journal.read_bytes()
    for half in (b'{"op_code":4,"worker', b"{", b"\0" * 5000, b'{"op_code":4,"worker_id":"x","study_id":0}'):
        journal.write_bytes(whole + half)
        assert read_lines(journal).half == len(half)
        assert len(trials(journal)) == 2
        assert journal.read_bytes() == whole + half, "who reads changes nothing"
        study = optuna.load_study(study_name="s", storage=open_storage(address(journal)))
        study.tell(study.ask(), 3.0)
        assert [trial.value for trial in trials(journal)] == [0, 1, 3]
        assert journal.read_bytes().startswith(whole + b'{"op_code":4,"worker_id":')
        assert read_lines(journal).readable


def test_a_kill_while_the_very_first_record_is_written(tmp_path):
    path = tmp_path / "a.journal"
    path.write_bytes(b'{"op_co')
    optuna.create_study(storage=open_storage(address(path)), study_name="s")
    assert trials(path) == []


def test_what_is_written_on_in_the_same_line_is_told_and_mended(journal, tmp_path):
    """As Optuna leaves it after a kill: it does not look how the file ends."""
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":8,"worker_id":"x","tr')
    study = optuna.load_study(study_name="s", storage=JournalStorage(JournalFileBackend(str(journal))))
    with suppress(Exception):
        study.ask()
    assert read_lines(journal).merged.keys() == {8}
    content = journal.read_bytes()
    for create in (True, False):
        with pytest.raises(UsageError, match="expected a record in each line, got something else in line 8"):
            open_storage(address(journal), create=create)
    assert journal.read_bytes() == content
    kept = cut_halves(journal)
    assert kept == tmp_path / "a.journal.backup-halves"
    assert kept.read_bytes() == content
    assert [trial.state for trial in trials(journal)] == [TrialState.COMPLETE] * 2 + [TrialState.RUNNING]
    assert journal.read_bytes().startswith(whole)


def test_lines_that_hold_no_record(journal):
    lines = journal.read_bytes().splitlines(keepends=True)
    for wrong in (b"garbage\n", b"[1, 2]\n", b'{"worker_id": 1}\n', b"[" * 100000 + b"\n", b"\xff\n"):
        content = b"".join([*lines[:3], wrong, *lines[3:]])
        journal.write_bytes(content)
        with pytest.raises(UsageError, match="got something else in line 4: optnas doctor"):
            open_storage(address(journal))
        assert journal.read_bytes() == content


def test_records_of_a_newer_optuna_are_refused(journal):
    content = journal.read_bytes() + b'{"op_code":99,"worker_id":"x"}\n'
    journal.write_bytes(content)
    with pytest.raises(UsageError, match="got one of kind 99 in line 8: install the Optuna that wrote it"):
        open_storage(address(journal))
    assert journal.read_bytes() == content


def test_records_that_make_no_sense_are_refused(journal):
    journal.write_bytes(journal.read_bytes() + b'{"op_code":4,"worker_id":"x"}\n')
    with pytest.raises(UsageError, match=r"got lines that it cannot follow \(KeyError: 'study_id'\)"):
        open_storage(address(journal))


def test_what_is_no_journal_is_refused_and_left(tmp_path):
    (tmp_path / "text").write_text("not a journal")
    optuna.create_study(storage=f"sqlite:///{tmp_path / 'a.db'}")
    for name, message in [
        ("text", "expected a journal of Optuna, got another kind of file"),
        ("a.db", "expected a journal of Optuna, got another kind of file"),
        (".", "expected a journal of Optuna, got a folder"),
        ("no/a.journal", "does not exist"),
    ]:
        path = tmp_path / name
        before = path.read_bytes() if path.is_file() else None
        with pytest.raises(UsageError, match=message):
            open_storage(address(path))
        assert before == (path.read_bytes() if path.is_file() else None)
    with pytest.raises(UsageError, match="no such file"):
        open_storage(address(tmp_path / "no"), create=False)
    assert not (tmp_path / "no").exists()


def test_a_journal_by_a_wrong_address(journal):
    with pytest.raises(UsageError, match=f"got a journal, whose address is journal:///{journal}"):
        open_storage(f"sqlite:///{journal}")
    with pytest.raises(UsageError, match=r"expected journal:///FILE, got 'journal://a\.journal'"):
        open_storage("journal://a.journal")
    journal.chmod(0o444)
    with pytest.raises(UsageError, match="read-only"):
        open_storage(address(journal))


@pytest.mark.parametrize("where", ["redis://host:6379", "rediss://me:secret@host/0"])
def test_redis_is_refused_since_it_holds_pickles(where):
    with pytest.raises(UsageError, match="what Optuna keeps in Redis are pickles") as refusal:
        open_storage(where)
    assert "secret" not in str(refusal.value)


def test_a_full_disk_leaves_no_half_record(journal, monkeypatch):
    storage = open_storage(address(journal))
    whole = journal.read_bytes()

    def no_space(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_space)
        with pytest.raises(StorageInternalError, match="cannot be written"):
            storage.create_new_trial(0)
    assert journal.read_bytes() == whole
    assert storage.get_trial(storage.create_new_trial(0)).number == 2


def stands_still(monkeypatch, journal, during):
    """Have the next writer stand still once it has seen where the journal ends, until others took its lock."""
    after_newline = journals._after_newline

    def slow(file, size):
        end = after_newline(file, size)
        monkeypatch.setattr(journals, "_after_newline", after_newline)
        os.unlink(f"{journal}.lock")  # as Optuna does that waits for 30 s
        during()
        return end

    monkeypatch.setattr(journals, "_after_newline", slow)


def test_a_writer_that_stood_still_leaves_the_lines_of_others(journal, monkeypatch):
    ours, theirs = open_storage(address(journal)), open_storage(address(journal))
    stands_still(monkeypatch, journal, lambda: theirs.set_study_user_attr(0, "theirs", 1))
    with pytest.raises(StorageInternalError, match="cannot be written") as refusal:
        ours.set_study_user_attr(0, "ours", 2)
    assert "another one took its lock" in str(refusal.value.__cause__)
    assert open_storage(address(journal)).get_study_user_attrs(0) == {"theirs": 1, "ours": 2}
    assert read_lines(journal).readable


def test_a_writer_that_stood_still_and_has_no_room_leaves_the_lines_of_others(journal, monkeypatch):
    ours, theirs = open_storage(address(journal)), open_storage(address(journal))
    fsync = os.fsync

    def no_space(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def during():
        theirs.set_study_user_attr(0, "theirs", 1)
        monkeypatch.setattr(os, "fsync", no_space)

    stands_still(monkeypatch, journal, during)
    with pytest.raises(StorageInternalError, match="cannot be written"):
        ours.set_study_user_attr(0, "ours", 2)
    monkeypatch.setattr(os, "fsync", fsync)
    assert open_storage(address(journal)).get_study_user_attrs(0)["theirs"] == 1


class Killed(BaseException):
    """The end of a process, as far as what it leaves."""


def kill_at(monkeypatch, record, half):
    """Have the process killed when it writes its record of this number, of which a half may be written."""
    seen = [0]
    append = journals._Backend._append

    def append_or_die(self, text):
        seen[0] += 1
        if seen[0] >= record:
            if half:
                with open(self._file_path, "ab") as file:
                    file.write(text[: len(text) // 2])
            raise Killed
        append(self, text)

    monkeypatch.setattr(journals._Backend, "_append", append_or_die)


def searched(storage):
    objective = toy.objective()
    study = optuna.create_study(
        directions=objective.directions, sampler=make_sampler("random", 0, 6), storage=storage, study_name="s",
        load_if_exists=True,
    )  # fmt: skip
    run(study, objective, InProcess(), 3)
    return [
        (trial.number, trial.params, trial.values, trial.user_attrs["optnas:seed"], trial.user_attrs["optnas:curve"])
        for trial in study.trials
        if is_trained(trial)
    ]


def test_a_search_killed_at_any_record_ends_as_on_sqlite(tmp_path, monkeypatch):
    undisturbed = searched(open_storage(f"sqlite:///{tmp_path / 'a.db'}"))
    alone = tmp_path / "alone.journal"
    assert searched(open_storage(address(alone))) == undisturbed
    records = len(alone.read_bytes().splitlines())
    for record in range(1, records + 1, 3):
        path = tmp_path / f"{record}.journal"
        with monkeypatch.context() as patch:
            kill_at(patch, record, half=record % 2)
            with pytest.raises(Killed):
                searched(open_storage(address(path)))
        assert searched(open_storage(address(path))) == undisturbed, f"killed at record {record}"
        assert read_lines(path).readable
        assert all(json.loads(line) for line in path.read_bytes().splitlines())
