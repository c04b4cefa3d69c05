"""Export on the digits: what is written, what is refused, and what is not done twice."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from optnas.deploy import Facts, Model, export
from optnas.deploy.export import export_models
from optnas.deploy.files import weights_digest
from optnas.errors import UsageError
from optnas.runtime import ExportFailed, OnnxRuntime, runtime_of
from optnas.study.reopen import Reopened, make_objective
from optnas.study.settings import Settings
from optnas.task import ImageTask

TASK = ImageTask("digits")


class Net(nn.Module):
    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.conv, self.linear = nn.Conv2d(1, 32, 3, 2, 1), nn.Linear(512, 10)

    def forward(self, x):
        return self.linear(torch.relu(self.conv(x)).flatten(1))


class Unknown(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        return self.linear(torch.linalg.svd(x[:, 0])[0].flatten(1))


def facts(trial):
    images = TASK.images
    return Facts(
        study="digits", trial=trial, choices={}, space="mobile", fingerprint="f", input_shape=TASK.input_shape,
        classes=images.classes, mean=images.mean, std=images.std, data=TASK.describe(), costs={}, search_error=0.5,
        seed=0, error=0.5,
    )  # fmt: skip


def model(trial=0, network=None):
    return Model(network or Net(), facts(trial))


@pytest.fixture(scope="module")
def reopened():
    settings = Settings(workers=0, storage="memory")
    objective = make_objective(settings, {})
    return Reopened(None, "memory", settings, objective)


@pytest.fixture(autouse=True)
def _bare(monkeypatch):
    # What a study keeps, and the picture of the card, have tests of their own.
    monkeypatch.setattr(export, "study_digest", lambda reopened: "digest")
    monkeypatch.setattr(export, "study_references", lambda reopened, formats: {})
    monkeypatch.setattr(export, "write_card", lambda model, folder, files: (folder / "README.md").write_text("card"))


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_files_are_judged_on_validation_images(tmp_path, reopened):
    (fp32, int8) = export_models([model(7)], reopened, tmp_path, ("onnx",), True, calibration=50)
    assert set(contents(tmp_path)) == {"study.json"} | {
        f"trial-7/{name}"
        for name in ("network.onnx", "network-int8.onnx", "network.safetensors", "README.md", "files.json")
    }
    assert (fp32.trial, fp32.precision, int8.precision) == (7, "fp32", "int8")
    network, images = model(7).deployable, TASK.images
    with torch.no_grad():
        logits = network(images.val_x.float() / 255).numpy()
    error = float((logits.argmax(1) != images.val_y.numpy()).mean())
    assert fp32.torch_error == int8.torch_error == fp32.error == error
    assert fp32.images == len(images.val_y)
    assert fp32.max_difference < 1e-5
    assert fp32.loss == 0
    run = runtime_of("onnx").load(Path(int8.file).read_bytes())
    found = np.concatenate([run(image[None].numpy() / np.float32(255)) for image in images.val_x])
    assert int8.error == float((found.argmax(1) != images.val_y.numpy()).mean())
    assert int8.max_difference == pytest.approx(np.abs(found - logits).max() / np.abs(logits).max(), rel=1e-5)
    for one in (fp32, int8):
        assert one.size_bytes == len(Path(one.file).read_bytes())
        assert one.latency_ms > 0
    assert fp32.reference_ms == pytest.approx(int8.reference_ms)
    assert int8.size_bytes < 0.6 * fp32.size_bytes


def test_calibration_never_sees_validation_images(tmp_path, reopened, monkeypatch):
    seen = []
    quantise = OnnxRuntime.quantise

    def listening(self, module, input_shape, inputs):
        seen.append(inputs)
        return quantise(self, module, input_shape, inputs)

    monkeypatch.setattr(OnnxRuntime, "quantise", listening)
    export_models([model()], reopened, tmp_path, ("onnx",), True, calibration=40, images=5)
    known = {image.numpy().tobytes() for image in TASK.images.train_x}
    assert len(seen[0]) == 40
    assert all((image * 255).round().to(torch.uint8).numpy().tobytes() in known for image in seen[0])


def test_the_same_again_makes_nothing_and_other_weights_make_it_again(tmp_path, reopened, monkeypatch):
    first = export_models([model()], reopened, tmp_path, ("onnx",), images=5)
    before = contents(tmp_path)
    calls = []
    real = OnnxRuntime.export
    monkeypatch.setattr(OnnxRuntime, "export", lambda *given: calls.append(1) or real(*given))
    said = []
    assert export_models([model()], reopened, tmp_path, ("onnx",), images=5, say=said.append) == first
    assert said == ["1 of 1 networks and formats were exported before"]
    assert calls == []
    assert contents(tmp_path)["trial-0/network.onnx"] == before["trial-0/network.onnx"]
    (tmp_path / "trial-0/network.onnx").write_bytes(b"damaged")
    export_models([model()], reopened, tmp_path, ("onnx",), images=5)
    assert len(calls) == 1
    assert contents(tmp_path)["trial-0/network.onnx"] == before["trial-0/network.onnx"]
    calls.clear()
    export_models([model(network=Net(1))], reopened, tmp_path, ("onnx",), images=5)
    assert contents(tmp_path)["trial-0/network.onnx"] != before["trial-0/network.onnx"]
    assert calls
    assert not list(tmp_path.rglob("*.onnx.*"))


def test_a_file_that_computes_something_else_is_not_kept_and_the_others_go_on(tmp_path, reopened, monkeypatch):
    real = OnnxRuntime.export

    def wrong(self, module, input_shape):
        if module.network.conv.weight[0, 0, 0, 0] == Net(0).conv.weight[0, 0, 0, 0]:
            module = model(network=Net(2)).deployable
        return real(self, module, input_shape)

    monkeypatch.setattr(OnnxRuntime, "export", wrong)
    found = export_models([model(0), model(1, Net(1))], reopened, tmp_path, ("onnx",), True, images=20, calibration=8)
    refused, not_made, kept, kept8 = found
    assert refused.file is None
    assert "its logits differ from PyTorch's by" in refused.problem
    assert refused.max_difference > 1e-3
    assert not_made.file is None
    assert "not made: its logits differ" in not_made.problem
    assert not (tmp_path / "trial-0/network.onnx").exists()
    assert kept.file
    assert kept8.file
    assert json.loads((tmp_path / "trial-1/files.json").read_text())


def test_a_network_that_a_runtime_cannot_take_is_flagged(tmp_path, reopened):
    bad, good = export_models([model(0, Unknown()), model(1)], reopened, tmp_path, ("onnx",), images=5)
    assert bad.file is None
    assert "svd" in bad.problem
    assert "\n" not in bad.problem
    assert good.file


def test_an_int8_file_that_loses_too_much_says_so(tmp_path, reopened, monkeypatch):
    zeros = Net()
    nn.init.zeros_(zeros.linear.weight)
    other = OnnxRuntime().export(model(network=zeros).deployable, TASK.input_shape)
    monkeypatch.setattr(OnnxRuntime, "quantise", lambda *given: other)
    trained = Net()
    ImageTask("digits", epochs=2).train(trained, 0)
    _, int8 = export_models([model(network=trained)], reopened, tmp_path, ("onnx",), True)
    assert int8.file
    assert int8.loss > 0.5
    assert f"loses {int8.loss:.2%} of accuracy, expected at most 1.00%" in int8.problem


def test_an_int8_file_that_cannot_be_made_leaves_the_float_file(tmp_path, reopened, monkeypatch):
    def fails(*given):
        raise ExportFailed("no integers here")

    monkeypatch.setattr(OnnxRuntime, "quantise", fails)
    fp32, int8 = export_models([model()], reopened, tmp_path, ("onnx",), True, images=5)
    assert fp32.file
    assert int8.file is None
    assert int8.problem == "no integers here"


def test_bad_input_is_refused_before_any_work(tmp_path, reopened, monkeypatch):
    monkeypatch.setattr(export, "make_all", None)
    (tmp_path / "file").write_text("")
    for arguments, message in [
        ((tmp_path / "file", ("onnx",)), "expected a folder that can be written, got .*file: it is a file"),
        ((tmp_path / "file/below", ("onnx",)), "expected a folder that can be written"),
        ((tmp_path, ("onxx",)), "unknown format 'onxx': expected one of onnx, executorch, litert; did you mean onnx"),
        ((tmp_path, ()), "format: expected at least one"),
    ]:
        with pytest.raises(UsageError, match=message):
            export_models([model()], reopened, *arguments)
    for more, message in [({"images": 0}, "images: expected"), ({"int8_loss": 2}, "int8_loss: expected a share")]:
        with pytest.raises(UsageError, match=message):
            export_models([model()], reopened, tmp_path, ("onnx",), **more)


def test_the_digest_is_of_the_weights():
    assert weights_digest(Net()) == weights_digest(Net())
    assert weights_digest(Net()) != weights_digest(Net(1))


def test_files_of_other_weights_do_not_stay_beside_the_new_card(tmp_path, reopened):
    export_models([model()], reopened, tmp_path, ("onnx",), True, images=5, calibration=8)
    export_models([model(network=Net(1))], reopened, tmp_path, ("onnx",), images=5)
    assert not (tmp_path / "trial-0/network-int8.onnx").exists()
    assert set(json.loads((tmp_path / "trial-0/files.json").read_text())) == {"network.onnx"}


def test_a_folder_of_another_study_is_refused(tmp_path, reopened, monkeypatch):
    export_models([model()], reopened, tmp_path, ("onnx",), images=5)
    before = contents(tmp_path)
    monkeypatch.setattr(export, "study_digest", lambda reopened: "another")
    with pytest.raises(UsageError, match=r"expected a folder of study 'digits', got .* 'digits' of another search"):
        export_models([model(network=Net(1))], reopened, tmp_path, ("onnx",), images=5)
    assert contents(tmp_path) == before


def test_damaged_records_are_dropped_and_another_device_times_again(tmp_path, reopened):
    export_models([model()], reopened, tmp_path, ("onnx",), images=5)
    path = tmp_path / "trial-0/files.json"
    whole = json.loads(path.read_text())["network.onnx"]
    for damaged in (
        {"network.onnx": {"made": 1, "device": {}}, "x": 5},
        {"network.onnx": {**whole, "facts": {**whole["facts"], "extra": 1}}},
        {"network.onnx": {**whole, "facts": {**whole["facts"], "latency_ms": "fast"}}},
        {"../network.onnx": {**whole, "made": {}}},
        [],
        {"network.onnx": {**whole, "device": {"processor": "another"}, "facts": {**whole["facts"], "latency_ms": 1e9}}},
    ):
        path.write_text(json.dumps(damaged))
        (one,) = export_models([model()], reopened, tmp_path, ("onnx",), images=5)
        assert one.file
        assert one.latency_ms < 1e6
