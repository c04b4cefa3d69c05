"""Notes, artifacts and plots as optuna-dashboard will find them."""

import json
import time
from wsgiref.util import setup_testing_defaults

import handmade
import optuna
import pytest
import toy
from optuna.artifacts import FileSystemArtifactStore
from optuna_dashboard import get_note, save_note, wsgi
from optuna_dashboard._note import save_note_with_version

import optnas
from optnas.report.dashboard import Extras, Follower, drawing_of
from optnas.report.dashboard.attributes import note_key
from optnas.study import open_storage
from optnas.study.search import search as search_without_extras

SVG = "<svg xmlns='http://www.w3.org/2000/svg'/>"


def draw(choices, title):
    if choices["block1.op"] == "skip":
        raise ValueError("cannot be built")
    return SVG


pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.fixture
def storage(tmp_path):
    return open_storage(f"sqlite:///{tmp_path / 'a.db'}")


def copied(study, storage):
    made = optuna.create_study(directions=study.directions, study_name=study.study_name, storage=storage)
    if study.metric_names is not None:
        made.set_metric_names(study.metric_names)
    made.add_trials(study.get_trials())
    return made


def fill(extras):
    for trial in extras.missing():
        extras.write(trial, extras.draw(trial))
    extras.refresh(force=True)


def note(study, number):
    return get_note(optuna.trial.Trial(study, study.trials[number]._trial_id))


def ask(storage, folder, path):
    """What the dashboard's server answers."""
    seen = {}
    app = wsgi(storage, artifact_store=FileSystemArtifactStore(folder))
    environment = {"PATH_INFO": path}
    setup_testing_defaults(environment)
    answer = app(environment, lambda status, headers, error=None: seen.update(status=status))
    body = b"".join(answer)
    if hasattr(answer, "close"):
        answer.close()
    return seen["status"], body


def test_the_dashboard_shows_notes_artifacts_and_plots(storage, tmp_path):
    study = copied(handmade.one_of_each(), storage)
    extras = Extras(study, "sqlite:///a.db", tmp_path / "artifacts", draw)
    assert [trial.number for trial in extras.missing()] == [7, 6, 5, 4, 3, 2, 1, 0]  # not those in training or waiting
    fill(extras)
    assert extras.missing() == []
    status, body = ask(storage, tmp_path / "artifacts", f"/api/studies/{study._study_id}")
    assert status.startswith("200")
    shown = json.loads(body)
    assert shown["note"]["body"].startswith("# by hand")
    assert {plot["id"] for plot in shown["plotly_graph_objects"]} == {
        "optnas-front", "optnas-hypervolume", "optnas-curves"
    }  # fmt: skip
    assert all(json.loads(plot["graph_object"])["layout"] for plot in shown["plotly_graph_objects"])
    files = {trial["number"]: {file["filename"] for file in trial["artifacts"]} for trial in shown["trials"]}
    assert files[0] == {"network.svg", "curve.svg"}
    assert files[5] == {"network.svg"}  # refused: nothing was trained
    assert files[6] == set()  # a repeat
    trial = shown["trials"][4]
    assert trial["note"]["body"].startswith("**Pruned** after 1 epoch of 2")
    for file in trial["artifacts"]:
        address = f"/artifacts/{study._study_id}/{trial['trial_id']}/{file['artifact_id']}"
        assert f"]({address})" in trial["note"]["body"]
        status, body = ask(storage, tmp_path / "artifacts", address)
        assert status.startswith("200")
        assert body.startswith(b"<svg")


