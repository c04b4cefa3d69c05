"""The terminal: what stands in a study is shown there and never obeyed."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from optnas.printable import one_line, printable

__all__ = ["Terminal", "titled"]


class Terminal(Console):
    """A console that writes texts as they are, without markup, emoji or colours of its own, and nothing that steers.

    Args:
        stderr: Write to standard error.
        soft_wrap: Leave it to the terminal to break lines.
    """

    def __init__(self, *, stderr: bool = False, soft_wrap: bool = False) -> None:
        super().__init__(stderr=stderr, soft_wrap=soft_wrap, highlight=False, markup=False, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text, lines=True))


def titled(title: str, table: Table) -> Group:
    """A table under its title, which has the whole line: a table's own title wraps at the width of the table."""
    return Group(Text(one_line(title), style="table.title"), table)
