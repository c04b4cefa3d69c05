import json
import random
import sqlite3
import stat
import warnings
import zipfile
from contextlib import closing
from datetime import datetime

import handmade
import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial
from optuna_dashboard import get_note, save_note

from optnas.errors import UsageError
from optnas.keeping import packed, record
from optnas.keeping.archive import archive_study
from optnas.keeping.packed import read_archive
from optnas.keeping.plain import plain_trial, record_from
from optnas.keeping.restore import restore_study
from optnas.study import open_storage, weights_folder

STATES = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING, TrialState.WAITING)


def address(path):
    return f"sqlite:///{path}"


def whole(trial):
    """A trial without the number that the storage gives it."""
    return {key: value for key, value in trial.__dict__.items() if key != "_trial_id"}


def full_study(storage):
    """Trials of every state with everything that a trial can have."""
    study = handmade.new_study(name="näme \x1b[31m", storage=storage)
    study.set_user_attr("optnas:settings", {"seed": 3, "space": {"name": "mobile"}})
    study.set_user_attr("mine", [1, None, {"nested": [float("inf"), True]}, {"__float__": "nan"}])
    distributions = {
        "lr": FloatDistribution(1e-5, 1e-1, log=True),
        "width": IntDistribution(8, 64, step=8),
        "op": CategoricalDistribution(("a", None, 1.5, True)),
    }
    for place, state in enumerate(STATES):
        trial = create_trial(
            state=state,
            values=[0.1 + 0.2, float("inf")] if state == TrialState.COMPLETE else None,
            params={"lr": 0.012345678901234567, "width": 24, "op": (None, 1.5, "a", True, None)[place]},
            distributions=distributions,
            user_attrs={"optnas:curve": [0.5, 0.3], "text": "ü\n\x00", "number": 1e-300},
            system_attrs={"fixed_params": {"width": 24}},
            intermediate_values={0: 0.5, 7: float("nan")},
            constraints={"params<=100": -0.25, "macs<=5": 1.5},
        )
        if state != TrialState.WAITING:
            trial.datetime_start = datetime(2026, 3, 1, 23, 59, 59, 123456)
        if state.is_finished():
            trial.datetime_complete = datetime(2026, 3, 2, 0, 0, 1, 7)
        study.add_trial(trial)
    return study


def same(left, right):
    """Equal to the last attribute; NaN is NaN."""
    return np.testing.assert_equal([whole(one) for one in left], [whole(one) for one in right])


@pytest.fixture(params=["sqlite", "memory", "journal"])
def storages(request, tmp_path):
    """Two storages of a kind, with their addresses."""

    def make(name):
        if request.param == "sqlite":
            return open_storage(address(tmp_path / f"{name}.db")), address(tmp_path / f"{name}.db")
        if request.param == "memory":
            return InMemoryStorage(), "memory"
        return JournalStorage(JournalFileBackend(str(tmp_path / name))), f"journal:///{tmp_path / name}"

    return make("one"), make("two")


def test_a_study_comes_back_equal_to_the_last_attribute(storages, tmp_path):
    (before, where), (after, there) = storages
    study = full_study(before)
    archive_study(study, where, tmp_path / "a.zip")
    made = restore_study(tmp_path / "a.zip", after, there)
    assert (made.study, made.trials) == (study.study_name, 5)
    again = optuna.load_study(study_name=study.study_name, storage=after)
    same(again.trials, study.trials)
    assert [trial.constraints for trial in again.trials] == [{"params<=100": -0.25, "macs<=5": 1.5}] * 5
    assert again.user_attrs == study.user_attrs
    assert again.directions == study.directions
    assert again.metric_names == ["error", "macs"]


