"""The words for why a trial ended, by hand."""

import pytest
from handmade import add, new_study, one_of_each
from optuna.trial import TrialState

from optnas.facts.reasons import reason_of
from optnas.facts.trials import read_trials
from optnas.prune.base import Stopper

KEPT = {"curve": [0.9, 0.4, 0.3], "pruned_epoch": 2, "pruned_bound": 0.35}
ABOVE = "the lowest error until epoch 2 is 40.00%, above the bound 35.00%"


def reason(state=TrialState.COMPLETE, names=("error", "macs"), **kept):
    study = new_study(names)
    add(study, (0.3, 10.0) if state == TrialState.COMPLETE else None, state=state, **kept)
    return reason_of(study.trials[0], names)


def test_what_was_pruned_says_why_in_per_cent():
    assert reason(TrialState.PRUNED, **KEPT) == ABOVE
    # As the search itself wrote it.
    assert reason(TrialState.PRUNED, reason=Stopper([1.0, 0.35])(2, 0.4), **KEPT) == ABOVE


def test_what_is_not_called_an_error_stays_a_number():
    assert reason(TrialState.PRUNED, ("loss", "macs"), **KEPT) == ABOVE.replace("40.00%", "0.4").replace(
        "35.00%", "0.35"
    )


def test_an_audited_trial_is_not_told_as_a_pruned_one():
    audit = "audit: its pruner would have stopped it after epoch 2"
    assert reason(**KEPT) == f"{audit}: {ABOVE}"
    assert reason(curve=[0.9, 0.4, 0.3], pruned_epoch=2) == audit
    study = new_study()
    add(study, (0.3, 10.0), **KEPT)
    add(study, (0.2, 20.0), curve=[0.2])
    add(study, state=TrialState.PRUNED, **KEPT)
    assert [trial.audited for trial in read_trials(study)] == [True, False, False]


def test_what_looks_equal_is_told_as_nearly_so():
    """Six decimals are kept of what training said."""
    told = reason(TrialState.PRUNED, curve=[0.899721], pruned_epoch=1, pruned_bound=0.899721)
    assert told == "the lowest error until epoch 1 is 89.97%, just above the bound"


@pytest.mark.parametrize("text", ["over budget: macs is 950", ""])
def test_any_other_reason_stays_as_it_was_written(text):
    assert reason(TrialState.PRUNED, reason=text) == text
    assert reason(TrialState.PRUNED, reason=text, curve=[0.9]) == text
    assert reason(TrialState.FAIL, reason=text) == text


def test_a_repeat_names_its_twin_and_most_trials_have_no_reason():
    told = {trial.number: reason_of(trial) for trial in one_of_each().get_trials()}
    assert told[6] == "the same network as trial 0"
    assert told[0] == told[8] == told[9] == ""
