"""PostgreSQL as a storage: Optuna's conformance suite, locks, passwords, and what a person is told."""

import gc
import os
import socket
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import optuna
import pytest
import toy
from optuna.testing.pytest_storages import StorageTestCase
from sqlalchemy import text

import optnas
from optnas.cli import main
from optnas.errors import UsageError
from optnas.keeping.beside import searched_now
from optnas.keeping.doctor import examine
from optnas.study import checkpoints_folder, coordinate, open_storage
from optnas.study.locks import setting_up
from optnas.study.postgres import lock_key
from optnas.study.search import Watcher, search
from optnas.study.write_behind import WriteBehindStorage

PASSWORD = "pg-Secret-9f2c"
QUICK = {"epochs": 1, "workers": 0, "train_images": 200, "sampler": "random", "space": toy.digits_space}


@pytest.fixture
def storage(database):
    storage = open_storage(database)
    assert isinstance(storage, WriteBehindStorage)
    yield storage
    storage.remove_session()
    storage.engine.dispose()


class TestConformance(StorageTestCase):
    """Optuna's suite for storages."""

    def test_pickle_storage(self, storage):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            super().test_pickle_storage(storage)
            gc.collect()  # what it unpickles it leaves open


def close(study):
    study._storage.remove_session()
    study._storage.engine.dispose()


def test_several_open_an_empty_database_at_the_same_moment(database):
    start = threading.Barrier(4)

    def open_it(number):
        start.wait()
        storage = open_storage(database)
        name = optuna.create_study(storage=storage, study_name="s", load_if_exists=True).study_name
        storage.remove_session()
        storage.engine.dispose()
        return name

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(open_it, range(4))) == ["s"] * 4


def test_a_process_that_stops_in_a_transaction_is_not_waited_for(storage):
    with storage.engine.connect() as connection:
        assert connection.scalar(text("SHOW idle_in_transaction_session_timeout")) == "30s"


def test_several_hold_a_study_together_or_one_alone(database):
    with ExitStack() as held:
        held.enter_context(coordinate(database, "s", alone=False))
        held.enter_context(coordinate(database, "s", alone=False))
        held.enter_context(coordinate(database, "another"))
        with pytest.raises(UsageError, match=r"study 's' in \S+:\*\*\*@\S+ is being searched by another process: wait"):
            held.enter_context(coordinate(database, "s"))
        held.pop_all().close()
        held.enter_context(coordinate(database, "s"))
        with pytest.raises(UsageError, match="another process, which has to be alone: wait"):
            held.enter_context(coordinate(database, "s", alone=False))


def test_whether_a_study_is_searched_can_be_told(database):
    assert searched_now(database, "s") is False
    with coordinate(database, "s", alone=False):
        assert searched_now(database, "s") is True
        assert searched_now(database, "another") is False
    assert searched_now(database, "s") is False


def test_a_look_at_a_study_keeps_nobody_from_searching_it(database, monkeypatch):
    from optnas.study import postgres

    connected = postgres._connected

    @contextmanager
    def looking(storage):
        with connected(storage) as connection:
            yield connection
            monkeypatch.setattr(postgres, "_connected", connected)
            # What the look has asked it has asked by now, and its connection is still open.
            assert searched_now(database, "s") is False
            with coordinate(database, "s"):
                pass

    monkeypatch.setattr(postgres, "_connected", looking)
    assert searched_now(database, "s") is False
    assert postgres._connected is connected


def test_a_search_that_is_about_to_end_is_waited_for(database):
    with ExitStack() as first:
        first.enter_context(coordinate(database, "s"))
        ending = threading.Timer(0.1, first.pop_all().close)
        ending.start()
        with coordinate(database, "s", alone=False):
            ending.join()


ADVISORY = "FROM pg_locks WHERE locktype = 'advisory'"


def holders(storage):
    with storage.engine.connect() as connection:
        return set(connection.scalars(text(f"SELECT pid {ADVISORY} AND granted")))


