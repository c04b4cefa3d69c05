"""The fingerprint holds plain values and survives files that say nothing."""

import json
import platform
from importlib.metadata import version

import pytest
import torch

from optnas.cost import device_fingerprint
from optnas.cost.device import _processor
from optnas.runtime import make_runtime


def test_plain_values():
    facts = device_fingerprint()
    assert json.loads(json.dumps(facts)) == facts
    assert list(facts) == ["processor", "machine", "cores", "torch", "threads", "runtime", "runtime_version"]
    assert facts["processor"]
    assert facts["machine"] == platform.machine()
    assert facts["torch"] == torch.__version__
    assert (facts["threads"], facts["runtime"]) == (1, "eager")


def test_the_cache_is_not_handed_out():
    device_fingerprint()["cores"] = -1
    assert device_fingerprint()["cores"] > 0


def test_the_runtime_and_its_version():
    onnx = device_fingerprint(make_runtime("onnxruntime"))
    assert (onnx["runtime"], onnx["runtime_version"]) == ("onnxruntime", version("onnxruntime"))
    assert device_fingerprint()["runtime_version"] == torch.__version__


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "processor\t: 0\nmodel name\t: First CPU\n\nprocessor\t: 1\nmodel name\t: Second CPU\n",
            "First CPU",
        ),
        ("processor\t: 0\n\nModel\t: Small Board\n", "Small Board"),
        ("processor\t: 0\n", platform.processor() or platform.machine()),
        (None, platform.processor() or platform.machine()),
    ],
)
def test_processor(tmp_path, text, expected):
    cpuinfo = tmp_path / "cpuinfo"
    if text is not None:
        cpuinfo.write_text(text)
    assert _processor(cpuinfo) == expected