def test_the_time_of_a_trial_does_not_depend_on_where_it_is_read(tmp_path, monkeypatch):
    import time

    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        plain = plain_trial(full_study(None).trials[0])
        assert plain["datetime_start"] == "2026-03-01T14:59:59.123456+00:00"
        monkeypatch.setenv("TZ", "UTC")
        time.tzset()
        study = {"name": "s", "directions": ["minimize"] * 2, "metric_names": None, "user_attrs": {}, "notes": []}
        trial = record_from(study | {"system_attrs": {}}, [plain], "here").trials[0]
        assert trial.datetime_start == datetime(2026, 3, 1, 14, 59, 59, 123456)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_what_is_in_the_zip_is_plain_and_named(tmp_path):
    study = full_study(None)
    made = archive_study(study, "memory", tmp_path / "a.zip")
    assert made.size_bytes == (tmp_path / "a.zip").stat().st_size
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        assert file.namelist() == ["README.txt", "study.json", "trials.jsonl", "manifest.json"]
        readme = file.read("README.txt").decode()
        trials = [json.loads(line) for line in file.read("trials.jsonl").splitlines()]
    assert "näme \\x1b[31m, with 5 trials" in readme
    assert trials[0]["values"] == [0.1 + 0.2, {"__float__": "inf"}]
    assert trials[0]["intermediate_values"] == [[0, 0.5], [7, {"__float__": "nan"}]]


def test_weights_of_the_front_travel_and_no_others(tmp_path):
    where = address(tmp_path / "a.db")
    study = handmade.new_study(storage=open_storage(where))
    for values in ((0.2, 100.0), (0.1, 200.0), (0.3, 300.0)):
        handmade.add(study, values)
    folder = weights_folder(where, "by hand")
    folder.mkdir(parents=True)
    for number in (0, 2):
        (folder / f"{number}.safetensors").write_bytes(bytes([number]) * 100)
    made = archive_study(study, where, tmp_path / "a.zip")
    assert (made.weights, made.front) == (1, 2)
    there = address(tmp_path / "b.db")
    assert restore_study(tmp_path / "a.zip", open_storage(there), there, "other").weights == 1
    kept = weights_folder(there, "other")
    assert [path.name for path in kept.iterdir()] == ["0.safetensors"]
    assert (kept / "0.safetensors").read_bytes() == bytes(100)
    assert restore_study(tmp_path / "a.zip", InMemoryStorage(), "memory").weights_left == 1


def test_another_name_is_what_the_request_says_too(tmp_path):
    study = full_study(None)
    study.set_user_attr("optnas:request", {"study": study.study_name, "data": "digits"})
    archive_study(study, "memory", tmp_path / "a.zip")
    storage = InMemoryStorage()
    restore_study(tmp_path / "a.zip", storage, "memory", "other")
    again = optuna.load_study(study_name="other", storage=storage)
    assert again.user_attrs["optnas:request"] == {"study": "other", "data": "digits"}
    with pytest.raises(UsageError, match="'other' exists already in the storage: give another name with --as"):
        restore_study(tmp_path / "a.zip", storage, "memory", "other")


def test_no_password_is_in_an_archive(tmp_path):
    study = full_study(None)
    secret = "hunter2@home"
    study.set_user_attr("optnas:request", {"storage": f"postgresql+psycopg://me:{secret}@host/db?password={secret}"})
    handmade.add(study, state=TrialState.FAIL, reason=f"no postgresql://me:{secret}@host/db, 'password={secret}'")
    archive_study(study, "memory", tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        texts = [file.read(name).decode() for name in file.namelist()]
    assert not any("hunter2" in text for text in texts)
    request = read_archive(tmp_path / "a.zip").record.user_attrs["optnas:request"]
    assert request["storage"] == "postgresql+psycopg://me:***@host/db?password=***"


def test_a_choice_that_is_called_like_a_secret_comes_back(tmp_path):
    study = optuna.create_study(study_name="s")
    options = CategoricalDistribution(("password=cls", "mean"))
    study.enqueue_trial({"class_token": "mean"}, user_attrs={"best": {"class_token": "mean", "my_token": "x"}})
    study.add_trial(
        create_trial(value=1.0, params={"class_token": "password=cls"}, distributions={"class_token": options})
    )
    archive_study(study, "memory", tmp_path / "a.zip")
    waiting, trained = read_archive(tmp_path / "a.zip").record.trials
    assert trained.params == {"class_token": "password=cls"}
    assert trained.distributions == {"class_token": options}
    assert waiting.system_attrs["fixed_params"] == {"class_token": "mean"}
    assert waiting.user_attrs["best"] == {"class_token": "mean", "my_token": "***"}


def test_what_no_restore_would_take_back_is_told_when_it_is_archived(tmp_path):
    study = optuna.create_study(study_name="s", storage=open_storage(address(tmp_path / "a.db")))
    study.add_trial(
        create_trial(value=1.0, params={"width": 8}, distributions={"width": IntDistribution(8, 64)}),
    )
    study._storage.engine.dispose()
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        connection.execute("UPDATE trial_params SET param_value = 7")
        connection.commit()
    again = optuna.load_study(study_name="s", storage=open_storage(address(tmp_path / "a.db")))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UsageError, match=r"archive .*b\.zip, trial 0: is no trial of Optuna: .*; nothing was written"):
        archive_study(again, address(tmp_path / "a.db"), tmp_path / "b.zip")
    assert sorted(tmp_path.iterdir()) == before


