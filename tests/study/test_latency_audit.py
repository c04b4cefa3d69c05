"""What the audit makes of measurements, and one real one."""

import math

import numpy as np
import pytest
from toy import space

from optnas.errors import UsageError
from optnas.study.latency_audit import LatencyAudit, RuntimeAudit, audit_latency, tau


def test_agreement_by_hand():
    # Of the six pairs of four networks one is turned around: (5 - 1) / 6.
    ours = RuntimeAudit(np.array([[1.0, 2.0, 3.0, 4.0], [1.1, 2.0, 4.0, 3.9]]), np.ones((2, 4)), {})
    assert ours.taus == pytest.approx([4 / 6])
    np.testing.assert_allclose(ours.median_ms, [1.05, 2.0, 3.5, 3.95])
    # ranges .1, 0, 1, .1 as shares of these: the median lies between the second and the third
    assert ours.spread == pytest.approx((0.1 / 1.05 + 0.1 / 3.95) / 2)
    other = RuntimeAudit(np.array([[4.0, 3.0, math.nan, 1.0]] * 2), np.ones((2, 4)), {}, "no such operator")
    audit = LatencyAudit({"ours": ours, "other": other}, {"macs": np.array([1.0, 2.0, 4.0, 3.0])})
    assert audit.agreement() == {
        ("ours", "other"): pytest.approx(-1),  # by the three that both have
        ("ours", "macs"): pytest.approx(4 / 6),
        ("other", "macs"): pytest.approx(-1),
    }
    assert math.isnan(tau(np.array([1.0, math.nan]), np.array([1.0, 2.0])))


def test_real_processes():
    said = []
    audit = audit_latency(space, (1, 2, 2), ["eager"], networks=3, processes=2, seconds=0.02, say=said.append)
    assert audit.runtimes["eager"].latency_ms.shape == (2, 3)
    assert (audit.runtimes["eager"].latency_ms > 0).all()
    assert said == ["eager: process 1 of 2, 3 networks", "eager: process 2 of 2, 3 networks"]
    assert (audit.counted["macs"] > 0).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"networks": 2}, "at least 3 networks and 2 processes, got 2 and 3"),
        ({"processes": 1}, "got 30 and 1"),
        ({"runtimes": ["tflite"]}, "unknown runtime 'tflite'"),
    ],
)
def test_what_cannot_be_compared_is_refused(given, message):
    with pytest.raises(UsageError, match=message):
        audit_latency(space, (1, 2, 2), **{"runtimes": ["eager"], **given})


def test_a_space_that_never_works():
    def broken(trial):
        raise ValueError("no such block")

    with pytest.raises(
        UsageError, match="expected 3 networks of the space that work, got 0; the first: ValueError: no such block"
    ):
        audit_latency(broken, (1, 2, 2), ["eager"], networks=3)
