import io

import pytest
import toy
from rich.console import Console

from optnas.facts.summary import format_value
from optnas.study import InProcess, run
from optnas.study.settings import Settings
from optnas.watch import Watch, front_table


@pytest.fixture
def study():
    objective = toy.objective()
    return toy.study(objective, sampler=None, study_name="s"), objective


def search(study, objective, console, trials=5):
    watch = Watch(console)
    watch.start(study, Settings(trials=trials))
    run(study, objective, InProcess(), trials, watch)
    watch.close()


def test_plain_lines_where_there_is_no_terminal(study):
    out = io.StringIO()
    search(*study, Console(file=out, width=200))
    lines = out.getvalue().splitlines()
    assert lines[0] == "study s: 5 trained networks in all"
    assert [line.split("]")[0] for line in lines[1:]] == [f"[{n}/5" for n in range(1, 6)]
    assert all("front " in line and " left" in line for line in lines[1:])
    assert "\x1b" not in out.getvalue()


def test_it_says_where_it_goes_on(study):
    out = io.StringIO()
    search(*study, Console(file=out, width=200), trials=2)
    search(*study, Console(file=out, width=200), trials=3)
    assert "3 trained networks in all, goes on from 2" in out.getvalue()


def test_a_terminal_gets_a_live_picture(study):
    out = io.StringIO()
    search(*study, Console(file=out, width=120, force_terminal=True))
    text = out.getvalue()
    assert "5/5 trained" in text
    assert "repeats avoided" in text
    assert "front:" in text


def test_one_traceback_is_enough():
    objective = toy.objective(toy.misfit_space)
    study = toy.study(objective)
    out = io.StringIO()
    watch = Watch(Console(file=out, width=200))
    watch.start(study, Settings(trials=2))
    for number in range(3):
        watch(toy_failure(number))
    assert out.getvalue().count("Traceback of it") == 1
    assert out.getvalue().count("failed: RuntimeError: [odd] brackets") == 3


def toy_failure(number):
    from optnas.study import Event

    return Event("failed", number, "RuntimeError: [odd] brackets", detail="Traceback of it")


def test_values_for_people():
    assert format_value("error", 0.01234) == "1.23%"
    assert format_value("macs", 1_234_000) == "1.23 M"
    assert format_value("accuracy", 0.5) == "0.5"


def test_a_long_front_is_thinned_evenly_with_both_ends():
    from optnas.front import Network

    members = [Network(n, {"error": n / 100}, {}, {}, True, ()) for n in range(30)]
    table = front_table(members, ["error"], rows=4)
    assert list(table.columns[0].cells) == ["0", "10", "19", "29"]
