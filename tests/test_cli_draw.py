"""`optnas draw` on a small search."""

import optuna
import pytest
import toy
from optuna.distributions import IntDistribution
from optuna.trial import TrialState, create_trial

import optnas
from optnas.cli import main
from optnas.cost import format_cost
from optnas.study.known_space import KnownSpace


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A storage with a study of three networks and a trial without any, and a study of somebody else."""
    storage = f"sqlite:///{tmp_path_factory.mktemp('searched')}/optnas.db"
    optnas.search(
        space="toy:digits_space", trials=3, epochs=1, workers=0, sampler="random", pruner="none", storage=storage
    )
    optuna.load_study(study_name="digits", storage=storage).add_trial(create_trial(state=TrialState.FAIL))
    params, distributions = {"width": 4}, {"width": IntDistribution(1, 9)}
    other = optuna.create_study(study_name="other", storage=storage)
    other.add_trial(create_trial(value=1.0, params=params, distributions=distributions))
    return storage


@pytest.fixture
def trials(searched):
    return optuna.load_study(study_name="digits", storage=searched).trials


@pytest.fixture
def draw(searched, capsys, tmp_path, monkeypatch):
    """Runs the command; returns its status and what it said."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, study="digits"):
        try:
            status = main(["draw", "--storage", searched, "--study", study, *arguments])
        except SystemExit as ended:
            status = ended.code
        return status, *capsys.readouterr()

    return run


def test_one_network(trials, draw, tmp_path):
    status, said, _ = draw("--trial", "1", "--out", "one.svg")
    costs = trials[1].user_attrs["optnas:costs"]
    assert status == 0
    amounts = [format_cost(name, costs[name]) for name in ("macs", "params")]
    # flatten, a linear layer with its batch norm, and the classifier: all of it works on vectors
    assert said == f"trial 1: 3 blocks, {amounts[0]} MACs, {amounts[1]} parameters\n\npicture: one.svg\n"
    assert "Trial 1 of digits" in (tmp_path / "one.svg").read_text()


def test_two_networks_and_what_differs(trials, draw, tmp_path):
    status, said, _ = draw("--trial", "0", "--trial", "2", "--out", "two.png")
    before, after = (trials[number].params["width"] for number in (0, 2))
    assert status == 0
    assert f"  stage 1 block 2 (linear): width {before} -> {after}, " in said
    assert (tmp_path / "two.png").stat().st_size > 5000
    assert "no difference" in draw("--trial", "0", "--trial", "0", "--out", "two.svg")[1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--trial", "99", "--out", "a.svg"], "study 'digits' has no trial 99; it has 0 to 3"),
        (["--trial", "-1", "--out", "a.svg"], "has no trial -1"),
        (["--trial", "3", "--out", "a.svg"], "trial 3 of study 'digits' has no params"),
        (["--trial", "x", "--out", "a.svg"], "argument --trial: invalid int value: 'x'"),
        (["--trial", "0", "--trial", "1", "--trial", "2", "--out", "a.svg"], "expected one or two trials, got 3"),
        (["--trial", "0", "--out", "a.xyz"], "expected an ending such as .png, .svg or .pdf"),
        (["--trial", "0", "--out", "nowhere/a.svg"], "expected a folder that exists"),
        (["--trial", "0"], "the following arguments are required: --out"),
        (["--out", "a.svg"], "the following arguments are required: --trial"),
    ],
)
def test_bad_input_is_one_sentence(draw, arguments, sentence):
    status, said, refused = draw(*arguments)
    assert (status, said) == (2, "")
    assert sentence in refused
    assert len(refused.splitlines()) == 1


def test_a_study_that_optnas_did_not_make(draw):
    status, _, refused = draw("--trial", "0", "--out", "a.svg", study="other")
    assert status == 2
    assert "it does not say which space it searches" in refused


def test_a_space_that_changed_or_is_gone(draw, monkeypatch):
    for change in (lambda: monkeypatch.setattr(toy, "digits_space", toy.space),
                   lambda: monkeypatch.delattr(toy, "digits_space")):  # fmt: skip
        change()
        status, _, refused = draw("--trial", "0", "--out", "a.svg")
        assert status == 2
        assert "digits_space" in refused
        assert len(refused.splitlines()) == 1


def test_a_network_that_does_not_work(draw, monkeypatch):
    def fails(trial):
        raise RuntimeError("no such layer")

    known = KnownSpace(fails, (1, 8, 8), 10)
    monkeypatch.setattr("optnas.cli.draw.known_space", lambda study: known)
    status, _, refused = draw("--trial", "0", "--out", "a.svg")
    assert (status, refused) == (2, "optnas: the network of trial 0 does not work: no such layer\n")
