"""Searches by shared weights: what is trained, what is believed, what a kill leaves."""

import contextlib
import json
import subprocess
import sys
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from torch import nn
from toy import Listener

import optnas
from optnas import ImageTask, search
from optnas.errors import UsageError
from optnas.objective import Objective
from optnas.sampler import CostAwareSampler, ReinforceSampler
from optnas.sampler.ranked import RankedSampler
from optnas.space import load_space
from optnas.study import InProcess, find_study
from optnas.study import supernet_audit as audit_room
from optnas.study.executor import Executor
from optnas.study.one_shot import best_scored
from optnas.study.search import supernet_audit
from optnas.study.supernet import supernet_path
from optnas.study.supernet_training import train_supernet
from optnas.supernet import SupernetAudit, SupernetDiverged, load_notes, load_state, teach
from optnas.supernet.kendall import Agreement
from optnas.verdict import judge_study

QUICK = {"epochs": 1, "workers": 0, "train_images": 200, "supernet_epochs": 2, "candidates": 12}


def space(trial, input_shape, num_classes):
    width = trial.suggest_int("width", 8, 48, step=8)
    kinds = {"relu": nn.ReLU, "tanh": nn.Tanh}
    layers = [nn.Flatten(), nn.Linear(64, width), optnas.choose(trial, "act", kinds)]
    blocks = {"linear": lambda: nn.Linear(width, width), "skip": nn.Identity}
    layers += [optnas.choose(trial, f"block{index}", blocks) for index in range(2)]
    return nn.Sequential(*layers, nn.BatchNorm1d(width), nn.Linear(width, num_classes))


def sick(trial, input_shape, num_classes):
    return nn.Sequential(space(trial, input_shape, num_classes), Overflow())


class Overflow(nn.Module):
    def forward(self, x):
        return x * 1e38 * 1e38


pytestmark = pytest.mark.usefixtures("own_folder")


def agreement(tau):
    return Agreement(tau, tau, tau, 4)


@pytest.fixture
def believed(monkeypatch):
    """An audit whose outcome is the test's to say; its networks are trained all the same."""
    tau = {"tau": 0.9}

    def audit(scores, errors, macs):
        one = agreement(tau["tau"])
        return SupernetAudit(one, one, agreement(0.1), one, 0.01, tuple(scores), tuple(errors), tuple(macs))

    monkeypatch.setattr("optnas.study.supernet_audit.audit_scores", audit)
    return tau


def run(listener=None, **settings):
    return search(
        listener, data="digits", **{**QUICK, "space": space, "trials": 8, "evaluator": "one-shot", **settings}
    )


def scored_study(result):
    (name,) = [one for one in optuna.get_all_study_names(result.study._storage) if " one-shot " in one]
    return optuna.load_study(study_name=name, storage=result.study._storage)


def test_the_best_by_shared_weights_are_trained_from_scratch(believed):
    listener = Listener()
    result = run(listener, sampler="random")
    trained = [trial for trial in result.study.trials if "optnas:curve" in trial.user_attrs]
    assert len(trained) == 8
    scored = scored_study(result)
    assert sum(trial.state == TrialState.COMPLETE for trial in scored.trials) >= 12
    audited = 4
    ranked = [choices for choices in best_scored(scored) if choices not in [one.params for one in trained[:audited]]]
    assert [trial.params for trial in trained[audited:]] == ranked[: 8 - audited]
    assert any("2 of 12 networks scored" in text for text in listener.said)
    # What is called a result was trained: its curve has the epochs of a training, its values are no scores.
    assert all(len(trial.user_attrs["optnas:curve"]) == 1 for trial in trained)
    scores = {str(trial.params): trial.values[0] for trial in scored.trials}
    assert any(trial.values and trial.values[0] != scores.get(str(trial.params)) for trial in trained[audited:])


def test_shared_weights_that_mislead_are_not_used(believed):
    believed["tau"] = 0.1
    listener = Listener()
    result = run(listener, sampler="nsga2")
    assert any("Shared weights mislead here" in text for text in listener.said)
    assert any("goes on without them, by nsga2" in text for text in listener.said)
    assert len([trial for trial in result.study.trials if trial.state == TrialState.COMPLETE]) >= 8
    with pytest.raises(ValueError, match="not enough values"):
        scored_study(result)


