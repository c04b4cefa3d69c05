import pytest

from optnas.explain import CostChange, Effect
from optnas.explain.words import amount, cost_change, effect, limits, listed, rise, steps


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("error", 0.0167, "1.67% error"),
        ("macs", 598432, "598 k MACs"),
        ("latency_ms", 0.1234, "0.123 ms"),
        ("size_bytes", 29000, "29.0 kB size"),
        ("accuracy", 0.98765, "accuracy 0.9877"),
    ],
)
def test_amounts(name, value, text):
    assert amount(name, value) == text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (CostChange(118e3, 90e3, 160e3, 0.0), "+118 k MACs (+90.0 k to +160 k)"),
        (CostChange(-5.0, -5.0, -5.0, 0.0), "-5 MACs"),
        (CostChange(118e3, 90e3, 160e3, 2e3), "about +118 k MACs (+90.0 k to +160 k)"),
    ],
)
def test_changes_of_costs(change, text):
    assert cost_change("macs", change) == text
    assert rise("seconds", -0.1234) == "-0.123"


@pytest.mark.parametrize(
    ("name", "mean", "std", "text"),
    [
        ("error", -0.004, 0.003, "error -0.40 ± 0.30 points"),
        ("error", 0.0123, 0.0101, "error +1.2 ± 1.0 points"),
        ("error", 0.3, 0.124, "error +30 ± 12 points"),
        ("error", 0.00001, 0.00002, "error +0.00 ± 0.00 points"),
        ("accuracy", 0.0123456, 0.00098, "accuracy +0.01235 ± 0.00098"),
    ],
)
def test_no_more_certain_than_it_is(name, mean, std, text):
    assert effect(name, Effect(mean, std)) == text


def test_limits_as_they_are_typed():
    texts = ["macs<=300000", "latency_ms<2.5", "params<=1500", "size_bytes>=0"]
    assert limits(texts) == "macs<=300k, latency_ms<2.5, params<=1500 and size_bytes>=0"


def test_lists_and_steps():
    assert [listed(parts) for parts in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
    assert steps({"op": ("a", "b"), "width": (4, 8)}) == "op a -> b and width 4 -> 8"
