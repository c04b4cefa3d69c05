import json
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import handmade
import numpy as np
import optuna
import psutil
import pytest

from optnas.cli import main
from optnas.cli.search import _just_above
from optnas.study import open_storage

QUICK = ["--epochs", "1", "--workers", "0", "--train-images", "200"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def refused(capsys):
    """Runs a command that must be refused; returns its one sentence."""

    def run(*arguments):
        try:
            status = main(arguments)
        except SystemExit as exit:
            status = exit.code
        output = capsys.readouterr()
        assert status == 2
        assert output.out == ""
        lines = output.err.splitlines()
        assert lines[-1].startswith("optnas: ")
        return lines[-1]

    return run


def test_the_main_job_from_search_to_front(capsys, tmp_path):
    assert main(["search", "--trials", "4", *QUICK]) == 0
    output = capsys.readouterr()
    assert "front of digits" in output.out
    assert "[4/4]" in output.err
    for name in ("optnas.db", "digits-front.png"):
        assert (tmp_path / name).stat().st_size > 1000
    commands = output.out.split("next:\n")[1].strip().splitlines()
    asked = ["search", "front", "retrain", "explain", "report", "export", "dashboard"]
    assert [command.split()[1] for command in commands] == asked
    assert all(command.strip().startswith("optnas ") for command in commands)

    # --trials is a total, and what is not given is what the study was made with.
    assert main(["search", "--trials", "6", "--workers", "0"]) == 0
    output = capsys.readouterr()
    assert "goes on from 4" in output.err
    study = optuna.load_study(study_name="digits", storage="sqlite:///optnas.db")
    trained = [t for t in study.trials if t.state.name == "COMPLETE" and "optnas:repeat_of" not in t.user_attrs]
    assert len(trained) == 6
    assert study.metric_names == ["error", "macs"]

    assert main(["front", "--json"]) == 0
    members = json.loads(capsys.readouterr().out)
    assert members
    for member in members:
        fields = {"trial", "values", "costs", "choices", "feasible", "curve", "sure", "expected", "ties_with"}
        assert set(member) == fields
        assert set(member["costs"]) == {"params", "macs", "size_bytes", "peak_memory_bytes"}
        assert member["values"]["macs"] == member["costs"]["macs"]
        assert study.trials[member["trial"]].params == member["choices"]
    errors = [member["values"]["error"] for member in members]
    assert errors == sorted(errors)

    limit = sorted(member["costs"]["macs"] for member in members)[0]
    assert main(["front", "--json", "--budget", f"macs<={limit}"]) == 0
    assert [member["costs"]["macs"] for member in json.loads(capsys.readouterr().out)] == [limit]
    assert main(["front", "--plot", "front.svg"]) == 0
    assert "stem.width=" in capsys.readouterr().out
    assert (tmp_path / "front.svg").read_text().startswith("<?xml")


def test_resuming_with_other_settings_is_refused_with_the_difference(refused, capsys):
    assert main(["search", "--trials", "2", *QUICK]) == 0
    capsys.readouterr()
    for flags, difference in [
        (["--epochs", "2"], "task.epochs: 1 in the study, 2 now"),
        (["--space", "cell"], "space.name: mobile in the study, cell now"),
        (["--objectives", "error,params"], "objectives: error,macs in the study, error,params now"),
        (["--constraint", "params<=100k"], "constraints: none in the study, params<=100000 now"),
        (["--seed", "1"], "seed: 0 in the study, 1 now"),
    ]:
        sentence = refused("search", "--trials", "3", "--workers", "0", *flags)
        assert difference in sentence
        assert "--study another name" in sentence
    study = optuna.load_study(study_name="digits", storage="sqlite:///optnas.db")
    assert len(study.trials) == 2
    # The sampler is free to change.
    assert main(["search", "--trials", "3", "--workers", "0", "--sampler", "nsga2"]) == 0


def test_constraints_hold_and_refusals_are_counted(capsys):
    assert main(["search", "--trials", "3", "--constraint", "params<=30k", "--sampler", "random", *QUICK]) == 0
    study = optuna.load_study(study_name="digits", storage="sqlite:///optnas.db")
    complete = [t for t in study.trials if t.state.name == "COMPLETE"]
    pruned = [t for t in study.trials if t.state.name == "PRUNED"]
    assert pruned
    assert all(
        t.user_attrs["optnas:costs"]["params"] <= 30000 and t.constraints["params<=30000"] <= 0 for t in complete
    )
    assert all(t.constraints["params<=30000"] > 0 and "over budget" in t.user_attrs["optnas:reason"] for t in pruned)
    assert all("optnas:curve" not in t.user_attrs for t in pruned)


def test_a_budget_out_of_reach_is_said_at_the_start_with_the_range(capsys, monkeypatch):
    monkeypatch.setattr("optnas.study.coordinator._MOST_REFUSALS", 5)
    assert main(["search", "--trials", "2", "--constraint", "params<=100", "--sampler", "random", *QUICK]) == 2
    output = capsys.readouterr().err
    assert "the budget params<=100 is met by 0% of 10 random networks; they reach params from " in output
    assert "5 proposals in a row brought no network to train" in output


@pytest.mark.slow
def test_a_sampler_that_knows_costs_says_so_before_anything_is_proposed(capsys, monkeypatch):
    monkeypatch.setattr("optnas.sampler.planner._APPROACHES", 2)
    assert main(["search", "--trials", "2", "--constraint", "params<=100", *QUICK]) == 2
    output = capsys.readouterr().err
    assert "cost-aware sampler: expected networks within the limits, got none of " in output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["search", "--data", "digit"], "digits, fashion-mnist, cifar10"),
        (["search", "--data", "imagefolder:nowhere"], "nowhere"),
        (
            ["search", "--sampler", "nsga3"],
            "unknown sampler 'nsga3': expected cost-aware, tpe, nsga2, evolution, reinforce, random, gradient; "
            "did you mean nsga2?",
        ),
        (["search", "--objectives", "error,mac"], "did you mean macs?"),
        (["search", "--objectives", "macs"], "expected 'error'"),
        (["search", "--constraint", "params<100q"], "NAME OP NUMBER"),
        (["search", "--constraint", "latency<=2"], "did you mean latency_ms?"),
        (["search", "--constraint", "error<=0.1"], "known only after training"),
        (["search", "--trials", "0"], "trials: expected a whole number from 1, got 0"),
        (["search", "--trials", "many"], "invalid int value: 'many'"),
        (["search", "--epochs", "0"], "epochs"),
        (["search", "--lr", "nan"], "lr"),
        (["search", "--tune", "momentum"], "lr"),
        (["search", "--trails", "3"], "unknown argument --trails; did you mean --trials?"),
        (["search", "--space", "nowhere:build"], "no module 'nowhere'"),
        (["search", "--space", "mobil"], "unknown space 'mobil'"),
        (["search", "--space", "./nowhere.py:build"], "there is no file"),
        (["search", "--space", "sys:nope"], "has no function 'nope'"),
        (["search", "--space", "json:nope"], "has no function 'nope'"),
        (["search", "--storage", "optnas.db"], "expected an address such as sqlite:///optnas.db"),
        (["search", "--storage", "sqlite:///no/such/folder/a.db"], "does not exist"),
        (["search", "--device", "tpu"], "device"),
        (["front"], "no such file"),
        (["front", "--budget", "fast"], "NAME OP NUMBER"),
        (["profile", "--input", "28x28"], "channels x height x width"),
        (["profile", "--input", "1x4x4"], "at least 8x8 pixels"),
        (["profile", "--samples", "0"], "--samples: expected a whole number from 1"),
        (["dashboard"], "no such file"),
        (["fronts"], "invalid choice: 'fronts'"),
        ([], "required: COMMAND"),
    ],
)
def test_bad_input_gets_one_sentence_and_status_2(refused, tmp_path, arguments, words):
    assert words in refused(*arguments)
    assert not (tmp_path / "optnas.db").exists() or not optuna.get_all_study_names("sqlite:///optnas.db")