def test_the_cost_aware_sampler_takes_scores_as_experience(believed):
    result = run(sampler="cost-aware")
    assert isinstance(result.study.sampler, CostAwareSampler)
    ranked = run(sampler="tpe", study="other")
    assert isinstance(ranked.study.sampler, RankedSampler)


def test_a_search_goes_on_without_training_weights_or_auditing_again(believed, monkeypatch):
    first = run(trials=6, sampler="random")
    files = {path: path.stat().st_mtime_ns for path in Path("optnas.db-supernets").iterdir()}
    assert len(files) == 1
    before = len(scored_study(first).trials)

    def never(*args, **kwargs):
        raise AssertionError("done before")

    monkeypatch.setattr("optnas.study.supernet_training.teach", never)
    monkeypatch.setattr("optnas.study.one_shot.audit_supernet", never)
    again = run(trials=9)
    assert len([trial for trial in again.study.trials if "optnas:curve" in trial.user_attrs]) == 9
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert len(scored_study(again).trials) == before


def test_the_scores_are_no_study_that_a_person_has_to_choose_from(believed):
    result = run(sampler="random", trials=6)
    storage = result.study._storage
    assert len(optuna.get_all_study_names(storage)) == 2
    assert find_study(storage, None, "here").study_name == "digits"


class Dying(Executor):
    """Ends like a killed process after some jobs."""

    def __init__(self, jobs):
        self.jobs, self.slots = jobs, 2

    def submit(self, function, job):
        self.jobs -= 1
        if self.jobs < 0:
            raise KeyboardInterrupt
        future = Future()
        future.set_result(function(job))
        return future

    def close(self):
        pass


def an_objective(build=space, **settings):
    task = ImageTask("digits", epochs=1, train_images=400, batch_size=32)
    return Objective(build, task, seed=3, **settings)


def test_weights_of_a_killed_training_go_on_where_they_were(tmp_path, monkeypatch):
    monkeypatch.setattr("optnas.study.supernet_training._LESSON_STEPS", 5)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    two = Dying(10**9)
    undisturbed = train_supernet(an_objective(), two, whole, passes=2)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train_supernet(an_objective(), Dying(5), broken, passes=2)
        assert 0 < load_notes(broken)["steps"] < undisturbed.steps
    found = train_supernet(an_objective(), two, broken, passes=2)
    assert (found.digest, found.steps, found.images) == (undisturbed.digest, undisturbed.steps, undisturbed.images)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["broken", "whole"]


def test_two_workers_share_the_passes(tmp_path):
    found = train_supernet(an_objective(), Dying(10**9), tmp_path / "a", passes=3)
    # 400 images three times in steps of half of 32.
    assert 3 * 400 <= found.images <= 3 * 400 + 64
    assert found.weights == sum(tensor.numel() for tensor in load_state(found.path).weights.tensors.values())
    assert "shared weights" in str(found)


def test_only_networks_within_the_budget_are_trained(tmp_path, monkeypatch):
    taught = []

    def heard(lesson):
        taught.extend(lesson.networks)
        return teach(lesson)

    monkeypatch.setattr("optnas.study.supernet_training.teach", heard)
    objective = an_objective(constraints=[optnas.parse_constraint("params<=3000")])
    train_supernet(objective, InProcess(), tmp_path / "a", passes=2)
    params = [objective.foresee(choices)["params"] for choices in taught]
    assert np.mean([count <= 3000 for count in params]) > 0.9
    assert max(params) > 2000


def test_the_first_networks_are_the_largest_and_they_move_away_from_it(tmp_path, monkeypatch):
    taught = []
    monkeypatch.setattr(
        "optnas.study.supernet_training.teach", lambda lesson: taught.extend(lesson.networks) or teach(lesson)
    )
    objective = an_objective()
    train_supernet(objective, InProcess(), tmp_path / "a", passes=4)
    assert taught[0] == load_notes(tmp_path / "a")["start"]
    macs = [objective.foresee(choices)["macs"] for choices in taught]
    assert np.mean(macs[:20]) > np.mean(macs[-20:])
    assert len({json.dumps(choices) for choices in taught[-20:]}) > 10


def test_a_loss_that_is_not_finite_ends_the_search_with_one_sentence():
    with pytest.raises(UsageError, match=r"not finite at step 1, in .*what was trained before is kept"):
        run(space=sick)


