import io

import pytest
from handmade import WILD
from rich.table import Table

from optnas.terminal import Terminal, harmless, one_line


@pytest.fixture
def terminal():
    made = Terminal(soft_wrap=True)
    made.file = io.StringIO()
    return made


def written(terminal):
    return terminal.file.getvalue()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("stem.width=8\tand\n研究 🙂 é", "stem.width=8\tand\n研究 🙂 é"),
        ("\x1b[31mred\x1b[0m", "�[31mred�[0m"),
        ("\x9b31m, \x07, \r, \x7f, \u202e, \u2028, \ud800", "�31m, �, �, �, �, �, �"),
    ],
)
def test_what_steers_a_terminal_is_shown_instead(text, shown):
    assert harmless(text) == shown


def test_a_name_is_one_line():
    assert one_line("digits\r\n\n  optnas: all is\twell\x1b") == "digits optnas: all is well�"


def test_texts_are_written_as_they_are(terminal):
    terminal.print("[bold]no[/bold] :x: 12.5 'text'")
    assert written(terminal) == "[bold]no[/bold] :x: 12.5 'text'\n"


def test_no_part_of_a_table_steers(terminal):
    table = Table(title=WILD, caption=WILD)
    table.add_column(WILD)
    table.add_row(WILD)
    terminal.print(table, WILD)
    assert not set(written(terminal)) & set("\x1b\x07\r\x9b\u202e")
    assert "<script>" in written(terminal)
