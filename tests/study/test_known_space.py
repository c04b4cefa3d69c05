import optuna
import pytest

from optnas.errors import UsageError
from optnas.result import search
from optnas.space import ReplayTrial
from optnas.study.known_space import known_space


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("searched")
    return search(
        data="digits", space="toy:digits_space", trials=2, epochs=1, sampler="random", workers=0,
        storage=f"sqlite:///{folder}/o.db",
    ).study  # fmt: skip


def test_the_space_is_that_of_the_search_and_prices_its_networks(searched):
    space = known_space(searched)
    trial = searched.trials[0]
    width = trial.params["width"]
    assert space.input_shape == (1, 8, 8)
    # 64 inputs and a bias, batch norm, and 10 classes with a bias
    numbers = sum(p.numel() for p in space.build(ReplayTrial(trial.params)).parameters())
    assert numbers == 65 * width + 2 * width + 10 * (width + 1)
    assert space.costs(trial.params)["params"] == trial.user_attrs["optnas:costs"]["params"]


def test_a_space_that_changed_is_refused(searched, monkeypatch):
    import toy

    monkeypatch.setattr(toy, "digits_space", toy.space)
    with pytest.raises(UsageError, match="has changed since"):
        known_space(searched)


def test_a_study_of_somebody_else_has_none():
    with pytest.raises(UsageError, match="does not say which space"):
        known_space(optuna.create_study())
