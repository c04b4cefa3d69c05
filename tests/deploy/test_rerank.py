"""Fronts after deployment, from made-up measurements and from real files."""

import pytest

from optnas.cost import parse_constraints
from optnas.deploy.rerank import after_deployment, format_of, front_points
from optnas.errors import UsageError

NAMES = ("error", "latency_ms")


def points(**values):
    return {int(name[1:]): dict(zip(NAMES, pair, strict=True)) for name, pair in values.items()}


SEARCHED = points(t1=(0.05, 3.0), t2=(0.10, 2.0), t3=(0.20, 1.0))


def test_a_network_that_another_one_beats_falls():
    deployed = points(t1=(0.05, 1.5), t2=(0.10, 2.0), t3=(0.20, 1.0))
    found = after_deployment("litert", "int8", NAMES, SEARCHED, deployed, {})
    assert found.front == (1, 3)
    assert found.fell == {2: (1,)}
    # latency: of the pairs (1,2), (1,3), (2,3) the first has turned, (2 - 1) / 3
    assert found.tau == {"error": pytest.approx(1.0), "latency_ms": pytest.approx(1 / 3)}
    assert found.n == 3


def test_equal_networks_stay_and_one_may_be_beaten_by_several():
    deployed = points(t1=(0.05, 1.0), t2=(0.05, 1.0), t3=(0.20, 1.5))
    found = after_deployment("onnxruntime", "fp32", NAMES, SEARCHED, deployed, {})
    assert set(found.front) == {1, 2}
    assert found.fell == {3: (1, 2)}


def test_an_order_of_equals_says_nothing():
    deployed = points(t1=(0.05, 1.0), t2=(0.05, 1.0))
    found = after_deployment("onnxruntime", "fp32", NAMES, SEARCHED, deployed, {3: "no file"})
    assert found.tau == {"error": None, "latency_ms": None}
    assert found.n == 2
    assert found.problems == {3: "no file"}


def test_macs_stay_what_they_were_and_latency_is_told_where_the_search_knew_it():
    searched = {1: {"error": 0.1, "macs": 5.0}, 2: {"error": 0.2, "macs": 4.0}}
    deployed = {1: {"error": 0.3, "macs": 5.0, "latency_ms": 1.0}, 2: {"error": 0.2, "macs": 4.0, "latency_ms": 2.0}}
    found = after_deployment("onnxruntime", "fp32", ("error", "macs"), searched, deployed, {})
    assert found.front == (2,)
    assert found.fell == {1: (2,)}
    assert found.tau == {"error": pytest.approx(-1.0)}


def test_runtimes_without_files_are_refused():
    assert format_of("onnxruntime") == "onnx"
    with pytest.raises(UsageError, match="expected runtimes with files, onnxruntime, executorch, litert, got eager"):
        format_of("eager")
    with pytest.raises(UsageError, match="unknown runtime 'onnx'"):
        format_of("onnx")


def test_latencies_within_three_percent_are_ties():
    deployed = points(t1=(0.05, 3.0), t2=(0.10, 2.0), t3=(0.10, 1.95))
    found = after_deployment("onnxruntime", "fp32", NAMES, SEARCHED, deployed, {})
    assert found.front == (1, 3, 2)
    assert found.fell == {}
    # What tied as it was searched did not fall by deployment.
    tied = points(t1=(0.05, 1.01), t2=(0.10, 1.0))
    assert after_deployment("onnxruntime", "fp32", NAMES, tied, tied, {}).fell == {}


def test_a_network_over_the_budget_leaves_the_front_and_beats_nobody():
    deployed = points(t1=(0.05, 2.1), t2=(0.10, 2.5), t3=(0.20, 1.0))
    budget = parse_constraints(["latency_ms<=2", "size_bytes<=100"])
    sized = {trial: {**values, "size_bytes": 10.0} for trial, values in deployed.items()}
    found = after_deployment("onnxruntime", "fp32", NAMES, SEARCHED, sized, {}, budget)
    assert found.front == (3,)
    assert found.over == {1: "latency_ms 2.10 ms", 2: "latency_ms 2.50 ms"}
    assert found.fell == {}


def test_the_picture_shows_the_first_cost():
    found = after_deployment("litert", "int8", NAMES, SEARCHED, points(t1=(0.05, 1.5), t2=(0.1, 2.0)), {3: "no"})
    assert front_points([found], NAMES) == (
        "latency_ms",
        "error",
        {"searched": [(1.0, 0.2), (2.0, 0.1), (3.0, 0.05)], "litert, int8": [(1.5, 0.05)]},
    )


def test_what_was_beaten_before_is_not_on_the_front_nor_deployments_fault():
    # Within 3 % of latency 2 is beaten by 1 before and after; 3 is beaten by 1 only once it is deployed.
    searched = {
        1: {"error": 0.10, "latency_ms": 1.0},
        2: {"error": 0.12, "latency_ms": 0.99},
        3: {"error": 0.2, "latency_ms": 0.5},
    }
    deployed = {
        1: {"error": 0.10, "latency_ms": 1.0},
        2: {"error": 0.12, "latency_ms": 1.2},
        3: {"error": 0.2, "latency_ms": 1.1},
    }
    found = after_deployment("onnxruntime", "fp32", ("error", "latency_ms"), searched, deployed, {})
    assert found.front == (1,)
    assert found.already == {2: (1,)}
    assert found.fell == {3: (1,)}
