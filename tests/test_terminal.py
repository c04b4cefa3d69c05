import io

import pytest
from handmade import WILD
from rich.table import Table

from optnas.terminal import Terminal, titled


@pytest.fixture
def terminal():
    made = Terminal(soft_wrap=True)
    made.file = io.StringIO()
    return made


def written(terminal):
    return terminal.file.getvalue()


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


def test_a_title_is_not_broken_at_the_width_of_its_table():
    table = Table(box=None)
    table.add_column("n")
    table.add_row("1")
    console = Terminal()
    console.width = 60
    with console.capture() as captured:
        console.print(titled("a title of several words\x1b[31m", table))
    assert captured.get().splitlines()[0] == "a title of several words\\x1b[31m"
