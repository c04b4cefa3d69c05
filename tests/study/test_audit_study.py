import numpy as np
import optuna
import pytest

from optnas.study.audit import audit_study


def study_of(*trials):
    """Trials as (values or None, epochs, pruned epoch)."""
    study = optuna.create_study(directions=["minimize", "minimize"])
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        study.set_metric_names(["error", "macs"])
    for values, epochs, stop in trials:
        trial = study.ask()
        trial.set_user_attr("optnas:curve", list(np.linspace(0.9, 0.1, epochs)))
        if stop is not None:
            trial.set_user_attr("optnas:pruned_epoch", stop)
        study.tell(trial, values, state=None if values else optuna.trial.TrialState.PRUNED)
    return study


def test_epochs_and_members_by_hand():
    account = audit_study(
        study_of(
            ((0.1, 10.0), 8, None),
            ((0.3, 5.0), 8, None),
            (None, 2, 2),
            (None, 3, 3),
            ((0.2, 7.0), 8, 4),  # audited, and on the front
            ((0.4, 9.0), 8, 1),  # audited, and rightly stopped
        )
    )
    assert (account.trials, account.pruned, account.audited) == (6, 2, 2)
    assert account.epochs_used == 4 * 8 + 2 + 3
    assert account.epochs_saved == (8 - 2) + (8 - 3)
    assert (account.front_size, account.lost) == (3, 1)
    assert "2 of 6 trials were pruned" in str(account)


def test_refused_and_repeated_trials_are_no_part_of_it():
    study = study_of(((0.1, 10.0), 4, None))
    study.tell(study.ask(), state=optuna.trial.TrialState.PRUNED)
    repeat = study.ask()
    repeat.set_user_attr("optnas:repeat_of", 0)
    study.tell(repeat, [0.1, 10.0])
    assert audit_study(study).trials == 1


@pytest.mark.parametrize("trials", [[], [(None, 1, 1)]])
def test_little_to_account_for(trials):
    account = audit_study(study_of(*trials))
    assert account.trials == len(trials)
    assert str(account)


@pytest.mark.parametrize(
    ("share", "told"), [(0.0, "search with --audit 0.1"), (0.1, "The audit of 10% of the trials drew none")]
)
def test_an_audit_that_drew_none_is_not_asked_for_again(share, told):
    study = study_of(((0.1, 10.0), 8, None), (None, 2, 2))
    study.set_user_attr("optnas:request", {"audit": share})
    assert told in str(audit_study(study))


def test_what_another_tool_pruned_has_no_epochs():
    study = optuna.create_study(directions=["minimize", "minimize"])
    for _ in range(3):
        study.tell(study.ask(), state=optuna.trial.TrialState.PRUNED)
    study.tell(study.ask(), [0.1, 10.0])
    account = audit_study(study)
    assert (account.trials, account.pruned, account.untold, account.epochs_saved) == (4, 3, 3, 0)
    assert str(account) == (
        "3 of 4 trials were pruned, and reported no epochs: what that saved and what it cost is not known."
    )


def test_trained_trials_without_epochs_are_not_said_to_have_trained_none():
    study = optuna.create_study(directions=["minimize", "minimize"])
    study.tell(study.ask(), [0.1, 10.0])
    assert str(audit_study(study)) == "No trial was pruned; 1 trial reported no epochs."


def test_the_advice_is_about_the_pruner_of_the_study():
    study = study_of(((0.1, 10.0), 8, None), ((0.3, 5.0), 8, 4), *[(None, 2, 2)] * 20)
    study.set_user_attr("optnas:request", {"audit": 0.1, "pruner": "dominance"})
    assert str(audit_study(study)).endswith("search with --pruner none, which stops no trial.")
