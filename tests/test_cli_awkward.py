"""Every command on every awkward study: an answer, or one sentence and status 2."""

import json
import socket
import unicodedata

import handmade
import optuna
import pytest

from optnas.cli import dashboard, main

pytestmark = pytest.mark.slow

STORAGE = "sqlite:///all.db"
COMMANDS = [
    "front",
    "front --all",
    "front --json",
    "front --all --json",
    "front --knee",
    "front --knee --json",
    "front --budget macs<=200",
    "front --fitness accuracy=1,1/macs=0.1",
    "front --fitness value0=1",
    "front --fitness accuracy=1,1/macs=0.1,1/params=0.1 --json",
    "front --fitness 1/macs=1 --knee --budget macs<=1M --json",
    "front --plot out.svg",
    "explain",
    "explain --all",
    "explain --json",
    "explain --budget macs<=11",
    "explain --trial 0",
    "explain --plot out.svg",
    "draw --trial 0 --out out.svg",
    "draw --trial 0 --trial 1 --out out.svg",
    "verdict",
    "verdict --json",
    "prune-audit",
    "prune-audit --json",
    "retrain",
    "export --out deploy",
    "rerank",
    "supernet-audit --networks 4",
    "dashboard",
]
SLOW = ["figures --out pictures --format svg", "report --out report.html"]


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """The names of all awkward studies, in one storage."""
    folder, names = tmp_path_factory.mktemp("awkward"), []
    for name, made in {**handmade.awkward(), "each": handmade.one_of_each()}.items():
        names.append(f"{name} {handmade.WILD}" if name == "hostile" else name)
        optuna.copy_study(
            from_study_name=made.study_name, from_storage=made._storage, to_storage=f"sqlite:///{folder}/all.db",
            to_study_name=names[-1],
        )  # fmt: skip
    return folder, names


@pytest.fixture(autouse=True)
def _no_waiting(studies, monkeypatch):
    def interrupt(server):
        raise KeyboardInterrupt

    monkeypatch.chdir(studies[0])
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(dashboard._Server, "serve_forever", interrupt)


def steers(text):
    return {sign for sign in text if unicodedata.category(sign) in ("Cc", "Zl", "Zp") and sign not in "\n\t"} | (
        set(text) & {"\u202e"}
    )


def _check(studies, capsys, command):
    words = command.split()
    if command == "dashboard":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            words += ["--port", str(free.getsockname()[1])]
    answered = 0
    for study in studies[1]:
        status = main([*words, "--study", study, "--storage", STORAGE])
        output = capsys.readouterr()
        assert not steers(output.out + output.err), study
        if status == 0:
            answered += 1
            if "--json" in words:
                json.loads(output.out, parse_constant=pytest.fail)
            continue
        assert status == 2, study
        assert output.out == "", study
        assert output.err.startswith("optnas: "), study
        assert output.err.count("\n") == 1, study
    return answered


@pytest.mark.parametrize("command", COMMANDS)
def test_an_answer_or_one_sentence(studies, capsys, command):
    _check(studies, capsys, command)


@pytest.mark.parametrize("command", SLOW)
def test_pictures_are_made_of_every_study(studies, capsys, command):
    assert _check(studies, capsys, command) == len(studies[1])
