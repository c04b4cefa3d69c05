import numpy as np
import pytest

from optnas.errors import UsageError
from optnas.prune import Audited, audit, is_audited
from optnas.prune.audit import _clopper_pearson


def whole(error: float, macs: float, stop: int | None = None) -> Audited:
    return Audited((error, macs), 10, stop)


PRUNED = Audited(None, 4, 4)


class TestChoice:
    def test_the_share_is_kept_and_depends_on_seed_and_number_alone(self):
        chosen = [is_audited(3, number, 0.1) for number in range(10_000)]
        # 1000 are expected, 4 standard deviations are 120.
        assert 880 < sum(chosen) < 1120
        assert chosen == [is_audited(3, number, 0.1) for number in range(10_000)]
        assert chosen != [is_audited(4, number, 0.1) for number in range(10_000)]

    def test_a_larger_share_takes_in_a_smaller_one(self):
        small, large = ({n for n in range(500) if is_audited(0, n, share)} for share in (0.1, 0.3))
        assert small < large

    def test_none_and_all(self):
        assert not any(is_audited(0, number, 0.0) for number in range(100))
        assert all(is_audited(0, number, 1.0) for number in range(100))
        with pytest.raises(UsageError, match="audit: expected a share of the trials from 0 to 1, got"):
            is_audited(0, 0, 1.5)


@pytest.mark.parametrize(
    ("successes", "draws", "low", "high"),
    [
        # In closed form: 1 - 0.025 ** (1 / 20), and its mirror image.
        (0, 20, 0.0, 0.16843),
        (20, 20, 0.83157, 1.0),
        # From the beta distribution: B(2, 19) at 0.025 and B(3, 18) at 0.975.
        (2, 20, 0.01235, 0.31698),
        (5, 10, 0.18709, 0.81291),
        (0, 0, 0.0, 1.0),
    ],
)
def test_the_interval_of_clopper_and_pearson(successes, draws, low, high):
    assert _clopper_pearson(successes, draws, 0.95) == pytest.approx((low, high), abs=1e-5)


def test_the_account_counted_by_hand():
    trials = [
        whole(0.1, 4),
        whole(0.4, 1),
        whole(0.2, 2, stop=3),  # on the front: pruning would have lost it
        whole(0.3, 3, stop=5),  # dominated by the one before
        whole(0.5, 5),
        *[PRUNED] * 6,
        Audited(None, 2),  # still in training, or failed: neither whole nor pruned
    ]
    result = audit(trials, 10, reference=(1.0, 5.0))
    assert (result.trials, result.pruned, result.audited) == (12, 6, 2)
    assert result.epochs_used == 5 * 10 + 6 * 4 + 2
    assert result.epochs_saved == 6 * 6
    assert result.epochs_audit == 7 + 5
    assert (result.front_size, result.lost) == (3, 1)
    # Half of the audited are on the front, so three of the six pruned: of 3 + 3.
    assert result.front_lost[0] == pytest.approx(3 / 6)
    low, high = result.lost_share
    assert (low, high) == pytest.approx((0.01258, 0.98742), abs=1e-5)  # closed form: 1 - sqrt(0.975), its mirror
    assert result.front_lost[1:] == pytest.approx((6 * low / (6 * low + 3), 6 * high / (6 * high + 3)))
    # Boxes to (1, 1): .9 x .2, .8 x .6, .6 x .8 in steps: .9*.2 + .8*.4 + .6*.2 against .9*.2 + .6*.6.
    assert result.hypervolume_regret == pytest.approx(1 - 0.54 / 0.62)
    assert result.verdict == "too much"
    assert "1 is on the front, so about 3 of the 6 pruned would be too" in str(result)
    assert "without the audit 13% of the hypervolume" in str(result)
    assert str(result).endswith("search with --pruner dominance, which stops fewer good trials, or --pruner none.")
    by_default = audit(trials, 10, reference=(1.0, 5.0), pruner="dominance")
    assert str(by_default).endswith("the accepted 5%: search with --pruner none, which stops no trial.")
    assert "6 of 12 trials were pruned, which saved 36 of 112 epochs (32%)" in str(result)
    assert "1 is on the front" in str(result)


def test_what_a_small_clean_audit_cannot_say():
    front = [whole(0.1 * i, 10 - i) for i in range(1, 9)]
    few = audit([*front, *[whole(0.9, 9, stop=2)] * 3, *[PRUNED] * 20], 10)
    assert few.lost == 0
    assert few.front_lost[0] == 0
    assert few.verdict == "not known"
    assert "takes a larger audit" in str(few)
    many = audit([*front, *[whole(0.9, 9, stop=2)] * 300, *[PRUNED] * 20], 10)
    # Upper end of 0 in 300 is 1 - 0.025 ** (1 / 300) = 1.22 %, times 20 is 0.24 beside 8.
    assert many.front_lost[2] == pytest.approx(0.2444 / 8.2444, abs=1e-3)
    assert many.verdict == "accepted"
    assert "within the accepted 5%" in str(many)


def test_without_pruning_or_audit():
    nothing = audit([whole(0.1, 1), whole(0.2, 2)], 10)
    assert str(nothing) == "No trial was pruned: 2 trials trained 20 epochs."
    assert nothing.verdict == "accepted"
    blind = audit([whole(0.1, 1), PRUNED], 10)
    assert blind.front_lost == (0.0, 0.0, 0.5)  # up to the one that was pruned, beside the one that is there
    assert blind.verdict == "not known"
    assert "what it cost is not known" in str(blind)
    assert audit([], 10).hypervolume_regret == 0.0


def test_values_that_are_not_finite_are_on_no_front():
    result = audit([whole(0.1, 1), Audited((float("nan"), 0.0), 10)], 10)
    assert result.front_size == 1


def test_the_regret_agrees_with_removing_the_trials():
    generator = np.random.default_rng(0)
    values = generator.random((30, 2))
    stops = [3 if i % 4 == 0 else None for i in range(30)]
    trials = [Audited((e, m), 10, stop) for (e, m), stop in zip(values.tolist(), stops, strict=True)]
    grid = (np.arange(1000) + 0.5) / 1000
    left, below = np.meshgrid(grid, grid)

    def dominated(rows):
        return np.any([(left >= e) & (below >= m) for e, m in rows], axis=0).mean()

    kept = values[[stop is None for stop in stops]]
    expected = 1 - dominated(kept) / dominated(values)
    assert audit(trials, 10, reference=(1, 1)).hypervolume_regret == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize(("name", "value"), [("accepted", 1.1), ("confidence", 1.0)])
def test_bad_shares_are_refused(name, value):
    with pytest.raises(UsageError, match=name):
        audit([], 10, **{name: value})
