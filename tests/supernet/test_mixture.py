"""Mixtures and their logits by hand; expected costs by enumeration."""

import math
from functools import partial
from itertools import product

import numpy as np
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from torch import nn

from optnas.cost import BLOCKWISE, BlockCounter
from optnas.errors import UsageError
from optnas.space import RandomTrial, ReplayTrial, cell, choose, enumerate_space, mobile
from optnas.supernet.architecture import Architecture, MostProbable
from optnas.supernet.expected import ExpectedCost
from optnas.supernet.mixture import Mixture, MixtureTrial
from optnas.supernet.shared import shared_names

IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


def times(trial, name="op"):
    return choose(trial, name, {"one": partial(Times, 1.0), "two": partial(Times, 2.0), "five": partial(Times, 5.0)})


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def set_logits(architecture, name, values):
    architecture._logits[name].data = torch.tensor(values)


def test_an_option_on_its_own_keeps_its_output_and_gets_the_gradient_of_its_soft_weight():
    architecture = Architecture()
    for seed, temperature in product(range(4), (0.5, 2.0)):
        trial = MixtureTrial(architecture, seeded(seed), temperature=temperature)
        factor = {"one": 1.0, "two": 2.0, "five": 5.0}
        output = times(trial)(IMAGES)
        drawn = list(factor).index(trial.params["op"])
        assert torch.equal(output, IMAGES * factor[trial.params["op"]])
        soft = (trial._perturbed["op"].detach() / temperature).softmax(0)
        logits = architecture.logits("op", trial.distributions["op"])
        (gradient,) = torch.autograd.grad(output.sum(), logits)
        expected = output.sum() * soft[drawn] * (torch.eye(3)[drawn] - soft) / temperature
        assert torch.allclose(gradient, expected, rtol=1e-4, atol=1e-5)


def test_all_paths_are_the_sum_under_the_gumbel_softmax():
    trial = MixtureTrial(Architecture(), seeded(), paths=3, temperature=0.7)
    module = times(trial)
    soft = (trial._perturbed["op"] / 0.7).softmax(0).tolist()
    assert torch.allclose(module(IMAGES), IMAGES * (soft[0] + 2 * soft[1] + 5 * soft[2]))


def test_two_paths_are_the_two_most_probable_under_weights_that_sum_to_1():
    trial = MixtureTrial(Architecture(), seeded(3), paths=2)
    module = times(trial)
    perturbed = trial._perturbed["op"].detach()
    first, second = perturbed.argsort(descending=True)[:2].tolist()
    share = 1 / (1 + math.exp(perturbed[second] - perturbed[first]))
    factors = (1.0, 2.0, 5.0)
    assert torch.allclose(module(IMAGES), IMAGES * (share * factors[first] + (1 - share) * factors[second]))


def test_what_does_not_learn_is_the_plain_option():
    trial = MixtureTrial(Architecture(), seeded(), learns=False)
    assert not times(trial)(IMAGES).requires_grad


def test_options_are_drawn_by_their_softmax():
    architecture, generator = Architecture(), seeded()
    times(MixtureTrial(architecture, generator))
    set_logits(architecture, "op", [0.0, math.log(2), math.log(5)])
    drawn = [MixtureTrial(architecture, generator) for _ in range(2000)]
    for trial in drawn:
        times(trial)
    shares = [np.mean([trial.params["op"] == option for trial in drawn]) for option in ("one", "two", "five")]
    assert shares == pytest.approx([1 / 8, 2 / 8, 5 / 8], abs=0.03)


def test_a_choice_that_is_asked_again_is_the_same():
    trial = MixtureTrial(Architecture(), seeded())
    first, second = times(trial), times(trial)
    assert torch.equal(first(IMAGES), second(IMAGES))
    assert first is not second


