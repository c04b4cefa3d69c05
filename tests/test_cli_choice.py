"""`optnas front --fitness`, `--knee` and how sure it is, as a person and as a program read them."""

import json

import handmade
import numpy as np
import optuna
import pytest
from optuna.trial import create_trial

from optnas.cli import main


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def study():
    """Thirty networks whose error falls with their MACs, judged on 500 images."""
    made = handmade.new_study(name="digits", storage="sqlite:///optnas.db")
    made.set_user_attr("optnas:settings", {"task": {"n_val": 500}})
    generator = np.random.default_rng(0)
    for index in range(30):
        macs = float(round(np.exp(generator.uniform(np.log(5e4), np.log(5e6)))))
        error = 0.05 + 0.2 * (5e4 / macs) ** 0.5 + abs(generator.normal(0, 0.03))
        made.add_trial(
            create_trial(
                values=[error, macs], params=handmade.params(index), distributions=handmade.CHOICES,
                user_attrs={"optnas:costs": {"macs": macs, "size_bytes": round(macs / 9)}},
            )
        )  # fmt: skip
    return made


def printed(capsys, *arguments):
    assert main(["front", *arguments]) == 0
    return capsys.readouterr().out


def test_the_front_says_how_sure_its_members_are(study, capsys):
    text = printed(capsys)
    header = text.splitlines()[1].split()
    assert header[:3] == ["trial", "sure", "error"]
    assert "belong on the front in truth" in text
    assert "(binomial noise of 500 validation images)" in " ".join(text.split())
    assert max(map(len, text.split("trial ", 1)[0].splitlines())) <= 80


def test_the_knee_is_told_in_words(study, capsys):
    text = " ".join(printed(capsys, "--knee").split())
    assert "The knee is trial " in text
    assert "points less error at" in text


def test_a_fitness_ranks_and_maps(study, capsys):
    text = printed(capsys, "--fitness", "accuracy=1,1/macs=0.02")
    assert "fittest by accuracy=1, 1/macs=0.02" in text
    assert "earns 0.02, half of it 0.04." in " ".join(text.split())
    assert "Which weight picks which network, with accuracy=1:" in text
    assert text.count("(yours)") == 1
    assert all(len(line) <= 80 for line in text.splitlines() if not line.startswith("trial "))
    three = " ".join(printed(capsys, "--fitness", "accuracy=1,1/macs=0.02,1/size_bytes=0.01").split())
    assert "Of all mixtures of accuracy, 1/macs and 1/size_bytes the fittest is:" in three


def test_programs_get_all_of_it(study, capsys):
    members = json.loads(printed(capsys, "--json"))
    assert isinstance(members, list)
    assert all(0 <= member["sure"] <= 1 for member in members)
    answers = json.loads(
        printed(capsys, "--json", "--knee", "--fitness", "accuracy=1,1/macs=0.02", "--budget", "macs<=2M")
    )
    assert set(answers) == {"front", "certainty", "knee", "fitness"}
    assert all(member["costs"]["macs"] <= 2e6 for member in answers["front"])
    assert answers["knee"]["network"] in {member["trial"] for member in answers["front"]}
    ranking, found = answers["fitness"]["ranking"], answers["fitness"]["map"]
    assert ranking == sorted(ranking, key=lambda row: -row["fitness"])
    assert all(row["fitness"] == pytest.approx(sum(row["parts"].values())) for row in ranking)
    assert sum(row["wins"] for row in ranking) == pytest.approx(1)
    assert found["winner"] == ranking[0]["trial"]
    assert sum(region["share"] for region in found["regions"]) == pytest.approx(1)
    assert answers["certainty"]["noise_source"] == "binomial noise of 500 validation images"
    only = json.loads(printed(capsys, "--json", "--knee"))
    assert set(only) == {"front", "certainty", "knee"}


