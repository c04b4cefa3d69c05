"""Searches whose latency is that of a runtime, or of a device behind a command."""

import sys

import pytest
import torch
from optuna.trial import TrialState
from torch import nn

import optnas
from optnas.errors import UsageError
from optnas.runtime import default_runtime, make_runtime
from optnas.study import is_trained
from optnas.study.settings import Settings

pytest.importorskip("onnxruntime")

QUICK = {"data": "digits", "epochs": 1, "train_images": 100, "workers": 0, "sampler": "random"}
LATENCY = {"objectives": ("error", "latency_ms"), "storage": "sqlite:///a.db"}


def space(trial, input_shape, num_classes):
    width = trial.suggest_int("width", 2, 64)
    return nn.Sequential(nn.Conv2d(1, width, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36 * width, num_classes))


class _Odd(nn.Module):
    def forward(self, x):
        return torch.erfc(x)


def half_odd(trial, input_shape, num_classes):
    odd = trial.suggest_categorical("odd", [False, True])
    width = trial.suggest_int("width", 2, 64)
    return nn.Sequential(nn.Flatten(), *([_Odd()] if odd else []), nn.Linear(64, width), nn.Linear(width, num_classes))


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_runtime_is_that_of_the_study():
    result = optnas.search(space=space, trials=1, **LATENCY, **QUICK)
    assert default_runtime() == "onnxruntime"
    assert result.study.user_attrs["optnas:request"]["runtime"] == "onnxruntime"
    assert result.study.user_attrs["optnas:settings"]["device"]["runtime"] == "onnxruntime"
    # On a machine without it, or on another day: it is not asked again.
    assert (
        optnas.search(study="digits", trials=2, space=space, storage="sqlite:///a.db").settings.runtime == "onnxruntime"
    )
    with pytest.raises(optnas.UsageError, match=r"device\.runtime: onnxruntime in the study, eager now"):
        optnas.search(study="digits", trials=3, space=space, storage="sqlite:///a.db", runtime="eager")


@pytest.mark.parametrize(("sampler", "most"), [("cost-aware", 56), ("random", 8)])
def test_networks_that_are_timed_before_the_first_trial_are_kept(sampler, most):
    given = {**QUICK, **LATENCY, "sampler": sampler, "space": space, "constraints": ("latency_ms<=100",)}

    def surveyed(trials):
        study = optnas.search(trials=trials, **given).study
        return study._storage.get_study_system_attrs(study._study_id).get("optnas:surveyed")

    timed = surveyed(1)
    assert 8 <= len(timed) <= most
    assert (len(timed) > 8) == (sampler == "cost-aware")
    for one in timed:
        assert 2 <= one["params"]["width"] <= 64
        assert one["costs"]["latency_ms"] > 0
        assert one["constraints"] == {"latency_ms<=100": pytest.approx(one["costs"]["latency_ms"] / 100 - 1)}
    # A search that goes on learns from the same ones.
    assert surveyed(2) == timed


def test_a_budget_that_no_network_meets_is_told_in_a_sentence_where_latency_is_measured_too():
    given = {**QUICK, **LATENCY, "sampler": "cost-aware", "space": space, "constraints": ("params<=10",)}
    assert "expected networks within the limits, got none" in optnas.search(trials=1, **given).stopped


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"runtime": "onnxruntime"}, "runtime: expected latency_ms among the objectives or constraints"),
        (
            {"runtime": "onnx", "objectives": ("error", "latency_ms")},
            "unknown runtime 'onnx': .*did you mean onnxruntime",
        ),
        ({"device_command": " ", "objectives": ("error", "latency_ms")}, "device_command: expected a command"),
        ({"device_command": "true"}, "device_command: expected latency_ms among"),
    ],
)
def test_settings_are_checked(given, message):
    with pytest.raises(optnas.UsageError, match=message):
        Settings(**given).prices  # noqa: B018


