"""Every picture of every study: that it is drawn, what it states, and how large its file is."""

import re
import time

import pytest
from handmade import add, awkward, large, new_study, one_of_each
from matplotlib.figure import Figure
from matplotlib.text import Text
from optuna.distributions import CategoricalDistribution
from optuna.trial import create_trial

from optnas.errors import UsageError
from optnas.report import FIGURES, draw_front, make_figure, picture_bytes, save_figures, save_picture
from optnas.report.figures import finding_of
from optnas.report.style import INK, MUTED


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("study", awkward())
def test_awkward_studies_give_a_picture_or_a_sentence(study, name):
    figure = make_figure(awkward()[study], name)
    assert len(finding_of(figure)) > 10
    assert picture_bytes(figure, "svg")


@pytest.mark.parametrize("name", FIGURES)
def test_a_study_with_every_kind_of_trial(name):
    assert picture_bytes(make_figure(one_of_each(), name), "png")


@pytest.fixture(scope="module")
def thousand():
    return large(1000)


def test_a_thousand_trials_are_quick_and_small(thousand):
    began = time.perf_counter()
    files = {name: picture_bytes(make_figure(thousand, name), "svg") for name in FIGURES}
    assert time.perf_counter() - began < 20  # 1.5 s where nothing else runs
    assert {name: len(file) for name, file in files.items() if len(file) > 250_000} == {}


@pytest.mark.parametrize("name", FIGURES)
def test_text_axes_and_grid_are_in_two_inks(name):
    """So that a page in dark mode can put two others in their place."""
    svg = picture_bytes(make_figure(one_of_each(), name), "svg", transparent=True).decode()
    texts = re.findall(r"<text style=\"([^\"]*)\"", svg)
    assert len(texts) == svg.count("<text ") > 3
    assert all(re.search(f"fill: ({INK}|{MUTED})", style) for style in texts)
    # Black, and the grey of matplotlib's own grid.
    assert not re.search("#000000|#b0b0b0", svg)


@pytest.mark.parametrize("name", FIGURES)
def test_names_of_others_are_no_formulas(name):
    """A study, an objective, a choice and an option, each of which matplotlib's mathtext would refuse."""
    bad = "$\\frac$"
    study = new_study((f"error {bad}", f"cost {bad}"), name=bad)
    kinds = {f"choice {bad}": CategoricalDistribution((f"a {bad}", f"b {bad}"))}
    for index in range(8):
        study.add_trial(
            create_trial(
                values=(0.1 * index, 10.0 - index),
                params={f"choice {bad}": f"{'ab'[index % 2]} {bad}"},
                distributions=kinds,
                user_attrs={"optnas:curve": [0.5, 0.4], "optnas:costs": {"macs": 10.0 + index}},
            )
        )
    figure = make_figure(study, name)
    assert picture_bytes(figure, "png")
    assert not any(text.get_parse_math() for text in figure.findobj(Text) if bad in text.get_text())


def test_names_in_other_scripts_warn_nobody():
    study = new_study(name="研究 🙂")
    add(study, (0.1, 10.0))
    assert "研究" in picture_bytes(make_figure(study, "front"), "svg").decode()
    assert picture_bytes(make_figure(study, "front"), "png")


def test_equal_studies_are_equal_files():
    for kind in ("svg", "png", "pdf"):
        one, two = (picture_bytes(make_figure(one_of_each(), "front"), kind) for _ in range(2))
        assert one == two


def test_text_stays_text_and_the_paper_can_be_left_out():
    figure = make_figure(one_of_each(), "front")
    svg = picture_bytes(figure, "svg", transparent=True).decode()
    assert "2 networks on the front" in svg
    assert "#ffffff" not in svg
    assert "#ffffff" in picture_bytes(figure, "svg").decode()


def test_a_folder_of_pictures(tmp_path):
    found = save_figures(one_of_each(), tmp_path / "new" / "folder", ("front", "options"), ("png", "svg"))
    assert list(found) == ["front", "options"]
    assert found["front"] == "2 networks on the front: 20.00% error at 100 MACs to 10.00% error at 200 MACs"
    written = {path.name for path in (tmp_path / "new" / "folder").iterdir()}
    assert written == {"front.png", "front.svg", "options.png", "options.svg"}


@pytest.mark.parametrize(
    ("names", "formats", "message"),
    [
        (("frnt",), ("png",), "figure: expected one of front, pairs"),
        (("front",), ("jpgg",), "expected an ending such as .png, .svg or .pdf, got .jpgg"),
    ],
)
def test_what_is_unknown_is_refused_before_anything_is_drawn(names, formats, message, tmp_path):
    with pytest.raises(UsageError, match=re.escape(message)):
        save_figures(one_of_each(), tmp_path, ("front", *names), formats)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"figures: the folder .* cannot be made"):
        save_figures(one_of_each(), tmp_path / "file")


def test_one_picture_on_axes_of_ones_own(tmp_path):
    save_picture(draw_front, one_of_each(), tmp_path / "front.pdf", size=(4, 3))
    assert (tmp_path / "front.pdf").stat().st_size > 1000
    axes = Figure().subplots(1, 2)[1]
    draw_front(one_of_each(), axes)
    assert axes.get_title(loc="left")