def test_what_a_person_wrote_stays(storage, tmp_path):
    study = copied(handmade.one_of_each(), storage)
    extras = Extras(study, "", tmp_path / "artifacts", draw)
    save_note(optuna.trial.Trial(study, study.trials[0]._trial_id), "mine, before")
    fill(extras)
    number, identity = study.trials[1].number, study.trials[1]._trial_id
    version = study._storage.get_study_system_attrs(study._study_id)[f"{note_key(identity)}_ver"]
    save_note_with_version(study._storage, study._study_id, identity, version + 1, "mine, after")
    save_note(study, "my study")
    handmade.add(study, (0.01, 10.0))
    fill(Extras(study, "", tmp_path / "artifacts", draw))
    assert note(study, 0) == "mine, before"
    assert note(study, number) == "mine, after"
    assert get_note(study) == "my study"
    assert note(study, len(study.trials) - 1).startswith("**1.00% validation error**")


def test_a_note_gets_its_drawing_later(storage, tmp_path):
    study = copied(handmade.one_of_each(), storage)
    fill(Extras(study, "", tmp_path / "artifacts"))
    assert "network" not in note(study, 0)
    fill(Extras(study, "", tmp_path / "artifacts", draw))
    assert "![network](/artifacts/" in note(study, 0)
    assert "![learning curve](/artifacts/" in note(study, 0)
    # One that draws nothing does not take it away.
    extras = Extras(study, "", tmp_path / "artifacts")
    extras.write(study.trials[0])
    assert "![network](/artifacts/" in note(study, 0)


def test_a_network_that_cannot_be_built_is_tried_once(storage, tmp_path):
    study = handmade.new_study(storage=storage)
    handmade.add(study, (0.5, 10.0), choices={"block1.op": "skip"})
    extras = Extras(study, "", tmp_path / "artifacts", draw)
    fill(extras)
    assert extras.missing() == []
    assert "network" not in note(study, 0)


def test_files_that_are_gone_come_back(storage, tmp_path):
    study = copied(handmade.one_of_each(), storage)
    fill(Extras(study, "", tmp_path / "artifacts", draw))
    written = sorted(path.name for path in (tmp_path / "artifacts").iterdir())
    again = Extras(study, "", tmp_path / "elsewhere", draw)
    fill(again)
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == written


def test_a_deleted_artifact_stays_deleted(storage, tmp_path):
    study = handmade.new_study(storage=storage)
    handmade.add(study, (0.5, 10.0), curve=[0.5])
    extras = Extras(study, "", tmp_path / "artifacts", draw)
    fill(extras)
    key = next(key for key in study._storage.get_study_system_attrs(study._study_id) if "artifacts" in key)
    (tmp_path / "artifacts" / key.rpartition(":")[2]).unlink()
    study._storage.set_study_system_attr(study._study_id, key, json.dumps(None))
    fill(Extras(study, "", tmp_path / "artifacts", draw))
    assert len(list((tmp_path / "artifacts").iterdir())) == 1


def test_plots_wait_until_trials_change_and_not_too_often(storage, tmp_path, monkeypatch):
    study = copied(handmade.one_of_each(), storage)
    extras = Extras(study, "", tmp_path)
    drawn = []
    monkeypatch.setattr("optnas.report.dashboard.extras.study_plots", lambda *given: drawn.append(1) or {})
    extras.refresh()
    extras.refresh(force=True)
    assert len(drawn) == 1
    handmade.add(study, (0.3, 3.0))
    extras.refresh()
    assert len(drawn) == 1
    extras.refresh(force=True)
    assert len(drawn) == 2


@pytest.mark.parametrize("name", handmade.awkward())
def test_every_study_gets_its_extras(name, storage, tmp_path):
    study = copied(handmade.awkward()[name], storage)
    fill(Extras(study, "", tmp_path / "artifacts", draw))
    status, body = ask(storage, tmp_path / "artifacts", f"/api/studies/{study._study_id}")
    assert status.startswith("200")
    shown = json.loads(body)
    assert shown["note"]["body"].startswith("# ")
    ended = [trial for trial in shown["trials"] if trial["state"] not in ("Waiting", "Running")]
    assert all(trial["note"]["body"] for trial in ended)


