from collections.abc import Callable

import pytest
from optuna.trial import BaseTrial
from torch import nn

from optnas.cost import LatencyTable, Prices, profile
from optnas.cost.identity import digest_of, kind_of
from optnas.cost.table import TableError, TimedBlock
from optnas.errors import UsageError
from optnas.space import choose

SHAPE = (3, 8, 8)


def one_of(*options: Callable[[], nn.Module]) -> Callable[[BaseTrial], nn.Module]:
    return lambda trial: nn.Sequential(choose(trial, "op", {str(place): make for place, make in enumerate(options)}))


@pytest.fixture
def prices() -> Prices:
    """A table that knows a ReLU alone: 3 ms."""
    blocks = {digest_of(nn.ReLU(), SHAPE) or "": TimedBlock(kind_of(nn.ReLU()), SHAPE, (0, 0, 192, 192), 2_000_000)}
    error = TableError(1, 0.0, 0.0, 1.0)
    return Prices(table=LatencyTable("one", SHAPE, 5, "eager", {}, 1.0, 1.0, 1.0, blocks, 0, error))


def test_networks_that_a_table_does_not_know_are_invalid(prices: Prices) -> None:
    build = one_of(nn.ReLU, nn.ReLU, nn.ReLU, nn.Softmax)
    found = profile(build, SHAPE, ["latency_ms"], 40, prices=prices)
    assert 0 < found.unknown < 20
    assert found.invalid == found.unknown
    assert found.costs["latency_ms"] == [3.0] * (40 - found.unknown)
    assert "expected blocks of one, got Softmax" in found.problem


def test_a_table_that_does_not_know_most_networks_is_refused(prices: Prices) -> None:
    sentence = r"\d\d of 40 random networks cannot be foretold; the first: latency table: expected blocks of one, got "
    with pytest.raises(UsageError, match=sentence + "Softmax"):
        profile(one_of(nn.ReLU, nn.Softmax, nn.Softmax, nn.Softmax), SHAPE, ["latency_ms"], 40, prices=prices)


def test_networks_that_do_not_work_are_not_held_against_a_table(prices: Prices) -> None:
    def broken() -> nn.Module:
        raise ValueError("no such layer")

    found = profile(one_of(nn.ReLU, broken), SHAPE, ["latency_ms"], 40, prices=prices)
    assert found.unknown == 0
    assert 0 < found.invalid < 40
    with pytest.raises(UsageError, match="none of 5 random networks of the space works: ValueError: no such layer"):
        profile(one_of(broken), SHAPE, ["latency_ms"], 5, prices=prices)


def test_what_the_valid_networks_chose_stands_beside_their_costs(prices: Prices) -> None:
    found = profile(one_of(nn.ReLU, nn.ReLU, nn.Softmax), SHAPE, ["latency_ms"], 20, prices=prices)
    assert len(found.choices) == len(found.costs["latency_ms"]) == 20 - found.invalid
    assert {one["op"] for one in found.choices} == {"0", "1"}
