"""Training of shared weights: one step by hand, the file it goes on from, and what it promises."""

import math

import cloudpickle
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import optnas
from optnas import ImageTask
from optnas.errors import UsageError
from optnas.space import ReplayTrial, bind_space, mobile, sample
from optnas.supernet import (
    Lesson,
    OneShotTask,
    SharedTensors,
    SupernetDiverged,
    SupernetState,
    inherit,
    load_notes,
    load_state,
    recalibrate,
    save_state,
    shared_names,
    teach,
)
from optnas.supernet.state import average
from optnas.supernet.train import SharedOptimizer

TASK = ImageTask("digits", epochs=1, train_images=200, batch_size=20, lr=0.01)


def linear(trial):
    width = trial.suggest_int("width", 2, 8, step=2)
    first = optnas.choose(trial, "op", {"a": lambda: nn.Linear(64, width), "b": lambda: nn.Linear(64, width)})
    return nn.Sequential(nn.Flatten(), first, nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 10))


def begun(path, build=linear, networks=({"width": 8, "op": "a"},)):
    torch.manual_seed(0)
    state = SupernetState()
    for choices in networks:
        for name, parameter in shared_names(build(ReplayTrial(choices))).items():
            state.weights.fit(name, parameter)
    save_state(state, path)
    return state


def lesson(folder, networks, build=linear, **settings):
    settings = {"first_step": 0, "stride": 1, "total_steps": len(networks), "seed": 1, "task": TASK} | settings
    return Lesson(build, networks=networks, before=str(folder / "a"), after=str(folder / "b"), **settings)


def test_a_step_of_the_optimizer_is_that_of_adamw_on_the_part_and_nothing_else():
    state = SupernetState(SharedTensors({"0.weight Linear 2d": torch.ones(3, 4), "0.bias Linear 1d": torch.ones(3)}))
    module = nn.Sequential(nn.Linear(2, 2))
    optimizer = SharedOptimizer(state, TASK.settings)
    parameters = optimizer.lend(module)
    assert torch.equal(module[0].weight, torch.ones(2, 2))
    twin = nn.Sequential(nn.Linear(2, 2))
    twin.load_state_dict(module.state_dict())
    groups = [
        {"params": [twin[0].weight], "weight_decay": TASK.settings.weight_decay},
        {"params": [twin[0].bias], "weight_decay": 0.0},
    ]
    usual = torch.optim.AdamW(groups, lr=0.1)
    x = torch.tensor([[1.0, 2.0]])
    for _ in range(3):
        for net in (module, twin):
            net.zero_grad()
            net(x).square().sum().backward()
        optimizer.step(parameters, 0.1)
        usual.step()
    torch.testing.assert_close(module[0].weight, twin[0].weight)
    torch.testing.assert_close(state.weights.tensors["0.weight Linear 2d"][:2, :2], twin[0].weight.data)
    rest = state.weights.tensors["0.weight Linear 2d"].clone()
    rest[:2, :2] = 1
    assert torch.equal(rest, torch.ones(3, 4))
    assert state.counts["0.weight Linear 2d"] == 3
    assert not state.squares.tensors["0.weight Linear 2d"][2:].any()


def test_options_that_are_not_trained_keep_their_weights(tmp_path):
    def apart(trial):
        kinds = {"a": lambda: nn.Linear(64, 4), "b": lambda: nn.Sequential(nn.Linear(64, 4))}
        return nn.Sequential(nn.Flatten(), optnas.choose(trial, "op", kinds), nn.Linear(4, 10))

    before = begun(tmp_path / "a", apart, [{"op": "a"}, {"op": "b"}])
    teach(lesson(tmp_path, [{"op": "a"}] * 3, apart))
    after = load_state(tmp_path / "b")
    changed = {
        name for name, tensor in after.weights.tensors.items() if not torch.equal(tensor, before.weights.tensors[name])
    }
    assert changed == {"op#1/weight Linear 2d", "op#1/bias Linear 1d", "2.weight Linear 2d", "2.bias Linear 1d"}


def test_shared_weights_learn(tmp_path):
    begun(tmp_path / "a")
    networks = [{"width": width, "op": op} for width in (8, 6, 4) for op in "ab"] * 25
    taught = teach(lesson(tmp_path, networks))
    assert taught.images == 150 * 20
    assert len(taught.losses) == 150
    assert np.mean(taught.losses[-10:]) < 0.6 * np.mean(taught.losses[:10])
    module = linear(ReplayTrial({"width": 8, "op": "b"}))
    assert OneShotTask(TASK, str(tmp_path / "b"), "d").train(module, 0).error < 0.5


def test_the_same_lesson_teaches_the_same_bit_for_bit(tmp_path):
    begun(tmp_path / "a")
    networks = [{"width": 4, "op": "a"}, {"width": 8, "op": "b"}] * 3
    found = []
    for _ in range(2):
        losses = teach(cloudpickle.loads(cloudpickle.dumps(lesson(tmp_path, networks)))).losses
        found.append((losses, (tmp_path / "b").read_bytes()))
    assert found[0] == found[1]
    assert teach(lesson(tmp_path, networks, seed=2)).losses != found[0][0]


def test_the_caller_s_random_numbers_stay(tmp_path):
    begun(tmp_path / "a")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    teach(lesson(tmp_path, [{"width": 4, "op": "a"}]))
    assert torch.equal(torch.rand(3), expected)