def test_notes_of_people_travel_and_those_of_optnas_do_not(tmp_path):
    storage = open_storage(address(tmp_path / "a.db"))
    study = full_study(storage)
    text = "a *note* " * 600
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save_note(study, text)
        save_note(optuna.Trial(study, study.trials[3]._trial_id), "of trial 3")
    storage.set_study_system_attr(study._study_id, f"dashboard:{study.trials[1]._trial_id}:note_ver", 1000)
    optuna.create_study(storage=open_storage(address(tmp_path / "b.db")), study_name="first").ask()
    archive_study(study, address(tmp_path / "a.db"), tmp_path / "a.zip")
    after = open_storage(address(tmp_path / "b.db"))
    restore_study(tmp_path / "a.zip", after, address(tmp_path / "b.db"))
    again = optuna.load_study(study_name=study.study_name, storage=after)
    assert get_note(again) == text
    assert [get_note(optuna.Trial(again, trial._trial_id)) for trial in again.trials] == ["", "", "", "of trial 3", ""]


def test_pictures_of_people_come_back_and_drawn_ones_are_left_to_the_dashboard(tmp_path):
    where = address(tmp_path / "a.db")
    study = full_study(open_storage(where))
    (tmp_path / "photo.png").write_bytes(b"picture")
    store = optuna.artifacts.FileSystemArtifactStore(tmp_path / "a.db-artifacts")
    (tmp_path / "a.db-artifacts").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        identity = optuna.artifacts.upload_artifact(
            artifact_store=store, file_path=str(tmp_path / "photo.png"), study_or_trial=study.trials[3],
            storage=study._storage,
        )  # fmt: skip
    drawn = "00000000-0000-5000-8000-000000000001"
    (tmp_path / "a.db-artifacts" / drawn).write_text("<svg/>")
    meta = {"artifact_id": drawn, "filename": "curve.svg", "mimetype": "image/svg+xml", "encoding": None}
    key = f"dashboard:artifacts:{study.trials[0]._trial_id}:{drawn}"
    study._storage.set_study_system_attr(study._study_id, key, json.dumps(meta))
    assert archive_study(study, where, tmp_path / "a.zip", pictures=True).pictures == 2
    there = address(tmp_path / "b.db")
    assert restore_study(tmp_path / "a.zip", open_storage(there), there).pictures == 1
    assert [path.name for path in (tmp_path / "b.db-artifacts").iterdir()] == [identity]
    assert (tmp_path / "b.db-artifacts" / identity).read_bytes() == b"picture"


def test_where_an_archive_cannot_be_written(tmp_path):
    study = full_study(None)
    (tmp_path / "there.zip").write_text("mine")
    for path, words in [("there.zip", "exists already"), ("no/a.zip", "folder that exists"), (".", "got a folder")]:
        with pytest.raises(UsageError, match=words):
            archive_study(study, "memory", tmp_path / path)
    assert (tmp_path / "there.zip").read_text() == "mine"
    study.set_user_attr("odd", object())
    with pytest.raises(UsageError, match="cannot be written as JSON"):
        archive_study(study, "memory", tmp_path / "b.zip")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there.zip"]