def test_a_space_that_raises_shows_its_traceback_once_and_leaves_no_study(capsys, tmp_path, monkeypatch):
    (tmp_path / "my_broken_space.py").write_text("def build(trial):\n    raise KeyError('in my code')\n")
    assert main(["search", "--space", "my_broken_space:build", "--trials", "2", *QUICK]) == 2
    output = capsys.readouterr().err
    assert output.count("Traceback (most recent call last)") == 1
    assert "my_broken_space.py" in output
    assert output.splitlines()[-1].startswith("optnas: none of 10 random networks of the space works: KeyError")
    assert main(["search", "--trials", "1", *QUICK]) == 0


def test_a_space_of_ones_own(capsys, tmp_path):
    (tmp_path / "my_small_space.py").write_text(
        "from torch import nn\n"
        "def build(trial, input_shape, num_classes):\n"
        "    width = trial.suggest_int('width', 4, 32)\n"
        "    inputs = input_shape[0] * input_shape[1] * input_shape[2]\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, num_classes))\n"
    )
    assert main(["search", "--space", "my_small_space:build", "--trials", "3", *QUICK]) == 0
    assert main(["profile", "--space", "my_small_space:build", "--input", "1x8x8", "--samples", "50", "--json"]) == 0
    out = capsys.readouterr().out
    profile = json.loads(out[out.index("{") :])
    low, high = (64 * width + 10 * width for width in (4, 32))
    assert low <= profile["costs"]["macs"]["min"] <= profile["costs"]["macs"]["max"] <= high
    assert profile["share"] == 1


