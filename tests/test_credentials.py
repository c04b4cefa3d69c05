"""A password reaches the database and nothing else."""

import json
import logging
import traceback
from urllib.parse import quote

import handmade
import pytest

from optnas.cli import main
from optnas.credentials import check_address, has_password, hide_in_logs, scrubbed, scrubbed_json, shown_address
from optnas.errors import UsageError, first_line
from optnas.report.dashboard.commands import for_study, on_study
from optnas.report.page.write import report_html
from optnas.study import open_storage
from optnas.study.settings import Settings

PASSWORD = "s3cr3t"
#: Nobody listens at port 1.
ADDRESSES = [
    f"postgresql+psycopg://me:{PASSWORD}@127.0.0.1:1/db",
    f"postgresql+psycopg://me@127.0.0.1:1/db?password={PASSWORD}&application_name=optnas",
    f"postgresql+psycopg://me@127.0.0.1:1/db?sslpassword={PASSWORD}",
    f"postgresql+psycopg://me:{quote('@/:' + PASSWORD, safe='')}@127.0.0.1:1/db",
    f"postgresql://me:p@{PASSWORD}@127.0.0.1:1/db",  # not encoded
    f"postgresql://127.0.0.1:{PASSWORD}/db",  # the name forgotten
    f"postgresql:me:{PASSWORD}@127.0.0.1/db",
    f"mssql+pyodbc:///?odbc_connect={quote(f'DRIVER=x;UID=me;PWD={PASSWORD};', safe='')}",
    f"redis://:{PASSWORD}@127.0.0.1:1",
]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("sqlite:////a b/c.db", "sqlite:////a b/c.db"),
        ("memory", "memory"),
        ("postgresql+psycopg://me@host/db?service=x", "postgresql+psycopg://me@host/db?service=x"),
        ("postgresql+psycopg://me:s3cr3t@host:5/db", "postgresql+psycopg://me:***@host:5/db"),
        ("postgresql+psycopg://me@host/db?password=s3cr3t&x=1", "postgresql+psycopg://me@host/db?password=***&x=1"),
        ("postgresql://host:s3cr3t/db", "postgresql://***"),
    ],
)
def test_an_address_is_shown_without_its_password(address, shown):
    assert shown_address(address) == shown


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_form_of_address_shows_its_password(address):
    assert PASSWORD not in shown_address(address)


def test_who_gives_a_password_is_known():
    assert all(map(has_password, ADDRESSES[:5]))
    for address in ("sqlite:///a.db", "memory", "postgresql+psycopg://me@host/db", "postgresql://host:5/db"):
        assert not has_password(address)


def test_a_password_that_would_end_up_in_the_name_of_a_host_is_refused():
    assert "%40" in check_address(ADDRESSES[4])
    assert check_address(ADDRESSES[5])
    for address in (*ADDRESSES[:4], "postgresql+psycopg:///db?host=/tmp/x", "sqlite:///a@b.db"):
        assert check_address(address) == ""


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("cannot parse 'postgresql://me:s@3cr3t@host/db'", "cannot parse 'postgresql://me:***@host/db'"),
        ("{'user': 'me', 'password': 's3cr3t'}", "{'user': 'me', 'password': ***}"),
        ("host=x password=s3cr3t dbname=y", "host=x password=*** dbname=y"),
        ("PGPASSWORD='s3cr3t x' psql", "PGPASSWORD=*** psql"),
        ("odbc_connect=UID%3Dme%3BPWD%3Ds3cr3t%3B", "odbc_connect=UID%3Dme%3BPWD%3D***%3B"),
        ('password authentication failed for user "me"', 'password authentication failed for user "me"'),
        ("see http://a.b/c: write x@y.z at 10:30", "see http://a.b/c: write x@y.z at 10:30"),
        ("got \"postgresql://me:s3'cr'3t@host/db\"", 'got "postgresql://me:***@host/db"'),
        ("'postgresql://me@host/db', not 'me@home'", "'postgresql://me@host/db', not 'me@home'"),
        (r"host=x password=s3\'cr\ 3t dbname=y", "host=x password=*** dbname=y"),
        (r"password='s3\'cr3t' dbname=y", "password=*** dbname=y"),
    ],
)
def test_a_text_is_scrubbed_and_no_more_than_that(text, clean):
    assert scrubbed(text) == clean


