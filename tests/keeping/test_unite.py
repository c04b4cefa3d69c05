import handmade
import pytest
from optuna.trial import TrialState

from optnas.errors import UsageError
from optnas.keeping.record import Note, read_record, write_record
from optnas.keeping.unite import Part, check_same, unite

SETTINGS = {"task": {"data": "digits", "epochs": 3}, "seed": 0}


def made(seconds, *rows, **attributes):
    """A study whose trials ran at a time of its own; a row is a fingerprint, or what `handmade.add` takes."""
    study = handmade.new_study()
    study.set_user_attr("optnas:settings", SETTINGS)
    for key, value in attributes.items():
        study.set_user_attr(f"optnas:{key}", value)
    for place, row in enumerate(rows):
        row = {"fingerprint": row} if isinstance(row, str) else row
        row = {"values": (0.5, 10.0), "curve": [0.5], "seed": seconds + place, **row}
        handmade.add(study, seconds=(seconds + place, seconds + place + 1), **row)
    return study


def part(study, origin):
    return Part(origin, read_record(study))


def kept(united, name):
    return [trial.user_attrs.get(f"optnas:{name}") for trial in united.record.trials]


def test_trials_of_the_first_come_first_and_all_say_where_they_are_from():
    united = unite([part(made(0, "a", "b"), "A"), part(made(100, "c"), "B")])
    assert [trial.number for trial in united.record.trials] == [0, 1, 2]
    assert kept(united, "merged_from") == [[{"storage": s, "trial": n}] for s, n in (("A", 0), ("A", 1), ("B", 0))]
    assert united.numbers == ({0: 0, 1: 1}, {0: 2})
    origins = united.record.user_attrs["optnas:merged_from"]
    assert [(one["storage"], one["trials"], one["first"]) for one in origins] == [("A", 2, 0), ("B", 1, 2)]


def test_a_network_of_both_is_one_and_its_second_training_a_repeat_that_keeps_what_came_of_it():
    second = {"fingerprint": "a", "values": (0.2, 10.0), "curve": [0.2]}
    united = unite([part(made(0, "a"), "A"), part(made(100, "b", second), "B")])
    assert united.repeats == 1
    assert kept(united, "repeat_of") == [None, None, 0]
    assert united.record.trials[2].values == [0.2, 10.0]
    assert united.record.trials[2].user_attrs["optnas:seed"] == 101


def test_a_training_to_the_end_stands_for_one_that_was_stopped():
    stopped = {"fingerprint": "a", "values": None, "state": TrialState.PRUNED, "curve": [0.9]}
    repeat = {"fingerprint": "a", "values": None, "state": TrialState.PRUNED, "repeat_of": 0, "curve": []}
    united = unite([part(made(0, stopped, repeat), "A"), part(made(100, "a"), "B")])
    assert kept(united, "repeat_of") == [2, 2, None]


def test_numbers_of_repeats_are_those_of_the_new_study():
    repeat = {"fingerprint": "b", "repeat_of": 1}
    united = unite([part(made(0, "x", "y", "z"), "A"), part(made(100, "c", "b", repeat), "B")])
    assert kept(united, "repeat_of") == [None] * 5 + [4]


def test_a_common_past_is_there_once():
    first, second = (made(0, "a", "b", {"fingerprint": "a", "repeat_of": 0}) for _ in range(2))
    handmade.add(first, (0.4, 1.0), fingerprint="c", curve=[0.4], seconds=(50, 51))
    handmade.add(second, (0.3, 2.0), fingerprint="d", curve=[0.3], seconds=(60, 61))
    handmade.add(second, (0.3, 2.0), fingerprint="d", repeat_of=3, seconds=(61, 62))
    united = unite([part(first, "A"), part(second, "B")])
    assert united.shared == 3
    assert united.repeats == 0
    assert kept(united, "fingerprint") == ["a", "b", "a", "c", "d", "d"]
    assert kept(united, "repeat_of") == [None, None, 0, None, None, 4]


