"""The grammar, the meaning of each comparison, and every refusal."""

import pytest

from optnas.cost import (
    COSTS,
    Constraint,
    format_cost,
    parse_budget,
    parse_constraint,
    parse_constraints,
    parse_quantity,
)
from optnas.errors import UsageError


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("params<=100k", "params<=100000"),
        (" params  <=  100 k ", "params<=100000"),
        ("params<1.1k", "params<1100"),  # in binary 1.1 * 1000 is 1100.0000000000002
        ("macs>=2.3M", "macs>=2300000"),
        ("macs > 1G", "macs>1000000000"),
        ("macs<=3e6", "macs<=3000000"),
        ("macs<=3E+6", "macs<=3000000"),
        ("macs<=1e20", "macs<=1e+20"),
        ("latency_ms<=2.5", "latency_ms<=2.5"),
        ("latency_ms<=.5", "latency_ms<=0.5"),
        ("latency_ms<1e-3", "latency_ms<0.001"),
        ("size_bytes<=0", "size_bytes<=0"),
    ],
)
def test_parse(text, canonical):
    constraint = parse_constraint(text)
    assert str(constraint) == canonical
    assert parse_constraint(canonical) == constraint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("params", "expected NAME OP NUMBER"),
        ("params<=", "expected NAME OP NUMBER"),
        ("params==5", "expected NAME OP NUMBER"),
        ("params=<5", "expected NAME OP NUMBER"),
        ("5<=params", "expected one of params"),
        ("params<=5<=6", "expected NAME OP NUMBER"),
        ("latency_ms<=2ms", "got '2ms'.*unit word.*in the name latency_ms"),
        ("size_bytes<=100kB", "got '100kB'.*unit word"),
        ("params<=100K", "k, M, G"),
        ("params<=-1", "may not be negative"),
        ("params<=nan", "expected NAME OP NUMBER"),
        ("params<=inf", "infinite"),
        ("params<=1e999", "expected a finite limit"),
        ("params<0", "no network costs less"),
        ("param<=5", "expected one of params, macs, .*got 'param'; did you mean params?"),
        ("latency<=5", "did you mean latency_ms?"),
        ("error<=0.1", "known only after training"),
        ("accuracy>=0.9", "known only after training"),
        ("zebra<=5", "got 'zebra'; no other cost is known before training"),
    ],
)
def test_refusals_say_what_is_wrong(text, message):
    with pytest.raises(UsageError, match=message) as raised:
        parse_constraint(text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (("energy", "<=", 1.0), "expected one of params"),
        (("params", "==", 1.0), "got '=='"),
        (("params", "<=", float("nan")), "finite limit"),
        (("params", "<=", -1.0), "at least 0"),
    ],
)
def test_the_constructor_refuses_too(fields, message):
    with pytest.raises(UsageError, match=message):
        Constraint(*fields)


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("params<=100", 110, 0.1),
        ("params<=100", 100, 0.0),
        ("params<=100", 50, -0.5),
        ("params>=100", 90, 0.1),
        ("params>=100", 100, 0.0),
        ("params>=100", 150, -0.5),
        ("params<=0", 3, 3.0),
        ("params<=0", 0, 0.0),
        ("params>0", 3, -3.0),
        ("params<100", 99, -0.01),
        ("params>100", 99, 0.01),
    ],
)
def test_violation_is_a_share_of_the_limit(text, value, expected):
    assert parse_constraint(text).violation({"params": value, "macs": 1}) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("text", ["params<100", "params>100"])
def test_a_tie_breaks_a_strict_limit(text):
    assert 0 < parse_constraint(text).violation({"params": 100}) < 1e-9


@pytest.mark.parametrize("costs", [{}, {"params": float("nan")}, {"params": float("inf")}])
def test_violation_needs_a_finite_cost(costs):
    with pytest.raises(UsageError, match="params<=100: expected a finite params"):
        parse_constraint("params<=100").violation(costs)