@pytest.mark.timeout(30)
@pytest.mark.parametrize("text", ["a" * 300_000, "0f" * 150_000, "a." * 150_000, "x=" * 150_000, "://a:" * 60_000])
def test_a_long_text_is_read_once(text):
    assert scrubbed(text) == text


def test_json_is_scrubbed_wherever_a_text_stands():
    settings = {"storage": "postgresql://ann:pw@host/db", "password": "pw", "epochs": 3}
    assert scrubbed_json({"settings": settings, "x": ["token=pw", None]}) == {
        "settings": {"storage": "postgresql://ann:***@host/db", "password": "***", "epochs": 3},
        "x": ["token=***", None],
    }


def test_messages_for_a_person_are_scrubbed_where_they_are_made():
    error = UsageError(f"cannot open {ADDRESSES[0]}", f"in {ADDRESSES[0]}")
    assert PASSWORD not in str(error) + error.detail
    assert PASSWORD not in first_line(RuntimeError(f"cannot open {ADDRESSES[0]}"))


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_storage_that_cannot_be_opened_tells_no_password(address):
    with pytest.raises(UsageError) as caught:
        open_storage(address)
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("command", ["front", "report", "dashboard", "retrain", "search"])
def test_no_command_prints_a_password(address, command, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([command, "--storage", address]) == 2
    said = "".join(capfd.readouterr())
    assert "storage" in said
    assert PASSWORD not in said


def test_what_is_given_to_a_flag_that_does_not_exist_is_not_repeated(capfd):
    assert main(["front", "--stroage=postgresql://me:s3 cr3t@host/db"]) == 2
    assert capfd.readouterr().err == "optnas: unknown argument --stroage; did you mean --storage?\n"


def test_who_gives_a_password_on_the_command_line_is_told_once_who_else_reads_it(capfd):
    main(["front", "--storage", ADDRESSES[0]])
    assert capfd.readouterr().err.count("PGPASSWORD") == 1
    main(["front", "--storage", "postgresql+psycopg://me@127.0.0.1:1/db"])
    assert "PGPASSWORD" not in capfd.readouterr().err


def test_an_error_that_nobody_foresaw_is_shown_without_the_password(capfd, monkeypatch):
    def fail(*given, **more):
        raise RuntimeError(f"connection to {ADDRESSES[0]} lost") from ValueError(f"password={PASSWORD}")

    monkeypatch.setattr("optnas.cli.front.open_storage", fail)
    assert main(["front"]) == 1
    said = capfd.readouterr().err
    assert "RuntimeError: connection to postgresql+psycopg://me:***@" in said
    assert PASSWORD not in said


def test_logs_of_optuna_and_of_the_database_are_scrubbed():
    handler, records = logging.StreamHandler(), []
    handler.emit = lambda record: records.append(handler.format(record))
    logger = logging.getLogger("sqlalchemy")
    logger.addHandler(handler)
    try:
        hide_in_logs()
        try:
            raise RuntimeError(f"lost {ADDRESSES[0]}")
        except RuntimeError:
            logger.exception("connecting with %s", {"password": PASSWORD})
    finally:
        logger.removeHandler(handler)
    (line,) = records
    assert "connecting with {'password': ***}" in line
    assert "RuntimeError: lost postgresql+psycopg://me:***@" in line
    assert PASSWORD not in line


@pytest.mark.parametrize("address", [*ADDRESSES[:4], ADDRESSES[7]])
def test_what_a_study_keeps_of_its_settings_has_no_password(address):
    assert PASSWORD not in json.dumps(Settings(storage=address).plain())


@pytest.mark.parametrize("address", [*ADDRESSES[:4], ADDRESSES[7]])
def test_reports_and_notes_have_no_password(address):
    study = handmade.one_of_each()
    command = f"ssh me@phone --password={PASSWORD}"
    # As a version of optnas wrote it that kept the whole address.
    study.set_user_attr("optnas:request", {"data": "digits", "storage": address, "device_command": command})
    study.set_user_attr("optnas:settings", {"device": {"command": command}})
    html = report_html(study, address)
    assert PASSWORD not in html
    assert "--password=***" in html
    assert PASSWORD not in "\n".join(for_study(on_study(study, address), 3))