@pytest.mark.parametrize("terms", ["accuracy=1,1/macs=0.02", "accuracy=1,1/macs=0.02,1/size_bytes=0.01", "1/macs=1"])
def test_the_map_is_drawn_beside_the_front(study, capsys, terms, tmp_path):
    printed(capsys, "--fitness", terms, "--plot", "choice.svg")
    assert "These weights pick trial" in (tmp_path / "choice.svg").read_text()


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ("accuracy", "expected NAME=WEIGHT"),
        ("latency_ms=1", "expected 1/latency_ms, got latency_ms"),
        ("1/latency_ms=1", "was not measured; this study knows macs, size_bytes"),
    ],
)
def test_a_fitness_that_cannot_be_is_refused_in_a_sentence(study, capsys, terms, words):
    assert main(["front", "--fitness", terms]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert words in output.err
    assert output.err.startswith("optnas: fitness ")
    assert output.err.count("\n") == 1


def test_what_is_not_finite_is_null_for_programs(study, capsys):
    handmade.add(study, (float("inf"), 5.0), costs={"macs": float("inf"), "params": float("nan")})
    handmade.add(study, (0.01, 5.0), costs={"macs": 5.0, "params": float("inf")})
    for flags in ([], ["--all"], ["--knee"]):
        found = json.loads(printed(capsys, "--json", *flags), parse_constant=pytest.fail)
        rows = found["front"] if "--knee" in flags else found
        assert next(row for row in rows if row["trial"] == 31)["costs"] == {"macs": 5.0, "params": None}
    assert "inf%" in printed(capsys, "--all")


def test_names_neither_steer_a_terminal_nor_forge_a_line(capsys):
    made = handmade.awkward()["hostile"]
    optuna.copy_study(from_study_name=made.study_name, from_storage=made._storage, to_storage="sqlite:///other.db")
    for flags in (["--knee"], ["--all"], ["--budget", "macs<=1"], ["--fitness", "1/macs=1"]):
        text = printed(capsys, "--storage", "sqlite:///other.db", *flags)
        assert "<script>" in text
        assert not set(text) & set("\x1b\x07\r\x9b\u202e")
        assert not any(line.startswith("line") for line in text.splitlines())
    assert main(["front", "--storage", "sqlite:///other.db", "--study", handmade.WILD]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "\x1b" not in error


def test_every_awkward_study_gets_answers_or_a_sentence(capsys):
    for name, made in handmade.awkward().items():
        optuna.copy_study(
            from_study_name=made.study_name, from_storage=made._storage, to_storage="sqlite:///all.db",
            to_study_name=name,
        )  # fmt: skip
        where = ["--study", name, "--storage", "sqlite:///all.db"]
        for more in ([], ["--json"]):
            assert main(["front", "--knee", *where, *more]) == 0, name
        for terms in ("accuracy=1,1/macs=0.1", "value0=1", "accuracy=1,1/macs=0.1,1/params=0.1"):
            assert main(["front", "--fitness", terms, "--plot", "x.svg", *where]) in (0, 2), name
        capsys.readouterr()


def test_the_answer_comes_first_with_its_choices(study, capsys):
    best = max(study.trials, key=lambda trial: (-trial.values[0], -trial.values[1]))
    lines = printed(capsys, "--fitness", "accuracy=1").splitlines()
    assert " ".join(lines[:2]).startswith(f"The fittest by accuracy=1 is trial {best.number}: error ")
    answer = next(place for place, line in enumerate(lines) if line.startswith(f"trial {best.number}: "))
    assert lines[answer].split(": ")[1] == " ".join(f"{name}={value}" for name, value in best.params.items())
    assert answer < next(place for place, line in enumerate(lines) if line.startswith("front of digits"))
    text = printed(capsys, "--knee")
    assert text.startswith("The knee is trial ")
    number = text.split()[4].rstrip(":")
    assert text.index(f"trial {number}: stem.width=") < text.index("front of digits")


def test_the_choices_of_a_winner_beside_the_front_are_told(study, capsys):
    """By size alone the winner has no place on the front of error and MACs."""
    handmade.add(study, (0.9, 6e6), costs={"macs": 6e6, "size_bytes": 1})
    assert "\ntrial 30: stem.width=" in printed(capsys, "--fitness", "1/size_bytes=1")


def test_choices_that_all_members_have_are_told_once(capsys):
    made = handmade.new_study(name="digits", storage="sqlite:///optnas.db")
    for index, (op, error) in enumerate((("mb3_k3", 0.3), ("skip", 0.2))):
        handmade.add(made, (error, 10.0 + index), choices={"stem.width": 8, "block1.op": op})
    lines = printed(capsys).splitlines()
    assert lines[-3:] == ["all 2: stem.width=8", "trial 1: block1.op=skip", "trial 0: block1.op=mb3_k3"]
    alone = printed(capsys, "--budget", "macs<=10").splitlines()
    assert alone[0] == "front of digits within macs<=10: 1 network"
    assert alone[-1] == "trial 0: stem.width=8 block1.op=mb3_k3"


def test_a_budget_on_the_error_works_on_what_was_measured(study, capsys):
    bound = sorted(trial.values[0] for trial in study.best_trials)[2]
    text = printed(capsys, "--budget", f"error<={100 * bound + 0.001:.3f}%,macs<=100M")
    assert " ".join(text.splitlines()[:2]).startswith(f"front of digits within error<={100 * bound + 0.001:.3f}%, macs")
    members = json.loads(printed(capsys, "--json", "--budget", f"accuracy>={1 - bound - 1e-6}"))
    assert len(members) == 3
    assert "no trained network within error<=0.1%" in printed(capsys, "--budget", "error<=0.1%")
    for words in (["search", "--constraint", "error<=1%"], ["profile", "--constraint", "error<=1%"]):
        assert main(words) == 2
        assert "known only after training" in capsys.readouterr().err


def test_what_sure_and_truth_mean_is_said_in_words(study, capsys):
    text = " ".join(printed(capsys, "--fitness", "accuracy=1").split())
    assert "In truth means on average over many trainings and images" in text
    assert "sure is the probability of a place there" in text
    assert "by pulling the errors of similar networks together; one that few resemble may be" in text
    assert "Expected error, and in brackets the measured one: trial " in text
    rows = json.loads(printed(capsys, "--json"))
    assert all(0 < row["expected"] < 1 for row in rows)
    answers = json.loads(printed(capsys, "--json", "--fitness", "accuracy=1"))
    assert all(0 < row["expected"] < 1 for row in answers["fitness"]["ranking"])


def test_shares_say_their_unit(study, capsys):
    for terms in ("accuracy=1,1/macs=0.02", "accuracy=1,1/macs=0.02,1/size_bytes=0.01"):
        text = " ".join(printed(capsys, "--fitness", terms).split())
        assert "Shares count each term in units of its spread among the trained networks." in text


def test_an_audited_trial_says_so(capsys):
    made = handmade.new_study(name="digits", storage="sqlite:///optnas.db")
    kept = {"curve": [0.9, 0.2], "bounds": [0.75, None], "pruned_epoch": 1, "pruned_bound": 0.75, "fingerprint": "a"}
    handmade.add(made, (0.2, 10.0), reason="the lowest error until epoch 1 is 0.9, above the bound 0.75", **kept)
    handmade.add(made, (0.1, 20.0), curve=[0.5, 0.1], fingerprint="b")
    handmade.add(made, state=optuna.trial.TrialState.PRUNED, **{**kept, "curve": [0.9]})
    text = " ".join(printed(capsys, "--all").split())
    assert text.startswith("trials of digits trial epochs error macs why 0 front 2 20.00% 10 audit: its pruner would")
    assert "audit: its pruner would have stopped it after epoch 1: the lowest error" in text
    assert "is 90.00%, above the bound 75.00%" in text
    assert text.count("audit:") == 1
    rows = json.loads(printed(capsys, "--all", "--json"))
    assert [(row["audited"], row["pruned_epoch"]) for row in rows] == [(True, 1), (False, None), (False, 1)]


def test_what_another_tool_pruned_was_not_refused(capsys):
    made = optuna.create_study(storage="sqlite:///optnas.db", study_name="foreign", directions=["minimize"] * 2)
    made.tell(made.ask(), state=optuna.trial.TrialState.PRUNED)
    assert [row["state"] for row in json.loads(printed(capsys, "--all", "--json"))] == ["pruned"]
    assert main(["prune-audit"]) == 0
    assert "1 of 1 trial was pruned, and reported no epochs" in capsys.readouterr().out
