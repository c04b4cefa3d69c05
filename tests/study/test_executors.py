import sys

import pytest

from optnas.errors import UsageError
from optnas.study import InProcess, ProcessPool
from optnas.study.executors import make_executor
from optnas.study.settings import Settings


@pytest.fixture
def made(monkeypatch):
    """The arguments of the pools that are made; none is."""
    calls = []
    monkeypatch.setattr(ProcessPool, "__init__", lambda self, *given: calls.append(given))
    return calls


def test_no_workers_is_this_process():
    assert isinstance(make_executor(Settings(workers=0)), InProcess)


def test_a_pool_is_told_the_limits(made):
    make_executor(Settings(workers=3, memory_limit="2G", time_limit="30m"))
    make_executor(Settings(workers=2))
    assert made == [(3, 2_000_000_000, 1800, ()), (2, None, None, ())]


def test_shares_of_gpus_are_assigned_to_workers(made, monkeypatch):
    for module in ("executors", "settings"):
        monkeypatch.setattr(f"optnas.study.{module}.visible_gpus", lambda: ("4", "6"))
    make_executor(Settings(gpus_per_trial=0.5))
    make_executor(Settings(gpus_per_trial=2))
    make_executor(Settings(gpus_per_trial=1, workers=3))
    assert [(given[0], given[3]) for given in made] == [
        (4, ("4", "6", "4", "6")), (1, ("4,6",)), (3, ("4", "6", "4")),
    ]  # fmt: skip


def test_gpus_that_are_not_there_are_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    for workers in (None, 2):
        with pytest.raises(UsageError, match="gpus_per_trial: expected at most the GPUs that torch finds here, 0, got"):
            Settings(gpus_per_trial=0.5, workers=workers)


def test_ray_that_is_not_installed_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match="executor ray: expected Ray to be installed: pip install"):
        Settings(executor="ray")