def test_diverged_weights_raise_in_the_room_below(tmp_path):
    with pytest.raises(SupernetDiverged):
        train_supernet(an_objective(sick), InProcess(), tmp_path / "a", passes=1)


def test_a_space_too_large_to_hold_is_refused_with_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr("optnas.study.supernet_training._memory_bytes", lambda: 40e3)
    with pytest.raises(UsageError, match=r"fit into 0\.01 MB, a quarter of the memory, got more than 0\.\d+ MB"):
        train_supernet(an_objective(), InProcess(), tmp_path / "a")
    assert not (tmp_path / "a").exists()


def broken(trial, input_shape, num_classes):
    trial.suggest_int("width", 1, 3)
    raise KeyError("nothing here")


def test_a_space_that_raises_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"raised for each network that was drawn: KeyError: 'nothing here'"):
        train_supernet(an_objective(broken), InProcess(), tmp_path / "a")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"evaluator": "oneshot"},
            "unknown evaluator 'oneshot': expected training or one-shot; did you mean",
        ),
        ({"trials": 4}, "expected more than 4 trials"),
        ({"tune": ("lr",)}, "expected one training for all networks, got tune lr"),
        ({"candidates": 0}, "candidates: expected a whole number from 1, got 0"),
        ({"supernet_epochs": 0}, "supernet_epochs: expected a whole number from 1, got 0"),
    ],
)
def test_bad_settings_are_refused_and_leave_nothing(settings, sentence, tmp_path):
    with pytest.raises(UsageError) as refusal:
        run(**settings)
    assert sentence in str(refusal.value)
    assert not (tmp_path / "optnas.db-supernets").exists()


def test_an_audit_of_a_study(believed):
    run(sampler="random", trials=6)
    listener = Listener()
    audit = supernet_audit(networks=5, workers=0, watcher=listener)
    assert len(audit.scores) == len(audit.errors) == len(audit.price) == 5
    trained = len([event for event in listener.events if event.kind == "trained"])
    assert trained == 5
    again = Listener()
    more = supernet_audit(networks=7, workers=0, watcher=again)
    assert len([event for event in again.events if event.kind == "trained"]) == 2
    assert more.errors[:5] == audit.errors


def test_audits_that_cannot_be(tmp_path):
    with pytest.raises(UsageError, match="there is no such file"):
        supernet_audit()
    search(data="digits", space=space, trials=1, epochs=1, workers=0, train_images=200)
    with pytest.raises(UsageError, match="at least 4 networks, got 3"):
        supernet_audit(networks=3)
    with pytest.raises(UsageError, match="there is no study 'x', only digits"):
        supernet_audit("x")


def test_weights_in_memory_go_with_the_study(believed):
    result = run(sampler="random", trials=6, storage="memory")
    folder = supernet_path(result.study, "memory", an_objective()).parent
    assert folder.is_dir()
    assert not Path("optnas-supernets").exists()


def test_a_controller_and_shared_weights_learn_in_turn(believed, monkeypatch):
    drawn = []
    original = ReinforceSampler.imagine

    def imagine(self, study, count, generator):
        networks = original(self, study, count, generator)
        finished = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
        drawn.append((len(finished), networks))
        return networks

    monkeypatch.setattr(ReinforceSampler, "imagine", imagine)
    result = run(sampler="reinforce", trials=6, candidates=24)
    names = optuna.get_all_study_names(result.study._storage)
    (enas,) = [name for name in names if name.endswith(" enas")]
    # Each time it is asked it has learned from more scores; the last time it proposes what is scored.
    turns = [count for count, _ in drawn]
    assert turns == sorted(turns)
    assert turns[0] >= 3
    assert turns[-1] >= 12
    assert len(drawn[-1][1]) == 24
    policy = [trial.params for trial in scored_study(result).trials]
    assert policy
    assert all(network in drawn[-1][1] for network in policy[:6])
    again = len(optuna.load_study(study_name=enas, storage=result.study._storage).trials)
    run(trials=7)
    assert len(optuna.load_study(study_name=enas, storage=result.study._storage).trials) == again


def refusing(trial, input_shape, num_classes):
    """Half of its networks do not exist, that of the greatest numbers among them."""
    odd = trial.suggest_int("number", 0, 15)
    if odd % 2:
        raise ValueError("odd")
    return space(trial, input_shape, num_classes)


