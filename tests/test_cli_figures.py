"""`optnas figures`."""

import pytest
from handmade import large

from optnas.cli import main


@pytest.fixture
def storage(tmp_path):
    address = f"sqlite:///{tmp_path}/study.db"
    large(30, name="fashion", storage=address)
    return address


def test_all_pictures_and_what_they_state(storage, tmp_path, capsys):
    folder = tmp_path / "pictures"
    assert main(["figures", "--storage", storage, "--out", str(folder)]) == 0
    names = ["curves", "front", "hypervolume", "options", "pairs", "parallel", "timeline"]
    assert sorted(path.name for path in folder.iterdir()) == [
        f"{name}.{kind}" for name in names for kind in ("png", "svg")
    ]
    out = capsys.readouterr().out
    assert all(name in out for name in names)
    assert "networks on the front:" in out
    assert "90% of the final hypervolume" in out


def test_some_of_them(storage, tmp_path, capsys):
    arguments = ["figures", "--storage", storage, "--out", str(tmp_path / "one")]
    assert main([*arguments, "--kind", "front, timeline", "--format", "pdf"]) == 0
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["front.pdf", "timeline.pdf"]
    assert f"written to {tmp_path / 'one'}, each as pdf" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--kind", "frnt"], "figure: expected one of front, pairs, hypervolume"),
        (["--kind", ","], "--kind: expected names with commas between them, got ','"),
        (["--format", "jpgg"], "expected an ending such as .png, .svg or .pdf, got .jpgg"),
        (["--study", "none"], "none"),
    ],
)
def test_bad_input_is_one_sentence(storage, flags, message, tmp_path, capsys):
    assert main(["figures", "--storage", storage, "--out", str(tmp_path / "out"), *flags]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
