"""Networks with a choice changed on purpose, in a space with a branch."""

import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import BaseTrial

from optnas.sampler.candidates import Explorer, build_of
from optnas.space import Choices


def branched(trial: BaseTrial) -> None:
    if trial.suggest_categorical("op", ["plain", "deep"]) == "deep":
        trial.suggest_int("depth", 1, 9)
    trial.suggest_int("width", 1, 500)


@pytest.mark.parametrize(
    ("parent", "changes", "kept"),
    [
        ({"op": "deep", "depth": 3, "width": 7}, {"width": 9}, {"op": "deep", "depth": 3, "width": 9}),
        ({"op": "deep", "depth": 3, "width": 7}, {"op": "plain"}, {"op": "plain", "width": 7}),
        ({"op": "plain", "width": 7}, {"op": "deep"}, {"op": "deep", "width": 7}),
        ({"op": "plain", "width": 7}, {"op": "deep", "depth": 4}, {"op": "deep", "depth": 4, "width": 7}),
    ],
)
def test_all_else_is_kept_and_what_comes_up_is_drawn(parent: Choices, changes: Choices, kept: Choices) -> None:
    child = Explorer(branched, 0).changed(parent, changes)
    assert child is not None
    assert kept.items() <= child.items()
    assert ("depth" in child) == (child["op"] == "deep")
    assert child == Explorer(branched, 0).changed(parent, changes)


@pytest.mark.parametrize("changes", [{"width": 501}, {"op": "other"}, {"depth": 4}, {"nothing": 1}])
def test_what_the_space_does_not_allow_is_none(changes: Choices) -> None:
    assert Explorer(branched, 0).changed({"op": "plain", "width": 7}, changes) is None


def test_a_space_that_trials_recorded() -> None:
    build = build_of({name: CategoricalDistribution(["a", "b"]) for name in "xy"})
    assert Explorer(build, 0).changed({"x": "a", "y": "a"}, {"y": "b"}) == {"x": "a", "y": "b"}
