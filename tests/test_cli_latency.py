"""`optnas latency` as a person calls it."""

import json

import pytest

from optnas.cli import main

FEW = ["--input", "1x8x8", "--networks", "3", "--processes", "2", "--seconds", "0.02"]


def test_a_table_of_repeats_and_one_of_agreement(capsys):
    assert main(["latency", "--runtime", "eager", *FEW]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "3 random networks of mobile at 1x8x8, 2 processes"
    row = next(line for line in lines if line.startswith("eager"))
    assert row.split()[2] == "to"
    assert float(row.split()[1]) <= float(row.split()[4]) <= float(row.split()[3])
    assert any(line.split() == ["do", "they", "agree?", "macs", "params"] for line in lines)
    assert all(len(line) <= 80 for line in lines[:-1])


@pytest.mark.slow
def test_json_of_two_runtimes(capsys):
    pytest.importorskip("onnxruntime")
    assert main(["latency", "--runtime", "eager,onnxruntime", "--json", *FEW]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert list(facts["runtimes"]) == ["eager", "onnxruntime"]
    for one in facts["runtimes"].values():
        assert all(value > 0 for row in one["latency_ms"] for value in row)
    assert [tuple(pair["of"]) for pair in facts["agreement"]][:1] == [("eager", "onnxruntime")]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--runtime", "tflite"], "optnas: unknown runtime 'tflite': expected one of eager, onnxruntime"),
        (["--networks", "2"], "expected at least 3 networks and 2 processes, got 2 and 3"),
        (["--input", "28"], "--input: expected channels x height x width"),
        (["--seconds", "0"], "--seconds: expected a finite number above 0, got 0.0"),
        (["--seed", "-1"], "--seed: expected a whole number from 0, got -1"),
        (["--classes", "0"], "--classes: expected a whole number from 1, got 0"),
        (["--runtimes", "eager"], "unknown argument --runtimes; did you mean --runtime?"),
    ],
)
def test_bad_input_is_one_sentence(flags, message, capsys):
    assert main(["latency", *flags]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out


def test_a_runtime_for_a_profile_needs_latency(capsys):
    assert main(["profile", "--runtime", "eager"]) == 2
    assert "--runtime: expected --latency beside it" in capsys.readouterr().err


def test_a_runtime_that_is_not_installed(capsys, monkeypatch):
    from optnas.runtime import make_runtime

    make_runtime.cache_clear()
    monkeypatch.setattr("optnas.runtime.base.find_spec", lambda module: None)
    assert main(["latency", "--runtime", "litert", *FEW]) == 2
    expected = (
        'runtime litert: expected the package ai-edge-litert, which is not installed: pip install "optnas[deploy]"'
    )
    assert expected in capsys.readouterr().err
    make_runtime.cache_clear()