def test_a_network_that_the_runtime_cannot_take_is_flagged_and_the_search_goes_on():
    result = optnas.search(space=half_odd, trials=3, **LATENCY, **QUICK)
    refused = [trial for trial in result.study.trials if trial.state == TrialState.PRUNED]
    assert all(trial.params["odd"] for trial in refused)
    assert refused
    reason = refused[0].user_attrs["optnas:reason"]
    assert reason.startswith("invalid network: ExportFailed: ONNX cannot hold this network: Exporting the operator")
    assert "\n" not in reason
    assert sum(map(is_trained, result.study.trials)) == 3


def test_a_device_that_goes_away_stops_the_search_and_nothing_is_lost(tmp_path):
    phone = tmp_path / "phone.py"
    phone.write_text("import os, sys\nprint(os.path.getsize(sys.argv[1]) / 1000)\n")
    given = {"space": space, "device_command": f"{sys.executable} {phone}", **LATENCY, **QUICK}
    first = optnas.search(trials=2, **given)
    assert [trial.values[1] > 0 for trial in first.study.trials] == [True, True]
    phone.write_text("raise SystemExit('device offline')\n")
    stopped = optnas.search(trials=4, **given)
    assert "ended with status 1: device offline; the same command goes on" in stopped.stopped
    states = [trial.state for trial in stopped.study.trials]
    assert states == [TrialState.COMPLETE] * 2 + [TrialState.RUNNING]
    phone.write_text("import os, sys\nprint(os.path.getsize(sys.argv[1]) / 1000)\n")
    again = optnas.search(trials=4, **given)
    assert [trial.state for trial in again.study.trials] == [TrialState.COMPLETE] * 4


def test_a_script_is_found_from_any_folder(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    script = tmp_path / "here" / "phone.sh"
    script.write_text("#!/bin/sh\nwc -c < $1\n")
    script.chmod(0o755)
    given = {"space": space, **QUICK, **LATENCY, "storage": f"sqlite:///{tmp_path}/a.db"}
    optnas.search(trials=1, device_command="./phone.sh {file}", **given)
    monkeypatch.chdir(tmp_path)
    given = {"study": "digits", "space": space, "storage": f"sqlite:///{tmp_path}/a.db"}
    with pytest.raises(UsageError, match=f"give it yourself with --device-command '{script} {{file}}'"):
        optnas.search(trials=2, **given)
    result = optnas.search(trials=2, device_command=f"{script} {{file}}", **given)
    assert result.settings.device_command == f"{script} {{file}}"
    assert sum(map(is_trained, result.study.trials)) == 2


def test_what_comes_after_a_search_needs_not_what_timed_it(monkeypatch):
    optnas.search(space="mobile", trials=1, **LATENCY, **QUICK)
    make_runtime.cache_clear()
    monkeypatch.setattr("optnas.runtime.base.find_spec", lambda module: None)
    result = optnas.load("digits", "sqlite:///a.db")
    assert result.front[0].costs["latency_ms"] > 0
    with pytest.raises(optnas.UsageError, match="runtime onnxruntime: expected the package onnxruntime"):
        optnas.search(trials=2, study="digits", storage="sqlite:///a.db")
    make_runtime.cache_clear()


def test_sizes_of_another_definition_do_not_mix():
    given = {"space": space, "objectives": ("error", "size_bytes"), "storage": "sqlite:///a.db", **QUICK}
    study = optnas.search(trials=1, **given).study
    before = dict(study.user_attrs["optnas:settings"])
    assert before.pop("size_bytes") == "as deployed"
    study.set_user_attr("optnas:settings", before)
    with pytest.raises(optnas.UsageError, match="size_bytes: None in the study, as deployed now"):
        optnas.search(trials=2, **given)


def test_what_is_wrong_is_said_before_a_file_is_made(tmp_path):
    with pytest.raises(optnas.UsageError, match=r"nothing\.json"):
        optnas.search(latency_table="nothing.json", **LATENCY)
    assert not list(tmp_path.iterdir())
