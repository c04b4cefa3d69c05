"""Text from elsewhere, fit for a terminal: what a name or a reason says is shown, what it would do is not."""

from __future__ import annotations

import shlex
import unicodedata

__all__ = ["counted", "one_line", "printable", "shell_word"]

# Control and format characters (escape sequences, text that runs backwards), separators of lines and paragraphs,
# and the halves of characters that no terminal can encode.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Format characters without which Persian, Hindi and many emoji are not written.
_JOINERS = "\u200c\u200d"


def printable(text: object, *, lines: bool = False) -> str:
    r"""`str(text)` with each character that a terminal would obey instead of show written as its escape, `\x1b`.

    A study, its choices, reasons and notes may come from anywhere; a name with an escape sequence could move the
    cursor over what stands there, retitle the window or fill the clipboard, and one with a line break could
    imitate a line of ours.

    Args:
        text: Anything; what `str` gives of it.
        lines: Whether line breaks and tabs stay, for text of several lines.
    """
    shown = str(text)
    if shown.isascii() and shown.isprintable():  # nearly always
        return shown
    kept = _JOINERS + "\n\t" if lines else _JOINERS
    return "".join(
        one if one in kept or unicodedata.category(one) not in _UNSEEN else one.encode("unicode_escape").decode()
        for one in shown
    )


def one_line(text: object) -> str:
    """A name or sentence that can forge no second line: its white space is single spaces, the rest as `printable`."""
    return printable(" ".join(str(text).split()))


def shell_word(text: object) -> str:
    r"""One word of a command that a person copies: quoted for a shell, and without what a terminal would obey.

    A character that cannot be shown is written as `$'\x1b'`, which bash, zsh and ksh read as that character.
    """
    word = str(text)
    if printable(word, lines=True) == word:
        return shlex.quote(word)
    parts = (one if printable(one) == one else _in_shell(one) for one in word.replace("\\", "\\\\").replace("'", "\\'"))
    return f"$'{''.join(parts)}'"


def _in_shell(sign: str) -> str:
    code = ord(sign)
    return f"\\x{code:02x}" if code < 128 else f"\\U{code:08x}"


def counted(number: int, noun: str) -> str:
    """ "1 network", "7 networks"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
