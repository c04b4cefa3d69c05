import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import handmade
import older
import optuna
import pytest

from optnas.cli import main
from optnas.errors import UsageError
from optnas.front import front
from optnas.keeping import merge as module
from optnas.keeping.doctor import examine
from optnas.keeping.draft import let_go
from optnas.keeping.merge import merge
from optnas.keeping.pictures import uploads_of
from optnas.study import checkpoints_folder, is_trained, open_storage, weights_folder


def address(path):
    return f"sqlite:///{path}"


def filled(path, name, *fingerprints, seconds=0, **settings):
    storage = open_storage(address(path))
    study = handmade.new_study(name=name, storage=storage)
    study.set_user_attr("optnas:settings", {"seed": 0, **settings})
    for place, one in enumerate(fingerprints):
        at = seconds + place
        # Each a little better and dearer than the one before: all are on the front.
        handmade.add(study, (1 / (1 + at), 10.0 + at), fingerprint=one, curve=[0.5], seconds=(at, at + 1))
    let_go(storage)  # brings its log into the file, as the end of a search does
    return study


def loaded(path, name):
    return optuna.load_study(study_name=name, storage=open_storage(address(path)))


def test_a_file_of_an_older_optuna_is_read_from_a_copy(tmp_path):
    filled(tmp_path / "A.db", "s", "a")
    filled(tmp_path / "B.db", "s", "b", seconds=100)
    older.downgraded(tmp_path / "A.db", "v3.0.0.c")
    content = (tmp_path / "A.db").read_bytes()
    merge([address(tmp_path / "A.db"), address(tmp_path / "B.db")], tmp_path / "C.db")
    assert [trial.values for trial in loaded(tmp_path / "C.db", "s").trials] == [[1.0, 10.0], [1 / 101, 110.0]]
    assert (tmp_path / "A.db").read_bytes() == content
    assert list(tmp_path.glob("*backup*")) == []


def test_studies_of_one_name_become_one_and_others_are_copied(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    filled("A.db", "s", "a", "b")
    filled("B.db", "s", "b", "c", seconds=100)
    filled("B.db", "only here", "x", epochs=9)
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.suffix == ".db"}
    merged = merge(["A.db", address("B.db")], tmp_path / "C.db")
    assert [(one.study, one.trials, one.repeats, one.origins) for one in merged] == [
        ("s", 4, 1, ("A.db", "B.db")),
        ("only here", 1, 0, ("B.db",)),
    ]
    study = loaded("C.db", "s")
    assert [trial.user_attrs["optnas:fingerprint"] for trial in study.trials] == ["a", "b", "b", "c"]
    assert "optnas:merged_from" not in loaded("C.db", "only here").trials[0].user_attrs
    assert {path: path.read_bytes() for path in before} == before


def test_weights_of_the_front_come_along_under_the_new_numbers(tmp_path):
    for file, seconds in (("A.db", 0), ("B.db", 100)):
        filled(tmp_path / file, "s", *(f"{file} {place}" for place in range(2)), seconds=seconds)
        folder = weights_folder(address(tmp_path / file), "s")
        (folder / "retrained").mkdir(parents=True)
        (folder / "1.safetensors").write_text(file)
        (folder / "7.safetensors").write_text("of no trial")
        (folder / "retrained" / f"{file}.safetensors").write_text("retrained")
    assert merge([str(tmp_path / "A.db"), str(tmp_path / "B.db")], tmp_path / "C.db")[0].weights == 2
    folder = weights_folder(address(tmp_path / "C.db"), "s")
    found = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.safetensors")}
    assert found == {
        "1.safetensors": "A.db", "3.safetensors": "B.db",
        "retrained/A.db.safetensors": "retrained", "retrained/B.db.safetensors": "retrained",
    }  # fmt: skip
    names = {path.name for path in tmp_path.iterdir()}
    assert {name for name in names if name.startswith("C.db")} == {"C.db", "C.db-weights"}


