import io

import pytest
from rich.console import Console

from optnas.printable import one_line, printable


def test_text_that_a_terminal_shows_stays_as_it_is():
    for text in ("digits", "block2.op=mb3_k3", "größe 漢字 é", "100 µs ± 3", "研究 🙂 👩\u200d🔬 می\u200cخواهم", ""):
        assert printable(text) == text
    assert printable(3.5) == "3.5"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b[31mred", r"\x1b[2J\x1b[31mred"),  # clears the screen
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),  # names the window
        ("\x9b31m", r"\x9b31m"),  # the same in one character
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("a\x00b\x7f", r"a\x00b\x7f"),
        ("abc\u202edef", r"abc\u202edef"),  # the rest is shown backwards
        ("a\u200bb\u2028c", r"a\u200bb\u2028c"),
        ("half \ud800", r"half \ud800"),
    ],
)
def test_what_a_terminal_would_obey_is_spelt_out(text, shown):
    assert printable(text) == shown
    printable(text).encode()


def test_text_of_several_lines_keeps_these_alone():
    assert printable("a\n\tb\x1b[A\r\n", lines=True) == "a\n\tb\\x1b[A\\r\n"
    assert printable("a\nb") == r"a\nb"


def test_a_name_is_one_line():
    assert one_line("digits\r\n\n  optnas: all is\twell\x1b") == r"digits optnas: all is well\x1b"


def test_a_console_prints_no_escape_sequence_of_a_name():
    out = io.StringIO()
    Console(file=out, force_terminal=True, highlight=False).print(printable("\x1b]52;c;aGk=\x07name"), markup=False)
    assert out.getvalue() == "\\x1b]52;c;aGk=\\x07name\n"