def test_what_python_uses_up_is_drawn_and_remembered_with_its_probability():
    architecture = Architecture()
    trial = MixtureTrial(architecture, seeded())
    trial.suggest_int("width", 8, 24, step=8)
    set_logits(architecture, "width", [0.0, math.log(2), 0.0])
    trial = MixtureTrial(architecture, seeded())
    width = trial.suggest_int("width", 8, 24, step=8)
    (drawn,) = trial.drawn
    assert drawn.name == "width"
    assert drawn.inside == ()
    assert drawn.log_probability.item() == pytest.approx(math.log({8: 1 / 4, 16: 2 / 4, 24: 1 / 4}[width]))


@pytest.mark.parametrize(
    ("distribution", "values"),
    [
        (CategoricalDistribution(["a", None, 3]), ["a", None, 3]),
        (IntDistribution(8, 24, step=8), [8, 16, 24]),
        (IntDistribution(1, 3, log=True), [1, 2, 3]),
        (FloatDistribution(0.0, 1.0, step=0.5), [0.0, 0.5, 1.0]),
        (IntDistribution(0, 150), list(range(0, 151, 10))),
        (IntDistribution(1, 2**15, log=True), [2**power for power in range(16)]),
    ],
)
def test_values_of_a_choice(distribution, values):
    architecture = Architecture()
    assert len(architecture.logits("name", distribution)) == len(values)
    assert architecture.values("name") == values


def test_a_continuous_choice_is_represented_by_sixteen_of_its_values():
    architecture = Architecture()
    architecture.logits("rate", FloatDistribution(1e-5, 1.0, log=True))
    values = architecture.values("rate")
    assert len(values) == 16
    assert values[0] == 1e-5
    assert values[-1] == 1.0
    assert np.diff(np.log(values)) == pytest.approx([math.log(1e5) / 15] * 15)


def test_a_choice_whose_values_change_is_refused():
    architecture = Architecture()
    MixtureTrial(architecture, seeded()).suggest_int("width", 1, 3)
    with pytest.raises(UsageError, match="choice 'width' to have the same values"):
        MixtureTrial(architecture, seeded()).suggest_int("width", 1, 4)


def test_entropy_is_a_share_of_that_of_equal_probabilities():
    architecture = Architecture()
    assert architecture.entropy() == 0
    architecture.logits("even", IntDistribution(1, 4))
    architecture.logits("one", IntDistribution(1, 1))
    assert architecture.entropy() == pytest.approx(1)
    architecture.logits("sure", IntDistribution(1, 2))
    set_logits(architecture, "sure", [math.log(9), 0.0])
    sure = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1)) / math.log(2)
    assert architecture.entropy() == pytest.approx((1 + sure) / 2)


