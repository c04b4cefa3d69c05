"""An interrupted training ends as one that is not; whatever is wrong with its file costs no training."""

import errno
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import optnas.task.checkpoint as room
from optnas.errors import UsageError
from optnas.task import (
    Checkpoint,
    DataSettings,
    Images,
    TrainSettings,
    load_images,
    read_checkpoint,
    remove_checkpoint,
    train_images,
)
from optnas.task.batches import Batches
from optnas.task.train import _optimizer

SETTINGS = TrainSettings(epochs=3, batch_size=64, lr=0.02, weight_decay=0.05, crop_padding=1, flip=True)
STEPS = 17  # of an epoch: 1 079 training images
ALWAYS = {"most_seconds": 0.0}  # after each step and each epoch
EPOCHS = {"most_share": math.inf}  # after each epoch


class Killed(BaseException):
    """Ends a training as a kill does: nothing in it catches this."""


class Mortal(Checkpoint):
    """Dies when it has been asked so many times whether a write is due."""

    def __init__(self, path, after, **settings):
        super().__init__(path, **settings)
        self.left = after

    def due(self, *, mid_epoch=False):
        if self.left == 0:
            raise Killed
        self.left -= 1
        return super().due(mid_epoch=mid_epoch)


class Noisy(nn.Module):
    """Adds a buffer that is in no state dict, and changes in each step."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(()), persistent=False)

    def forward(self, x):
        if self.training:
            with torch.no_grad():
                self.mean.mul_(0.9).add_(0.1 * x.mean())
        return x + self.mean


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


def small(seed: int = 0) -> nn.Module:
    """Every kind of state: batch norm, dropout, shared, frozen and depthwise weights, a buffer that is not saved."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            Noisy(),
            Tied(),
            nn.Conv2d(16, 16, 3, groups=16),
            nn.Dropout(0.2),
            nn.Conv2d(16, 16, 1),
            nn.Flatten(),
            nn.Linear(576, 10),
        )
        network[7].weight.requires_grad_(False)
        return network


@pytest.fixture(scope="module")
def digits() -> Images:
    return load_images(DataSettings("digits"))


@pytest.fixture(scope="module")
def undisturbed(digits):
    network = small()
    return train_images(network, digits, SETTINGS, 7), network


def tensors(network):
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def same(one, other):
    one, other = tensors(one), tensors(other)
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


def interrupted(path, images, after, settings=SETTINGS, **rule):
    with pytest.raises(Killed):
        train_images(small(), images, settings, 7, checkpoint=Mortal(path, after, **rule))


def test_a_checkpoint_changes_nothing(digits, undisturbed, tmp_path):
    network, learned = small(), undisturbed[0]
    checkpoint = Checkpoint(tmp_path / "a.safetensors", **EPOCHS)
    assert train_images(network, digits, SETTINGS, 7, checkpoint=checkpoint).curve == learned.curve
    assert same(network, undisturbed[1])
    assert checkpoint.resumed is None
    assert checkpoint.warning == ""
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize(
    ("rule", "after", "whole"),
    [
        (EPOCHS, STEPS + 1, 1),  # the epoch's last question is answered and written
        (EPOCHS, STEPS + 1 + 10, 1),  # within the second: only the first is kept
        (EPOCHS, 2 * (STEPS + 1), 2),
        (ALWAYS, 1, 0),
        (ALWAYS, STEPS, 0),  # all steps of the first epoch, which is not judged yet
        (ALWAYS, STEPS + 6, 1),
        (ALWAYS, 3 * (STEPS + 1) - 1, 2),
    ],
)
def test_an_interrupted_training_ends_bit_for_bit_as_one_that_is_not(digits, undisturbed, tmp_path, rule, after, whole):
    path, told = tmp_path / "a.safetensors", []
    interrupted(path, digits, after, **rule)
    network, checkpoint = small(), Checkpoint(path, **rule)
    torch.rand(3)  # the caller's random state is not to matter
    learned = train_images(network, digits, SETTINGS, 7, lambda *epoch: told.append(epoch), checkpoint)
    assert len(checkpoint.resumed.curve) == whole
    assert learned.curve == undisturbed[0].curve
    assert told == list(enumerate(learned.curve, 1))
    assert same(network, undisturbed[1])
    assert checkpoint.warning == ""


