import errno
import subprocess
import sys
from datetime import timedelta

import handmade
import optuna
import pytest
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from optnas.keeping.check_files import check_files
from optnas.keeping.overview import overview, storage_bytes
from optnas.study import checkpoints_folder, coordinate, open_storage, weights_folder
from optnas.study.locks import lock_path


def address(path):
    return f"sqlite:///{path}"


def test_each_trial_is_counted_under_what_became_of_it():
    study = handmade.one_of_each()
    study.set_user_attr("optnas:settings", {"task": {"data": "digits"}})
    study.set_user_attr("optnas:reference", {"error": 0.5, "macs": 1000.0})
    (row,) = overview(study._storage, "memory")
    assert (row.name, row.data, row.objectives) == ("by hand", "digits", ("error", "macs"))
    counts = (row.trained, row.pruned, row.refused, row.repeats, row.failed, row.running, row.waiting)
    assert counts == (4, 1, 1, 1, 1, 1, 1)
    assert row.trials == sum(counts)
    assert row.front == 2
    assert row.least_error == 0.1  # 0.05 is beyond a constraint
    # In the box: (0.4, 0.1) and (0.2, 0.2): 0.6 * 0.9 + 0.2 * 0.8
    assert row.hypervolume == pytest.approx(0.6 * 0.9 + 0.2 * 0.8)
    assert (row.searched, row.weights, row.checkpoints) == (None, 0, 0)
    assert row.last_activity == handmade.BEGAN + timedelta(seconds=30)


def test_studies_of_any_kind(tmp_path):
    for study in handmade.awkward().values():
        (row,) = overview(study._storage, "memory")
        assert row.trials == len(study.trials)
    assert overview(InMemoryStorage(), "memory") == []
    journal = JournalStorage(JournalFileBackend(str(tmp_path / "j")))
    handmade.add(handmade.new_study(storage=journal), (0.5, 1.0))
    assert [row.trained for row in overview(journal, f"journal:///{tmp_path}/j")] == [1]


def test_the_newest_comes_first_and_the_empty_last(tmp_path):
    storage = InMemoryStorage()
    for name, seconds in (("old", 0), ("new", 100)):
        handmade.add(handmade.new_study(name=name, storage=storage), (0.5, 1.0), seconds=(seconds, seconds + 1))
    optuna.create_study(storage=storage, study_name="empty")
    assert [row.name for row in overview(storage, "memory")] == ["new", "old", "empty"]


def test_what_is_kept_on_the_disk(tmp_path):
    where = address(tmp_path / "a.db")
    storage = open_storage(where)
    handmade.new_study(name="s", storage=storage)
    folders = [weights_folder(where, "s"), tmp_path / "a.db-checkpoints" / "s"]
    for folder, size in zip(folders, (100, 30), strict=True):
        folder.mkdir(parents=True)
        for number in range(2):
            (folder / f"{number}.safetensors").write_bytes(bytes(size))
        (folder / "0.safetensors.77").write_bytes(bytes(size))
    (row,) = overview(storage, where)
    assert (row.weights, row.weights_bytes, row.checkpoints, row.checkpoints_bytes) == (2, 200, 2, 60)
    assert storage_bytes(where) == sum((tmp_path / f"a.db{end}").stat().st_size for end in ("", "-wal"))
    assert storage_bytes("memory") is None


def test_whether_somebody_searches(tmp_path):
    where = address(tmp_path / "a.db")
    storage = open_storage(where)
    handmade.new_study(name="s", storage=storage)
    assert overview(storage, where)[0].searched is False
    assert list(tmp_path.glob("*.lock")) == []
    holder = (
        "import time\n"
        "from optnas.study import coordinate\n"
        f"with coordinate({where!r}, 's'):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    assert overview(storage, where)[0].searched is True
    process.kill()
    process.communicate()
    assert len(list(tmp_path.glob("*.lock"))) == 1  # of a dead process
    assert overview(storage, where)[0].searched is False
    with coordinate(where, "s"):  # nobody was disturbed
        pass


def test_whether_another_user_searches_whose_lock_may_only_be_read(tmp_path, monkeypatch):
    def refuse(lock):
        raise PermissionError(errno.EACCES, "Permission denied", lock.lock_file)

    where = address(tmp_path / "a.db")
    storage = open_storage(where)
    handmade.new_study(name="s", storage=storage)
    with coordinate(where, "s"):
        monkeypatch.setattr("optnas.keeping.beside.FileLock.acquire", refuse)
        assert overview(storage, where)[0].searched is True
        monkeypatch.undo()
    lock_path(where, "s").touch()  # as a kill leaves it
    monkeypatch.setattr("optnas.keeping.beside.FileLock.acquire", refuse)
    assert overview(storage, where)[0].searched is False
    monkeypatch.setattr("optnas.keeping.beside.os.access", lambda path, mode: False)
    assert overview(storage, where)[0].searched is None


def test_checkpoints_are_found_where_the_search_was_told_to_keep_them(tmp_path):
    where = address(tmp_path / "a.db")
    study = handmade.new_study(name="s", storage=open_storage(where))
    study.set_user_attr("optnas:request", {"checkpoints": str(tmp_path / "ck")})
    study.ask()
    folder = checkpoints_folder(where, "s", str(tmp_path / "ck"))
    folder.mkdir(parents=True)
    (folder / "0.safetensors").write_bytes(b"12345")
    (row,) = overview(study._storage, where)
    assert (row.checkpoints, row.checkpoints_bytes) == (1, 5)
    assert "running without a checkpoint" not in [one.what for one in check_files(study, where, searched=False)]
