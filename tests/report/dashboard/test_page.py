"""The dashboard as a person sees it, in headless Chromium."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import handmade
import pytest
from browser import visit

import optnas
from optnas.study import open_storage

pytestmark = pytest.mark.slow

HOSTILE = "<img src=x onerror=alert(1)> ![x](http://evil.example/x.png) [c](javascript:alert(1)) www.evil.example"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Of a dashboard of two studies: a search of the digits, and one from somebody else."""
    folder = tmp_path_factory.mktemp("dashboard")
    storage = f"sqlite:///{folder / 'optnas.db'}"
    optnas.search(data="digits", constraints=("params<=60k",), trials=8, epochs=3, workers=0, storage=storage)
    study = handmade.new_study(name=HOSTILE, storage=open_storage(storage))
    handmade.add(study, (0.5, 10.0), curve=[0.5], costs={"macs": 10.0})
    handmade.add(study, state=handmade.TrialState.FAIL, reason=HOSTILE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "optnas", "dashboard", "--storage", storage, "--port", str(port)]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, env=os.environ) as server:
        found = f"http://127.0.0.1:{port}"
        try:
            assert server.stderr.readline() == f"{found}/    (Ctrl-C ends it)\n"
            _wait_for_note(found, 2)
            yield found
        finally:
            server.send_signal(signal.SIGTERM)  # tests in the background of a shell ignore SIGINT
            assert server.wait(10) == 0
            assert server.stderr.read() == ""


def _wait_for_note(address, study):
    """Until the study that is filled in last has its trials' notes."""
    for _ in range(100):
        with urllib.request.urlopen(f"{address}/api/studies/{study}") as answer:
            if all(trial["note"]["body"] for trial in json.load(answer)["trials"]):
                return
        time.sleep(0.1)


def sees_picture(page, name):
    picture = page.locator(f"img[alt='{name}']")
    picture.scroll_into_view_if_needed()
    return picture.evaluate("async picture => { await picture.decode(); return picture.naturalWidth }") > 300


def test_the_page_of_a_study_has_its_plots(address):
    with visit() as seen:
        seen.page.goto(f"{address}/dashboard/studies/1")
        for name in ("front", "hypervolume", "curves"):
            plot = seen.page.locator(f"[id='user-defined-plot:optnas-{name}'] .main-svg").first
            plot.scroll_into_view_if_needed()
            assert plot.is_visible()
        titles = seen.page.locator("[id^='user-defined-plot:'] .gtitle").all_text_contents()
        assert len(titles) == 3
        assert any(re.search(r"\d networks? on the front: .*% error at .* MACs", title) for title in titles)
        assert any("of its box" in title for title in titles)
        assert any(title.startswith("Learning curves of 8 trainings over 3 epochs") for title in titles)
        assert seen.errors == []


def test_the_note_of_a_study_leads_to_its_networks(address):
    with visit() as seen:
        seen.page.goto(f"{address}/dashboard/studies/1/note")
        seen.page.get_by_text("A search of the space mobile").wait_for()
        assert seen.page.get_by_text("optnas search --study digits").is_visible()
        link = seen.page.locator("table a").first
        number = link.inner_text()
        link.click()
        seen.page.get_by_role("heading", name=f"Trial {number} ").wait_for()
        assert seen.errors == []


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_of_a_trial_has_its_note_drawing_and_curve(address, dark):
    with visit(dark=dark) as seen:
        seen.page.goto(f"{address}/dashboard/studies/1/trials?numbers=0")
        seen.page.get_by_text("validation error").first.wait_for()
        assert sees_picture(seen.page, "network")
        assert sees_picture(seen.page, "learning curve")
        assert seen.page.get_by_text("stage1.block1.op").first.is_visible()
        assert seen.page.get_by_text("optnas retrain --study digits").is_visible()
        artifacts = seen.page.get_by_role("heading", name="Artifacts")
        artifacts.scroll_into_view_if_needed()
        for name in ("network.svg", "curve.svg"):
            assert seen.page.get_by_text(name).is_visible()
        assert seen.errors == []


def test_what_a_storage_holds_is_only_text(address):
    with visit() as seen:
        for page, text in (("studies/2/note", "onerror=alert(1)"), ("studies/2/trials?numbers=1", "Failed")):
            seen.page.goto(f"{address}/dashboard/{page}")
            seen.page.get_by_text(text).first.wait_for()
            assert seen.page.get_by_text("www").first.is_visible()
            assert (
                seen.page.locator("a[href*='evil'], a[href^='javascript'], img[src*='evil'], img[src='x']").count() == 0
            )
        assert not [request for request in seen.requests if "evil" in request]
        assert seen.errors == []