def test_a_training_that_is_killed_again_and_again_ends_the_same(digits, undisturbed, tmp_path):
    path, seed = tmp_path / "a.safetensors", random.Random(0)
    learned, kills = None, 0
    while learned is None:
        network, mortal = small(), Mortal(path, seed.randint(1, 9), **ALWAYS)
        try:
            learned = train_images(network, digits, SETTINGS, 7, checkpoint=mortal)
        except Killed:
            kills += 1
    assert kills > 5
    assert learned.curve == undisturbed[0].curve
    assert same(network, undisturbed[1])


def test_a_training_whose_last_epoch_is_kept_trains_no_step(digits, undisturbed, tmp_path):
    path = tmp_path / "a.safetensors"
    train_images(small(), digits, SETTINGS, 7, checkpoint=Checkpoint(path, **EPOCHS))
    network = small()
    network.register_forward_hook(lambda *given: pytest.fail("it was called"))
    learned = train_images(network, digits, SETTINGS, 7, checkpoint=Checkpoint(path))
    assert learned.curve == undisturbed[0].curve
    assert same(network, undisturbed[1])
    assert not network.training


def test_time_and_memory_before_the_interruption_count(digits, tmp_path):
    path = tmp_path / "a.safetensors"
    train_images(small(), digits, SETTINGS, 7, checkpoint=Checkpoint(path, **EPOCHS))
    with safe_open(path, "pt") as file:
        notes = json.loads(file.metadata()["optnas-checkpoint"])
        held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    notes["seconds"], notes["values"]["training_seconds"], notes["values"]["peak_memory_bytes"] = 1000, 500, 10**15
    path.write_bytes(room._packed(held, json.dumps(notes)))
    checkpoint = Checkpoint(path)
    learned = train_images(small(), digits, SETTINGS, 7, checkpoint=checkpoint)
    assert 1000 < learned.seconds < 1100
    assert learned.images_per_second == 3 * len(digits.train_y) / 500
    assert learned.peak_memory_bytes == 10**15
    assert checkpoint.seconds > 1000


def test_the_optimizer_is_laid_out_as_torch_lays_it_out(digits, tmp_path):
    path, layouts = tmp_path / "a.safetensors", []
    network = small().to(memory_format=torch.channels_last)
    for resumed in (False, True):
        optimizer = _optimizer(network, SETTINGS)
        if resumed:
            assert Checkpoint(path).load(network, optimizer)
        else:
            network(torch.rand(4, 1, 8, 8)).sum().backward()
            optimizer.step()
            Checkpoint(path).save(network, optimizer, [])
        layouts.append({(name, key): (value.stride(), value.dtype, value.tolist())
                        for name, parameter in network.named_parameters()
                        for key, value in optimizer.state.get(parameter, {}).items()})  # fmt: skip
    assert layouts[0] == layouts[1]
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)
    trainable = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    assert [name for name, key in layouts[0] if key == "exp_avg"] == trainable


@pytest.mark.parametrize("done", [1, 5, 16, 17])
def test_batches_go_on_within_an_epoch(digits, done):
    def batches():
        generator = torch.Generator().manual_seed(3)
        return Batches(
            digits, batch_size=64, crop_padding=1, flip=True, device=torch.device("cpu"), generator=generator
        )

    first, state = batches(), {}
    list(first.epoch())
    drawn = []
    for step, (x, y) in enumerate(first.epoch(), 1):
        drawn.append((x, y))
        if step == done:
            state = first.state()
    drawn += list(first.epoch())
    second = batches()
    second.restore(state)
    again = [*second.epoch(done), *second.epoch()]
    assert len(again) == 2 * STEPS - done
    for (x, y), (other_x, other_y) in zip(drawn[done:], again, strict=True):
        assert torch.equal(x, other_x)
        assert torch.equal(y, other_y)


def test_any_optimizer_with_tensors_and_plain_values_goes_on(tmp_path):
    path, x = tmp_path / "a.safetensors", torch.rand(8, 3)

    def step(network, optimizer, schedule):
        optimizer.zero_grad()
        network(x).square().mean().backward()
        optimizer.step()
        schedule.step()

    def fresh():
        torch.manual_seed(0)
        network = nn.Linear(3, 2)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
        return network, optimizer, torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)

    one = fresh()
    step(*one)
    step(*one)
    Checkpoint(path).save(*one[:2], [0.5], tensors={"mine": x}, values={"schedule": one[2].state_dict()})
    other = fresh()
    saved = Checkpoint(path).load(*other[:2])
    other[2].load_state_dict(saved.values["schedule"])
    assert saved.curve == (0.5,)
    assert torch.equal(saved.tensors["mine"], x)
    for three in (one, other):
        step(*three)
    assert torch.equal(one[0].weight, other[0].weight)
    assert one[1].param_groups[0]["lr"] == other[1].param_groups[0]["lr"] == pytest.approx(0.1 * 0.9**3)


