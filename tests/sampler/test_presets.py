import optuna
import pytest
from optuna.samplers import BaseSampler

from optnas.errors import UsageError
from optnas.sampler import SAMPLERS, derive_seed, make_sampler


def conditional(trial):
    if trial.suggest_categorical("kind", ["a", "b"]) == "a":
        return [trial.suggest_int("width", 8, 64, step=8) / 64, trial.suggest_float("lr", 1e-3, 1, log=True)]
    return [0.5, trial.suggest_float("other", 0, 1)]


def cost(params):
    return {"cost": params["width"] / 64 if params["kind"] == "a" else 0.5}


@pytest.mark.parametrize("name", SAMPLERS)
class TestPresets:
    def study(self, name, seed=0, storage=None):
        return optuna.create_study(
            directions=["minimize", "minimize"],
            sampler=make_sampler(name, seed, 5, space=conditional, cost_of=cost, objectives=("cost", "error")),
            storage=storage,
            study_name="s",
            load_if_exists=True,
        )

    def test_is_an_optuna_sampler_that_handles_conditional_spaces(self, name):
        study = self.study(name)
        assert isinstance(study.sampler, BaseSampler)
        study.optimize(conditional, n_trials=20)
        assert len(study.trials) == 20

    def test_the_same_seed_gives_the_same_study_and_another_another(self, name):
        runs = []
        for seed in (0, 0, 1):
            study = self.study(name, seed)
            study.optimize(conditional, n_trials=12)
            runs.append([trial.params for trial in study.trials])
        assert runs[0] == runs[1] != runs[2]

    def test_a_resumed_study_is_the_undisturbed_one(self, name, tmp_path):
        whole = self.study(name)
        whole.optimize(conditional, n_trials=18)
        for _ in range(3):
            part = self.study(name, storage=f"sqlite:///{tmp_path}/a.db")
            part.optimize(conditional, n_trials=6)
        assert [trial.params for trial in part.trials] == [trial.params for trial in whole.trials]

    @pytest.mark.parametrize("number", [2, 8])  # among the random ones that come first, and after them
    def test_a_kill_between_two_choices_makes_no_difference(self, name, number):
        whole = self.study(name)
        whole.optimize(conditional, n_trials=number + 1)
        storage = optuna.storages.InMemoryStorage()
        part = self.study(name, storage=storage)
        part.optimize(conditional, n_trials=number)
        kind = part.ask().suggest_categorical("kind", ["a", "b"])
        again = self.study(name, storage=storage)
        (frozen,) = again.get_trials(states=(optuna.trial.TrialState.RUNNING,))
        trial = optuna.Trial(again, frozen._trial_id)
        conditional(trial)
        assert trial.params == whole.trials[number].params
        assert trial.params["kind"] == kind

    def test_pruned_and_failed_trials_do_not_stop_it(self, name):
        study = self.study(name)

        def objective(trial):
            values = conditional(trial)
            trial.set_constraint("c", values[0] - 0.4)
            if trial.number % 5:
                raise optuna.TrialPruned
            if trial.number % 3 == 0:
                return [float("nan")] * 2
            return values

        study.optimize(objective, n_trials=60)
        assert len(study.trials) == 60

    def test_trials_that_run_at_once_get_proposals_of_their_own(self, name):
        study = self.study(name)
        study.optimize(conditional, n_trials=10)
        asked = [study.ask() for _ in range(4)]
        for trial in asked:
            conditional(trial)
        assert len({str(trial.params) for trial in asked}) == 4
        for trial in asked:
            study.tell(trial, [0.1, 0.1])


def test_unknown_names_and_sizes_are_refused():
    with pytest.raises(UsageError, match=r"unknown sampler 'nsga': expected .*; did you mean nsga2\?"):
        make_sampler("nsga", 0)
    with pytest.raises(UsageError, match="population: expected at least 2, got 1"):
        make_sampler("nsga2", 0, 1)


def test_cost_aware_needs_costs():
    with pytest.raises(UsageError, match=r"sampler cost-aware: expected cost_of, .* got None"):
        make_sampler("cost-aware", 0)


def test_seeds_of_trials_and_studies_differ():
    assert len({derive_seed(study, number) for study in range(20) for number in range(20)}) == 400


def test_nsga2_moves_towards_the_front():
    found = {}
    for name in ("nsga2", "random"):
        study = optuna.create_study(directions=["minimize"] * 2, sampler=make_sampler(name, 0, 10))

        def objective(trial):
            bits = [trial.suggest_categorical(f"b{i}", [0, 1]) for i in range(20)]
            return sum(bits[:10]), sum(bits[10:])

        study.optimize(objective, n_trials=150)
        found[name] = min(sum(trial.values) for trial in study.trials)
    assert found["nsga2"] < found["random"]