def test_several_constraints():
    texts = ["params<=100k", "params>=1k", "macs<=1M", "params <= 100000"]
    assert [str(c) for c in parse_constraints(texts)] == ["params<=100000", "params>=1000", "macs<=1000000"]
    assert parse_constraints([]) == ()


@pytest.mark.parametrize(
    ("texts", "possible"),
    [
        (["params<=10", "params>=10"], True),
        (["params<10", "params>=10"], False),
        (["params<=10", "params>10"], False),
        (["params<=10", "params>=11"], False),
        (["params>5", "params<6"], False),  # a whole number
        (["params>5", "params<7"], True),
        (["params>=5.5", "params<=5.9"], False),
        (["latency_ms>5", "latency_ms<6"], True),
        (["latency_ms>5", "latency_ms<=5"], False),
        (["latency_ms>=5", "latency_ms<=5"], True),
        (["params<=10", "macs>=11"], True),
        (["params<=100", "params>=50", "params<=10"], False),
    ],
)
def test_contradictions_are_refused(texts, possible):
    if possible:
        assert len(parse_constraints(texts)) == len(texts)
    else:
        with pytest.raises(UsageError, match=r"some \w+ can meet"):
            parse_constraints(texts)


def test_cost_names_in_order():
    assert COSTS == ("params", "macs", "size_bytes", "peak_memory_bytes", "energy_mj", "latency_ms")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("macs", 1_234_567, "1.23 M"),
        ("params", 98_400, "98.4 k"),
        ("params", 999, "999"),
        ("params", 0, "0"),
        ("params", 999_499, "999 k"),
        ("params", 999_500, "1.00 M"),
        ("macs", 1_814_073_344, "1.81 G"),
        ("macs", 2.5e15, "2500 T"),
        ("size_bytes", 412_000, "412 kB"),
        ("size_bytes", 40, "40 B"),
        ("peak_memory_bytes", 1_200_000, "1.20 MB"),
        ("latency_ms", 1.309, "1.31 ms"),
        ("latency_ms", 0.0123, "0.0123 ms"),
        ("latency_ms", 9.999, "10.0 ms"),
        ("latency_ms", 1234.5, "1230 ms"),
        ("latency_ms", 0.0, "0.00 ms"),
        ("macs", float("inf"), "inf"),
        ("latency_ms", float("nan"), "nan"),
    ],
)
def test_format_cost(name, value, text):
    assert format_cost(name, value) == text


def test_format_cost_refuses_an_unknown_name():
    with pytest.raises(UsageError, match="did you mean macs"):
        format_cost("mac", 1)


@pytest.mark.parametrize(
    ("text", "number"), [("4G", 4e9), ("1.1k", 1100), ("3e6", 3e6), (".5M", 5e5), ("7", 7), ("4GB", None), ("-1", None)]
)
def test_quantities(text, number):
    assert parse_quantity(text) == number


@pytest.mark.parametrize(
    ("text", "shown"),
    [("error<=1%", "error<=1%"), ("accuracy > 0.985", "accuracy>98.5%"), ("error <= .5 %", "error<=0.5%")],
)
def test_a_budget_may_limit_what_a_study_has_trained(text, shown):
    (limit,) = parse_budget([text])
    assert str(limit) == shown
    assert parse_budget([shown]) == (limit,)
    with pytest.raises(UsageError, match="known only after training"):
        parse_constraint(text)


def test_budgets_are_read_like_constraints_beside_that():
    assert parse_budget(["macs<=1M", "error<=2%"])[0] == parse_constraint("macs<=1M")
    with pytest.raises(UsageError, match="some error can meet, got error>=2% together with error<=1%"):
        parse_budget(["error<=1%", "error>=2%"])


@pytest.mark.parametrize("text", ["error<=5", "error<=101%", "accuracy>=99k", "error<=-1%", "error<=few", "error<=%"])
def test_a_share_is_no_more_than_all_images(text):
    with pytest.raises(UsageError, match=f"budget '{text}': expected a share of images from 0 to 1 or a percentage"):
        parse_budget([text])
