"""What may reach the dashboard, asked as a browser asks."""

import pytest

from optnas.report.dashboard.guard import Guard, is_loopback


def answer(host="127.0.0.1", **environ):
    """(status, headers) of a guarded application that lets any page read what it says."""

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/html"), ("Access-Control-Allow-Origin", "*")])
        return [b"<script>alert(1)</script>"]

    said = []
    asked = {"REQUEST_METHOD": "GET", "PATH_INFO": "/dashboard/", "HTTP_HOST": "127.0.0.1:8080", **environ}
    body = Guard(app, host)(asked, lambda status, headers, *more: said.append((status, dict(headers))))
    ((status, headers),) = said
    assert (b"alert" in b"".join(body)) == (status == "200 OK")
    return status, headers


@pytest.mark.parametrize("name", ["127.0.0.1:8080", "localhost:8080", "localhost", "[::1]:8080"])
def test_the_person_at_this_machine_is_answered(name):
    assert answer(HTTP_HOST=name)[0] == "200 OK"
    assert answer(HTTP_HOST=name, REQUEST_METHOD="POST", HTTP_ORIGIN=f"http://{name}")[0] == "200 OK"


@pytest.mark.parametrize(
    "name", ["evil.example:8080", "127.0.0.1.evil.example", "", "localhost.evil.example", "[", "10.0.0.1"]
)
def test_a_name_that_somebody_pointed_at_this_machine_is_refused(name):
    assert answer(HTTP_HOST=name)[0] == "403 Forbidden"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "http://evil.example:8080"])
def test_another_page_cannot_write(method, origin):
    assert answer(REQUEST_METHOD=method, HTTP_ORIGIN=origin)[0] == "403 Forbidden"


def test_who_lets_others_in_is_asked_by_any_name_but_still_by_no_other_page():
    named = {"HTTP_HOST": "lab.example:8080"}
    assert answer("0.0.0.0", **named)[0] == "200 OK"
    assert answer("0.0.0.0", **named, REQUEST_METHOD="POST", HTTP_ORIGIN="http://lab.example:8080")[0] == "200 OK"
    assert answer("0.0.0.0", **named, REQUEST_METHOD="POST", HTTP_ORIGIN="http://evil.example")[0] == "403 Forbidden"


def test_only_the_script_of_the_dashboard_runs_and_an_artifact_runs_none():
    headers = answer()[1]
    assert headers["Content-Security-Policy"].startswith("script-src 'self';")
    artifact = answer(PATH_INFO="/artifacts/1/1/0a")[1]
    assert artifact["Content-Security-Policy"].startswith("sandbox; default-src 'none';")
    for one in (headers, artifact):
        assert one["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in one


@pytest.mark.parametrize(
    ("host", "here"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("10.0.0.1", False), ("lab", False), ("", False)],
)  # fmt: skip
def test_what_is_this_machine_alone(host, here):
    assert is_loopback(host) == here