@pytest.fixture
def rewritten(tmp_path):
    """Writes the archive of a small study again with some of its entries changed, and returns its path."""
    study = handmade.new_study()
    handmade.add(study, (0.2, 100.0))
    archive_study(study, "memory", tmp_path / "good.zip")

    def rewrite(change=lambda entries, manifest: None, raw=()):
        with zipfile.ZipFile(tmp_path / "good.zip") as file:
            entries = {name: file.read(name) for name in file.namelist()}
        manifest = json.loads(entries.pop("manifest.json"))
        change(entries, manifest)
        import hashlib

        for name, content in entries.items():
            known = manifest["files"].setdefault(name, {})
            if not known.get("wrong"):
                known.update(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
        path = tmp_path / "bad.zip"
        with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            warnings.simplefilter("ignore")  # of names that are there twice
            for name, content in [*entries.items(), *raw, ("manifest.json", json.dumps(manifest))]:
                file.writestr(name, content)
        return path

    return rewrite


def refused(path, words, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match=words):
        restore_study(path, InMemoryStorage(), address(tmp_path / "target.db"))
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_rewritten_without_change_is_good(rewritten):
    assert len(read_archive(rewritten()).record.trials) == 1


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd", "../outside", "weights/../../outside.safetensors", "weights\\0.safetensors", "C:\\outside",
        "weights/0.safetensors/", "weights/00.safetensors", "pictures/0/../../x.png", "pictures/0/.hidden",
        "study.json\x00.txt", "weights/0.pkl", "weights/\u0660.safetensors", "README.txt\n",
    ],
)  # fmt: skip
def test_names_that_lead_elsewhere(name, rewritten, tmp_path):
    path = rewritten(lambda entries, manifest: entries.update({name: b"x"}))
    refused(path, r"no name of such an archive|holds study.json twice", tmp_path)


def test_a_link(rewritten, tmp_path):
    link = zipfile.ZipInfo("weights/0.safetensors")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16

    def told(entries, manifest):
        manifest["files"]["weights/0.safetensors"] = {}

    refused(rewritten(told, [(link, "/etc/passwd")]), "is a link", tmp_path)


def test_a_name_that_is_there_twice(rewritten, tmp_path):
    refused(rewritten(raw=[("study.json", "{}")]), "holds study.json twice", tmp_path)


def test_a_bomb(rewritten, tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "_SMALL", 1 << 20)
    path = rewritten(lambda entries, manifest: entries.update({"trials.jsonl": bytes(4 << 20)}))
    assert path.stat().st_size < 10_000
    refused(path, r"trials.jsonl would swell from \d+ to 4194304 bytes", tmp_path)
    path = rewritten(lambda entries, manifest: entries.update({"weights/0.safetensors": bytes(10_000)}))
    refused(path, r"weights/0.safetensors would swell", tmp_path)


def test_too_much(rewritten, tmp_path, monkeypatch):
    path = rewritten()
    monkeypatch.setattr(packed, "_MOST_FILES", 3)
    refused(path, "at most 3 files", tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(packed, "_MOST_BYTES", 100)
    refused(path, "at most 100 bytes", tmp_path)


def changed(name, **fields):
    def change(entries, manifest):
        plain = json.loads(entries[name].splitlines()[0] if name == "trials.jsonl" else entries[name])
        entries[name] = json.dumps({**plain, **fields}).encode()

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda entries, manifest: manifest.update(version=2), "is of format 2, this optnas reads up to 1"),
        (lambda entries, manifest: manifest.update(version="1"), "expected a version of the format, got '1'"),
        (lambda entries, manifest: manifest.update(format="other"), "expected the format 'optnas study'"),
        (lambda entries, manifest: manifest["files"].update(gone={}), "not those of its manifest: 'gone'"),
        (lambda entries, manifest: entries.pop("README.txt"), "lacks README.txt"),
        (lambda entries, manifest: entries.update({"study.json": b"{"}), "study.json: expected JSON"),
        (lambda entries, manifest: entries.update({"trials.jsonl": b"[NaN]"}), "line 1: expected JSON"),
        (lambda entries, manifest: entries.update({"trials.jsonl": b"[" * 10_000}), "line 1: expected JSON"),
        (lambda entries, manifest: entries.update({"trials.jsonl": b"[]"}), "trial 0: expected an object"),
        (lambda entries, manifest: entries.update({"weights/7.safetensors": b"x"}), "of trial 7, but only 1 trials"),
        (lambda entries, manifest: entries.update({"pictures/0/a.png": b"x"}), "nothing that a picture is known by"),
        (changed("study.json", directions=["sideways"]), "expected a name, directions"),
        (changed("study.json", directions=["minimize"]), "as many names of objectives"),
        (changed("study.json", notes=[{"trial": 9, "version": 1, "text": ""}]), "notes of its trials"),
        (changed("trials.jsonl", number=4), "trial 0: expected this number, got 4"),
        (changed("trials.jsonl", state=["COMPLETE"]), "expected one of RUNNING"),
        (changed("trials.jsonl", values=[1.0]), "expected 2 values"),
        (changed("trials.jsonl", values=None), "is no trial of Optuna"),
        (changed("trials.jsonl", params={"stem.width": 9}), "is no trial of Optuna"),
        (changed("trials.jsonl", params={}), "is no trial of Optuna"),
        (changed("trials.jsonl", distributions={"x": {"name": "os.system", "attributes": {}}}), "is no trial"),
        (changed("trials.jsonl", datetime_start="yesterday"), "is no trial of Optuna"),
        (changed("trials.jsonl", user_attrs={"a": {"__float__": "much"}}), 'expected "nan", "inf" or "-inf"'),
    ],
)
def test_archives_that_are_none(change, words, rewritten, tmp_path):
    refused(rewritten(change), words, tmp_path)


