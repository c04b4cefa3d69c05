"""A device that is reached by a command: a script of this machine stands in for a phone."""

import stat
import sys
import time

import pytest
from torch import nn

from optnas.cost import DeviceFailed, Prices
from optnas.cost.latency import reference_network
from optnas.cost.remote import measure_remote, remote_reference_ms
from optnas.errors import UsageError
from optnas.runtime import make_runtime

SMALL = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
SHAPE = (3, 8, 8)

pytest.importorskip("onnxruntime")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr("optnas.cost.remote._PAUSES_SECONDS", (0.0, 0.0))


@pytest.fixture
def device(tmp_path):
    """Makes a command of the body of a Python script that finds the file's path in `path`."""

    def make(body):
        script = tmp_path / "my phone.py"
        log = tmp_path / "log"
        script.write_text(f"import sys\npath = sys.argv[1]\nlog = {str(log)!r}\n{body}\n")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        return f"{sys.executable} '{script}'"

    return make


def test_milliseconds_are_those_of_the_last_line_by_the_reference(device):
    # The device says a millisecond for each kilobyte of the file, and talks before.
    command = device("import os\nprint('warming up')\nprint(os.path.getsize(path) / 1000)\n")
    files = make_runtime("onnxruntime")
    small, reference = (len(files.export(*network)) for network in ((SMALL, SHAPE), reference_network()))
    result = measure_remote(command, "onnxruntime", SMALL, SHAPE)
    assert result.latency_ms == pytest.approx(small / 1000)
    assert result.ratio == pytest.approx(small / reference)
    assert result.spread_ms == pytest.approx(0)
    assert remote_reference_ms(command, "onnxruntime") == pytest.approx(reference / 1000)
    assert result.device_fingerprint["command"] == command
    # A device at half its speed: what the study keeps of the reference gives the unit.
    assert measure_remote(command, "onnxruntime", SMALL, SHAPE, reference_ms=1.0).latency_ms == pytest.approx(
        small / reference
    )


def test_the_file_stands_where_the_command_names_it(device):
    command = device("assert path.endswith('.onnx') and sys.argv[2] == 'fast'\nprint(3)")
    assert measure_remote(f"{command} {{file}} fast", "onnxruntime", SMALL, SHAPE).latency_ms == pytest.approx(3)


def test_prices_measure_there(device):
    prices = Prices("onnxruntime", command=device("print(2.5)")).calibrated()
    assert prices.reference_ms == 2.5
    assert prices("latency_ms", SMALL, SHAPE) == {"latency_ms": 2.5, "latency_spread_ms": 0.0}
    assert set(prices.fingerprint()) == {"command", "runtime", "runtime_version"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("sys.exit('no devices/emulators found')", "ended with status 1: no devices/emulators found"),
        ("print('1.5 ms')", "expected milliseconds above 0 as its last line, got '1.5 ms'"),
        ("print('nan')", "expected milliseconds above 0 as its last line, got 'nan'"),
        ("print(0)", "got '0'"),
        ("pass", "got ''"),
    ],
)
def test_a_device_that_does_not_answer(device, body, message):
    with pytest.raises(DeviceFailed) as raised:
        measure_remote(device(body), "onnxruntime", SMALL, SHAPE)
    assert message in str(raised.value)


def test_a_network_that_the_device_does_not_run_is_not_the_devices_fault(device):
    # Only the reference network, the first file that it sees, gets an answer.
    command = device(
        "import os\nsize = os.path.getsize(path)\n"
        "first = int(open(log).read()) if os.path.exists(log) else open(log, 'w').write(str(size)) and size\n"
        "sys.exit('no such operator') if size != first else print(1)"
    )
    with pytest.raises(RuntimeError, match=r"the device does not run this network: .*no such operator") as raised:
        measure_remote(command, "onnxruntime", SMALL, SHAPE)
    assert not isinstance(raised.value, DeviceFailed)


def test_a_call_that_fails_once_is_made_again(device):
    command = device(
        "import os\ncalls = int(open(log).read()) if os.path.exists(log) else 0\n"
        "open(log, 'w').write(str(calls + 1))\nsys.exit('protocol fault') if calls % 3 == 1 else print(2)"
    )
    assert measure_remote(command, "onnxruntime", SMALL, SHAPE).latency_ms == pytest.approx(2)


def test_what_the_command_leaves_running_is_not_waited_for(device):
    # A server in the background that holds standard output, as adb leaves one.
    command = device("import subprocess\nsubprocess.Popen(['sleep', '30'])\nprint(4)")
    began = time.monotonic()
    assert measure_remote(command, "onnxruntime", SMALL, SHAPE).latency_ms == pytest.approx(4)
    assert time.monotonic() - began < 25


def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path, monkeypatch):
    monkeypatch.setattr("optnas.cost.remote._TIMEOUT_SECONDS", 0.5)
    mark = tmp_path / "still-here"
    with pytest.raises(DeviceFailed, match=r"expected milliseconds within 0\.5 s, got nothing"):
        measure_remote(f"(sleep 2; touch {mark}) & wait; true", "onnxruntime", SMALL, SHAPE)
    time.sleep(2)
    assert not mark.exists()


def test_a_runtime_without_files_is_refused():
    with pytest.raises(UsageError, match="expected a runtime with files, onnxruntime, executorch or litert, got eager"):
        measure_remote("true", "eager", SMALL, SHAPE)