def test_a_follower_fills_in_what_others_do(storage, tmp_path):
    first, said = copied(handmade.one_of_each(), storage), []
    second = handmade.new_study(name="second", storage=storage)
    follower = Follower(storage, "", tmp_path / "artifacts", say=said.append)
    follower.look()
    assert note(first, 0)
    handmade.add(second, (0.5, 10.0))
    follower.look()
    assert note(second, 0)
    first._storage.delete_study(first._study_id)
    follower.look()
    assert said == []
    follower.stop.set()
    follower.follow()


def test_a_follower_names_a_study_that_cannot_be_written_once_and_goes_on(storage, tmp_path):
    copied(handmade.one_of_each(), storage)
    (tmp_path / "file").write_text("")
    said = []
    follower = Follower(storage, "", tmp_path / "file", say=said.append)
    follower.look()
    follower.look()
    assert len(said) == 1
    assert said[0].startswith("notes and pictures of study 'by hand' cannot be written: ")


def test_a_follower_keeps_to_the_study_that_was_asked_for(storage, tmp_path):
    studies = [handmade.new_study(name=name, storage=storage) for name in ("this", "other")]
    for study in studies:
        handmade.add(study, (0.5, 10.0))
    Follower(storage, "", tmp_path / "artifacts", "this").look()
    assert [bool(note(study, 0)) for study in studies] == [True, False]


@pytest.fixture
def _quick(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


QUICK = {"space": "toy:digits_space", "epochs": 1, "workers": 0}


@pytest.mark.usefixtures("_quick")
def test_a_search_leaves_its_extras(tmp_path):
    result = optnas.search(trials=3, **QUICK)
    study = result.study
    assert drawing_of(study) is not None
    assert Extras(study, "", tmp_path / "optnas.db-artifacts", drawing_of(study)).missing() == []
    assert "![network](/artifacts/" in note(study, 0)
    assert "optnas retrain --study digits --trial 0" in note(study, 0)
    assert "optnas search --study digits --trials 6" in get_note(study)
    assert "3 networks were trained" in get_note(study)


@pytest.mark.usefixtures("_quick")
def test_a_search_in_memory_leaves_no_file(tmp_path):
    optnas.search(trials=1, storage="memory", **QUICK)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_quick")
def test_what_goes_wrong_is_said_once_and_harms_no_search(tmp_path):
    (tmp_path / "optnas.db-artifacts").write_text("in the way")
    listener = toy.Listener()
    result = optnas.search(listener, trials=4, **QUICK)
    assert len(result.study.trials) == 4
    troubles = [text for text in listener.said if "dashboard" in text]
    assert len(troubles) == 1
    assert "cannot be written" in troubles[0]


@pytest.mark.usefixtures("_quick")
def test_extras_take_nothing_from_what_a_search_draws(tmp_path):
    """The same proposals and errors with and without them: drawing leaves the random numbers as they were."""
    with_extras = optnas.search(trials=4, **QUICK).study
    without = optnas.search(trials=4, storage="memory", **QUICK).study
    assert [trial.params for trial in with_extras.trials] == [trial.params for trial in without.trials]
    assert [trial.values for trial in with_extras.trials] == [trial.values for trial in without.trials]


@pytest.mark.usefixtures("_quick")
def test_a_later_search_fills_in_what_an_earlier_one_left():
    search_without_extras(trials=2, **QUICK)
    study = optnas.search(trials=3, **QUICK).study
    assert all(note(study, number) for number in range(3))


@pytest.mark.usefixtures("_quick")
def test_the_end_of_a_search_does_not_wait_for_a_storage_that_hangs(monkeypatch):
    monkeypatch.setattr("optnas.report.dashboard.watcher._PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(Extras, "write", lambda *given: time.sleep(5))
    began = time.monotonic()
    result = optnas.search(trials=1, **QUICK)
    assert len(result.front) == 1
    assert time.monotonic() - began < 5
