import pytest
import torch
from study.conformance import ExecutorTests, fill_the_gpu

from optnas.study import InProcess


@pytest.fixture
def executor():
    return InProcess()


class TestInProcess(ExecutorTests):
    def another(self):
        return InProcess()

    def test_ctrl_c_is_not_a_job_s(self):
        def interrupted(_):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            InProcess().submit(interrupted, None)


def test_a_gpu_that_was_full_is_emptied_when_nothing_holds_its_tensors_any_more(monkeypatch):
    class Tensor:
        alive = 0

        def __init__(self):
            Tensor.alive += 1

        def __del__(self):
            Tensor.alive -= 1

    def fill(_):
        tensors = [Tensor() for _ in range(3)]
        tensors.append(tensors)  # a cycle: only the collector frees it
        fill_the_gpu(tensors)

    alive = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: alive.append(Tensor.alive))
    assert "too little memory" in str(InProcess().submit(fill, None).exception())
    assert alive == [0]
