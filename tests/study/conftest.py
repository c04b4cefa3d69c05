import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

PASSWORD = "pg-Secret-9f2c"


@pytest.fixture
def own_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


class Server:
    """A PostgreSQL on loopback in a folder of its own, whose user has a password."""

    def __init__(self, programs, folder):
        self._programs, self._folder = programs, folder
        self._data = folder / "data"
        self.port = _free_port()
        (folder / "password").write_text(PASSWORD)
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(folder, "postgres")
            shutil.chown(folder / "password", "postgres")
        self._run(
            "initdb", "--username=optnas", f"--pwfile={folder / 'password'}", "--auth=scram-sha-256", "--no-sync",
            "--encoding=UTF8", "--locale=C", f"--pgdata={self._data}",
        )  # fmt: skip
        self.start()

    def start(self):
        # Nothing here has to survive a loss of power; and it takes no memory from what is trained beside it.
        options = f"-p {self.port} -h 127.0.0.1 -k {self._folder} -F -c full_page_writes=off -c shared_buffers=16MB"
        self._run("pg_ctl", "start", "-w", "-D", self._data, "-l", self._folder / "log", "-o", options)

    def stop(self):
        self._run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", self._data)

    def address(self, database, password=f":{PASSWORD}"):
        return f"postgresql+psycopg://optnas{password}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement):
        engine = create_engine(self.address("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()

    def _run(self, program, *arguments):
        command = [str(self._programs / program), *map(str, arguments)]
        if os.getuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        # To a file: the server keeps what it is given open, and a pipe would never end.
        with open(os.devnull, "wb") as nothing:
            subprocess.run(command, check=True, cwd=self._folder, stdout=nothing, stderr=nothing, timeout=120)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _programs():
    """Where PostgreSQL's own programs are; Debian keeps them out of the way."""
    places = [Path(found).resolve().parent for found in [shutil.which("pg_ctl")] if found]
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists() and (place / "pg_ctl").exists()), None)


@pytest.fixture(scope="session")
def postgresql():
    """A server that runs as long as the tests; some of them stop and start it."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'optnas[postgresql]'")
    programs = _programs()
    if programs is None:
        pytest.skip("there is no PostgreSQL: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="optnas-postgresql-"))  # short: its socket lies in it
    server = Server(programs, folder)
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture
def database(postgresql):
    """The address of an empty database."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    postgresql.execute(f"CREATE DATABASE {name}")
    yield postgresql.address(name)
    postgresql.execute(f"DROP DATABASE {name} WITH (FORCE)")
