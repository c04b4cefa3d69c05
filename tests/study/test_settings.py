import json

import pytest

from optnas.errors import UsageError
from optnas.study.limits import Limits
from optnas.study.settings import Settings, explanations, settings_from


def test_every_setting_is_explained():
    assert list(explanations()) == list(Settings.__dataclass_fields__)
    assert all(len(text) > 20 for text in explanations().values())


def test_given_before_stored_before_default():
    stored = Settings(data="digits", epochs=3, trials=9, workers=7, constraints=("params<=5k",)).plain()
    settings = settings_from({"epochs": 4, "lr": None}, json.loads(json.dumps(stored)))
    assert settings.epochs == 4
    assert settings.constraints == ("params<=5k",)
    assert (settings.limit, settings.workers) == (40, None)  # this call's, not the study's


def test_words_with_commas_are_lists():
    settings = settings_from({"objectives": "error,params", "constraints": "params<=5k,macs<=1M", "tune": "lr"})
    assert settings.objectives == ("error", "params")
    assert list(map(str, settings.budget)) == ["params<=5000", "macs<=1000000"]
    assert settings.tune == ("lr",)


def test_unknown_settings_are_refused():
    with pytest.raises(UsageError, match=r"unknown setting 'trails'; did you mean trials\?"):
        settings_from({"trails": 3})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"trials": 0}, "trials"),
        ({"trials": 2.5}, "trials"),
        ({"workers": -1}, "workers"),
        ({"population": 1}, "population"),
        ({"seed": -1}, "seed"),
        ({"pruner": "medium"}, r"unknown pruner 'medium': expected .*; did you mean median\?"),
        ({"audit": 1.5}, "audit"),
        ({"constraints": ("params<=1", "params>=2")}, "params"),
        ({"executor": "rays"}, r"unknown executor 'rays': expected processes or ray; did you mean ray\?"),
        ({"executor": "ray", "workers": 0}, "executor ray: expected workers from 1, or none given, got workers 0"),
        ({"memory_limit": "much"}, "memory_limit: expected bytes such as 4G or 800M, .* got 'much'"),
        ({"memory_limit": "1e999"}, "memory_limit: expected bytes such as 4G or 800M, .* got '1e999'"),
        ({"checkpoint_limit": "1e999"}, "checkpoint_limit: expected bytes such as 4G or 800M, .* got '1e999'"),
        ({"time_limit": "9" * 400 + "h"}, "time_limit: expected hours, minutes or seconds"),
        ({"memory_limit": "4M"}, "memory_limit: expected at least 500M, since torch itself .* got '4M'"),
        ({"time_limit": "1"}, "time_limit: expected hours, minutes or seconds .* got '1'"),
        ({"time_limit": "1m", "workers": 0}, "time_limit: expected workers to keep to it, got workers 0"),
        ({"gpus_per_trial": 1.5}, "gpus_per_trial: expected a share .* got 1.5"),
        ({"cpus_per_trial": 0}, "cpus_per_trial: expected a share .* got 0"),
    ],
)
def test_values_out_of_range_are_refused(given, message):
    with pytest.raises(UsageError, match=message):
        settings_from(given)


def test_limits_of_a_trial_are_of_the_call_and_not_of_the_study():
    given = {"memory_limit": "1.5G", "time_limit": "1h30m", "cpus_per_trial": 2.0}
    settings = settings_from(given)
    assert settings.limits == Limits(1_500_000_000, 5400)
    again = settings_from({}, json.loads(json.dumps(settings.plain())))
    assert not again.limits
    assert again.cpus_per_trial == 1


def test_workers_share_the_cores_and_gpus_of_this_machine(monkeypatch):
    monkeypatch.setattr("optnas.study.settings.cores", lambda: 8)
    monkeypatch.setattr("optnas.study.settings.visible_gpus", lambda: ("0", "1"))
    assert Settings().processes == 8
    assert Settings(cpus_per_trial=3).processes == 2
    assert Settings(cpus_per_trial=16).processes == 1
    assert Settings(gpus_per_trial=0.25).processes == 8
    assert Settings(gpus_per_trial=0.25, workers=3).processes == 3


def test_a_study_is_named_after_its_data(tmp_path):
    assert Settings().study_name == "digits"
    assert Settings(data=f"imagefolder:{tmp_path / 'birds'}").study_name == "birds"
    assert Settings(study="mine").study_name == "mine"


def test_studies_of_one_name_in_several_storages_share_no_folder_of_checkpoints(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def folder(storage, study="s"):
        return Settings(study=study, storage=storage, checkpoints="ck").files(1).checkpoints

    assert folder("sqlite:///a.db") == folder(f"sqlite:///{tmp_path}/a.db") == folder("sqlite+pysqlite:///a.db")
    others = [
        folder(storage) for storage in ("sqlite:///b.db", "journal:///b.log", "postgresql://me:old@host/db", "memory")
    ]
    others += [folder("sqlite:///a.db", "S"), folder("sqlite:///a.db", "other")]
    assert len({folder("sqlite:///a.db"), *others}) == 7
    assert {one.parent for one in others} == {tmp_path / "ck"}
    # A new password is no new storage.
    assert folder("postgresql://me:new@host/db") == folder("postgresql://me:old@host/db")


def test_the_place_of_checkpoints_is_kept_and_the_last_one_given_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = settings_from({"checkpoints": "ck"})
    settings.make_checkpoints()
    kept = settings.plain()
    monkeypatch.chdir(tmp_path / "ck")
    assert settings_from({}, kept).checkpoints == str(tmp_path / "ck")
    assert settings_from({"checkpoints": "none"}, kept).files(1).checkpoints is None
    assert settings_from({}, {**kept, "checkpoints": "none"}).files(1).checkpoints is None
    # Of another machine, or removed.
    assert settings_from({}, {**kept, "checkpoints": str(tmp_path / "gone")}).checkpoints is None


def test_a_place_for_checkpoints_that_cannot_be_one(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"checkpoints .*file: expected a folder, got "):
        Settings(checkpoints=str(tmp_path / "file")).make_checkpoints()


def test_on_ray_checkpoints_are_left_in_no_place_that_only_one_node_knows(tmp_path):
    pytest.importorskip("ray")
    assert Settings(executor="ray").files(1).checkpoints is None
    assert Settings(executor="ray", checkpoints=str(tmp_path)).files(1).checkpoints.parent == tmp_path
    assert Settings().files(1).checkpoints is not None


def test_the_room_for_checkpoints_is_shared_by_trainings_each_with_an_old_one_and_a_new_one():
    assert Settings(checkpoint_limit="80M").files(4).checkpoint_bytes == 10_000_000
