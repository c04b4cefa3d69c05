import errno
import subprocess
import sys
import threading

import pytest
from filelock import FileLock

from optnas.errors import UsageError
from optnas.study import coordinate
from optnas.study.locks import lock_path


def test_one_coordinator_a_study(tmp_path):
    storage = f"sqlite:///{tmp_path}/a.db"
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


def test_who_only_looks_whether_a_study_is_searched_keeps_no_search_from_it(tmp_path):
    storage = f"sqlite:///{tmp_path}/a.db"
    held = FileLock(lock_path(storage, "s"), thread_local=False)
    held.acquire()
    look = threading.Timer(0.1, held.release)
    look.start()
    with coordinate(storage, "s"):
        pass
    look.join()


def test_a_lock_of_another_user_is_told_in_a_sentence(tmp_path, monkeypatch):
    def refuse(lock):
        raise PermissionError(errno.EACCES, "Permission denied", lock.lock_file)

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with (
        pytest.raises(UsageError, match=r"'s' in .*a.db cannot be held: its lock a.db.*lock: Permission denied; if"),
        coordinate(f"sqlite:///{tmp_path}/a.db", "s"),
    ):
        pass