def test_damage_is_found(rewritten, tmp_path):
    def damage(entries, manifest):
        manifest["files"]["study.json"]["wrong"] = True
        entries["study.json"] += b" "

    refused(rewritten(damage), "study.json is damaged", tmp_path)
    content = bytearray((tmp_path / "good.zip").read_bytes())
    start = content.index(b"trials.jsonl") + 60
    content[start : start + 8] = random.Random(0).randbytes(8)
    (tmp_path / "torn.zip").write_bytes(content)
    refused(tmp_path / "torn.zip", "damaged", tmp_path)


def test_a_database_shows_nothing_of_a_study_before_all_of_it(tmp_path, monkeypatch):
    """What a kill leaves is what others see until the end."""
    archive_study(full_study(None), "memory", tmp_path / "a.zip")
    where = address(tmp_path / "b.db")
    seen, whole = [], record._system_attrs

    def look(*arguments):
        with closing(sqlite3.connect(tmp_path / "b.db")) as connection:
            seen.append(connection.execute("SELECT count(*) FROM studies").fetchone())
            seen.append(connection.execute("SELECT count(*) FROM trials").fetchone())
        return whole(*arguments)

    monkeypatch.setattr(record, "_system_attrs", look)
    restore_study(tmp_path / "a.zip", open_storage(where), where)
    assert seen == [(0,), (0,)]
    assert len(open_storage(where).get_all_studies()) == 1


@pytest.mark.parametrize("kind", ["sqlite", "memory"])
def test_trials_that_do_not_go_together_are_refused(kind, tmp_path):
    trials = [
        create_trial(value=1.0, params={"x": 8}, distributions={"x": IntDistribution(8, 64)}),
        create_trial(value=1.0, params={"x": 8.0}, distributions={"x": FloatDistribution(8, 64)}),
    ]
    odd = record.StudyRecord("s", ["minimize"], None, {}, {}, trials)
    storage = open_storage(address(tmp_path / "a.db")) if kind == "sqlite" else InMemoryStorage()
    with pytest.raises(UsageError, match="study 's': trial 1 is none of Optuna: Cannot set different distribution"):
        record.write_record(odd, storage)
    two = create_trial(values=[1.0, 2.0])
    with pytest.raises(UsageError, match=r"study 's': trial 0 is none of Optuna: .* 2 values"):
        record.write_record(record.StudyRecord("s", ["minimize"], None, {}, {}, [two]), storage)
    assert storage.get_all_studies() == []


def test_files_that_are_no_archive(tmp_path):
    (tmp_path / "text.zip").write_text("no")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("a.txt", "a")
    for name, words in [
        ("text.zip", "expected a zip file that optnas archive wrote"),
        ("other.zip", "got a zip file without manifest.json"),
        (".", "got a folder"),
        ("nowhere.zip", "got nothing of that name"),
    ]:
        refused(tmp_path / name, words, tmp_path)


def test_a_study_that_could_not_be_written_leaves_nothing(tmp_path, monkeypatch):
    study = full_study(None)
    archive_study(study, "memory", tmp_path / "a.zip")

    def fail(*arguments):
        raise OSError("full")

    storage = InMemoryStorage()
    monkeypatch.setattr("optnas.keeping.record._system_attrs", fail)
    with pytest.raises(UsageError, match=r"a\.zip: cannot be restored: full"):
        restore_study(tmp_path / "a.zip", storage, "memory")
    assert storage.get_all_studies() == []