def test_a_merge_with_one_of_its_parts_adds_nothing():
    first, second = made(0, "a"), made(100, "a", "b", {"fingerprint": "b", "repeat_of": 1})
    united = unite([part(first, "A"), part(second, "B")])
    whole = write_record(united.record, handmade.new_study(name="other")._storage)
    again = unite([part(whole, "C"), part(second, "B")])
    assert again.shared == 3
    assert kept(again, "repeat_of") == kept(united, "repeat_of") == [None, 0, None, 2]
    assert kept(again, "merged_from")[1] == [{"storage": "C", "trial": 1}, {"storage": "B", "trial": 0}]


def test_what_runs_is_left_out_and_what_waits_is_not():
    study = made(0, "a", {"fingerprint": "b", "values": None, "state": TrialState.RUNNING}, "c")
    study.enqueue_trial(handmade.params(0))
    other = made(100, "d")
    other.enqueue_trial(handmade.params(0))
    united = unite([part(study, "A"), part(other, "B")])
    assert united.left_out == ((1,), ())
    assert united.numbers == ({0: 0, 2: 1, 3: 2}, {0: 3, 1: 4})
    assert [trial.state.name for trial in united.record.trials] == ["COMPLETE"] * 2 + ["WAITING", "COMPLETE", "WAITING"]


def test_the_parts_stay_as_they_are():
    first, second = made(0, "a"), made(100, "a", {"fingerprint": "a", "repeat_of": 0})
    before = [trial.user_attrs for study in (first, second) for trial in study.trials]
    unite([part(first, "A"), part(second, "B")])
    assert [trial.user_attrs for study in (first, second) for trial in study.trials] == before


def test_attributes_that_tell_of_trials_by_number():
    look = {"date": "2026-11-02", "trials": [1], "asked": []}
    first = made(0, "a", "b", samplers=[[0, "random", 20]], retrained={"1": "ours"}, tests=[look], request={"data": 1})
    second = made(
        100, "c", "d", "b", samplers=[[0, "random", 20], [1, "tpe", 20]], retrained={"0": "c's", "2": "b's"},
        tests=[{**look, "date": "2026-11-01"}], request={"data": 2}, extra=3,
    )  # fmt: skip
    attributes = unite([part(first, "A"), part(second, "B")]).record.user_attrs
    assert attributes["optnas:samplers"] == [[0, "random", 20], [3, "tpe", 20]]
    assert attributes["optnas:retrained"] == {"1": "ours", "2": "c's", "4": "b's"}
    assert [(one["date"], one["trials"]) for one in attributes["optnas:tests"]] == [
        ("2026-11-01", [3]), ("2026-11-02", [1]),
    ]  # fmt: skip
    assert attributes["optnas:request"] == {"data": 1}
    assert attributes["optnas:extra"] == 3


def test_notes_of_the_same_trial_are_put_together():
    first, second = part(made(0, "a"), "A"), part(made(0, "a"), "B")
    first.record.notes.update({0: Note(1, "one"), None: Note(3, "same")})
    second.record.notes.update({0: Note(2, "two"), None: Note(1, "same")})
    assert unite([first, second]).record.notes == {0: Note(2, "one\n\ntwo"), None: Note(3, "same")}


def test_other_settings_are_refused_with_the_difference():
    first, second = made(0, "a"), made(100, "a")
    second.set_user_attr("optnas:settings", {"task": {"data": "digits", "epochs": 5}, "seed": 0})
    with pytest.raises(UsageError, match=r"\(task.epochs: 3 in A.db, 5 in B.db\): their trials do not compare"):
        check_same([part(first, "A.db"), part(second, "B.db")])
    with pytest.raises(UsageError, match=r"in B\.db it was not made by optnas"):
        check_same([part(first, "A.db"), part(handmade.new_study(), "B.db")])
    check_same([part(first, "A.db"), part(made(50), "B.db")])
