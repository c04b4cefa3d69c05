"""A study from elsewhere: whatever it says, reading it runs nothing, and what people copy from it is harmless."""

import json
import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from html import unescape
from pathlib import Path

import handmade
import optuna
import pytest
import toy

import optnas
from optnas.cli import main
from optnas.cli.command import file_stem
from optnas.deploy.record import retrained_of
from optnas.errors import UsageError
from optnas.printable import printable, shell_word
from optnas.report.page.write import report_html
from optnas.space import stored_space

STORAGE = "sqlite:///optnas.db"
CODE = """
from pathlib import Path
Path({mark!r}).touch()
from toy import digits_space as build
"""


@pytest.fixture(scope="module")
def _searched(tmp_path_factory):
    path = tmp_path_factory.mktemp("hostile") / "optnas.db"
    optnas.search(
        space=toy.digits_space, trials=3, epochs=1, workers=0, train_images=200, sampler="random", pruner="none",
        storage=f"sqlite:///{path}",
    )  # fmt: skip
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.read_bytes()


@pytest.fixture
def study(_searched, tmp_path, monkeypatch):
    """Of a space of its own, in the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("optnas.db").write_bytes(_searched)
    return optuna.load_study(study_name="digits", storage=STORAGE)


@pytest.fixture
def mark(tmp_path, monkeypatch):
    """What is there once the code that lies beside the study was run."""
    path = tmp_path / "mark"
    for name in ("evil.py", "folder/evil.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(CODE.format(mark=str(path)))
    monkeypatch.delitem(sys.modules, "evil", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return path


def say_space(study, name):
    request, settings = study.user_attrs["optnas:request"], study.user_attrs["optnas:settings"]
    study.set_user_attr("optnas:request", {**request, "space": name})
    study.set_user_attr("optnas:settings", {**settings, "space": {**settings["space"], "name": name}})


READERS = [
    "front --all", "explain", "report --out r.html", "figures --out f", "draw --trial 0 --out d.svg", "verdict",
    "prune-audit",
]  # fmt: skip
BUILDERS = ["retrain --networks 1 --epochs 1 --seeds 1 --workers 0 --no-test", "export --out e", "rerank", "search"]


@pytest.mark.parametrize(
    ("command", "name"),
    [
        *((command, "evil:build") for command in (*READERS, *BUILDERS)),
        *((BUILDERS[0], name) for name in ("./evil.py:build", "folder/evil.py:build")),
    ],
)
def test_no_command_imports_a_space_because_a_study_names_it(study, mark, command, name, capsys):
    say_space(study, name)
    main([*command.split(), "--study", "digits"])
    assert not mark.exists()
    if command in BUILDERS:
        assert f"a name in a file runs no code: if you trust that code, name it yourself with --space {name}" in (
            capsys.readouterr().err
        )


def test_a_report_of_such_a_study_is_written_without_its_drawings(study, mark):
    say_space(study, "evil:build")
    assert main(["report", "--out", "r.html"]) == 0
    assert "<svg" in Path("r.html").read_text()
    assert not mark.exists()


@pytest.mark.parametrize("command", ["draw --trial 0 --out d.svg", BUILDERS[0]])
def test_a_person_vouches_for_a_space_by_naming_it(study, mark, command):
    say_space(study, "evil:build")
    assert main([*command.split(), "--space", "evil:build"]) == 0
    assert mark.exists()


@pytest.mark.parametrize("name", ["sys:exit", "os:abort", "builtins:breakpoint", "subprocess:run", "nowhere:__doc__"])
def test_no_function_of_python_itself_is_called_because_a_file_names_it(name):
    with pytest.raises(UsageError, match="a name in a file runs no code"):
        stored_space(name, "study 's'")


def test_a_function_of_the_program_that_asks_is_found():
    assert stored_space("toy:digits_space", "study 's'") is toy.digits_space
    assert stored_space("somewhere/toy.py:digits_space", "study 's'") is toy.digits_space


@pytest.mark.slow
def test_no_command_is_run_because_a_study_names_it(study, tmp_path):
    mark = tmp_path / "mark"
    timed = {
        "space": toy.digits_space, "objectives": ("error", "latency_ms"), "runtime": "onnxruntime", "epochs": 1,
        "workers": 0, "train_images": 200, "sampler": "random", "pruner": "none", "study": "timed", "storage": STORAGE,
    }  # fmt: skip
    pytest.importorskip("onnxruntime")
    command = f"touch {mark}; wc -c < {{file}}"
    optnas.search(trials=1, device_command=command, **timed)
    assert mark.exists()
    mark.unlink()
    with pytest.raises(UsageError, match="a command in a file is not run: if you trust it, give it yourself with"):
        optnas.search(trials=2, study="timed", storage=STORAGE)
    assert main(["supernet-audit", "--study", "timed", "--networks", "4", "--workers", "0"]) == 2
    for reader in ("front", "explain", "report --out r.html", "retrain --networks 1 --epochs 1 --seeds 1 --workers 0"):
        assert main([*reader.split(), "--study", "timed"]) == 0
    assert not mark.exists()
    optnas.search(trials=2, device_command=command, study="timed", storage=STORAGE)
    assert mark.exists()


@pytest.mark.parametrize("file", ["../../elsewhere.safetensors", "/etc/passwd", "..", "a/b.safetensors"])
def test_weights_lie_in_their_folder_whatever_a_study_says(file):
    study = handmade.one_of_each()
    training = {"seed": 0, "error": 0.1, "file": file}
    kept = {"trainings": [training], "data": {}, "mean": [0.5], "std": [0.2], "versions": {}, "date": ""}
    study.set_user_attr("optnas:retrained", {"0": kept})
    with pytest.raises(UsageError, match="expected a file in the folder of retrainings"):
        retrained_of(study, 0)
    study.set_user_attr("optnas:retrained", {"0": {**kept, "trainings": [{**training, "file": "a.safetensors"}]}})
    assert retrained_of(study, 0).best.file == "a.safetensors"


EVIL = "x'; touch mark; '$(touch mark)`touch mark`\x1b[201~\nend"


def test_commands_to_copy_run_nothing_but_themselves(tmp_path):
    study = handmade.new_study(name=EVIL)
    handmade.add(study, (0.5, 10.0), curve=[0.5])
    request = {"data": EVIL, "objectives": [EVIL], "seed": f"1; {EVIL}", "space; touch mark #": "x", "sampler": EVIL}
    study.set_user_attr("optnas:request", request)
    html = report_html(study, "sqlite:///o.db")
    blocks = [unescape(block) for block in re.findall(r"<pre>(.*?)</pre>", html, re.DOTALL)]
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])
    assert len(blocks) == 2
    # The page's own program puts these flags between the command and the number of a trial.
    for block in (*blocks, f"optnas retrain {data['flags']} --trial 0\noptnas export {data['flags']} --trial 0"):
        assert "\x1b" not in block
        lines = "optnas() { :; }\n" + block.replace("--trials N", "--trials 3")
        done = subprocess.run(["bash", "-c", lines], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout + done.stderr == ""
        assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("word", ["digits", "it's", "two\nlines", EVIL, "\u202eé'\\", "-rf", ""])
def test_a_word_for_a_shell_is_that_word(word):
    given = shell_word(word)
    assert printable(given, lines=True) == given
    said = subprocess.run(["bash", "-c", f"printf %s {given}"], capture_output=True, env={"LC_ALL": "C.UTF-8"})
    assert said.stdout.decode() == word
    if "\x1b" not in word and "\u202e" not in word:
        assert shlex.split(given) == [word]


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("digits 2", "digits 2"), ("a/../../b", "a_.._.._b"), ("..", "study"), ("/etc/x", "_etc_x"), ("", "study"),
        ("a\x00\x1bb", "a__b"), ("-rf", "rf"), ("n" * 300, "n" * 80),
    ],
)  # fmt: skip
def test_files_named_after_a_study_lie_in_the_working_folder(name, stem):
    assert file_stem(name) == stem
