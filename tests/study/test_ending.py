import threading
from concurrent.futures import Future

import optuna
import pytest
import toy

from optnas.errors import UsageError
from optnas.sampler import NothingToPropose
from optnas.study import InProcess, SearchStopped, is_trained, run
from optnas.study import ending as endings
from optnas.study.ending import after, first_of, never, parse_duration, stagnant
from optnas.study.settings import Settings, settings_from


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("8h", 28800), ("1h30m", 5400), ("1h1s", 3601), (" 2m ", 120)]
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "-5m", "0s", "1.5h", "5 minutes", "30m1h", None, 30])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(UsageError, match=r"time: expected hours, minutes or seconds such as .* got"):
        parse_duration(text)


def test_time_runs_from_the_call(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(endings.time, "monotonic", lambda: now[0])
    ending = after(60)
    assert ending(None) is None
    now[0] = 159.9
    assert ending(None) is None
    now[0] = 160.0
    assert ending(None) == "the time is over"


def test_the_first_ending_counts():
    assert first_of(never, lambda study: "b", lambda study: "c")(None) == "b"
    assert first_of(never, never)(None) is None


def test_a_search_that_ends_finishes_what_is_in_training():
    objective = toy.objective()
    study = toy.study(objective)

    def ending(study):
        return "enough" if len(study.trials) >= 5 else None

    with pytest.raises(SearchStopped, match="enough"):
        run(study, objective, InProcess(), None, ending=ending)
    assert all(trial.state.is_finished() for trial in study.trials)
    assert len(study.trials) == 5
    assert sum(map(is_trained, study.trials)) > 0


def test_time_takes_the_place_of_the_default_number_of_trials():
    assert Settings().limit == 40
    assert Settings(time="30m").limit is None
    assert Settings(time="30m", trials=7).limit == 7
    with pytest.raises(UsageError, match=r"time: expected hours"):
        Settings(time="soon")


def test_time_is_of_the_call_and_not_of_the_study():
    assert settings_from({}, Settings(time="30m").plain()).time is None


def gains(*values):
    """What is to be gained after each trial."""
    study, left = toy.study(toy.objective()), list(values)
    return study, lambda study: left.pop(0)


def test_stagnation_is_three_small_gains_in_a_row():
    study, gain = gains(None, 0.1, 0.001, 0.2, 0.001, None, 0.001, 0.002, 0.003)
    ending, said = stagnant(0.01, gain), []
    for _ in range(9):
        study.tell(study.ask(), [0.5, 0.5])
        said.append(ending(study))
        assert ending(study) == said[-1], "asked again without a new trial, nothing is counted"
    assert said == [None] * 8 + ["a training is expected to add less than 1.00% to the hypervolume"]


def test_stagnation_is_a_share():
    assert Settings(until_stagnant=0.01).limit is None
    with pytest.raises(UsageError, match="until_stagnant: expected a share between 0 and 1, got 2"):
        Settings(until_stagnant=2)


def test_stagnation_does_not_count_refusals():
    study, gain = gains(0.001)
    ending = stagnant(0.01, gain)
    for _ in range(5):
        study.tell(study.ask(), state=optuna.trial.TrialState.PRUNED)
        assert ending(study) is None


def test_a_sampler_without_proposals_lets_the_trainings_finish():
    class Once(optuna.samplers.RandomSampler):
        def sample_independent(self, study, trial, name, distribution):
            if trial.number:
                raise NothingToPropose("nothing is left")
            return super().sample_independent(study, trial, name, distribution)

    class Late(InProcess):
        """Two slots, and what is submitted ends when somebody waits for it."""

        slots = 2

        def submit(self, function, job):
            future = Future()
            threading.Timer(0.2, lambda: future.set_result(function(job))).start()
            return future

    objective = toy.objective()
    study = toy.study(objective, sampler=Once(seed=0))
    with pytest.raises(SearchStopped, match="nothing is left"):
        run(study, objective, Late(), 5)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL"]
