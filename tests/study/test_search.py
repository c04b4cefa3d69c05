"""`optnas.search` in Python; the command line has tests of its own."""

import optuna
import pytest
import toy
from optuna.trial import TrialState
from torch import nn

import optnas
from optnas.errors import UsageError
from optnas.study.search import Watcher, hypervolume_so_far
from optnas.verdict.evidence import random_first

QUICK = {"epochs": 1, "workers": 0, "train_images": 200}


pytestmark = pytest.mark.usefixtures("own_folder")


def small(trial, input_shape, num_classes):
    width = trial.suggest_int("width", 4, 40)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, num_classes))


def test_the_example_of_the_readme():
    result = optnas.search(
        data="digits",
        trials=3,
        objectives=("error", "macs"),
        constraints=("params<=100000",),
        storage="memory",
        **QUICK,
    )
    assert isinstance(result.study, optuna.Study)
    assert result.front
    assert result.best() == result.front[0]
    cheapest = min(network.costs["macs"] for network in result.front)
    assert result.best(f"macs<={cheapest}").costs["macs"] == cheapest
    assert result.best("macs<=1") is None
    assert 0 <= hypervolume_so_far(result.study) <= 1


def test_a_function_of_this_file_is_a_space_for_worker_processes_too():
    result = optnas.search(space=small, trials=3, storage="memory", epochs=1, workers=2)
    assert len(result.study.get_trials(states=(TrialState.COMPLETE,))) >= 3


def test_where_a_second_search_is_not_noticed_a_person_is_told(monkeypatch):
    storage = optuna.storages.RDBStorage("sqlite:///a.db")  # stands for a server that is no PostgreSQL
    monkeypatch.setattr("optnas.study.search.open_storage", lambda address, **settings: storage)
    monkeypatch.setattr("optnas.study.search.storage_file", lambda address: None)
    listener = toy.Listener()
    optnas.study.search.search(listener, space=small, trials=1, storage="sqlite:///a.db", **QUICK)
    assert "in this storage a second search of the study is not noticed: see that there is one only" in listener.said
    storage.remove_session()
    storage.engine.dispose()


def test_a_lambda_is_a_space():
    result = optnas.search(space=lambda trial: small(trial, (1, 8, 8), 10), trials=2, storage="memory", **QUICK)
    assert result.front


def test_three_objectives_with_latency_and_training_settings():
    result = optnas.search(
        space=small, objectives=("error", "params", "latency_ms"), tune=("lr", "weight_decay"), trials=3,
        storage="memory", **QUICK,
    )  # fmt: skip
    for network in result.front:
        assert network.costs["latency_ms"] > 0
        assert network.costs["latency_spread_ms"] >= 0
        assert {"train.lr", "train.weight_decay"} <= set(network.choices)
    assert set(result.study.user_attrs["optnas:reference"]) == {"error", "params", "latency_ms"}
    assert result.study.user_attrs["optnas:settings"]["device"]["threads"] == 1


def test_latencies_of_another_device_do_not_mix(monkeypatch):
    settings = {"space": small, "objectives": ("error", "latency_ms"), "storage": "sqlite:///a.db", **QUICK}
    optnas.search(trials=1, **settings)
    monkeypatch.setattr("optnas.cost.price.device_fingerprint", lambda runtime: {"processor": "another", "threads": 1})
    with pytest.raises(optnas.UsageError, match=r"device\.processor: .* in the study, another now"):
        optnas.search(trials=2, **settings)


def test_another_space_of_the_same_name_is_refused():
    def make(top):
        def build(trial, input_shape, num_classes):
            width = trial.suggest_int("width", 4, top)
            return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, num_classes))

        return build

    optnas.search(space=make(9), trials=1, storage="sqlite:///a.db", **QUICK)
    with pytest.raises(optnas.UsageError, match=r"space\.digest"):
        optnas.search(space=make(10), trials=2, storage="sqlite:///a.db", **QUICK)


def test_a_space_that_sometimes_fails_is_said_and_searched():
    heard = []

    class Ears(Watcher):
        def say(self, text):
            heard.append(text)

    def odd(trial, input_shape, num_classes):
        width = trial.suggest_int("width", 4, 40)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width + width % 2, num_classes))

    result = optnas.search(Ears(), space=odd, trials=2, storage="memory", **QUICK)
    assert any("of 10 random networks do not work" in text for text in heard)
    assert all(network.choices["width"] % 2 == 0 for network in result.front)


def test_two_searches_of_one_study_at_once_are_refused():
    from optnas.study import coordinate

    with coordinate("sqlite:///a.db", "digits"), pytest.raises(optnas.UsageError, match="another process"):
        optnas.search(storage="sqlite:///a.db", **QUICK)


class Heard(Watcher):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def test_a_warm_start_and_what_it_refuses(tmp_path):
    storage = f"sqlite:///{tmp_path}/warm.db"
    optnas.search(space=small, study="source", trials=7, storage=storage, sampler="random", **QUICK)
    warm = {"space": small, "study": "warm", "storage": storage, **QUICK}
    result = optnas.search(warm_start="source", trials=3, **warm)
    # Another sampler needs no warm start, and none is one of the words.
    assert optnas.search(trials=4, sampler="random", **warm).settings.sampler == "random"
    assert optnas.search(trials=5, warm_start="none", **warm).front
    switched = optuna.load_study(study_name="warm", storage=storage).user_attrs["optnas:samplers"]
    assert [(sampler, population) for _, sampler, population in switched] == [
        ("cost-aware", 20), ("random", 20), ("cost-aware", 20),
    ]  # fmt: skip
    assert random_first(result.study) is None, "its first trials were not random"
    # A source that is gone stops nobody who does not ask for it.
    optuna.delete_study(study_name="source", storage=storage)
    heard = Heard()
    optnas.search(heard, trials=6, **warm)
    assert "there is no study source any more: the search goes on without its warm start" in heard.lines
    for name, words in (
        ("source", "no study 'source' in the storage, it holds"),
        ("warm", "another study than 'warm'"),
    ):
        with pytest.raises(UsageError, match=f"warm start: .*{words}"):
            optnas.search(trials=7, warm_start=name, **warm)


def test_a_warm_start_from_another_space_makes_no_study(tmp_path):
    storage = f"sqlite:///{tmp_path}/warm.db"
    optnas.search(space=small, study="source", trials=7, storage=storage, sampler="random", **QUICK)
    with pytest.raises(UsageError, match="at least 6 trained networks of this space in study 'source', got 0 of "):
        optnas.search(study="warm", warm_start="source", trials=2, storage=storage, **QUICK)
    assert optuna.get_all_study_names(storage) == ["source"]


class _Stops(Watcher):
    """A person who presses Ctrl-C when the second training has begun."""

    def __call__(self, event):
        if (event.kind, event.trial) == ("started", 1):
            raise KeyboardInterrupt


def test_a_search_goes_on_with_the_checkpoints_where_it_was_told_to_keep_them(tmp_path):
    settings = {"space": small, "study": "s", "storage": "sqlite:///a.db", **QUICK}
    with pytest.raises(KeyboardInterrupt):
        optnas.search(_Stops(), trials=2, checkpoints="first", **settings)
    for given, place in (({}, "first"), ({"checkpoints": "second"}, "second"), ({}, "second")):
        result = optnas.search(trials=2, **settings, **given)
        assert result.settings.files(1).checkpoints.parent == tmp_path / place
    assert not (tmp_path / "a.db-checkpoints").exists()
