import math

import numpy as np
import optuna
import pytest

from optnas.cost import parse_budget, parse_constraints
from optnas.errors import UsageError
from optnas.front import GrowingFront, best, candidates, front, hypervolume, networks, objective_names


def make(rows, directions=("minimize", "minimize"), names=("error", "macs"), constraints=None):
    study = optuna.create_study(directions=list(directions))
    if names:
        with pytest.warns(optuna.exceptions.ExperimentalWarning):
            study.set_metric_names(list(names))
    for index, row in enumerate(rows):
        trial = study.ask()
        if constraints:
            trial.set_constraint("c", constraints[index])
        study.tell(trial, list(row))
    return study


def numbers(members):
    return [network.trial for network in members]


def test_the_front_by_hand():
    study = make([(0.1, 100), (0.2, 50), (0.2, 60), (0.3, 50), (0.05, 400), (0.1, 100)])
    # 2 and 3 are beaten by 1; 5 equals 0 and came later.
    assert numbers(front(study)) == [4, 0, 1]
    assert objective_names(study) == ("error", "macs")


def test_directions_and_names_of_an_ordinary_study():
    study = make([(1.0, 1.0), (2.0, 5.0), (3.0, 4.0)], ("minimize", "maximize"), names=None)
    assert numbers(front(study)) == [0, 1]
    assert objective_names(study) == ("value0", "value1")
    assert best(study).trial == 0


def test_infeasible_and_repeated_trials_are_not_on_the_front():
    study = make([(0.1, 10), (0.2, 20), (0.3, 5)], constraints=[0.5, 0.0, -1.0])
    assert numbers(front(study)) == [1, 2]
    trial = study.ask()
    trial.set_user_attr("optnas:repeat_of", 1)
    study.tell(trial, [0.0, 0.0])
    assert numbers(networks(study)) == [0, 1, 2]


def test_empty_and_single():
    assert front(make([])) == []
    assert best(make([])) is None
    assert numbers(front(make([(0.5, 5)]))) == [0]


@pytest.mark.parametrize("seed", range(5))
def test_a_growing_front_is_the_front_at_every_moment(seed):
    generator = np.random.default_rng(seed)
    study = optuna.create_study(directions=["minimize", "maximize"])
    growing, running = GrowingFront(study), []
    for _ in range(120):
        if running and generator.random() < 0.6:
            trial = running.pop(int(generator.integers(len(running))))
            match generator.integers(8):
                case 0:
                    study.tell(trial, state=optuna.trial.TrialState.FAIL)
                case 1:
                    trial.set_user_attr("optnas:repeat_of", 0)
                    study.tell(trial, [0.0, 9.0])
                case 2:
                    trial.set_constraint("c", 1.0)
                    study.tell(trial, [0.0, 9.0])
                case 3:
                    study.tell(trial, [-np.inf, 9.0])
                case _:
                    study.tell(trial, list(map(float, generator.integers(0, 8, 2))))  # with ties
        else:
            running.append(study.ask())
        if generator.random() < 0.5:
            assert growing.members() == front(study)
    assert growing.members() == front(study) != []


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_the_front_equals_its_definition(k):
    values = np.random.default_rng(k).integers(0, 6, (60, k)).astype(float)
    study = make(values, ["minimize"] * k, None)
    expected = {
        i
        for i, row in enumerate(values)
        if not any((other <= row).all() and (other < row).any() for other in values)
        and not any((other == row).all() for other in values[:i])
    }
    assert set(numbers(front(study))) == expected


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_values_that_are_not_finite_have_no_place(k):
    """Neither infinity nor its opposite, in whichever objective, whether minimised or maximised."""
    good = [[0.5] * k, [0.6] * k]
    bad = [[0.1] * place + [value] + [0.1] * (k - place - 1) for place in range(k) for value in (math.inf, -math.inf)]
    for direction in ("minimize", "maximize"):
        study = make([*good, *bad], [direction] * k, None)
        assert numbers(front(study)) == [0 if direction == "minimize" else 1]
        assert best(study).trial in (0, 1)
        assert numbers(candidates(study)) == [0, 1]
        only = make(bad, [direction] * k, None)
        assert front(only) == []
        assert best(only) is None


