import json
import re
from pathlib import Path

import pytest
from handmade import WILD, awkward, large, one_of_each

from optnas.errors import UsageError
from optnas.facts.trials import read_trials
from optnas.front import front
from optnas.report.page.data import data_of
from optnas.report.page.part import Reading
from optnas.report.page.write import check_report, report_html, write_report


def read(study):
    return Reading(study, "sqlite:///o.db", read_trials(study), front(study), None)


def embedded(html):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


def test_the_data_by_hand():
    data = data_of(read(one_of_each()), {0: 0.81234})
    names = [column["name"] for column in data["columns"]]
    assert names == ["error", "macs", "params"]
    assert data["y"] == "error"
    assert data["axes"] == ["macs", "params"]
    rows = {row[0]: row for row in data["rows"]}
    assert data["states"][rows[0][1]] == "front"
    assert rows[0][2] == [0.2, 100, 10]
    assert rows[4][2] == [0.6, 250, None]  # pruned: its last error
    assert rows[5][2] == [None, 950, None]
    assert rows[0][4] == 2
    choice = data["choices"][0]
    assert (choice["name"], choice["options"][rows[0][3][0]]) == ("block1.op", "mb3_k3")
    assert data["sure"] == {"0": 0.812}


def test_the_page_is_one_file_that_asks_for_nothing():
    html = report_html(one_of_each())
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', html)
    assert "default-src 'none'" in html
    assert embedded(html)["study"] == "by hand"


def test_what_stands_in_a_study_is_text():
    html = report_html(awkward()["wild"])
    assert "<script>alert" not in html
    assert "<img" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    steering = str.maketrans({"\x1b": r"\x1b", "\x07": r"\x07", "\r": r"\r", "\x9b": r"\x9b", "\u202e": r"\u202e"})
    assert embedded(html)["study"] == WILD.translate(steering)
    assert not set(html) & set("\x1b\x07\x9b\u202e")


@pytest.mark.parametrize("name", awkward())
def test_every_awkward_study_has_a_page(name):
    study = awkward()[name]
    html = report_html(study)
    assert len(embedded(html)["rows"]) == len(study.trials)
    shown = html.partition("<main>")[2].partition('<script type="application/json"')[0]
    for sign in ("nan%", "nan ", "None", "Traceback", "Error:"):
        assert sign not in shown, sign


def test_a_list_of_one_is_a_sentence():
    head = report_html(awkward()["one"]).partition("<nav")[0]
    assert "<p>One network is on the front, trial 0: error 50.00% and MACs 10.</p>" in head
    assert "<li>" not in head
    head = report_html(one_of_each()).partition("<nav")[0]
    assert head.count("<li>") == 2


def test_a_password_does_not_leave_the_machine():
    html = report_html(one_of_each(), "postgresql+psycopg://me:secret@host/db")
    assert "secret" not in html


def test_a_thousand_trials_stay_small():
    html = report_html(large(1000))
    assert len(embedded(html)["rows"]) == 1000
    assert len(html.encode()) < 5e6


@pytest.mark.parametrize(
    ("path", "what"),
    [("a.txt", "ends in .html"), ("nowhere/a.html", "folder that exists"), ("folder.html", "got a folder")],
)
def test_a_path_that_cannot_be_written_is_refused_before_the_work(tmp_path, path, what):
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(UsageError, match=what):
        check_report(tmp_path / path)


def test_the_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "r.html"
    write_report(one_of_each(), path)
    assert path.read_text(encoding="utf-8").endswith("</html>\n")
    assert [one.name for one in Path(tmp_path).iterdir()] == ["r.html"]
