"""Networks in order: none twice, mutants when the list is over."""

import optuna

from optnas.sampler.ranked import RankedSampler

LIST = [{"kind": "a", "width": 3}, {"kind": "b"}, {"kind": "a", "width": 1}]


def space(trial):
    if trial.suggest_categorical("kind", ["a", "b"]) == "a":
        trial.suggest_int("width", 1, 9)


def objective(trial):
    space(trial)
    return 0.0, float(trial.number)


def study(networks=LIST, storage=None):
    return optuna.create_study(
        directions=["minimize"] * 2, sampler=RankedSampler(networks, space, 0), storage=storage, study_name="s",
        load_if_exists=True,
    )  # fmt: skip


def test_networks_come_in_their_order_and_then_their_mutants():
    ranked = study()
    ranked.optimize(objective, n_trials=8)
    params = [trial.params for trial in ranked.trials]
    assert params[:3] == LIST
    assert all(one not in params[:index] for index, one in enumerate(params))


def test_what_was_tried_is_passed_over_after_a_restart(tmp_path):
    storage = f"sqlite:///{tmp_path}/a.db"
    study(storage=storage).optimize(objective, n_trials=1)
    again = study(storage=storage)
    again.optimize(objective, n_trials=2)
    assert [trial.params for trial in again.trials] == LIST


def test_pending_networks_are_passed_over():
    ranked = study()
    trials = [ranked.ask() for _ in range(2)]
    for trial in trials:
        space(trial)
    assert [trial.params for trial in trials] == LIST[:2]


def test_choices_that_were_enqueued_are_kept():
    ranked = study()
    ranked.enqueue_trial({"kind": "a"})
    ranked.enqueue_trial({"kind": "b"})
    ranked.optimize(objective, n_trials=2)
    assert [trial.params for trial in ranked.trials] == [LIST[0], LIST[1]]


def test_an_empty_list_proposes_random_networks():
    ranked = study([])
    ranked.optimize(objective, n_trials=4)
    assert len({str(trial.params) for trial in ranked.trials}) == 4
