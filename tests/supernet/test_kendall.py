"""Agreement of rankings: closed forms, and the sentence that a person reads."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from optnas.errors import UsageError
from optnas.supernet import LEAST_TAU, audit_scores
from optnas.supernet.kendall import agreement


def test_tau_by_hand():
    # Of six pairs one is the other way round: (5 - 1) / 6.
    found = agreement(np.array([1.0, 2, 3, 4]), np.array([1.0, 2, 4, 3]))
    assert found.tau == pytest.approx(4 / 6)
    assert found.networks == 4


def test_tau_is_scipy_s_with_ties_too():
    generator = np.random.default_rng(0)
    for _ in range(20):
        one, other = generator.integers(0, 5, (2, 15)).astype(float)
        assert agreement(one, other).tau == pytest.approx(kendalltau(one, other).statistic)


@pytest.mark.parametrize(("other", "tau"), [(np.arange(12.0), 1), (-np.arange(12.0), -1), (np.ones(12), 0)])
def test_the_ends(other, tau):
    found = agreement(np.arange(12.0), other)
    assert found.tau == pytest.approx(tau)
    assert found.low - 1e-9 <= tau <= found.high + 1e-9


def test_the_interval_holds_the_truth_about_nine_times_in_ten():
    # Of two normal variables with correlation r, tau is 2/pi asin r.
    truth, hits = 2 / np.pi * np.arcsin(0.6), 0
    for seed in range(60):
        generator = np.random.default_rng(seed)
        one = generator.normal(size=30)
        other = 0.6 * one + 0.8 * generator.normal(size=30)
        found = agreement(one, other)
        hits += found.low <= truth <= found.high
    assert 48 <= hits <= 60


def test_an_audit_of_scores_that_follow_the_macs():
    errors = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    audit = audit_scores([0.3, 0.4, 0.5, 0.6, 0.7, 0.8], errors, [6e6, 5e6, 4e6, 3e6, 2e6, 1e6])
    assert audit.overall.tau == audit.best_half.tau == audit.macs.tau == 1
    assert audit.best_half.networks == 3
    # All that the scores tell, the MACs tell as well.
    assert audit.beyond_macs.tau == 0
    assert not audit.trusted
    assert "mislead here: they only repeat what the MACs tell" in str(audit)


def test_scores_that_follow_the_training_are_trusted():
    errors = np.arange(12.0)
    audit = audit_scores(errors + 0.5, errors, [3, 1, 2, 6, 4, 5, 12, 9, 7, 8, 10, 11])
    assert audit.trusted
    assert audit.overall.tau == audit.beyond_macs.tau == pytest.approx(1)
    assert str(audit).endswith("They can be used to choose what to train.")


def test_scores_that_mislead_are_not_trusted():
    audit = audit_scores([0.5, 0.4, 0.3, 0.2], [0.1, 0.2, 0.3, 0.4], [1, 2, 3, 4])
    assert audit.overall.tau == -1
    assert not audit.trusted
    assert f"mislead here: below {LEAST_TAU}" in str(audit)


def test_too_few_networks_are_refused():
    with pytest.raises(UsageError, match="at least 4 networks with a score each, got 3"):
        audit_scores([1, 2, 3], [1, 2, 3], [1, 2, 3])


def test_the_partial_tau_by_hand():
    one, other, given = np.array([1.0, 2, 3, 4]), np.array([1.0, 2, 4, 3]), np.array([1.0, 3, 2, 4])
    # Kendall's formula; the taus are 4/6, 4/6 and (2 discordant of 6 pairs) 2/6.
    expected = (4 / 6 - 4 / 6 * 2 / 6) / np.sqrt((1 - (4 / 6) ** 2) * (1 - (2 / 6) ** 2))
    assert agreement(one, other, given=given).tau == pytest.approx(expected)


def test_what_only_follows_the_macs_tells_nothing_beyond_them():
    generator = np.random.default_rng(1)
    macs = generator.normal(size=200)
    one, other = (macs + generator.normal(size=200) for _ in range(2))
    found = agreement(one, other, given=macs)
    assert agreement(one, other).tau > 0.2
    assert found.tau < 0.15
    apart = agreement(one, one + 0.3 * generator.normal(size=200), given=macs)
    assert apart.tau > 0.6
