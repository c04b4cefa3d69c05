"""REINFORCE as a sampler: Optuna's own cases, what it learns, and that it is made again from storage alone."""

from collections.abc import Callable

import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, MultiObjectiveSamplerTestCase

from optnas.sampler.reinforce import ReinforceSampler


class TestOptunaCases(BasicSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return ReinforceSampler
