"""Test cases that a search space of your own inherits.

    from optnas.testing import SpaceTests

    class TestMySpace(SpaceTests):
        input_shape = (3, 32, 32)

        def build(self, trial):
            return my_space(trial)

pytest then runs every case below on it.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import optuna
import torch
from optuna.trial import BaseTrial
from torch import nn

from optnas.cost import BlockCounter, macs, params, peak_memory_bytes, size_bytes
from optnas.space import RandomTrial, ReplayTrial, crossover, fingerprint, mutate, options_of, sample

__all__ = ["SpaceTests"]


class SpaceTests:
    """What optnas relies on in a search space. Set `input_shape` and `num_classes`, and write `build`."""

    input_shape: tuple[int, int, int] = (3, 32, 32)
    num_classes: int = 10
    draws: int = 12
    """How many random networks each case tries."""

    def build(self, trial: BaseTrial) -> nn.Module:
        """The space under test."""
        raise NotImplementedError

    def _networks(self) -> list[tuple[dict[str, Any], nn.Module]]:
        generator = np.random.default_rng(0)
        chosen = [sample(self.build, generator) for _ in range(self.draws)]
        return [(choices, self.build(ReplayTrial(choices))) for choices in chosen]

    def test_networks_give_one_logit_a_class(self) -> None:
        for choices, module in self._networks():
            output = module.eval()(torch.randn(2, *self.input_shape))
            assert output.shape == (2, self.num_classes), choices
            assert torch.isfinite(output).all(), choices

    def test_networks_learn(self) -> None:
        for choices, module in self._networks():
            loss = nn.functional.cross_entropy(module.train()(torch.randn(4, *self.input_shape)), torch.tensor([0] * 4))
            loss.backward()  # type: ignore[no-untyped-call]
            assert any(p.grad is not None and bool(p.grad.any()) for p in module.parameters()), choices

    def test_the_same_choices_build_the_same_network(self) -> None:
        for choices, module in self._networks():
            again = self.build(ReplayTrial(choices))
            assert fingerprint(module, self.input_shape) == fingerprint(again, self.input_shape), choices
            shapes = {name: tensor.shape for name, tensor in module.state_dict().items()}
            assert shapes == {name: tensor.shape for name, tensor in again.state_dict().items()}, choices

    def test_choices_do_not_depend_on_global_random_state(self) -> None:
        asked = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            asked.append(sample(self.build, np.random.default_rng(5)))
        assert asked[0] == asked[1]

    def test_a_choice_has_the_same_options_in_every_network(self) -> None:
        seen: dict[str, object] = {}
        generator = np.random.default_rng(1)
        for _ in range(4 * self.draws):
            trial = RandomTrial(generator)
            self.build(trial)
            for name, distribution in trial.distributions.items():
                # Optuna refuses a categorical choice whose options change from trial to trial.
                assert seen.setdefault(name, distribution) == distribution, name

    def test_every_option_builds(self) -> None:
        trial = RandomTrial(np.random.default_rng(2))
        self.build(trial)
        for name, distribution in trial.distributions.items():
            for option in (options_of(distribution) or [])[:32]:
                module = self.build(RandomTrial(np.random.default_rng(3), {**trial.params, name: option}))
                output = module.eval()(torch.zeros(1, *self.input_shape))
                assert output.shape == (1, self.num_classes), (name, option)

    def test_mutation_and_crossover_stay_in_the_space(self) -> None:
        generator = np.random.default_rng(4)
        mother, father = sample(self.build, generator), sample(self.build, generator)
        for child in (
            mutate(self.build, mother, generator),
            crossover(self.build, mother, father, generator),
        ):
            trial = ReplayTrial(child)
            self.build(trial)
            assert trial.params == child

    def test_optuna_samplers_can_propose(self) -> None:
        for sampler in (
            optuna.samplers.NSGAIISampler(population_size=3, seed=0),
            optuna.samplers.TPESampler(seed=0),
        ):
            study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
            study.optimize(lambda trial: (float(params(self.build(trial))), 1.0), n_trials=5)
            assert len(study.trials) == 5

    def test_every_cost_can_be_counted(self) -> None:
        for choices, module in self._networks():
            assert params(module) > 0, choices
            assert macs(module, self.input_shape) > 0, choices
            assert size_bytes(module, self.input_shape) > 0, choices
            assert peak_memory_bytes(module, self.input_shape) > 0, choices

    def test_costs_are_foreseen_as_they_are_counted(self) -> None:
        foresee = BlockCounter(self.build, self.input_shape)
        # The first few are counted both ways anyway, and every later one is new here.
        for choices, module in self._networks():
            counted = {
                "params": params(module),
                "macs": macs(module, self.input_shape),
                "size_bytes": size_bytes(module, self.input_shape),
            }
            assert foresee(choices) == counted, choices

    def test_memory_format_does_not_change_the_output(self) -> None:
        images = torch.randn(2, *self.input_shape)
        for choices, module in self._networks():
            module.eval()
            twin = copy.deepcopy(module).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            last = twin(images.contiguous(memory_format=torch.channels_last))
            assert torch.allclose(module(images), last, rtol=1e-3, atol=1e-4), choices
