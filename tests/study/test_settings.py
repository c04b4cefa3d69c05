import json

import pytest

from optnas.errors import UsageError
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
    ],
)
def test_values_out_of_range_are_refused(given, message):
    with pytest.raises(UsageError, match=message):
        settings_from(given)


def test_a_study_is_named_after_its_data(tmp_path):
    assert Settings().study_name == "digits"
    assert Settings(data=f"imagefolder:{tmp_path / 'birds'}").study_name == "birds"
    assert Settings(study="mine").study_name == "mine"
