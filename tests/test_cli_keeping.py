import errno
import json
import shutil
import sqlite3
import zipfile
from contextlib import closing, nullcontext
from dataclasses import fields
from datetime import datetime

import handmade
import optuna
import pytest
from rich.console import Console

from optnas.cli import main
from optnas.cli.studies import _table
from optnas.keeping.overview import StudyRow
from optnas.study import open_storage

WILD = "\x1b[31mred\x1b]0;title\x07 [bold]b[/bold]\nline"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")


@pytest.fixture
def refused(capsys):
    """Runs a command that must be refused; returns its one sentence."""

    def run(*arguments):
        capsys.readouterr()
        try:
            status = main(arguments)
        except SystemExit as exit:
            status = exit.code
        output = capsys.readouterr()
        assert status == 2
        assert output.out == ""
        (line,) = output.err.splitlines()
        assert line.startswith("optnas: ")
        return line

    return run


@pytest.fixture
def study():
    storage = open_storage("sqlite:///optnas.db")
    study = handmade.new_study(name="s", storage=storage)
    study.set_user_attr("optnas:settings", {"task": {"data": "digits"}, "seed": 0})
    study.set_user_attr("optnas:request", {"study": "s"})
    handmade.add(study, (0.25, 1e5), curve=[0.25], fingerprint="a", seed=1, costs={"macs": 1e5})
    return study