def test_all_that_lies_beside_a_storage_comes_along(tmp_path):
    shown = "00000000-0000-4000-8000-00000000000"
    for file, seconds in (("A.db", 0), ("B.db", 100)):
        study = filled(tmp_path / file, "s", f"{file} 0", seconds=seconds)
        alone = filled(tmp_path / file, f"only in {file}", "x")
        alone.ask()
        for place, one in enumerate((study, alone)):
            trial, artifact = one.trials[0], f"{shown}{'AB'.index(file[0]) * 2 + place}"
            meta = {"artifact_id": artifact, "filename": "photo.png", "mimetype": "image/png", "encoding": None}
            key = f"dashboard:artifacts:{trial._trial_id}:{artifact}"
            one._storage.set_study_system_attr(one._study_id, key, json.dumps(meta))
            (tmp_path / f"{file}-artifacts").mkdir(exist_ok=True)
            (tmp_path / f"{file}-artifacts" / artifact).write_text(f"{file} {place}")
        let_go(study._storage)
        let_go(alone._storage)
        folder = checkpoints_folder(address(tmp_path / file), f"only in {file}")
        folder.mkdir(parents=True)
        (folder / "0.safetensors").write_text("of a trial that has ended")
        (folder / "1.safetensors").write_text(file)
        (tmp_path / f"{file}-supernets").mkdir()
        for name in ("both", file):
            (tmp_path / f"{file}-supernets" / f"{name}.safetensors").write_text(file)
    merge([str(tmp_path / "A.db"), str(tmp_path / "B.db")], tmp_path / "C.db")
    supernets = {path.name: path.read_text() for path in (tmp_path / "C.db-supernets").iterdir()}
    assert supernets == {"both.safetensors": "A.db", "A.db.safetensors": "A.db", "B.db.safetensors": "B.db"}
    for file in ("A.db", "B.db"):
        folder = checkpoints_folder(address(tmp_path / "C.db"), f"only in {file}")
        assert {path.name: path.read_text() for path in folder.iterdir()} == {"1.safetensors": file}
    pictures = {path.name[-1]: path.read_text() for path in (tmp_path / "C.db-artifacts").iterdir()}
    assert pictures == {"0": "A.db 0", "1": "A.db 1", "2": "B.db 0", "3": "B.db 1"}
    assert [(one.trial, one.meta.artifact_id[-1]) for one in uploads_of(loaded(tmp_path / "C.db", "s"))] == [
        (0, "0"), (1, "2"),
    ]  # fmt: skip
    found = examine(address(tmp_path / "C.db")).findings
    assert not [one for one in found if "checkpoint" in one.what or "uploaded" in one.what]


def test_checkpoints_come_along_to_where_a_search_looks_for_them(tmp_path):
    given = str(tmp_path / "given")
    for file in ("A.db", "B.db"):
        study = filled(tmp_path / file, f"only in {file}", "x")
        study.set_user_attr("optnas:request", {"checkpoints": given})
        study.ask()
        let_go(study._storage)
        folder = checkpoints_folder(address(tmp_path / file), f"only in {file}", given)
        folder.mkdir(parents=True)
        (folder / "1.safetensors").write_text(file)
    merge([str(tmp_path / "A.db"), str(tmp_path / "B.db")], tmp_path / "C.db")
    for file in ("A.db", "B.db"):
        folder = checkpoints_folder(address(tmp_path / "C.db"), f"only in {file}", given)
        assert {path.name: path.read_text() for path in folder.iterdir()} == {"1.safetensors": file}
    assert not (tmp_path / "C.db-checkpoints").exists()


