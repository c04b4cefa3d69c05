"""The terminal, and texts for it and for pages: what stands in a study is shown there and never obeyed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

__all__ = ["Terminal", "harmless", "one_line"]

#: Control signs but for tab and line break, halves of signs, and what has no width or turns the direction of writing.
_STEERS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_INSTEAD = "\ufffd"


def harmless(text: str) -> str:
    """A text without what a terminal would obey, such as an escape: a sign for "unknown" stands in its place."""
    return _STEERS.sub(_INSTEAD, text)


def one_line(text: object) -> str:
    """A name or sentence that can forge no second line."""
    return harmless(" ".join(str(text).split()))


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
            yield segment if segment.control else segment._replace(text=harmless(segment.text))