def test_studies_archive_and_restore(study, capsys):
    assert main(["studies"]) == 0
    out = capsys.readouterr().out
    assert "optnas.db" in out
    row = out.splitlines()[-1].split()
    assert row[:7] == ["s", "digits", "error,", "macs", "1", "1", "25.00%"]
    assert main(["archive", "--study", "s", "--out", "s.zip"]) == 0
    assert "archive: s.zip" in capsys.readouterr().out
    assert main(["restore", "s.zip", "--as", "again"]) == 0
    assert "restored: again, 1 trial\n" in capsys.readouterr().out
    assert main(["studies", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert sorted(row["name"] for row in found["studies"]) == ["again", "s"]
    assert {row["least_error"] for row in found["studies"]} == {0.25}
    assert main(["restore", "s.zip", "--storage", "sqlite:///new.db"]) == 0
    assert "optnas front --study s --storage sqlite:///new.db" in capsys.readouterr().out


def test_an_empty_storage_is_told_in_a_sentence(capsys):
    open_storage("sqlite:///optnas.db")
    for command in ("studies", "doctor"):
        assert main([command]) == 0
        assert capsys.readouterr().out == "sqlite:///optnas.db: there is no study in it yet\n"
    assert main(["studies", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["studies"] == []


def test_doctor_says_what_it_found_and_by_its_status_whether_all_is_well(study, capsys, tmp_path):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "all is well (1 study, 1 trial; checked: the file and its tables" in out
    study.ask()
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "will be mended by the next search:\n  s: trial 1 - running without choices, and nobody searches" in out
    folder = tmp_path / "optnas.db-weights" / "s"
    folder.mkdir(parents=True)
    (folder / "1.safetensors").touch()
    assert main(["doctor"]) == 1
    assert "--mend removes 1.safetensors" in capsys.readouterr().out
    assert main(["doctor", "--mend", "--json"]) == 1  # the next search mends the rest
    found = json.loads(capsys.readouterr().out)
    assert found["done"] == ["removed 1.safetensors"]
    assert [one["trials"] for one in found["findings"] if one["severity"] == "next search"] == [[1]]
    assert found["well"] is False


def test_doctor_rescues(study, capsys, tmp_path):
    study._storage._backend.engine.dispose()
    content = (tmp_path / "optnas.db").read_bytes()
    (tmp_path / "optnas.db").write_bytes(content[:-3000])
    assert main(["doctor"]) == 1
    assert "ends too early" in capsys.readouterr().out
    assert main(["doctor", "--rescue-into", "new.db"]) == 0
    assert "rescued: new.db" in capsys.readouterr().out
    assert len(optuna.load_study(study_name="s", storage="sqlite:///new.db").trials) == 1
    assert (tmp_path / "optnas.db").read_bytes() == content[:-3000]


def test_merge(study, capsys):
    study._storage._backend.engine.dispose()
    shutil.copy("optnas.db", "B.db")
    other = optuna.load_study(study_name="s", storage="sqlite:///B.db")
    handmade.add(other, (0.2, 2e5), fingerprint="b", curve=[0.2], seconds=(5, 6))
    handmade.add(study, (0.3, 2e5), fingerprint="b", curve=[0.3], seconds=(7, 8))
    study.ask()
    assert main(["merge", "optnas.db", "B.db", "--into", "C.db"]) == 0
    out = capsys.readouterr().out
    assert "s: 3 trials from optnas.db and B.db; 1 trial in several files, each of them one now" in out
    assert "1 training of networks that another file had trained, now repeats of those" in out
    assert "left out, since in optnas.db they were running: trials 2" in out
    assert main(["front", "--storage", "sqlite:///C.db"]) == 0
    capsys.readouterr()
    assert main(["doctor", "--storage", "C.db", "--json"]) == 1  # these trials say nothing of seeds and costs
    found = json.loads(capsys.readouterr().out)
    assert found["trials"] == 3
    assert {one["what"] for one in found["findings"] if one["severity"] == "lost"} <= {
        f"trained without {kept}" for kept in ("costs", "seed")
    }


def test_what_is_refused_and_how(refused, study, tmp_path):
    (tmp_path / "text.db").write_text("not a database, but longer than sixteen bytes")
    (tmp_path / "folder").mkdir()
    with zipfile.ZipFile("odd.zip", "w") as file:
        file.writestr("../outside", "x")
        file.writestr("manifest.json", "{}")
    for command in ("studies", "doctor"):
        assert "there is no such file" in refused(command, "--storage", "sqlite:///no.db")
        assert "got a folder" in refused(command, "--storage", "sqlite:///folder")
        assert "another kind of file" in refused(command, "--storage", "text.db")
        assert "did you mean --json" in refused(command, "--jsn")
    assert "no study 't'" in refused("doctor", "--study", "t")
    assert "expected a SQLite file alone" in refused("doctor", "--rescue-into", "x.db", "--mend")
    assert "expected a SQLite file alone" in refused("doctor", "--rescue-into", "x.db", "--storage", "mysql://h/d")
    assert "does not exist" in refused("doctor", "--rescue-into", "optnas.db")
    assert "required: --out" in refused("archive", "--study", "s")
    assert "no study 't'" in refused("archive", "--study", "t", "--out", "t.zip")
    assert "exists already" in refused("archive", "--out", "text.db")
    assert "'../outside', which is no name of such an archive" in refused("restore", "odd.zip")
    assert "nothing of that name" in refused("restore", "no.zip")
    assert "damaged or other" in refused("restore", "text.db")
    assert "got memory" in refused("restore", "odd.zip", "--storage", "memory")
    assert "after --as" in refused("restore", "odd.zip", "--as", "")
    assert "at least two" in refused("merge", "optnas.db", "--into", "C.db")
    assert "required: --into" in refused("merge", "optnas.db", "text.db")
    assert "another kind of file" in refused("merge", "optnas.db", "text.db", "--into", "C.db")
    assert not (tmp_path / "C.db").exists()
    assert not (tmp_path.parent / "outside").exists()


def test_names_from_a_storage_do_not_command_the_terminal(capsys, tmp_path):
    for file, seconds in (("optnas.db", 0), ("B.db", 50)):
        study = handmade.new_study(name=WILD, storage=open_storage(f"sqlite:///{file}"))
        study.set_user_attr("optnas:settings", {"task": {"data": WILD, "epochs": 9}})
        study.set_user_attr("optnas:versions", {"torch": WILD})
        handmade.add(study, (0.5, 1.0), fingerprint=file, seconds=(seconds, seconds + 1))
        study.ask()
    for command in (
        ["studies"],
        ["doctor"],
        ["archive", "--out", "a.zip"],
        ["restore", "a.zip", "--storage", "sqlite:///new.db"],
        ["merge", "optnas.db", "B.db", "--into", "C.db"],
    ):
        assert main(command) in (0, 1)
        out = capsys.readouterr().out
        assert "\x1b" not in out
        assert "\x07" not in out
        assert "\\x1b[31mred" in out
        assert "[bold]b[/bold]\\nline" in out


def test_where_nothing_can_be_written(study, refused, tmp_path, monkeypatch):
    """As a user without rights; root may write everywhere."""
    shutil.copy("optnas.db", "B.db")
    refuse = PermissionError(errno.EACCES, "Permission denied", "no/x")

    def denied(*arguments, **keywords):
        raise refuse

    long = "n" * 300
    assert "File name too long" in refused("archive", "--out", f"{long}.zip")
    assert "File name too long" in refused("restore", f"{long}.zip")
    assert "File name too long" in refused("merge", "optnas.db", "B.db", "--into", f"{long}.db")
    assert "File name too long" in refused("doctor", "--rescue-into", f"{long}.db")
    assert main(["archive", "--out", "a.zip"]) == 0
    with monkeypatch.context() as patched:
        patched.setattr("optnas.keeping.archive.whole_file", denied)
        assert "archive b.zip: Permission denied: no/x" in refused("archive", "--out", "b.zip")
    with monkeypatch.context() as patched:
        patched.setattr("tempfile.mkdtemp", denied)
        patched.setattr("optnas.keeping.merge.snapshot", lambda path: nullcontext(path))
        assert "storage C.db: Permission denied: no/x" in refused("merge", "optnas.db", "B.db", "--into", "C.db")
    with monkeypatch.context() as patched:
        patched.setattr("optnas.keeping.restore.coordinate", denied)
        sentence = refused("restore", "a.zip", "--as", "t")
        assert "archive a.zip: cannot be restored: Permission denied: no/x" in sentence


def test_commands_to_copy_are_quoted(study, capsys, tmp_path):
    shutil.copy("optnas.db", "B.db")
    (tmp_path / "a b").mkdir()
    for command, expected in (
        (["merge", "optnas.db", "B.db", "--into", "a b/c.db"], "studies --storage 'sqlite:///a b/c.db'"),
        (["doctor", "--rescue-into", "a b/d.db"], "doctor --storage 'sqlite:///a b/d.db'"),
        (["archive", "--out", "a b/s.zip"], "optnas restore 'a b/s.zip'"),
        (["restore", "a b/s.zip", "--as", "x\x1b y"], r"optnas front --study $'x\x1b y'"),
    ):
        assert main(command) == 0
        assert expected in capsys.readouterr().out


def test_a_long_name_leaves_the_other_columns_their_place(study, capsys, monkeypatch):
    long = "n" * 200
    handmade.new_study(name=long, storage=study._storage)
    monkeypatch.setenv("COLUMNS", "140")
    assert main(["studies"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[1][:3] == ["study", "data", "objectives"]
    assert f"{'n' * 39}\u2026" in {row[0] for row in rows[2:]}
    assert main(["studies", "--json"]) == 0
    assert long in {row["name"] for row in json.loads(capsys.readouterr().out)["studies"]}


@pytest.mark.slow
def test_a_locked_storage_is_read_as_it_was_and_who_would_write_is_told(study, refused):
    study._storage._backend.engine.dispose()
    with closing(sqlite3.connect("optnas.db")) as connection:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("CREATE TABLE x (y)")
        assert main(["studies"]) == 0
        assert main(["archive", "--out", "a.zip"]) == 0
        assert "database is locked" in refused("search", "--trials", "1")


@pytest.mark.parametrize(
    "command",
    [
        ["studies"],
        ["front"],
        ["archive", "--out", "s.zip"],
        ["report"],
        ["explain"],
        ["figures", "--out", "figures"],
        ["draw", "--trial", "0", "--out", "d.svg"],
        ["verdict"],
        ["prune-audit"],
        ["export", "--trial", "0", "--out", "deploy"],
        ["rerank"],
    ],
    ids=lambda command: command[0],
)
def test_who_reads_leaves_a_file_from_elsewhere_as_it_is(command, tmp_path, capsys):
    folder = tmp_path / "mount"
    folder.mkdir()
    study = handmade.new_study(name="s", storage=f"sqlite:///{folder}/a.db")
    handmade.add(study, (0.25, 1e5), curve=[0.25], fingerprint="a", seed=1, costs={"macs": 1e5})
    (folder / "a.db").chmod(0o444)
    before = (folder / "a.db").read_bytes()
    main([*command, "--storage", f"sqlite:///{folder}/a.db"])  # some want more of a study than this one has
    assert "read-only" not in "".join(capsys.readouterr())
    assert (folder / "a.db").read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["a.db"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["studies", "--storage", "n" * 300], "File name too long"),
        (["search", "--trials", "1", "--storage", f"sqlite:///{'n' * 300}"], "File name too long"),
        (["search", "--trials", "1", "--storage", f"sqlite:///{'n' * 250}"], "expected a name of at most 200 bytes"),
        (["search", "--trials", "1", "--storage", f"journal:///{'n' * 250}"], "expected a name of at most 200 bytes"),
        (["archive", "--study", "s", "--out", "n" * 300], "File name too long"),
        (["merge", "optnas.db", "optnas.db", "--into", "n" * 300], "File name too long"),
    ],
    ids=["studies", "search", "long", "journal", "archive", "merge"],
)
def test_a_name_that_is_too_long_is_told_in_a_sentence(command, message, study, refused):
    assert message in refused(*command)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_narrow_terminal_breaks_no_word(width):
    row = StudyRow(
        **{
            **{one.name: 0 for one in fields(StudyRow)}, "name": "three", "data": "fashion-mnist", "searched": False,
            "objectives": ("error", "macs", "size_bytes", "latency_ms"), "trained": 18, "pruned": 2, "failed": 3,
            "least_error": 0.0084, "hypervolume": 0.962, "weights": 12, "weights_bytes": 3_400_000,
            "last_activity": datetime(2026, 11, 1), "front": 6,
        }
    )  # fmt: skip
    table, without = _table([row], datetime(2026, 11, 2), width)
    console = Console(width=width)
    with console.capture() as captured:
        console.print(table)
    text = captured.get()
    assert max(map(len, text.splitlines())) <= width
    words = text.replace(",", " ").split()
    assert {"study", "objectives", "trained", "front", "error", "activity", "size_bytes", "latency_ms"} <= set(words)
    assert ("hypervolume" in words) != ("hypervolume" in without)
    assert {"three", "0.84%", "18", "6"} <= set(words)
    assert bool(without) == (width < 120)


def test_what_has_no_room_is_in_a_file_all_the_same(study, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert main(["studies"]) == 0
    out = capsys.readouterr().out
    assert "digits" in out
    assert "no room" not in out