def test_a_module_without_parameters(tmp_path):
    path = tmp_path / "a.safetensors"
    torch.manual_seed(1)
    Checkpoint(path).save(nn.ReLU(), None, [0.25])
    drawn = torch.rand(3)
    saved = Checkpoint(path).load(nn.ReLU())
    assert saved.curve == (0.25,)
    assert torch.equal(torch.rand(3), drawn)


def test_there_is_nothing_to_load_at_first(tmp_path):
    checkpoint = Checkpoint(tmp_path / "none" / "a.safetensors")
    assert checkpoint.load(nn.Linear(3, 2)) is None
    assert checkpoint.warning == ""
    assert list(tmp_path.iterdir()) == []


IDENTITY = {"choices": {"width": 3}, "seed": 1}


def written(path, module=None, curve=(0.5,)):
    Checkpoint(path, IDENTITY).save(module or nn.Linear(3, 2), None, curve)


def torn(path):
    written(path)
    path.write_bytes(path.read_bytes()[:-100])


def flipped(path):
    """One bit of a weight."""
    written(path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def flipped_notes(path):
    written(path)
    path.write_bytes(path.read_bytes().replace(b"[0.5]", b"[0.4]"))


def foreign(path):
    save_file({"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}, path)


def pickled(path):
    torch.save({"weight": torch.zeros(2, 3)}, path)


def newer(path):
    written(path)
    path.write_bytes(path.read_bytes().replace(rb"\"format\": 1", rb"\"format\": 2"))


def other_torch(path):
    """Whose generators have another state."""
    written(path)
    with safe_open(path, "pt") as file:
        notes = file.metadata()["optnas-checkpoint"]
    held = {**load_file(path), "random/cpu": torch.zeros(100, dtype=torch.uint8)}
    path.write_bytes(room._packed(held, notes))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (torn, "began anew"),
        (lambda path: path.write_bytes(b""), "began anew"),
        (lambda path: path.write_bytes(b"\xff" * 1000), "began anew"),
        (flipped, "it is damaged, its checksum is wrong"),
        (flipped_notes, "it is damaged, its checksum is wrong"),
        (foreign, "it was not written by optnas"),
        (pickled, "began anew"),
        (newer, "it has format 2, and this optnas reads 1"),
        (other_torch, "began anew"),
        (lambda path: written(path, nn.Linear(3, 3)), "it holds another network, see bias"),
        (lambda path: written(path, nn.Sequential(nn.Linear(3, 2))), "it holds another network, see 0.bias"),
        (lambda path: written(path, nn.Linear(3, 2).double()), "it holds another network, see bias"),
        (lambda path: Checkpoint(path, {**IDENTITY, "seed": 2}).save(nn.Linear(3, 2), None, []), "of another training"),
        (lambda path: path.mkdir(), "Is a directory|began anew"),
    ],
)
def test_a_file_that_is_not_of_this_training_is_refused_and_changes_nothing(tmp_path, spoil, words):
    path, module = tmp_path / "a.safetensors", nn.Linear(3, 2)
    spoil(path)
    before, state = module.weight.clone(), torch.get_rng_state()
    checkpoint = Checkpoint(path, IDENTITY)
    assert checkpoint.load(module) is None
    assert checkpoint.resumed is None
    assert words.split("|")[-1] in checkpoint.warning
    assert checkpoint.warning.startswith(f"checkpoint {path}: ")
    assert checkpoint.warning.endswith("; training began anew")
    assert "\n" not in checkpoint.warning
    assert torch.equal(module.weight, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_refused_file_is_replaced_by_the_training_that_began_anew(digits, undisturbed, tmp_path):
    path, network = tmp_path / "a.safetensors", small()
    torn(path)
    assert train_images(network, digits, SETTINGS, 7, checkpoint=Checkpoint(path, **EPOCHS)) is not None
    assert same(network, undisturbed[1])
    again = Checkpoint(path)
    assert len(again.load(small().to(memory_format=torch.channels_last), _optimizer(small(), SETTINGS)).curve) == 3


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs permissions that bind")
def test_a_file_that_may_not_be_read_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    written(path)
    path.chmod(0)
    checkpoint = Checkpoint(path, IDENTITY)
    assert checkpoint.load(nn.Linear(3, 2)) is None
    assert "began anew" in checkpoint.warning


def test_another_version_of_torch_goes_on(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    monkeypatch.setattr(torch, "__version__", "2.6.0")
    written(path)
    monkeypatch.undo()
    assert Checkpoint(path, IDENTITY).load(nn.Linear(3, 2)).curve == (0.5,)


def test_a_full_disk_costs_no_training(digits, undisturbed, tmp_path, monkeypatch):
    path, network = tmp_path / "a.safetensors", small()

    def full(self, data):
        with self.open("wb") as file:
            file.write(data[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    checkpoint = Checkpoint(path, **EPOCHS)
    assert train_images(network, digits, SETTINGS, 7, checkpoint=checkpoint).curve == undisturbed[0].curve
    assert same(network, undisturbed[1])
    reason = "cannot be written: No space left on device; training went on without it"
    assert checkpoint.warning == f"checkpoint {path}: {reason}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_device_that_is_full_costs_no_training(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "whole_file", nullcontext)
    checkpoint = Checkpoint(Path("/dev/full"))
    checkpoint.save(nn.Linear(300, 20), None, [])
    assert "No space left on device" in checkpoint.warning


def test_copies_that_do_not_fit_into_memory_cost_no_training(tmp_path, monkeypatch):
    # torch has a RuntimeError for that, no MemoryError.
    monkeypatch.setattr(room, "copy_of", lambda tensor: torch.empty(10**15))
    checkpoint = Checkpoint(tmp_path / "a.safetensors")
    checkpoint.save(nn.Linear(3, 2), None, [])
    assert "memory" in checkpoint.warning
    assert checkpoint.warning.endswith("; training went on without it")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_costs_no_training(digits, tmp_path):
    (tmp_path / "file").touch()
    checkpoint = Checkpoint(tmp_path / "file" / "a.safetensors", **EPOCHS)
    learned = train_images(small(), digits, replace(SETTINGS, epochs=1), 7, checkpoint=checkpoint)
    assert len(learned.curve) == 1
    assert checkpoint.warning.startswith(f"checkpoint {tmp_path / 'file' / 'a.safetensors'}: ")


def test_a_file_that_would_be_too_large_is_not_written(tmp_path):
    path, module = tmp_path / "a.safetensors", nn.Linear(100, 100)
    checkpoint = Checkpoint(path, most_bytes=10_000, **ALWAYS)
    assert checkpoint.due()
    checkpoint.save(module, None, [])
    size = int(checkpoint.warning.split("it takes ")[1].split()[0])
    assert 4 * 10_100 + 5056 < size < 4 * 10_100 + 8000  # float32 weights, and the generator's state
    assert checkpoint.warning.endswith(" bytes, and may take 10000; training went on without it")
    assert not path.exists()
    assert not checkpoint.due()
    Checkpoint(path, most_bytes=size).save(module, None, [])
    assert path.stat().st_size <= size


def test_a_module_with_an_extra_state_gets_no_checkpoint(tmp_path):
    class Extra(nn.Linear):
        def get_extra_state(self):
            return {"anything": object()}

    checkpoint = Checkpoint(tmp_path / "a.safetensors")
    checkpoint.save(nn.Sequential(Extra(3, 2)), None, [])
    assert "module 0 has an extra state, which may be anything; training went on without it" in checkpoint.warning
    assert list(tmp_path.iterdir()) == []


def test_an_optimizer_that_keeps_more_than_tensors_gets_no_checkpoint(tmp_path):
    network = nn.Linear(3, 2)
    optimizer = torch.optim.LBFGS(network.parameters())

    def loss():
        optimizer.zero_grad()
        value = network(torch.ones(1, 3)).square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    checkpoint = Checkpoint(tmp_path / "a.safetensors")
    checkpoint.save(network, optimizer, [])
    assert "LBFGS keeps a list as " in checkpoint.warning


def test_halves_that_a_kill_left_are_swept(tmp_path):
    for name in ("a.safetensors.123", "a.safetensors.json", "b.safetensors.123"):
        (tmp_path / name).touch()
    Checkpoint(tmp_path / "a.safetensors").load(nn.Linear(3, 2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors.json", "b.safetensors.123"]


def test_what_a_file_says_of_its_training(tmp_path):
    path = tmp_path / "a.safetensors"
    written(path, curve=[0.5, 0.25])
    said = read_checkpoint(path)
    assert (said["identity"], said["curve"], said["torch"]) == (IDENTITY, [0.5, 0.25], torch.__version__)
    assert 0 <= said["seconds"] < 60
    flipped(path)
    with pytest.raises(UsageError, match="safetensors: it is damaged"):
        read_checkpoint(path)
    with pytest.raises(UsageError, match=r"checkpoint .*none: "):
        read_checkpoint(tmp_path / "none")


def test_a_refusal_and_what_then_prevents_writing_are_both_said(tmp_path):
    path = tmp_path / "a.safetensors"
    foreign(path)
    checkpoint = Checkpoint(path, most_bytes=10)
    checkpoint.load(nn.Linear(3, 2))
    for _ in range(3):
        checkpoint.save(nn.Linear(3, 2), None, [])
    assert checkpoint.warning.count("training began anew; cannot be written: it takes") == 1
    assert checkpoint.warning.count("training went on without it") == 1


def test_a_checkpoint_is_removed_with_its_halves(tmp_path):
    path = tmp_path / "a.safetensors"
    for name in (path.name, f"{path.name}.123", "b.safetensors"):
        (tmp_path / name).touch()
    remove_checkpoint(path)
    remove_checkpoint(path)
    assert [path.name for path in tmp_path.iterdir()] == ["b.safetensors"]
    remove_checkpoint(tmp_path / "b.safetensors" / path.name)


def test_when_a_write_is_due(tmp_path, monkeypatch):
    now, cost = [100.0], [0.0]
    monkeypatch.setattr(room.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(room, "take", lambda *given: now.__setitem__(0, now[0] + cost[0]) or ({}, {}))
    checkpoint = Checkpoint(tmp_path / "a.safetensors")

    def due_after(seconds):
        now[0] += seconds
        found = checkpoint.due(), checkpoint.due(mid_epoch=True)
        now[0] -= seconds
        return found

    assert due_after(0.9) == (False, False), "a training of less than a second has nothing worth keeping"
    assert due_after(1.1) == (True, False)
    assert due_after(61) == (True, True)
    for seconds, wait in ((0.001, 0.05), (0.1, 5), (1.0, 50), (10, 60)):  # 2 % of the time, but at most a minute
        cost[0] = seconds
        checkpoint.save(nn.Linear(3, 2), None, [])
        assert due_after(wait * 0.99) == (False, False)
        assert due_after(wait * 1.01) == (True, wait == 60)


TRAINING = """
import sys, torch
sys.path[:0] = {paths!r}
from pathlib import Path
from test_checkpoint import SETTINGS, small, replace
from optnas.task import Checkpoint, DataSettings, load_images, train_images
network, path = small(), Path(sys.argv[1])
settings = replace(SETTINGS, epochs=12)
checkpoint = Checkpoint(path, **{{sys.argv[2]: float(sys.argv[3])}})
learned = train_images(network, load_images(DataSettings("digits")), settings, 7,
                       lambda epoch, error: print(epoch, error, flush=True), checkpoint)
print("weights", hash(tuple(torch.nn.utils.parameters_to_vector(network.parameters()).tolist())))
print("resumed", len(checkpoint.resumed.curve) if checkpoint.resumed else 0, checkpoint.warning)
"""


@pytest.mark.slow
@pytest.mark.parametrize("rule", [("most_share", "inf"), ("most_seconds", "0")])
def test_a_training_that_is_killed_at_random_moments_ends_the_same(tmp_path, rule):
    path, moments = tmp_path / "a.safetensors", random.Random(rule[0])
    code = TRAINING.format(paths=[str(Path(__file__).parent)])

    def start(path):
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code, str(path), *rule],
            stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    whole = start(tmp_path / "whole.safetensors").communicate()[0].splitlines()
    kills = 0
    while kills < 4:
        process = start(path)
        process.stdout.readline()  # it trains, or tells again what it was
        time.sleep(moments.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        if process.returncode == 0:
            break
    process = start(path)
    done = process.communicate()[0].splitlines()
    assert process.returncode == 0
    assert len(whole) == 14
    assert done[:-1] == whole[:-1], "the curve and the weights, bit for bit"
    assert done[-1].startswith("resumed ")
    assert done[-1].strip() == f"resumed {done[-1].split()[1]}", "nothing went wrong"
    assert kills > 0
    assert int(done[-1].split()[1]) > 0