def test_a_study_chosen_comes_with_what_belongs_to_it(tmp_path):
    filled(tmp_path / "A.db", "s", "a")
    filled(tmp_path / "A.db", "other", "b")
    scores = filled(tmp_path / "A.db", "s scores", "c", weights="ours")
    scores.set_user_attr("optnas:part_of", "s")
    filled(tmp_path / "B.db", "other", "b", epochs=9)
    scores = filled(tmp_path / "B.db", "s scores", "c", weights="theirs")
    scores.set_user_attr("optnas:part_of", "s")
    sources = [str(tmp_path / "A.db"), str(tmp_path / "B.db")]
    with pytest.raises(UsageError, match=r"'other' was made with other settings \(epochs: None in A.db, 9 in B.db\)"):
        merge(sources, tmp_path / "C.db")
    merged = merge(sources, tmp_path / "C.db", ["s"])
    assert [(one.study, one.dropped) for one in merged] == [("s", ()), ("s scores", ("B.db",))]


def test_a_running_search_is_not_disturbed_and_what_it_trains_is_left_out(tmp_path):
    study = filled(tmp_path / "A.db", "s", "a")
    filled(tmp_path / "B.db", "s", "b", seconds=9)
    study.ask()  # its connection stays open, its log is not yet in the file
    merged = merge([str(tmp_path / "A.db"), str(tmp_path / "B.db")], tmp_path / "C.db")
    assert merged[0].left_out == {"A.db": (1,)}
    assert merged[0].trials == 2
    study.tell(1, [0.1, 1.0])
    assert len(loaded(tmp_path / "A.db", "s").trials) == 2


def test_files_of_one_name_are_told_apart(tmp_path):
    for folder, seconds in (("one", 0), ("two", 50)):
        (tmp_path / folder).mkdir()
        filled(tmp_path / folder / "A.db", "s", folder, seconds=seconds)
    sources = [str(tmp_path / folder / "A.db") for folder in ("one", "two")]
    assert merge(sources, tmp_path / "C.db")[0].origins == tuple(sources)
    (tmp_path / "link.db").symlink_to(tmp_path / "one" / "A.db")
    with pytest.raises(UsageError, match=r"link.db is the same storage as .*A.db"):
        merge([sources[0], str(tmp_path / "link.db")], tmp_path / "D.db")


@pytest.mark.slow
def test_a_merged_study_is_searched_further_and_repeats_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    search = ["search", "--epochs", "1", "--workers", "0", "--train-images", "100", "--space", "toy:digits_space"]

    def go_on(file, trials):
        assert main([*search, "--sampler", "random", "--storage", f"sqlite:///{file}", "--trials", str(trials)]) == 0

    go_on("A.db", 4)
    with closing(sqlite3.connect("A.db")) as source, closing(sqlite3.connect("B.db")) as target:
        source.backup(target)  # with what is in the log still
    shutil.copytree("A.db-weights", "B.db-weights")
    go_on("A.db", 6)
    go_on("B.db", 7)
    # The same seed proposes for B what it proposed for A, as far as A went.
    (merged,) = merge(["A.db", "B.db"], tmp_path / "C.db")
    shared = len(loaded("B.db", "digits").trials) + len(loaded("A.db", "digits").trials) - merged.trials
    assert merged.shared == shared >= 4
    assert merged.repeats == 2
    members = {network.trial for network in front(loaded("C.db", "digits"))}
    kept = weights_folder("sqlite:///C.db", "digits")
    assert {int(path.stem) for path in kept.glob("*.safetensors")} == members
    go_on("C.db", 12)
    trained = [trial for trial in loaded("C.db", "digits").trials if is_trained(trial)]
    assert len(trained) == 12
    assert len({trial.user_attrs["optnas:fingerprint"] for trial in trained}) == 12
    for command in (["front"], ["explain"], ["report"], ["verdict"], ["doctor"]):
        assert main([*command, "--storage", "sqlite:///C.db"]) == 0