@pytest.mark.parametrize("sampler", ["random", "reinforce"])
def test_a_space_that_refuses_half_of_its_networks_is_searched(believed, sampler):
    result = run(space=refusing, sampler=sampler, trials=6)
    assert len([trial for trial in result.study.trials if "optnas:curve" in trial.user_attrs]) == 6


def test_a_budget_that_few_networks_meet(believed):
    """Where no four of a sample meet it, the search does without shared weights."""
    listener = Listener()
    result = run(listener, constraints=("macs<=1200",), sampler="random", trials=6)
    trained = [trial for trial in result.study.trials if "optnas:curve" in trial.user_attrs]
    assert trained
    assert all(trial.user_attrs["optnas:costs"]["macs"] <= 1200 for trial in trained)


def test_an_audit_trains_nothing_but_its_sample(believed, monkeypatch):
    asked = []
    original = audit_room._sample
    monkeypatch.setattr(audit_room, "_sample", lambda *given: asked.extend(original(*given)) or list(asked))
    result = run(constraints=("macs<=3000",), sampler="random", trials=6)
    trained = [trial.params for trial in result.study.trials if "optnas:curve" in trial.user_attrs]
    assert trained[: len(asked)] == asked
    assert all(an_objective().foresee(choices)["macs"] <= 3000 for choices in asked)


def test_a_study_that_holds_what_was_asked_trains_nothing_more(believed):
    search(data="digits", space=space, trials=6, epochs=1, workers=0, train_images=200)
    result = run(trials=6)
    assert len([trial for trial in result.study.trials if "optnas:curve" in trial.user_attrs]) == 6
    assert not Path("optnas.db-supernets").exists()


def test_too_few_scores_for_a_model_are_ranked(believed):
    result = run(candidates=5, trials=6)
    assert isinstance(result.study.sampler, RankedSampler)
    assert len([trial for trial in result.study.trials if "optnas:curve" in trial.user_attrs]) == 6


def another(trial, input_shape, num_classes):
    width = trial.suggest_int("width", 8, 48, step=8)
    blocks = {"linear": lambda: nn.Linear(width, width), "skip": nn.Identity}
    first = optnas.choose(trial, "first", blocks)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), first, nn.Linear(width, num_classes))


def test_weights_of_another_space_study_or_seed_are_others():
    storage = "sqlite:///s.db"
    studies = [("a/b", "one", 0), ("a_b", "one", 0), ("a_b", "other", 0), ("a_b", "one", 1), ("x" * 300, "one", 0)]
    paths = []
    for index, (name, digest, seed) in enumerate(studies):
        study = optuna.create_study(study_name=name, storage=f"sqlite:///{index}.db")
        study.set_user_attr("optnas:settings", {"space": {"name": "mobile", "digest": digest}})
        task = ImageTask("digits", train_images=200)
        paths.append(supernet_path(study, storage, Objective(space, task, seed=seed)))
    assert len({path.name for path in paths}) == 5
    assert all(len(path.name) < 100 and path.parent.name == "s.db-supernets" for path in paths)


def test_more_time_and_more_passes_train_on(tmp_path):
    file = tmp_path / "a"
    short = train_supernet(an_objective(), InProcess(), file, passes=4, seconds=0.0)
    assert 0 < short.steps < 100
    whole = train_supernet(an_objective(), InProcess(), file, passes=4)
    assert whole.steps == 100
    more = train_supernet(an_objective(), InProcess(), file, passes=5)
    assert more.steps == 125
    assert train_supernet(an_objective(), InProcess(), file, passes=3) == more


def test_the_same_time_again_trains_no_more(tmp_path):
    file = tmp_path / "a"
    short = train_supernet(an_objective(), InProcess(), file, passes=4, seconds=0.0)
    assert train_supernet(an_objective(), InProcess(), file, passes=4, seconds=0.0) == short
    assert train_supernet(an_objective(), InProcess(), file, passes=9, keep=True) == short
    # In parts as at once.
    for share in (0.5, 1.0):
        part = train_supernet(an_objective(), InProcess(), tmp_path / "b", passes=4, share=share)
    assert part.steps == 100
    assert train_supernet(an_objective(), InProcess(), tmp_path / "b", passes=4, share=0.5) == part


def test_a_small_space_is_scored_until_nothing_is_new(believed):
    listener = Listener()
    result = run(listener, space=tiny, sampler="random", trials=6, candidates=100)
    assert any("scoring ended, 50 proposals in a row were not new" in text for text in listener.said)
    assert len(scored_study(result).trials) < 200