def wait_for(what, seconds=60):
    give_up = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def cut_off(postgresql):
    postgresql.execute(f"SELECT pg_terminate_backend(pid) {ADVISORY} AND granted")


def start_anew(postgresql):
    postgresql.stop()
    postgresql.start()


@pytest.mark.parametrize("lose", [cut_off, start_anew])
def test_a_lock_that_went_with_its_connection_is_taken_again(postgresql, database, storage, monkeypatch, lose):
    monkeypatch.setattr("optnas.study.postgres._BEAT_S", 0.1)
    with coordinate(database, "s") as check:
        before = holders(storage)
        assert len(before) == 1
        storage.engine.dispose()
        lose(postgresql)
        wait_for(lambda: holders(storage) - before)
        check()
        with pytest.raises(UsageError, match="is being searched by another process"), coordinate(database, "s"):
            pass
    assert not holders(storage)  # at once


def test_a_lock_is_taken_from_the_own_connection_that_only_the_server_believes_in(database, storage, monkeypatch):
    from optnas.study import postgres

    connected, opened = postgres._connected, []

    @contextmanager
    def noted(address):
        with connected(address) as connection:
            opened.append(connection.connection.driver_connection)
            yield connection

    monkeypatch.setattr(postgres, "_connected", noted)
    monkeypatch.setattr(postgres, "_BEAT_S", 0.1)
    with ExitStack() as held:
        check = held.enter_context(coordinate(database, "s"))
        before = holders(storage)
        # As where a network loses what is sent: the server sees no end of it.
        end = opened[0].fileno()
        held.callback(os.close, os.dup(end))
        with socket.socket() as nobody:
            os.dup2(nobody.fileno(), end)
        wait_for(lambda: holders(storage) - before)
        check()


def test_a_search_ends_whose_study_another_has_taken(postgresql, database, own_folder, storage, monkeypatch):
    monkeypatch.setattr("optnas.study.postgres._BEAT_S", 0.1)
    key = lock_key("study 'digits' is searched")
    with storage.engine.connect() as other:
        taken = threading.Thread(target=other.execute, args=[text(f"SELECT pg_advisory_lock({key})")])

        class Watching(Watcher):
            def __call__(self, event):
                if event.kind == "trained" and event.trial == 1:
                    taken.start()
                    with storage.engine.connect() as connection:
                        waits = text(f"SELECT count(*) {ADVISORY} AND NOT granted")
                        wait_for(lambda: connection.scalar(waits))
                    cut_off(postgresql)
                    taken.join()

        with pytest.raises(UsageError, match=r"study 'digits' in \S+ was taken by another process while the server"):
            search(Watching(), trials=10**6, time="1m", storage=database, **QUICK)
    study = optuna.load_study(study_name="digits", storage=storage)
    assert [trial.state.name for trial in study.trials[:2]] == ["COMPLETE"] * 2


def test_doctor_looks_at_checkpoints_that_machines_share(database, own_folder, storage, capsys):
    close(optnas.search(trials=2, storage=database, checkpoints="shared", **QUICK).study)
    study = optuna.load_study(study_name="digits", storage=storage)
    begun = [study.ask(), study.ask()]
    storage.flush()
    folder = checkpoints_folder(database, "digits", "shared")
    needless = [folder / "1.safetensors", folder / f"{begun[0].number}.safetensors.999999999"]
    needed = folder / f"{begun[0].number}.safetensors"
    for path in (*needless, needed):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    with coordinate(database, "digits", alone=False):
        assert not [finding for finding in examine(database).findings if finding.remove or "checkpoint" in finding.what]
    found = {finding.what: finding for finding in examine(database).findings}
    assert found["running without a checkpoint"].trials == (begun[1].number,)
    assert found["not running, whose checkpoints are kept all the same"].remove == (needless[0],)
    assert found["halves of files of writers that were killed"].remove == (needless[1],)
    assert not [what for what in found if "weights" in what]
    assert main(["doctor", "--storage", database, "--mend"]) == 1  # two are still running
    assert "mended: removed 1.safetensors" in capsys.readouterr().out
    assert [*folder.iterdir()] == [needed]


