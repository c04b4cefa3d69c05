import pytest

from optnas.errors import UsageError
from optnas.study.resources import assign_gpus, check_share, trials_at_a_time, visible_gpus


@pytest.mark.parametrize(
    ("gpus", "per_trial", "trials"),
    [(1, 0.25, 4), (2, 0.25, 8), (2, 1, 2), (3, 0.4, 6), (4, 2, 2), (5, 2, 2), (1, 0.1, 10)],
)
def test_trials_at_a_time(gpus, per_trial, trials):
    assert trials_at_a_time(gpus, per_trial) == trials


@pytest.mark.parametrize(("gpus", "per_trial"), [(0, 0.5), (1, 2)])
def test_more_gpus_than_there_are_are_refused(gpus, per_trial):
    with pytest.raises(UsageError, match=f"at most the GPUs that torch finds here, {gpus}, got {per_trial}"):
        trials_at_a_time(gpus, per_trial)


@pytest.mark.parametrize(
    ("visible", "workers", "per_trial", "assigned"),
    [
        (["0"], 4, 0.25, ("0", "0", "0", "0")),
        (["0", "1"], 5, 0.5, ("0", "1", "0", "1", "0")),
        (["3", "GPU-8f"], 2, 1, ("3", "GPU-8f")),
        (["0", "1", "2", "3"], 2, 2, ("0,1", "2,3")),
        (["0", "1", "2"], 2, 2, ("0,1", "0,1")),
    ],
)
def test_workers_are_assigned_to_gpus_round_robin(visible, workers, per_trial, assigned):
    assert assign_gpus(visible, workers, per_trial) == assigned


@pytest.mark.parametrize(
    ("variable", "found", "visible"),
    [(None, 2, ("0", "1")), ("3,1", 2, ("3", "1")), ("", 0, ()), ("-1", 0, ()), ("2, 5", 2, ("2", "5"))],
)
def test_visible_gpus_have_the_names_that_the_environment_gives_them(monkeypatch, variable, found, visible):
    monkeypatch.setattr("torch.cuda.device_count", lambda: found)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if variable is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert visible_gpus() == visible


@pytest.mark.parametrize("value", [0, -1, 1.5, float("nan"), float("inf"), "1", True])
def test_what_is_neither_a_share_nor_whole_is_refused(value):
    with pytest.raises(UsageError, match=r"gpus_per_trial: expected a share such as 0\.25, or a whole number from 1"):
        check_share("gpus_per_trial", value)


@pytest.mark.parametrize("value", [0.01, 0.25, 1, 1.0, 8])
def test_shares_and_whole_numbers_are_taken(value):
    check_share("gpus_per_trial", value)