def test_not_a_number_is_no_value_and_no_cost():
    study = make([(0.5, 5)])
    with pytest.warns(UserWarning, match="nan is not acceptable"):
        study.tell(study.ask(), [0.4, math.nan], skip_if_finished=True)
    assert numbers(front(study)) == [0]
    for trial, params in ((1, math.nan), (2, 3.0)):
        made = optuna.trial.create_trial(values=[0.1 * trial, 1.0], user_attrs={"optnas:costs": {"params": params}})
        study.add_trial(made)
    assert numbers(networks(study, parse_constraints(["params<=5"]))) == [3]


def test_maximised_objectives_among_three():
    rows = [(0.1, 5.0, 7.0), (0.1, 6.0, 7.0), (0.2, 6.0, 9.0), (0.3, 1.0, 1.0)]
    study = make(rows, ("minimize", "maximize", "maximize"), ("error", "score", "gain"))
    assert numbers(front(study)) == [1, 2]
    assert best(study).trial == 1


def test_best_under_a_budget():
    study = make([(0.1, 100), (0.2, 50), (0.3, 20)])
    assert best(study).trial == 0
    assert best(study, parse_constraints(["macs<=60"])).trial == 1
    assert best(study, parse_constraints(["macs<=10"])) is None
    with pytest.raises(UsageError, match=r"budget latency_ms<=2: this study measured other costs: macs"):
        best(study, parse_constraints(["latency_ms<=2"]))


def test_hypervolume_closed_forms():
    assert hypervolume(np.array([[0.5, 0.5]]), [1, 1]) == pytest.approx(0.25)
    # A staircase of two: 0.8 * 0.2 + 0.4 * (0.6 - 0.2), from the corner (1, 1).
    assert hypervolume(np.array([[0.2, 0.8], [0.6, 0.4]]), [1, 1]) == pytest.approx(0.8 * 0.2 + 0.4 * 0.4)
    assert hypervolume(np.array([[1.0, 20.0]]), [4, 100]) == pytest.approx(0.75 * 0.8)
    assert hypervolume(np.array([[0.1, 0.1, 0.1]]), [1, 1, 1]) == pytest.approx(0.9**3)
    assert hypervolume(np.array([[2.0, 0.5], [math.nan, 0.1]]), [1, 1]) == 0.0
    assert hypervolume(np.zeros((0, 2)), [1, 1]) == 0.0


def test_hypervolume_agrees_with_counting_random_points():
    generator = np.random.default_rng(0)
    for k in (2, 3, 4):
        losses = generator.random((12, k))
        points = generator.random((200_000, k))
        dominated = (losses[None] <= points[:, None]).all(2).any(1).mean()
        assert hypervolume(losses, [1.0] * k) == pytest.approx(dominated, abs=5e-3)


def test_a_budget_on_what_training_told():
    """3 of 300 images wrong is 1 %, though 1 - 297 / 300 is a little more in binary."""
    study = make([(1 - 297 / 300, 100), (1 - 299 / 300, 500), (0.02, 50)])
    for text in ("error<=1%", "error <= 0.01", "accuracy>=99%", "accuracy >= 0.99"):
        assert numbers(front(study, parse_budget([text]))) == [1, 0], text
    assert numbers(front(study, parse_budget(["error<1 %"]))) == [1]
    assert best(study, parse_budget(["accuracy<99%"])).trial == 2
    assert best(study, parse_budget(["error<=1%", "macs<=200"])).trial == 0
    assert best(study, parse_budget(["error<=0.1%"])) is None


def test_an_accuracy_that_is_an_objective_and_values_that_are_no_shares():
    study = make([(0.9, 100), (0.8, 50)], ("maximize", "minimize"), ("accuracy", "macs"))
    assert numbers(front(study, parse_budget(["accuracy>=85%"]))) == [0]
    with pytest.raises(UsageError, match="budget error<=5%: this study measured other costs: macs, accuracy"):
        front(study, parse_budget(["error<=5%"]))
    with pytest.raises(UsageError, match="budget error<=5%: this study measured other costs: macs"):
        front(make([(9.0, 100)]), parse_budget(["error<=5%"]))
