"""What is written in a box and above a stage, cut and shrunk to the room that there is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from optnas.report.blocks import Block
from optnas.report.drawing.columns import Cell
from optnas.report.drawing.shapes import SIZE, Words, text_width

__all__ = ["box_words", "fitting", "size_text"]

#: The size of letters of what a block is, and the least of any.
_HEAD, _LEAST = 8.0, 5.5


def box_words(cell: Cell, room: float, changes: Sequence[str] = ()) -> list[Words]:
    """What is written in a box, without its place; what changed is bold."""
    block = cell.block
    kind, _, looks = block.kind.rpartition(" ")
    if not (kind and re.fullmatch(r"\d+(x\d+)*", looks)):  # of "conv 3x3" the kernel comes below, as everywhere
        kind, looks = block.kind, f"{block.kernel}x{block.kernel}" if block.kernel else ""
    options = Counter(option for _, option in block.parts)
    lines = {
        "kernel": [looks.replace("x", "×")] if looks else [],
        "expansion": [f"expand {block.expansion:.2g}"] if block.expansion else [],
        "": [f"{count}× {option}" if count > 1 else option for option, count in options.items()],
    }
    whole = f"{cell.count}× {kind}" if cell.count > 1 else kind
    heads = [whole] if _fits(whole, room) else [*whole.removesuffix(kind).split(), *_folded(kind, room)]
    size = min((_shrunk(line, SIZE, room) for several in lines.values() for line in several), default=0)
    words = [Words(0, 0, line, min(_shrunk(one, _HEAD, room, True) for one in heads), bold=True) for line in heads]
    for name, several in lines.items():
        is_changed = bool(name) and any(change.startswith(f"{name} ") for change in changes)
        words += [Words(0, 0, _cut(line, _LEAST, room), size, bold=is_changed) for line in several]
    return words


def fitting(texts: Sequence[str], room: float, size: float, bold: bool = False) -> str:
    """The first text that there is room for, or the last."""
    return next((text for text in texts if text_width(text, size, bold) <= room), texts[-1])


def size_text(block: Block) -> str:
    return "vector" if block.size == (1, 1) else "×".join(map(str, block.size))


def _folded(kind: str, room: float) -> list[str]:
    """A kind in one or two lines, broken between words, also those of CamelCase."""
    if _fits(kind, room):
        return [kind]
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^A-Z\s_-]+[_-]?|\S", kind)
    lines = [""]
    for word in words:
        joint = " " if lines[-1] and f"{lines[-1]} {word}" in kind else ""
        if lines[-1] and not _fits(lines[-1] + joint + word, room):
            lines.append(word)
        else:
            lines[-1] += joint + word
    return [_cut(line, _LEAST, room, True) for line in (lines if len(lines) < 3 else [lines[0], "".join(lines[1:])])]


def _fits(text: str, room: float) -> bool:
    return text_width(text, _LEAST, True) <= room


def _cut(text: str, size: float, room: float, bold: bool = False) -> str:
    most = int(room / text_width("x", size, bold))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _shrunk(text: str, size: float, room: float, bold: bool = False) -> float:
    return max(_LEAST, min(size, int(2 * size * room / max(text_width(text, size, bold), 1)) / 2))