def tiny(trial, input_shape, num_classes):
    width = trial.suggest_int("width", 8, 64, step=8)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, num_classes))


def test_another_number_of_workers_trains_as_much(tmp_path):
    file = tmp_path / "a"
    train_supernet(an_objective(), Dying(10**9), file, passes=4, seconds=0.0)
    found = train_supernet(an_objective(), InProcess(), file, passes=4)
    assert found.steps == 100
    assert 1600 <= found.images <= 1616


class Unlucky(InProcess):
    """Every third lesson fails, or all do."""

    slots = 2

    def __init__(self, every, error=None):
        self.every, self.error, self.count = every, error or RuntimeError("ended by SIGKILL"), 0

    def submit(self, function, job):
        self.count += 1
        if self.count % self.every == 0:
            future = Future()
            future.set_exception(self.error)
            return future
        return super().submit(function, job)


def test_a_worker_that_dies_does_not_end_the_training(tmp_path):
    found = train_supernet(an_objective(), Unlucky(3), tmp_path / "a", passes=4)
    assert found.steps >= 100
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_workers_that_all_die_twice_end_it_with_a_sentence(tmp_path):
    with pytest.raises(UsageError, match="every worker failed: RuntimeError: ended by SIGKILL"):
        train_supernet(an_objective(), Unlucky(1), tmp_path / "a", passes=4)


def test_a_loss_that_is_not_finite_halves_the_rate(tmp_path):
    unlucky = Unlucky(4, SupernetDiverged("not finite"))
    train_supernet(an_objective(), unlucky, tmp_path / "a", passes=1)
    assert load_notes(tmp_path / "a")["lr_factor"] == 0.5 ** (unlucky.count // 4)


def test_an_audit_refuses_a_space_that_is_no_longer_that_of_the_study(believed, monkeypatch):
    (Path.cwd() / "mine.py").write_text(TEXT.format(widest=16))
    search(data="digits", space="mine.py:build", trials=1, epochs=1, workers=0, train_images=200, study="s")
    (Path.cwd() / "mine.py").write_text(TEXT.format(widest=128))
    file = str(Path("mine.py").resolve())
    for name in [name for name, module in sys.modules.items() if getattr(module, "__file__", "") == file]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(UsageError, match="a name in a file runs no code"):
        supernet_audit(networks=4, workers=0)
    load_space("mine.py:build")
    with pytest.raises(UsageError, match=r"made with other settings \(space.digest"):
        supernet_audit(networks=4, workers=0)


TEXT = """
from torch import nn
import optnas

def build(trial, input_shape, num_classes):
    width = trial.suggest_int("width", 8, {widest}, step=8)
    kinds = {{"relu": nn.ReLU, "tanh": nn.Tanh}}
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), optnas.choose(trial, "act", kinds), nn.Linear(width, 10))
"""


def test_a_verdict_refuses_a_study_that_shared_weights(believed):
    result = run(sampler="random", trials=6)
    with pytest.raises(UsageError, match=r"shared weights \(random one-shot\): expected a study whose epochs"):
        judge_study(result.study, None)


@pytest.mark.slow
def test_a_search_that_is_killed_again_and_again_ends_as_asked(tmp_path):
    """kill -9 of the whole process group, wherever it is: weights, audit, scores or trainings."""
    settings = (
        "search --data digits --sampler reinforce --evaluator one-shot --trials 10 --epochs 1 --train-images 300 "
        "--supernet-epochs 12 --candidates 30 --workers 2 --pruner none"
    )
    command = [sys.executable, "-c", "from optnas.cli import main; raise SystemExit(main())", *settings.split()]
    for seconds in (6, 10, 14, 18):
        running = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.communicate(timeout=seconds)
        running.kill()
        running.communicate()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    study = optuna.load_study(study_name="digits", storage=f"sqlite:///{tmp_path}/optnas.db")
    trained = [trial for trial in study.trials if "optnas:curve" in trial.user_attrs]
    assert len(trained) == 10
    assert not study.get_trials(states=(TrialState.RUNNING,))
    assert len({json.dumps(trial.params, sort_keys=True) for trial in trained}) == 10
    assert [path.suffix for path in (tmp_path / "optnas.db-supernets").iterdir()] == [".safetensors"]
