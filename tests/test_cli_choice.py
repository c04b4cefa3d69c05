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
