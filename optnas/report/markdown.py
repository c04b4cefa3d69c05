"""Text from a storage inside of Markdown: in the notes of the dashboard, in the card of a network."""

from __future__ import annotations

import re

from optnas.printable import one_line

__all__ = ["escaped"]

#: What begins a link by itself, and what Markdown takes for more than a sign in the midst of a line.
_LINKS, _SIGNS = re.compile(r"(?i)https?:|www|@"), re.compile(r"([\\`*_\[\]<>&|~$#])")
#: Without width: parts a link, which otherwise is made of the text that escapes leave.
_JOINER = "\u2060"


def escaped(text: object) -> str:
    """A text as Markdown that shows it as it is, on one line: no link, picture, HTML or formula, and nothing hidden."""
    line = one_line(text)
    return _SIGNS.sub(r"\\\1", _LINKS.sub(lambda found: found[0] + _JOINER, line))