def test_profile_says_which_share_meets_the_constraints(capsys):
    assert main(["profile", "--input", "1x8x8", "--samples", "20", "--constraint", "params<=20k", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["samples"] == 20
    assert 0 < found["share"] < 1
    assert (found["costs"]["params"]["min"] <= 20000) == (found["share"] > 0)
    for row in found["costs"].values():
        assert row["min"] <= row["median"] <= row["max"]
    assert main(["profile", "--input", "1x8x8", "--samples", "20", "--constraint", "params<=20k"]) == 0
    text = capsys.readouterr().out
    assert f"{found['share']:.1%} meet params<=20000" in text
    assert "peak_memory_bytes" in text


def test_front_of_a_study_that_optnas_did_not_make(capsys):
    study = optuna.create_study(storage="sqlite:///optnas.db", study_name="other", directions=["minimize", "maximize"])
    for x, y in ((1.0, 1.0), (2.0, 5.0), (3.0, 4.0)):
        study.tell(study.ask(), [x, y])
    assert main(["front", "--json"]) == 0
    assert [member["trial"] for member in json.loads(capsys.readouterr().out)] == [0, 1]
    assert main(["search", "--study", "other", "--trials", "3", *QUICK]) == 2
    assert "was not made by optnas" in capsys.readouterr().err


def test_a_budget_on_a_cost_that_was_not_measured(refused, capsys):
    assert main(["search", "--trials", "1", *QUICK]) == 0
    capsys.readouterr()
    sentence = refused("front", "--budget", "latency_ms<=2")
    assert "this study measured other costs: params, macs, size_bytes, peak_memory_bytes" in sentence


def test_a_full_disk_ends_with_a_sentence_and_keeps_what_was_stored(capsys, monkeypatch):
    assert main(["search", "--trials", "2", *QUICK]) == 0

    def tune_for_a_full_disk(connection, record):
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages}")

    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr("optnas.study.storage._tune", tune_for_a_full_disk)
        assert main(["search", "--trials", "20", "--workers", "0"]) == 2
    assert "the storage failed (database or disk is full)" in capsys.readouterr().err.splitlines()[-1]
    before = finished("optnas.db")
    assert before >= 2
    assert main(["search", "--trials", str(before + 1), "--workers", "0"]) == 0
    assert finished("optnas.db") >= before + 1


def finished(path):
    with closing(sqlite3.connect(path, timeout=30)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'trials'").fetchone():
            return 0  # the file is there a moment before its tables
        return connection.execute("SELECT count(*) FROM trials WHERE state = 'COMPLETE'").fetchone()[0]


def start(*arguments):
    command = [sys.executable, "-m", "optnas", "search", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.usefixtures("usual_signals")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_stopped_search_goes_on_to_exactly_the_number_asked(how, tmp_path):
    arguments = ["--trials", "12", "--epochs", "2", "--workers", "2", "--sampler", "random"]
    process = start(*arguments)
    wait_for(lambda: (tmp_path / "digits-front.png").exists() or (tmp_path / "optnas.db").exists())
    wait_for(lambda: finished(tmp_path / "optnas.db") >= 4)
    os.kill(process.pid, how)
    output = process.communicate(timeout=60)[0]
    if how != signal.SIGKILL:
        assert process.returncode == 130
        assert output.splitlines()[-1] == "optnas: stopped; the same command goes on"
    assert "Traceback" not in output
    before = finished(tmp_path / "optnas.db")
    assert before < 12
    assert subprocess.run([sys.executable, "-m", "optnas", "search", *arguments], capture_output=True).returncode == 0
    study = optuna.load_study(study_name="digits", storage="sqlite:///optnas.db")
    assert [t.state.name for t in study.trials].count("COMPLETE") == 12
    assert [t.state.name for t in study.trials].count("RUNNING") == 0
    with closing(sqlite3.connect(tmp_path / "optnas.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    process.stdout.close()


@pytest.mark.slow
@pytest.mark.usefixtures("usual_signals")
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs signals")
@pytest.mark.parametrize(("how", "again"), [("SIGHUP", False), ("SIGINT", True)])
def test_a_closed_terminal_and_ctrl_c_again_and_again_stop_a_search_as_one_ctrl_c_does(how, again, tmp_path):
    process = start("--trials", "12", "--epochs", "4000", "--workers", "2", "--sampler", "random")
    wait_for(lambda: len(list(tmp_path.glob("optnas.db-checkpoints/*/*.safetensors"))) == 2)
    workers = psutil.Process(process.pid).children()
    assert len(workers) == 2
    number, began = getattr(signal, how), time.monotonic()
    process.send_signal(number)
    while again and process.poll() is None and time.monotonic() - began < 4:
        time.sleep(0.01)
        process.send_signal(number)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert output.splitlines()[-1] == "optnas: stopped; the same command goes on"
    wait_for(lambda: not any(worker.is_running() for worker in workers), seconds=5)
    study = optuna.load_study(study_name="digits", storage="sqlite:///optnas.db")
    running = [trial for trial in study.trials if trial.state.name == "RUNNING"]
    assert [trial.user_attrs["optnas:starts"] for trial in running] == [0, 0]


@pytest.mark.usefixtures("usual_signals")
def test_search_leaves_signals_as_they_were_and_ignored_ones_to_nohup_and_the_shell(monkeypatch):
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = list(map(signal.getsignal, numbers))
    during = []

    def search(watch, **settings):
        during.extend(map(signal.getsignal, numbers))
        raise KeyboardInterrupt

    monkeypatch.setattr("optnas.cli.search.search", search)
    assert main(["search"]) == 130
    assert list(map(signal.getsignal, numbers)) == before
    assert len(set(during)) == 1
    for number, handler in zip(numbers, before, strict=True):
        during.clear()
        signal.signal(number, signal.SIG_IGN)
        try:
            assert main(["search"]) == 130
        finally:
            signal.signal(number, handler)
        assert [one for one, held in zip(numbers, during, strict=True) if held == signal.SIG_IGN] == [number]


@pytest.mark.usefixtures("usual_signals")
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_asked_to_end_leaves_no_copy_of_the_storage(number, tmp_path):
    handmade.new_study(name="s", storage=open_storage("sqlite:///optnas.db"))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    script = (
        "import time\nfrom optnas.cli import main, report\n"
        "def wait(*_):\n    print('copied', flush=True)\n    time.sleep(600)\n"
        "report.find_study = wait\nraise SystemExit(main(['report']))\n"
    )
    environment = {**os.environ, "TMPDIR": str(temporary)}
    command = [sys.executable, "-W", "ignore", "-c", script]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "copied\n"
        assert [path.name for path in temporary.glob("*/*.db")] == ["optnas.db"]
        process.send_signal(number)
        assert process.wait(60) == 130
    assert list(temporary.iterdir()) == []


def test_pruning_from_search_to_audit(capsys):
    arguments = ["search", "--trials", "12", "--epochs", "3", "--workers", "0", "--train-images", "100"]
    assert main([*arguments, "--pruner", "median", "--audit", "0.3", "--sampler", "random"]) == 0
    study = optuna.load_study(study_name="digits", storage="sqlite:///optnas.db")
    pruned = [t for t in study.trials if t.state.name == "PRUNED" and "optnas:curve" in t.user_attrs]
    assert pruned
    assert all(not t.intermediate_values for t in study.trials)
    capsys.readouterr()
    assert main(["prune-audit", "--json"]) == 0
    account = json.loads(capsys.readouterr().out)
    assert account["trials"] == 12
    assert account["pruned"] == len(pruned)
    assert account["epochs_saved"] == sum(3 - len(t.user_attrs["optnas:curve"]) for t in pruned)
    assert main(["front", "--all"]) == 0
    assert "above the bound" in capsys.readouterr().out
    assert main(["front", "--all", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["state"] for row in rows].count("pruned") == len(pruned)


def test_bench_pruners_gives_the_fields_asked_for(capsys, tmp_path):
    generator = np.random.default_rng(0)
    final = generator.uniform(0.1, 0.5, 40)
    curves = final[:, None] + 0.5 * np.exp(-np.arange(20) / 4)[None]
    np.savez(tmp_path / "curves.npz", error=curves, macs=generator.uniform(1, 2, 40))
    arguments = ["bench", "pruners", "--curves", "curves.npz", "--cost", "macs", "--trials", "30", "--seeds", "2"]
    assert main([*arguments, "--pruners", "none,median,halving,dominance", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 4 * 2
    fields = {"pruner", "seed", "trials", "epochs_used", "hypervolume_kept", "front_recall", "front_size"}
    assert all(set(row) == fields for row in rows)
    assert all(row["epochs_used"] == row["front_recall"] == 1 for row in rows if row["pruner"] == "none")
    assert main(arguments) == 0
    assert "dominance" in capsys.readouterr().out


def test_bench_refuses_bad_input(refused, tmp_path):
    (tmp_path / "text.npz").write_text("no")
    assert "text.npz" in refused("bench", "pruners", "--curves", "text.npz", "--cost", "macs")
    assert "nowhere.npz" in refused("bench", "pruners", "--curves", "nowhere.npz", "--cost", "macs")
    assert "required: --curves" in refused("bench", "pruners", "--cost", "macs").replace(
        "the following arguments are ", ""
    )


def test_bench_samplers_gives_the_fields_asked_for(capsys, tmp_path):
    rows = [f"{a},{b},{a * b + 1},{9 - a - b}" for a in range(4) for b in range(4)]
    (tmp_path / "table.csv").write_text("\n".join(["x_a,x_b,error,macs", *rows]))
    arguments = ["bench", "samplers", "--table", "table.csv", "--objectives", "error,macs", "--trials", "10"]
    assert main([*arguments, "--samplers", "random,cost-aware", "--seeds", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found) == 2 * 2
    fields = {"sampler", "seed", "trainings", "hypervolume", "front_recall", "repeats", "seconds_per_suggestion"}
    assert all(set(row) == fields and row["trainings"] == 10 for row in found)
    assert main([*arguments, "--samplers", "random", "--seeds", "1"]) == 0
    assert "hypervolume" in capsys.readouterr().out


@pytest.fixture
def table(tmp_path):
    rows = [f"{a},{b},{a * b + 1},{9 - a - b}" for a in range(4) for b in range(4)]
    (tmp_path / "table.csv").write_text("\n".join(["x_a,x_b,error,macs", *rows]))
    return ["bench", "samplers", "--table", "table.csv", "--objectives", "error,macs", "--trials", "10"]


def test_bench_samplers_shows_each_run_on_standard_error_and_draws(table, capfd, tmp_path):
    arguments = [*table, "--samplers", "random,nsga2", "--seeds", "2", "--json", "--plot", "out.svg"]
    optuna.logging.set_verbosity(optuna.logging.INFO)
    try:
        assert main(arguments) == 0
    finally:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
    output = capfd.readouterr()
    assert len(json.loads(output.out)) == 4
    lines = output.err.splitlines()
    assert lines[0].startswith("1/4 random, seed 0: hypervolume ")
    assert lines[3].startswith("4/4 nsga2, seed 1: hypervolume ")
    assert lines[4:] == ["picture: out.svg"]
    assert "networks trained" in (tmp_path / "out.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--samplers", "nsga"], "did you mean nsga2?"),
        (["--samplers", "random,random"], "samplers: expected each once, got random twice"),
        (["--samplers", ""], "unknown sampler ''"),
        (["--objectives", "error,energy"], "expected a column of the table, one of error, macs"),
        (["--trials", "9"], "trials: expected at least 10, got 9"),
        (["--seeds", "0"], "seeds: expected at least 1, got 0"),
        (["--table", "nowhere.csv.gz"], "nowhere.csv.gz: expected a csv file, got a path that does not exist"),
        (["--table", "empty.csv"], "got 0 rows of nothing"),
        (["--table", "plain.csv"], "expected rows with columns x_* and numbers, got 1 rows of a, error, macs"),
        (["--plot", "out.xyz"], "picture out.xyz: expected an ending such as .png"),
        (["--plot", "no/out.png"], "picture no/out.png: expected a folder that exists, got no"),
    ],
)
def test_bench_samplers_refuses_bad_input(table, refused, tmp_path, arguments, words):
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "plain.csv").write_text("a,error,macs\n1,2,3\n")
    assert words in refused(*table, *arguments)


@pytest.mark.parametrize(
    ("value", "limit"), [(168064, "168064"), (0.0790088, "0.0791"), (1.2345, "1.24"), (1234.5, "1240"), (0.5, "0.5")]
)
def test_a_proposed_budget_is_readable_and_met(value, limit):
    assert _just_above(value) == limit
    assert float(limit) >= value


@pytest.mark.parametrize("name", ["[/red]x", "a b/c", "$x$", "it's"])
def test_odd_names_of_studies_are_only_names(name, capsys, tmp_path):
    assert main(["search", "--study", name, "--trials", "1", *QUICK]) == 0
    output = capsys.readouterr()
    assert f"front of {name}" in output.out
    again = next(line for line in output.out.splitlines() if line.strip().startswith("optnas front"))
    assert main(shlex.split(again, comments=True)[1:]) == 0
    assert name in capsys.readouterr().out


def test_an_exhausted_space_is_a_finished_search(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("optnas.study.coordinator._MOST_REFUSALS", 50)
    (tmp_path / "my_tiny_space.py").write_text(
        "from torch import nn\n"
        "def build(trial):\n"
        "    width = trial.suggest_int('width', 4, 6)\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, 10))\n"
    )
    assert main(["search", "--space", "./my_tiny_space.py:build", "--trials", "9", *QUICK]) == 0
    out = capsys.readouterr().out
    assert "ended: 50 proposals in a row brought no network to train" in out
    assert "front of digits" in out


def test_broken_image_files_are_named_and_counted(capsys, tmp_path):
    from PIL import Image

    for name in ("cats", "dogs"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for index in range(12):
            colour = (20 * index, 200 if name == "cats" else 20, 90)
            Image.new("RGB", (12, 12), colour).save(tmp_path / "pets" / name / f"{index}.jpg")
    (tmp_path / "pets" / "cats" / "torn.jpg").write_bytes(b"\xff\xd8 no picture")
    command = ["search", "--data", "imagefolder:pets", "--trials", "1", "--epochs", "1", "--workers", "0"]
    assert main(command) == 0
    assert "1 image files cannot be read and are left out: cats/torn.jpg" in capsys.readouterr().err


def test_verdict_of_a_search(capsys, tmp_path):
    assert main(["search", "--trials", "3", *QUICK]) == 0
    capsys.readouterr()
    assert main(["verdict"]) == 0
    assert capsys.readouterr().out.startswith("Too few: 3 of 3 networks were trained to the end, and 15 are needed")
    assert main(["verdict", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "too few"
    assert found["interval"] is None
    assert 0 < found["hypervolume"] < 1
    assert found["trainings"] == 3
    assert found["sentence"].startswith("Too few")


def test_verdict_refuses_what_it_cannot_judge(refused):
    assert "there is no such file" in refused("verdict")
    study = optuna.create_study(storage="sqlite:///optnas.db", study_name="other", directions=["minimize"])
    study.tell(study.ask(), 1.0)
    assert "there is no study 'mine', only other" in refused("verdict", "--study", "mine")
    assert "expected objectives error and costs" in refused("verdict")
    assert "random: expected a number of trials from 0, got -1" in refused("verdict", "--random", "-1")


def test_a_search_by_shared_weights_and_its_audit(capsys, tmp_path):
    quick = [*QUICK, "--supernet-epochs", "1"]
    assert main(["search", "--evaluator", "one-shot", "--candidates", "6", "--trials", "6", *quick]) == 0
    output = capsys.readouterr()
    assert "Kendall's tau" in output.err
    assert "optnas supernet-audit --study digits" in output.out
    assert main(["front"]) == 0
    capsys.readouterr()
    assert main(["supernet-audit", "--networks", "4", "--workers", "0", "--json"]) == 0
    audit = json.loads(capsys.readouterr().out)
    assert len(audit["errors"]) == len(audit["scores"]) == 4
    assert -1 <= audit["overall"]["tau"] <= 1
    assert main(["supernet-audit", "--networks", "4", "--workers", "0"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["macs", "error,", "trained", "error,", "shared", "weights"]
    assert len([line for line in table if "%" in line]) >= 4


def test_audits_of_shared_weights_that_cannot_be(refused):
    assert "there is no such file" in refused("supernet-audit")
    assert "expected at least 4 networks, got 2" in refused("supernet-audit", "--networks", "2", "--storage", "memory")
    assert "did you mean --networks" in refused("supernet-audit", "--network-count", "3")
