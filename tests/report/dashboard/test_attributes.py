"""What optuna-dashboard reads, written by us."""

import handmade
import optuna
import pytest
from optuna_dashboard import get_note, save_note

from optnas.report.dashboard.attributes import NOTE, Attributes, note_key, plot_key
from optnas.study import open_storage


@pytest.fixture(params=["sqlite", "memory", "journal"])
def study(request, tmp_path):
    storages = {
        "sqlite": lambda: open_storage(f"sqlite:///{tmp_path / 'a.db'}"),
        "memory": optuna.storages.InMemoryStorage,
        "journal": lambda: optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(str(tmp_path / "a.log"))
        ),
    }
    made = handmade.new_study(storage=storages[request.param]())
    handmade.add(made, (0.5, 10.0))
    return made


def test_the_dashboard_reads_the_note_that_was_written(study):
    attributes, trial = Attributes(study), study.trials[0]
    text = "long " * 1000
    for key, owner in ((NOTE, study), (note_key(trial._trial_id), optuna.trial.Trial(study, trial._trial_id))):
        attributes.write({f"{key}_ver": 1}, {f"{key}_str": text})
        assert get_note(owner) == text
        attributes.write({}, {f"{key}_str": "shorter"})
        assert get_note(owner) == "shorter"
        save_note(owner, "by hand")
        assert attributes.read([f"{key}_ver", "dashboard:none"]) == {f"{key}_ver": 2}


def test_other_attributes_stay_as_they_are(study):
    attributes = Attributes(study)
    attributes.write({}, {plot_key("a"): "x" * 5000, plot_key("ab"): "y"})
    attributes.write({}, {plot_key("a"): "z"})
    assert attributes.read([f"{plot_key('a')}:0", f"{plot_key('ab')}:0"]) == {
        "dashboard:plot_data:a:0": "z",
        "dashboard:plot_data:ab:0": "y",
    }
    assert {"dashboard:plot_data:a:0", "dashboard:plot_data:ab:0"} <= attributes.keys()
    assert "study:metric_names" not in attributes.keys()  # noqa: SIM118
    assert study.metric_names == ["error", "macs"]


def test_two_studies_of_a_storage_do_not_see_each_other(study):
    other = handmade.new_study(name="other", storage=study._storage)
    Attributes(study).write({"dashboard:a": 1})
    Attributes(other).write({"dashboard:a": 2})
    assert Attributes(study).read(["dashboard:a"]) == {"dashboard:a": 1}
    assert Attributes(other).keys() == {"dashboard:a"}
