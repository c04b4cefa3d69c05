"""The card says what was measured, with how many and how spread."""

from dataclasses import replace

import pytest

from optnas.deploy import ExportedFile, model_of, write_card
from optnas.errors import UsageError
from optnas.front import front


def test_a_card_of_a_search(reopened, tmp_path):
    model = model_of(reopened, front(reopened.study)[0].trial)
    text = write_card(model, tmp_path / "card").read_text()
    picture = "![The network from its input to its classes](network.svg)\n\n"
    assert text == model.card().replace("## Accuracy", f"{picture}## Accuracy")
    assert f"# digits, trial {model.facts.trial}\n" in text
    assert f"| {model.facts.error:.2%} |" in text
    assert "The test images were not read." in text
    assert f"| width | {model.facts.choices['width']} |" in text
    assert "359 validation images" in text
    assert "(1, 1, 8, 8) with pixels from 0 to 1" in text
    assert "torch 2." in text
    assert (tmp_path / "card" / "network.svg").read_text().startswith("<svg")


def test_means_spreads_and_the_test_error(reopened):
    model = model_of(reopened, front(reopened.study)[0].trial)
    facts = replace(model.facts, retrained=True, seeds=(0, 1, 2), errors=(0.1, 0.2, 0.3), seed=1, error=0.2,
                    test_errors=(0.11, 0.21, 0.31))  # fmt: skip
    text = replace(model, facts=facts).card()
    assert "| retrained, seeds 0, 1, 2 | 359 validation images | 3 | 20.00% ± 10.00% (standard deviation) |" in text
    assert "| these weights | test images | 1 | 21.00% |" in text
    assert "| retrained, seeds 0, 1, 2 | test images | 3 | 21.00% ± 10.00% (standard deviation) |" in text
    assert "read after everything was chosen" in text


def test_files_and_how_to_run_them(reopened, tmp_path):
    model = model_of(reopened, front(reopened.study)[0].trial)
    files = [
        ExportedFile("network.onnx", "onnx", "fp32", 12_000, 359, 0.125, 1.5e-6, 0.25),
        ExportedFile("network-int8.onnx", "onnx", "int8", 4_000, 359, 0.13, 0.25, None, "loses | little"),
        ExportedFile("network.safetensors", "safetensors", "fp32", 11_000),
    ]
    text = write_card(model, tmp_path, files).read_text()
    assert "| [network.onnx](network.onnx) | onnx | fp32 | 12.0 kB | 12.50% of 359 | 1.5e-06 | 0.250 ms |  |" in text, (
        text
    )
    assert "loses \\| little" in text
    assert text.count("```python") == 2
    assert 'InferenceSession("network.onnx", options)' in text
    for lines in text.split("```python\n")[1:]:
        compile(lines.split("```")[0], "snippet", "exec")


def test_a_folder_that_cannot_be_written(reopened, tmp_path):
    model = model_of(reopened, front(reopened.study)[0].trial)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        write_card(model, tmp_path / "file" / "card")


def test_a_study_that_looked_twice_says_so(reopened):
    model = model_of(reopened, front(reopened.study)[0].trial)
    facts = replace(model.facts, looks=("2026-11-24 17:05", "2026-11-25 08:00"))
    text = replace(model, facts=facts).card()
    assert "read its test images 2 times, on 2026-11-24 17:05, 2026-11-25 08:00 (UTC)" in text
    assert "read after everything was chosen" not in text