def test_a_study_is_set_up_by_one_after_the_other(database):
    said, order = [], []
    waits = threading.Event()

    def other():
        def say(sentence):
            said.append(sentence)
            waits.set()

        with setting_up(database, "s", say):
            order.append("second")

    thread = threading.Thread(target=other)
    with setting_up(database, "s"), setting_up(database, "another"):
        thread.start()
        assert waits.wait(30)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert said == ["another process is at it: waiting until study 's' is set up"]


def test_a_password_comes_from_the_environment_and_goes_nowhere(
    postgresql, database, own_folder, monkeypatch, tmp_path, capfd
):
    address = database.replace(f":{PASSWORD}", "")
    with pytest.raises(UsageError, match=r"cannot be opened: .*password") as refused:
        open_storage(address)
    wrong = database.replace(PASSWORD, "pg-Wrong-1d07")
    with pytest.raises(UsageError, match="password authentication failed") as other:
        open_storage(wrong)
    assert "pg-Wrong" not in str(other.value)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    close(optnas.search(trials=1, storage=address, **QUICK).study)
    result = optnas.search(trials=2, storage=database, **QUICK)  # as a user would who does not know better
    engine = result.study._storage.engine
    with engine.connect() as connection:
        tables = connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
        kept = [str(row) for table in tables for row in connection.execute(text(f"SELECT * FROM {table}"))]
    close(result.study)
    assert result.settings.storage == database
    assert any(address in row for row in kept)
    shown = capfd.readouterr()
    assert PASSWORD not in "".join([*kept, shown.out, shown.err, str(refused.value)])


def test_a_driver_that_is_missing_is_named(database, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UsageError, match=r'pip install "optnas\[postgresql\]"'):
        open_storage(database)


def test_a_second_search_takes_part_if_it_is_the_same(database, own_folder):
    close(optnas.search(trials=1, storage=database, **QUICK).study)
    with coordinate(database, "digits", alone=False):  # as a search on another machine does
        close(optnas.search(trials=2, storage=database, **QUICK).study)
        with pytest.raises(UsageError, match="made with other settings"):
            optnas.search(trials=3, storage=database, **{**QUICK, "seed": 1})
        for alone in ({"sampler": "gradient"}, {"evaluator": "one-shot"}):
            with pytest.raises(UsageError, match="is being searched by another process: wait for it"):
                optnas.search(trials=9, storage=database, **{**QUICK, **alone})
    with coordinate(database, "digits"), pytest.raises(UsageError, match="another process, which has to be alone"):
        optnas.search(trials=3, storage=database, **QUICK)


@pytest.mark.slow
def test_a_server_that_does_not_come_back_ends_a_search_with_a_sentence(
    postgresql, database, own_folder, monkeypatch, capsys
):
    monkeypatch.setattr("optnas.study.write_behind.PATIENCE_S", 1.0)
    from optnas.watch import Watch

    says = Watch.__call__

    def stop(self, event):
        says(self, event)
        if event.kind == "trained" and event.trial == 1:
            postgresql.stop()

    monkeypatch.setattr(Watch, "__call__", stop)
    command = ["search", "--space", "toy:digits_space", "--epochs", "1", "--workers", "0", "--train-images", "200"]
    command += ["--sampler", "random", "--storage", database, "--trials"]
    try:
        assert main([*command, "4"]) == 2
        said = capsys.readouterr().err
        assert "the storage does not answer (" in said
        assert "optnas: the storage failed (" in said.splitlines()[-1]
        assert "the same command goes on" in said.splitlines()[-1]
        assert PASSWORD not in said
        assert "Traceback" not in said
    finally:
        postgresql.start()
    monkeypatch.setattr(Watch, "__call__", says)
    assert main([*command, "4"]) == 0
    storage = open_storage(database)
    trials = optuna.load_study(study_name="digits", storage=storage).trials
    assert [trial.state.name for trial in trials].count("COMPLETE") == 4
    storage.remove_session()
    storage.engine.dispose()
