import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from optnas.report.page.inline import inline_figure
from optnas.report.style import COLOURS, INK, MUTED, PALETTE, PAPER, TURNED, headline, plain, ramp, spaced, thinned


def test_labels_are_kept_apart_and_below_the_top():
    assert spaced([0.1, 0.5], 0.1) == [0.1, 0.5]
    assert spaced([0.1, 0.12, 0.5], 0.1) == pytest.approx([0.1, 0.2, 0.5])
    assert spaced([0.9, 0.95, 0.97], 0.1) == pytest.approx([0.78, 0.88, 0.98])
    assert spaced([], 0.1) == []


def test_a_sample_is_even_and_has_both_ends():
    assert thinned(range(9), 5) == [0, 2, 4, 6, 8]
    assert thinned([1, 2], 5) == [1, 2]


def test_names_of_others_become_one_line_of_printable_signs():
    assert plain("a\n\tb\x00c\ud800") == "a b c"
    assert plain("x" * 40 + "y" * 40, 11) == "xxxxx…yyyyy"
    assert len(plain("x" * 100)) == 60


def test_lines_of_a_headline_are_about_equally_long():
    axes = Figure(figsize=(5, 3)).subplots()
    headline(axes, "6 networks on the front: 13.80% error at 0.0504 ms to 12.65% error at 0.0640 ms")
    lines = axes.get_title(loc="left").splitlines()
    assert len(lines) > 1
    assert min(map(len, lines)) > 0.6 * max(map(len, lines))


def test_the_inks_are_used_for_nothing_else():
    """Dark mode puts other colours in their place."""
    data = [colour for state, colour in COLOURS.items() if state != "failed"] + list(PALETTE) + ramp(20)
    assert INK not in data
    assert MUTED not in data
    assert PAPER not in data


def _luminance(colour):
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("paper", ["#ffffff", "#1b1b1f"])
def test_data_are_seen_on_white_and_on_black(paper):
    """Contrast by WCAG 2.1, which asks 3:1 for graphics; a light colour on white may fall to 2:1."""
    for colour in {*COLOURS.values(), *PALETTE, *ramp(9)} - {INK}:
        low, high = sorted((_luminance(colour), _luminance(paper)))
        assert (high + 0.05) / (low + 0.05) > 1.9, colour


def test_text_has_the_contrast_that_reading_takes():
    for colour in (INK, MUTED):
        assert 1.05 / (_luminance(colour) + 0.05) > 4.5


def test_a_headline_is_no_formula_and_is_wrapped():
    axes = Figure(figsize=(4, 3), layout="constrained").subplots()
    headline(axes, "$\\frac$ " + "word " * 30, "<b>$x^$</b>")
    (title,) = (text for text in axes.findobj(Text) if text.get_text().startswith("$"))
    assert not title.get_parse_math()
    assert all(len(line) < 60 for line in title.get_text().splitlines())


def test_in_the_dark_what_comes_first_stands_out_as_well():
    def lightness(colour):
        return np.mean(to_rgb(colour))

    for count in (1, 2, 6, 40):
        colours = ramp(count)
        assert set(colours) <= set(TURNED)
        turned = [TURNED[colour] for colour in colours]
        assert [*map(lightness, colours)] == sorted(map(lightness, colours))
        assert [*map(lightness, turned)] == sorted(map(lightness, turned), reverse=True)
    assert TURNED[ramp(2)[0]] == ramp(2)[1]


def test_a_figure_in_a_page_has_both_colours_of_a_line():
    def drawn(figure):
        figure.subplots().plot([0, 1], color=ramp(2)[0])

    first, last = ramp(2)
    assert f"stroke: {first}; stroke: light-dark({first}, {last})" in inline_figure(drawn, "line")