def test_two_lessons_are_one(tmp_path):
    """What a lesson leaves is all that the next one needs; only the order of the images begins again."""
    begun(tmp_path / "a")
    networks = [{"width": 4, "op": "a"}] * 20
    teach(lesson(tmp_path, networks[:10], total_steps=20))
    state = load_state(tmp_path / "b")
    assert set(state.means.tensors) == set(state.weights.tensors) == set(state.squares.tensors) == set(state.counts)
    assert state.counts["op#1/weight Linear 2d"] == 10
    (tmp_path / "b").rename(tmp_path / "a")
    teach(lesson(tmp_path, networks[10:], first_step=10, total_steps=20))
    assert load_state(tmp_path / "b").counts["op#1/weight Linear 2d"] == 20


def test_a_network_that_was_not_looked_at_makes_the_store_grow(tmp_path):
    begun(tmp_path / "a", networks=[{"width": 4, "op": "a"}])
    teach(lesson(tmp_path, [{"width": 8, "op": "a"}, {"width": 4, "op": "a"}]))
    assert load_state(tmp_path / "b").weights.tensors["op#1/weight Linear 2d"].shape == (8, 64)


def test_a_loss_that_is_not_finite_is_said_with_the_step_and_the_network(tmp_path):
    def sick(trial):
        module = linear(trial)
        if trial.params["op"] == "b":
            module.append(Infinite())
        return module

    begun(tmp_path / "a", sick)
    networks = [{"width": 8, "op": "a"}, {"width": 8, "op": "b"}]
    with pytest.raises(SupernetDiverged, match=r"not finite at step 2, in \{'width': 8, 'op': 'b'\}"):
        teach(lesson(tmp_path, networks, sick))
    assert not (tmp_path / "b").exists()


class Infinite(nn.Module):
    def forward(self, x):
        return x * math.inf


def test_inherited_weights_are_copies_and_what_is_not_shared_stays():
    shared = SharedTensors({"0.weight Linear 2d": torch.full((4, 4), 3.0)})
    module = nn.Sequential(nn.Linear(2, 2))
    bias = module[0].bias.clone()
    inherit(module, shared)
    module[0].weight.data.zero_()
    assert torch.equal(shared.tensors["0.weight Linear 2d"], torch.full((4, 4), 3.0))
    assert torch.equal(module[0].bias, bias)


def test_batch_norm_has_the_statistics_of_the_training_images():
    images = TASK.images
    module = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Dropout(0.5), nn.Linear(64, 10))
    recalibrate(module, images)
    pixels = images.train_x.float().flatten(1) / 255
    normalised = (pixels - images.mean[0]) / images.std[0]
    torch.testing.assert_close(module[1].running_mean, normalised.mean(0), rtol=1e-4, atol=1e-5)
    assert module[1].momentum == 0.1
    assert not any(part.training for part in module.modules())
    plain = nn.Linear(64, 10).train()
    recalibrate(plain, images)
    assert not plain.training


def test_the_score_is_that_of_the_network_with_its_weights(tmp_path):
    begun(tmp_path / "a")
    module = linear(ReplayTrial({"width": 6, "op": "a"}))
    heard = []
    learned = OneShotTask(TASK, str(tmp_path / "a"), "d").train(module, 0, lambda *epoch: heard.append(epoch))
    images = TASK.images
    x = (images.val_x.float() / 255 - images.mean[0]) / images.std[0]
    wrong = (module(x).argmax(1) != images.val_y).float().mean().item()
    assert learned.error == pytest.approx(wrong, abs=0.01)
    assert heard == [(1, learned.error)]
    assert learned.curve == (learned.error,)


def test_a_one_shot_task_is_another_task_for_a_study():
    one, other = (OneShotTask(TASK, "a", digest).describe() for digest in ("1", "2"))
    assert one != other
    assert one["evaluator"] == "one-shot"
    assert one["n_train"] == 200


def test_the_mean_of_states():
    def state(value, size=2):
        return SupernetState(
            *(SharedTensors({"w": torch.full((size,), value)}) for _ in range(3)), {"w": torch.tensor(value)}
        )

    mean = average([state(1.0), state(3.0)])
    assert mean.weights.tensors["w"].tolist() == [2, 2]
    assert mean.counts["w"] == 2
    # One that grew in one worker is that worker's.
    assert average([state(1.0), state(3.0, 3)]).weights.tensors["w"].tolist() == [3, 3, 3]
    only = state(1.0)
    assert average([only]) is only


def test_a_state_comes_back_as_it_was_with_its_notes(tmp_path):
    state = begun(tmp_path / "a")
    save_state(state, tmp_path / "c", {"steps": 3})
    assert load_notes(tmp_path / "c") == {"steps": 3}
    again = load_state(tmp_path / "c").weights.tensors
    assert all(torch.equal(tensor, again[name]) for name, tensor in state.weights.tensors.items())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "c"]


def test_another_file_is_refused(tmp_path):
    (tmp_path / "x").write_text("no weights")
    for read in (load_state, load_notes):
        with pytest.raises(UsageError, match=r"expected shared weights in .*x, got"):
            read(tmp_path / "x")
        with pytest.raises(UsageError, match=r"expected shared weights in .*nowhere"):
            read(tmp_path / "nowhere")


def test_a_mobile_network_is_itself_with_shared_weights(tmp_path):
    """A store of one network's weights gives that network back."""
    build = bind_space(mobile, (1, 8, 8), 10)
    choices = sample(build, np.random.default_rng(0))
    torch.manual_seed(1)
    module = build(ReplayTrial(choices)).eval()
    shared = SharedTensors()
    for name, parameter in shared_names(module).items():
        shared.fit(name, parameter)
    other = build(ReplayTrial(choices)).eval()
    inherit(other, shared)
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(module(x), other(x))
    assert F.mse_loss(module(x), build(ReplayTrial(choices)).eval()(x)) > 0
