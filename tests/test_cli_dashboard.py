"""`optnas dashboard`, up to the moment when it listens."""

import socket
import time

import handmade
import pytest

from optnas.cli import dashboard, main
from optnas.study import open_storage


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@pytest.fixture(autouse=True)
def study(tmp_path, monkeypatch):
    """A study in the working folder, and Ctrl-C as soon as the dashboard listens."""

    def interrupt(server):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dashboard._Server, "serve_forever", interrupt)
    made = handmade.new_study(storage=open_storage("sqlite:///optnas.db"))
    handmade.add(made, (0.5, 10.0), curve=[0.5])
    return made


def test_it_listens_on_this_machine_alone_until_ctrl_c(capsys, port):
    assert main(["dashboard", "--port", port]) == 0
    assert capsys.readouterr().err == f"http://127.0.0.1:{port}/    (Ctrl-C ends it)\n"


def test_it_opens_the_study_that_was_asked_for(capsys, port, study):
    assert main(["dashboard", "--port", port, "--study", "by hand"]) == 0
    assert f"/dashboard/studies/{study._study_id} " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "warned"), [("localhost", False), ("127.0.0.2", False), ("0.0.0.0", True), ("::", True), ("::1", False)]
)
def test_who_lets_others_in_is_warned(capsys, port, host, warned):
    assert main(["dashboard", "--port", port, "--host", host]) == 0
    said = capsys.readouterr().err
    assert ("anybody who can reach port" in said) == warned
    assert f"http://{f'[{host}]' if ':' in host else host}:{port}/" in said


@pytest.mark.parametrize(
    ("flags", "folder"), [([], "optnas.db-artifacts"), (["--artifact-dir", "pictures"], "pictures")]
)
def test_pictures_are_written_where_they_are_asked_for(monkeypatch, port, tmp_path, flags, folder):
    def wait(server):
        until = time.monotonic() + 20
        while not (tmp_path / folder).is_dir() and time.monotonic() < until:
            time.sleep(0.05)
        raise KeyboardInterrupt

    monkeypatch.setattr(dashboard._Server, "serve_forever", wait)
    assert main(["dashboard", "--port", port, *flags]) == 0
    assert len(list((tmp_path / folder).iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "0"], "--port: expected a number from 1 to 65535, got 0"),
        (["--port", "65536"], "got 65536"),
        (["--study", "other"], "there is no study 'other'"),
        (["--storage", "memory"], "expected a storage that is kept"),
        (["--storage", "sqlite:///other.db"], "no such file"),
        (["--artifact-dir", "optnas.db"], "--artifact-dir optnas.db: expected a folder, got a file"),
        (["--artifact-dir", "no/such"], "--artifact-dir no/such: the folder no does not exist"),
        (["--host", "no.such.host.invalid"], "cannot listen on no.such.host.invalid:"),
        (["--host", "a" * 300], "cannot listen on"),
    ],
)
def test_bad_input_gets_one_sentence(capsys, port, arguments, words):
    given = arguments if "--port" in arguments else [*arguments, "--port", port]
    assert main(["dashboard", *given]) == 2
    said = capsys.readouterr().err
    assert said.startswith("optnas: ")
    assert said.count("\n") == 1
    assert words in said


def test_a_port_in_use_is_said_before_anything_is_written(capsys, port, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(port)))
        taken.listen()
        assert main(["dashboard", "--port", port]) == 2
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in capsys.readouterr().err
    assert not (tmp_path / "optnas.db-artifacts").exists()


def test_it_is_guarded(monkeypatch, port):
    apps = []

    def look(server):
        apps.append(server.get_app())
        raise KeyboardInterrupt

    monkeypatch.setattr(dashboard._Server, "serve_forever", look)
    assert main(["dashboard", "--port", port]) == 0
    said = []
    asked = {"REQUEST_METHOD": "GET", "PATH_INFO": "/api/studies", "HTTP_HOST": f"evil.example:{port}"}
    body = apps[0](asked, lambda status, headers: said.append(status))
    assert said == ["403 Forbidden"]
    assert b"by hand" not in b"".join(body)