def test_what_cannot_be_merged(tmp_path):
    filled(tmp_path / "A.db", "s", "a")
    open_storage(address(tmp_path / "empty.db"))
    (tmp_path / "text.db").write_text("not a database, but longer than sixteen bytes")
    (tmp_path / "there.db").touch()
    a = str(tmp_path / "A.db")
    for sources, into, studies, words in [
        ([a], "C.db", [], "at least two"),
        ([a, "memory"], "C.db", [], "got memory"),
        ([a, str(tmp_path / "no.db")], "C.db", [], "there is no such file"),
        ([a, str(tmp_path)], "C.db", [], "got a folder"),
        ([a, str(tmp_path / "text.db")], "C.db", [], f"{tmp_path}/text.db: expected a SQLite database"),
        ([a, str(tmp_path / "empty.db")], "C.db", ["t"], "no study 't' in A.db or empty.db, only s"),
        ([a, str(tmp_path / "empty.db")], "there.db", [], "expected a file that does not exist"),
        ([a, str(tmp_path / "empty.db")], "no/C.db", [], "expected a folder that exists"),
        ([a, str(tmp_path / "empty.db")], ".", [], "expected a file, got a folder"),
    ]:
        with pytest.raises(UsageError, match=words):
            merge(sources, tmp_path / into, studies)
    assert not list(tmp_path.glob("C.db*"))
    open_storage(address(tmp_path / "empty2.db"))
    with pytest.raises(UsageError, match=r"there is no study in empty\.db or empty2\.db"):
        merge([str(tmp_path / "empty.db"), str(tmp_path / "empty2.db")], tmp_path / "C.db")


def test_one_that_is_killed_leaves_no_file_that_looks_whole(tmp_path):
    for file, seconds in (("A.db", 0), ("B.db", 50)):
        filled(tmp_path / file, "s", file, seconds=seconds)
    script = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from optnas.keeping import merge\n"
        "merge.let_go = lambda storage: os.kill(os.getpid(), signal.SIGKILL)\n"
        "merge.merge(['A.db', 'B.db'], Path('C.db'))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env={**os.environ}, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "C.db").exists()
    assert merge([str(tmp_path / "A.db"), str(tmp_path / "B.db")], tmp_path / "C.db")[0].trials == 2


def test_one_that_fails_leaves_nothing(tmp_path, monkeypatch):
    for file, seconds in (("A.db", 0), ("B.db", 50)):
        filled(tmp_path / file, "s", file, seconds=seconds)
    before = sorted(tmp_path.iterdir())

    def fail(*arguments):
        raise OSError("full")

    monkeypatch.setattr(module, "bring_files", fail)
    with pytest.raises(UsageError, match=r"storage .*C\.db: full"):
        merge([str(tmp_path / "A.db"), str(tmp_path / "B.db")], tmp_path / "C.db")
    assert sorted(tmp_path.iterdir()) == before


def studies_of(name, capsys):
    assert main(["studies", "--json", "--storage", name]) == 0
    return json.loads(capsys.readouterr().out)["studies"]


def test_files_of_awkward_names_are_read_and_written_and_the_next_commands_can_be_copied(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    filled("A.db", "s", "a")
    filled("B.db", "s", "b", seconds=100)
    os.rename("A.db", "odd?x=1.db")
    os.rename("B.db", "b%20 b.db")
    assert main(["merge", "odd?x=1.db", "b%20 b.db", "--into", "m ?.db"]) == 0
    assert "optnas studies --storage 'sqlite:///m %3F.db'\n" in capsys.readouterr().out
    assert {path.name for path in tmp_path.glob("*.db")} == {"odd?x=1.db", "b%20 b.db", "m ?.db"}
    assert [row["trials"] for row in studies_of("m ?.db", capsys)] == [2]
    main(["doctor", "--storage", "m ?.db"])
    assert "s: trials 0, 1 - " in capsys.readouterr().out
    assert main(["doctor", "--storage", "odd?x=1.db", "--rescue-into", "50%.db"]) == 0
    assert "optnas doctor --storage sqlite:///50%25.db\n" in capsys.readouterr().out
    assert [row["trials"] for row in studies_of("50%.db", capsys)] == [1]
