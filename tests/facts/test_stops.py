"""Why a trial was stopped, or would have been."""

from dataclasses import replace

from handmade import one_of_each

from optnas.facts.stops import is_spared, stop_words
from optnas.facts.trials import TrialFacts, read_trials

AUDITED = TrialFacts(
    3, "front", {"error": 0.1}, {}, {}, (0.9, 0.1), (0.75, None), 1, "the lowest error until epoch 1 is 0.9, above"
)


def test_an_audited_trial_says_so_and_when_it_would_have_been_stopped():
    assert is_spared(AUDITED)
    assert stop_words(AUDITED) == (
        "audited: would have been stopped after epoch 1: the lowest error until epoch 1 is 90.00%, above the bound "
        "75.00%"
    )


def test_what_is_not_kept_is_told_as_it_was():
    assert stop_words(replace(AUDITED, bounds=(), why="")) == "audited: would have been stopped after epoch 1"
    assert stop_words(replace(AUDITED, bounds=(), why="so")) == "audited: would have been stopped after epoch 1: so"
    assert stop_words(replace(AUDITED, stop_epoch=None, why="so")) == "so"


def test_a_pruned_trial_was_not_audited_and_others_keep_their_reason():
    words = {trial.state: stop_words(trial) for trial in read_trials(one_of_each())}
    assert words["pruned"] == "the lowest error until epoch 1 is 60.00%, above the bound 50.00%"
    assert words["refused"] == "over budget: macs is 950, allowed is macs<=500"
    assert words["repeat"] == "the same network as trial 0"
    assert not any(map(is_spared, read_trials(one_of_each())))
