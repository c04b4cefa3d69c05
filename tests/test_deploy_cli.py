"""`optnas export` and `optnas rerank` on a small search."""

import json

import pytest

from optnas.cli import main


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("searched")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        flags = ["--epochs", "1", "--train-images", "300", "--workers", "0", "--sampler", "random", "--pruner", "none"]
        assert main(["search", "--trials", "3", *flags]) == 0
    return folder


@pytest.fixture(autouse=True)
def _there(searched, monkeypatch):
    monkeypatch.chdir(searched)


def test_export_of_the_front_and_once_more(searched, capsys, tmp_path):
    command = ["export", "--front", "--format", "onnx", "--int8", "--images", "20", "--workers", "0"]
    assert main([*command, "--out", str(tmp_path / "a"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {one["precision"] for one in found} == {"fp32", "int8"}
    for one in found:
        folder = tmp_path / "a" / f"trial-{one['trial']}"
        assert {"network.onnx", "network-int8.onnx", "network.safetensors", "README.md"} <= {
            path.name for path in folder.iterdir()
        }
        assert "network-int8.onnx" in (folder / "README.md").read_text()
    assert main([*command, "--out", str(tmp_path / "a")]) == 0
    output = capsys.readouterr()
    assert "were exported before" in output.err
    assert "errors on 20 validation images" in output.out


def test_rerank(capsys):
    assert main(["rerank", "--images", "20", "--workers", "0", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["runtime"], found["precision"]) == ("onnxruntime", "fp32")
    assert set(found["deployed"]) == set(found["searched"])
    assert len(found["front"]) + len(found["fell"]) == len(found["searched"])
    assert main(["rerank", "--images", "20", "--workers", "0", "--networks", "1"]) == 0
    assert "Kendall's tau of error: none, of fewer than two networks (n = 1)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["export", "--format", "onxx", "--out", "x"], "unknown format 'onxx'"),
        (["export", "--out", "optnas.db"], "--out: expected a folder, got the file optnas.db"),
        (["export", "--trial", "a", "--out", "x"], "--trial: expected numbers of trials with commas, got 'a'"),
        (["export", "--trial", "99", "--out", "x"], "has no trial 99"),
        (["export", "--budget", "params<=1", "--out", "x"], "has no trained network within params<=1"),
        (["export", "--front", "--trial", "1", "--out", "x"], "not allowed with"),
        (["export", "--workers", "-1", "--out", "x"], "--workers: expected a whole number from 0"),
        (["rerank", "--runtime", "eager"], "expected runtimes with files"),
        (["rerank", "--networks", "0"], "--networks: expected a whole number from 1, got 0"),
    ],
)
def test_bad_input_is_one_sentence(arguments, sentence, capsys):
    try:
        status = main(arguments)
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.strip().splitlines()) == 1
