"""Whether blocks that do different things are told apart, and have the same names elsewhere."""

import os
import subprocess
import sys
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from optnas.cost.identity import digest_of

SHAPE = (4, 8, 8)


class Pool(nn.Module):
    """Does what its setting says."""

    def __init__(self, setting: Any) -> None:
        super().__init__()
        self.setting = setting


@dataclass(frozen=True)
class Config:
    k: int


class Bare:
    def __init__(self, k: Any) -> None:
        self.k = k


class Slotted:
    __slots__ = ("k",)

    def __init__(self, k: int) -> None:
        self.k = k


class Named(NamedTuple):
    k: int


class Size(Enum):
    SMALL = 3
    LARGE = 7


def pooled(k: int) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: F.avg_pool2d(x, k)


def by_default(k: int) -> Callable[..., torch.Tensor]:
    def pool(x: torch.Tensor, size: int = k, *, stride: int = k) -> torch.Tensor:
        return F.avg_pool2d(x, size, stride)

    return pool


def local_class(k: int) -> nn.Module:
    class Local(nn.Module):
        def __init__(self) -> None:
            super().__init__()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.avg_pool2d(x, k)

    return Local()


def hooked(k: int) -> nn.Module:
    module = nn.ReLU()
    module.register_forward_hook(lambda module, inputs, output: F.avg_pool2d(output, k))
    return module


def cached(k: int) -> Callable[[int], int]:
    @lru_cache
    def plus(x: int) -> int:
        return x + k

    return plus


def holding_itself(k: int) -> Bare:
    made = Bare([k])
    made.k.append(made)
    return made


SETTINGS: dict[str, Callable[[int], Any]] = {
    "dataclass": Config,
    "object": Bare,
    "object in object": lambda k: Bare({"config": Config(k)}),
    "slots": Slotted,
    "named tuple": Named,
    "enumeration": Size,
    "closure": pooled,
    "defaults": by_default,
    "partial": lambda k: partial(pooled(3), k),
    "cached": cached,
    "method": lambda k: Bare(k).__eq__,
    "array": lambda k: np.full(2, k),
    "set": lambda k: {"a", "b", "c", str(k)},
    "ordered": lambda k: OrderedDict(k=k),
    "queue": lambda k: deque([k]),
    "module": lambda k: [nn.MaxPool2d(k)],
    "tensor": lambda k: torch.zeros(k),
    "cycle": holding_itself,
}


@pytest.mark.parametrize("name", SETTINGS)
def test_blocks_with_other_settings_have_other_names(name: str) -> None:
    make = SETTINGS[name]
    one = digest_of(Pool(make(3)), SHAPE)
    assert one is not None
    assert one == digest_of(Pool(make(3)), SHAPE)
    assert one != digest_of(Pool(make(7)), SHAPE)


@pytest.mark.parametrize("make", [local_class, hooked])
def test_code_that_a_function_made_is_told_by_what_it_holds(make: Callable[[int], nn.Module]) -> None:
    one = digest_of(make(3), SHAPE)
    assert one is not None
    assert one == digest_of(make(3), SHAPE)
    assert one != digest_of(make(7), SHAPE)


def test_code_is_told_by_the_names_and_constants_in_it() -> None:
    """The two are one in bytes: only what they call, or the number that they add, differs."""
    functions = [lambda x: F.relu(x), lambda x: F.gelu(x), lambda x: x + 1, lambda x: x + 2]
    functions += [lambda x: [y + 1 for y in x], lambda x: [y + 2 for y in x]]
    assert len({digest_of(Pool(function), SHAPE) for function in functions}) == 6


def test_functions_of_torch_are_told_by_name() -> None:
    functions = [F.relu, F.silu, torch.relu, torch.sigmoid, torch.Tensor.relu, F.max_pool2d, F.gelu, nn.ReLU, F]
    names = [digest_of(Pool(function), SHAPE) for function in functions]
    assert None not in names
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "setting", [threading.Lock(), (x for x in "ab"), Bare(sys.stdout)], ids=lambda setting: type(setting).__name__
)
def test_what_cannot_be_compared_has_no_name(setting: Any) -> None:
    assert digest_of(Pool(setting), SHAPE) is None
    assert digest_of(nn.Sequential(Pool([setting])), SHAPE) is None


@pytest.mark.slow
def test_names_are_equal_in_another_process() -> None:
    """With other hashes of strings, and so another order of sets."""
    code = (
        "from tests.cost.test_identity import *\n"
        "print([digest_of(Pool(make(3)), SHAPE) for make in SETTINGS.values()])\n"
        "print([digest_of(make(3), SHAPE) for make in (local_class, hooked)])"
    )
    here = [[digest_of(Pool(make(3)), SHAPE) for make in SETTINGS.values()]]
    here += [[digest_of(make(3), SHAPE) for make in (local_class, hooked)]]
    root, hashes = Path(__file__).parents[2], {**os.environ, "PYTHONHASHSEED": "7"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=hashes, cwd=root)
    assert ran.stdout.splitlines() == [str(one) for one in here], ran.stderr