def pair(trial):
    """Two widths by two kernels by three blocks by two: 24 networks."""
    width = trial.suggest_categorical("width", [2, 4])
    kernel = trial.suggest_categorical("kernel", [1, 3])
    first = choose(
        trial,
        "first",
        {
            "conv": partial(nn.Conv2d, 3, width, kernel, padding=kernel // 2),
            "grouped": lambda: nn.Sequential(nn.Conv2d(3, width, 1), nn.Conv2d(width, width, 3, 1, 1, groups=width)),
            "wide": lambda: nn.Sequential(nn.Conv2d(3, 9, 1), nn.Conv2d(9, width, 1)),
        },
    )
    second = choose(trial, "second", {"skip": nn.Identity, "conv": partial(nn.Conv2d, width, width, 3, padding=1)})
    return nn.Sequential(first, second, nn.Conv2d(width, 5, 1))


@pytest.mark.parametrize("cost", BLOCKWISE)
@pytest.mark.parametrize("paths", [1, 2, 3])
def test_the_expected_cost_is_the_mean_over_all_networks(cost, paths):
    architecture, expected = Architecture(), ExpectedCost(pair, (3, 8, 8), cost)
    pair(MixtureTrial(architecture, seeded()))
    set_logits(architecture, "first", [0.3, -1.0, 0.5])
    set_logits(architecture, "second", [1.0, 0.2])
    counter, probabilities = BlockCounter(pair, (3, 8, 8)), architecture.probabilities()
    for seed in range(3):
        trial = MixtureTrial(architecture, seeded(seed), paths=paths, prices=expected.prices)
        module = pair(trial)
        _, cost_of_trial = expected.run(trial, module, IMAGES)
        mean = 0.0
        for choices in enumerate_space(pair):
            if all(choices[name] == trial.params[name] for name in ("width", "kernel")):
                share = probabilities["first"][choices["first"]] * probabilities["second"][choices["second"]]
                mean += share * counter(choices)[cost]
        assert cost_of_trial.item() == pytest.approx(mean, rel=1e-6)


def test_the_gradient_of_the_expected_cost():
    architecture, expected = Architecture(), ExpectedCost(times_or_conv, (3, 8, 8), "macs")
    trial = MixtureTrial(architecture, seeded(), prices=expected.prices)
    _, cost = expected.run(trial, times_or_conv(trial), IMAGES)
    (gradient,) = torch.autograd.grad(cost, architecture.logits("op", trial.distributions["op"]))
    conv = 64 * 3 * 3
    assert cost.item() == conv / 2
    assert gradient.tolist() == [-conv / 4, conv / 4]


def times_or_conv(trial):
    return choose(trial, "op", {"times": partial(Times, 2.0), "conv": partial(nn.Conv2d, 3, 3, 1)})


def nested(trial):
    """A block whose width is its own choice, beside one that has none, and one with a choice of blocks."""

    def wide():
        width = trial.suggest_categorical("width", [2, 8])
        return nn.Sequential(nn.Conv2d(3, width, 1), nn.Conv2d(width, 3, 1))

    return choose(trial, "kind", {"wide": wide, "none": nn.Identity, "inner": lambda: times_or_conv(trial)})


def test_choices_within_an_option_count_as_often_as_it_is_taken():
    architecture, expected = Architecture(), ExpectedCost(nested, (3, 8, 8), "macs")
    generator, costs = seeded(), []
    gradients = {name: torch.zeros(2) for name in ("width", "op")}
    for _ in range(700):
        trial = MixtureTrial(architecture, generator, prices=expected.prices)
        _, cost = expected.run(trial, nested(trial), IMAGES[:1])
        costs.append(cost.item())
        for drawn in trial.drawn:
            assert (drawn.name, drawn.inside) == ("width", ("kind",))
        if "op" in trial.excess:
            (gradient,) = torch.autograd.grad(cost, architecture._logits["op"])
            gradients["op"] += gradient / 700
    wide, conv = 64 * 3 * 2 * 5, 64 * 9
    assert np.mean(costs) == pytest.approx((wide + conv / 2) / 3, rel=0.08)
    # Within "inner", which is taken once in three times, of two options.
    assert gradients["op"].tolist() == pytest.approx([-conv / 12, conv / 12], rel=0.2)


def test_choices_within_options_that_do_not_run_leave_no_trace():
    architecture, expected = Architecture(), ExpectedCost(nested, (3, 8, 8), "macs")
    seen = set()
    for seed in range(12):
        trial = MixtureTrial(architecture, seeded(seed), prices=expected.prices)
        expected.run(trial, nested(trial), IMAGES)
        kept = {"wide": {"kind", "width"}, "none": {"kind"}, "inner": {"kind", "op"}}[trial.params["kind"]]
        assert trial.params.keys() == kept
        seen.add(trial.params["kind"])
    assert len(seen) == 3


def test_all_paths_run_a_choice_within_an_option_on_one():
    trial = MixtureTrial(Architecture(), seeded(), paths=3)
    mixture = nested(trial)
    assert [len(part.options) for part in mixture.modules() if isinstance(part, Mixture)] == [3, 1]
    assert trial.params.keys() == {"kind", "width", "op"}


@pytest.mark.parametrize(
    "build", [partial(mobile, input_shape=(1, 8, 8)), partial(cell, input_shape=(1, 8, 8), channels=4, cells=2)]
)
def test_weights_are_shared_by_the_names_that_networks_have_on_their_own(build):
    trial = MixtureTrial(Architecture(), seeded())
    names = {name: p.shape for name, p in shared_names(build(trial)).items()}
    alone = {name: p.shape for name, p in shared_names(build(ReplayTrial(trial.params))).items()}
    assert {name for name in names if "=" in name} == {name for name in alone if "=" in name}
    assert names == alone


def test_each_cell_has_weights_of_its_own_place():
    choices = {f"edge{index}": "conv1x1" for index in range(6)}
    module = cell(ReplayTrial(choices), (1, 8, 8), channels=4, cells=2)
    names = [name for name in shared_names(module) if name.startswith("edge3#") and name.endswith("4d")]
    assert names == [f"edge3#{place}/1.weight Conv2d 4d" for place in range(1, 7)]


def test_outputs_of_several_shapes_are_refused_with_both():
    def build(trial):
        return choose(trial, "op", {"three": partial(nn.Conv2d, 3, 3, 1), "four": partial(nn.Conv2d, 3, 4, 1)})

    trial = MixtureTrial(Architecture(), seeded(), paths=2)
    with pytest.raises(UsageError, match=r"choose\('op'\).*\(3, 8, 8\) and \(4, 8, 8\)|\(4, 8, 8\) and \(3, 8, 8\)"):
        build(trial)(IMAGES)
    expected = ExpectedCost(build, (3, 8, 8), "macs")
    trial = MixtureTrial(Architecture(), seeded(), prices=expected.prices)
    with pytest.raises(UsageError, match=r"choose\('op'\).*\(3, 8, 8\) and \(4, 8, 8\)"):
        expected.run(trial, build(trial), IMAGES)


def test_a_mixture_does_not_have_what_its_options_have():
    module = times(MixtureTrial(Architecture(), seeded()))
    assert not hasattr(module, "factor")
    with pytest.raises(UsageError, match=r"choose\('op'\) as it is, got one that reads its 'factor'"):
        _ = module.factor


def test_an_unknown_cost_is_refused():
    with pytest.raises(UsageError, match=r"params, macs, size_bytes, latency_ms .*'energy'"):
        ExpectedCost(pair, (3, 8, 8), "energy")


def test_latency_is_the_sum_of_blocks_that_are_timed_once(monkeypatch):
    architecture, expected = Architecture(), ExpectedCost(pair, (3, 8, 8), "latency_ms")
    timed = []

    def ten_each(module, input_shape, **settings):
        timed.append(input_shape)
        return 10.0

    monkeypatch.setattr(expected.prices, "_time", ten_each)
    for seed in range(3):
        trial = MixtureTrial(architecture, seeded(seed), prices=expected.prices)
        _, cost = expected.run(trial, pair(trial), IMAGES)
        # Two choices and the last layer, all options alike.
        assert cost.item() == 30
    assert len(timed) == len(expected.prices)


def test_the_most_probable_network_follows_its_branches():
    architecture = Architecture()
    for seed in range(9):
        nested(MixtureTrial(architecture, seeded(seed)))
    set_logits(architecture, "kind", [2.0, 1.0, 0.0])
    set_logits(architecture, "width", [0.0, 1.0])
    trial = MostProbable(architecture)
    nested(trial)
    assert trial.params == {"kind": "wide", "width": 8}
    assert trial.ended_free == {"kind": False}
    set_logits(architecture, "kind", [0.0, 1.0, 0.0])
    trial = MostProbable(architecture)
    nested(trial)
    assert trial.params == {"kind": "none"}
    assert trial.ended_free == {"kind": True}


def test_networks_of_one_path_are_those_of_the_space():
    build = partial(mobile, input_shape=(1, 8, 8))
    trial = MixtureTrial(Architecture(), seeded())
    module = build(trial)
    again = RandomTrial(np.random.default_rng(0), trial.params)
    torch.manual_seed(0)
    alone = build(again)
    assert again.params == trial.params
    for name, parameter in shared_names(module).items():
        parameter.data = shared_names(alone)[name].data
    x = torch.randn(4, 1, 8, 8)
    assert torch.equal(module(x), alone(x))
