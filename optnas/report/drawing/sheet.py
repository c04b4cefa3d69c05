"""Where the parts of a drawing of networks stand: rows of blocks under their stages, above bars of multiply-adds.

A box is the taller, the more pixels it gives on, and the darker, the larger its kernel.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace

from optnas.cost import format_cost
from optnas.report.blocks import Block, stage_shares, summary, total_macs
from optnas.report.differences import Pair, aligned, comparison, differences, is_own, signed
from optnas.report.drawing.boxes import box_words, fitting, size_text
from optnas.report.drawing.columns import Cell, Column, columns_of, rows_of, runs_of
from optnas.report.drawing.shapes import INK, SIZE, Box, Drawing, Group, Line, Words, text_width

__all__ = ["WIDTH", "difference_drawing", "network_drawing"]

#: In points; what a README shows without making it smaller.
WIDTH = 612.0

#: By the smallest kernel that has it: light to dark, in print too.
_FILLS = {0: "#d5d5d5", 1: "#cfe1f2", 3: "#8fc1de", 5: "#2b74b0", 7: "#083c7d"}
#: Okabe and Ito (2008): told apart by the colour-blind.
_BAR, _CHANGED = "#e69f00", "#d55e00"
_DARK, _LIGHT, _EDGE = "#111", "#fff", "#5b6673"
_PITCH, _BOX = 46.0, 40.0
_MARGIN, _LABELS = 8.0, 46.0
_HEAD, _CHANNELS, _BARS, _AMOUNT = 28.0, 13.0, 26.0, 12.0
_LOWEST, _HIGHEST = 34.0, 64.0
#: Of a title that is too long for one.
_LINES = 3
#: Differences that are written below a drawing.
_TOLD = 8
#: From one line of a box to the next, over the size of its letters.
_LEADING = 1.3


def network_drawing(blocks: Sequence[Block], title: str = "", width: float = WIDTH) -> Drawing:
    """The drawing of one network.

    Args:
        blocks: From the input to the classes; equal ones in a row are drawn as one.
        title: Written above it; what the network costs follows in any case.
        width: The most it may take, in points; longer networks go on in further rows.
    """
    columns = columns_of([Pair(block, None) for block in blocks], 1)
    return _drawing(columns, [blocks], title or summary(blocks), [summary(blocks)] if title else [""], width)


def difference_drawing(
    left: Sequence[Block], right: Sequence[Block], titles: tuple[str, str], width: float = WIDTH
) -> Drawing:
    """The drawing of two networks, one under the other, with what differs outlined.

    Args:
        left: The blocks of the upper network.
        right: Of the lower one.
        titles: What they are called.
        width: The most it may take, in points.
    """
    pairs = aligned(left, right)
    told = [str(one).replace("->", "→").replace(" -", " −") for one in differences(left, right)]
    told = told if len(told) <= _TOLD else [*told[: _TOLD - 1], f"and {len(told) - _TOLD + 1} other differences"]
    heads = [f"{title}: {summary(blocks)}" for title, blocks in zip(titles, (left, right), strict=True)]
    return _drawing(columns_of(pairs, 2), [left, right], comparison(left, right, titles), heads, width, told)


class _Sheet:
    """Marks, from the top of the sheet down."""

    def __init__(self, columns: Sequence[Column], networks: Sequence[Sequence[Block]], width: float) -> None:
        self.marks: list[Box | Line | Words | Group] = []
        self.y = _MARGIN
        self.width = width
        self._shares = [stage_shares(blocks) for blocks in networks]
        self._totals = [total_macs(blocks) for blocks in networks]
        cells = [cell for column in columns for cell in column.cells if cell]
        self._pixels = max((math.prod(cell.block.size) for cell in cells), default=1)
        self._macs = max((cell.macs or 0 for cell in cells), default=0)

    def text(self, text: str, size: float, bold: bool = False, faint: bool = False) -> None:
        """Lines of text over the whole width."""
        most = max(20, int((self.width - 2 * _MARGIN) / (0.57 * size)))
        for line in textwrap.wrap(text, most, max_lines=_LINES, placeholder=" …"):
            self.y += size * 1.3
            self.marks.append(Words(_MARGIN, self.y - size * 0.65, line, size, "start", bold=bold, faint=faint))

    def row(self, columns: Sequence[Column], network: int) -> None:
        """One network's part of a row."""
        cells = [column.cells[network] for column in columns]
        self._heads(cells, network)
        highest = max(map(self._height, filter(None, cells)), default=_LOWEST)
        middle = round(self.y + highest / 2)
        below = round(self.y + highest + _CHANNELS / 2 + 1)
        base = round(self.y + highest + _CHANNELS + _BARS)
        self._label("channels", below)
        if self._macs:
            self._label("MACs", base + _AMOUNT / 2 + 1)
        for place, (cell, column) in enumerate(zip(cells, columns, strict=True)):
            x = _LABELS + place * _PITCH
            if cell is None:
                gone = Line(x + 10, middle, x + _BOX - 10, middle, faint=True)
                self.marks.append(Group(column.changes, (gone,)))
                continue
            marks = [*self._box(cell, x, middle, column.changes)]
            is_wider = any(change.startswith("width ") for change in column.changes)
            colour = _CHANGED if is_wider else INK
            marks.append(Words(x + _BOX / 2, below, str(cell.block.channels), colour=colour, bold=is_wider))
            if self._macs:
                marks += self._bar(cell, x, base)
            self.marks.append(Group(self._tip(cell, column, network), tuple(marks)))
        self.y = base + _AMOUNT + 4 if self._macs else base - _BARS

    def changes(self, columns: Sequence[Column]) -> None:
        """The multiply-adds that the lower network takes more."""
        self._label("change", self.y + 3)
        for place, column in enumerate(columns):
            if column.changes and column.macs is not None:
                text = signed("macs", column.macs).replace("-", "−")
                x = _LABELS + place * _PITCH + _BOX / 2
                self.marks.append(Words(x, self.y + 3, text, colour=_CHANGED, bold=True))
        self.y += 12

    def _label(self, text: str, y: float) -> None:
        self.marks.append(Words(_LABELS - 6, y, text, anchor="end", faint=True))

    def _heads(self, cells: Sequence[Cell | None], network: int) -> None:
        """Stages with their size and share of the multiply-adds, each over a line as long as it."""
        for stage, first, last in runs_of(cells):
            cell = cells[first]
            assert cell is not None
            x, room = _LABELS + first * _PITCH, (last - first) * _PITCH + _BOX
            size, share = size_text(cell.block), self._shares[network].get(stage)
            self.marks.append(
                Words(
                    x, self.y + 6, fitting((f"stage {stage}: {size}", size), room, 8.5, True), 8.5, "start", bold=True
                )
            )
            if share is not None:
                shown = f"{share:.0%}" if share >= 0.005 or not share else "<1%"
                texts = (f"{shown} of the MACs", shown)
                self.marks.append(Words(x, self.y + 16, fitting(texts, room, SIZE), anchor="start", faint=True))
            self.marks.append(Line(x, self.y + 22.5, x + room, self.y + 22.5, faint=True))
        self.y += _HEAD

    def _height(self, cell: Cell) -> float:
        scaled = _LOWEST + (_HIGHEST - _LOWEST) * math.sqrt(math.prod(cell.block.size) / self._pixels)
        return round(max(scaled, 7 + sum(words.size * _LEADING for words in box_words(cell, _BOX - 3))))

    def _box(self, cell: Cell, x: float, middle: float, changes: Sequence[str]) -> Iterator[Box | Words]:
        block, height = cell.block, self._height(cell)
        bare = not block.params and not block.macs
        fill = "none" if bare else _FILLS[_shade(block.kernel)]
        line, thick = (_CHANGED, 2.2) if is_own(changes) else (INK if bare else "", 0.8)
        is_stack = cell.count > 1
        top = middle - height / 2 + is_stack
        for shift in (3.0, 1.5) if is_stack else ():
            yield Box(x + shift, top - shift, _BOX, height, fill, line or _EDGE, 0.6, round=2)
        yield Box(x, top, _BOX, height, fill, line or (_EDGE if is_stack else ""), thick, bare, 2)
        ink = INK if bare else _LIGHT if block.kernel >= 5 else _DARK
        words = box_words(cell, _BOX - 3, changes)
        y = top + height / 2 - sum(word.size * _LEADING for word in words) / 2
        for word in words:
            yield replace(word, x=x + _BOX / 2, y=y + word.size * _LEADING / 2, colour=ink)
            y += word.size * _LEADING

    def _bar(self, cell: Cell, x: float, base: float) -> Iterator[Box | Words]:
        height = (_BARS - 4) * (cell.macs or 0) / self._macs
        yield Box(x, base - max(height, 0.6), _BOX, max(height, 0.6), _BAR)
        amount = "?" if cell.macs is None else format_cost("macs", cell.macs)
        yield Words(x + _BOX / 2, base + _AMOUNT / 2 + 1, amount)

    def _tip(self, cell: Cell, column: Column, network: int) -> tuple[str, ...]:
        block, total = cell.block, self._totals[network]
        name = f"{block.choice}: {block.kind}" if block.choice else block.kind
        lines = [f"{cell.count} times {name}" if cell.count > 1 else name]
        inside = [f"kernel {block.kernel}"] if block.kernel else []
        inside += [f"expansion {block.expansion:.3g}"] if block.expansion else []
        taken = f"{block.taken} to " if block.taken else ""
        lines.append(
            ", ".join([f"stage {block.stage}, {size_text(block)}", f"{taken}{block.channels} channels", *inside])
        )
        lines += [", ".join(f"{name} {option}" for name, option in block.parts)] if block.parts else []
        share = f" ({cell.macs / total:.1%})" if total and cell.macs else ""
        macs = "MACs not known" if cell.macs is None else f"{format_cost('macs', cell.macs)} MACs{share}"
        lines.append(f"{macs}, {format_cost('params', cell.params)} parameters")
        lines += [", ".join(block.layers)] if block.layers else []
        return (*lines, *(f"different: {change}" for change in column.changes))


def _drawing(
    columns: Sequence[Column],
    networks: Sequence[Sequence[Block]],
    title: str,
    heads: Sequence[str],
    width: float,
    told: Sequence[str] = (),
) -> Drawing:
    rows = rows_of(columns, max(3, int((width - _LABELS - _MARGIN + _PITCH - _BOX) / _PITCH)))
    longest = max(map(len, rows), default=0)
    sheet = _Sheet(columns, networks, max(_LABELS + longest * _PITCH + _MARGIN, min(width, 300.0)))
    sheet.text(title, 10.5, bold=True)
    for number, row in enumerate(rows or [[]]):
        for network, head in enumerate(heads):
            if head and number == 0:
                sheet.y += 6 if network else 2
                sheet.text(head, 8.5, bold=len(heads) > 1, faint=len(heads) == 1)
            if row:
                sheet.y += 5
                sheet.row(row, network)
        if row and len(networks) > 1:
            sheet.changes(row)
    sheet.y += 4 * bool(told)
    for sentence in told:
        sheet.text(sentence, SIZE, faint=True)
    top = sheet.y
    _legend(sheet, columns)
    label = ". ".join([title, *filter(None, heads)])
    return Drawing(sheet.width, sheet.y + _MARGIN, tuple(sheet.marks), label, top)


def _shade(kernel: int) -> int:
    return max(key for key in _FILLS if key <= kernel)


def _legend(sheet: _Sheet, columns: Sequence[Column]) -> None:
    """What colours, heights and signs mean, as far as they occur."""
    blocks = [cell.block for column in columns for cell in column.cells if cell]
    shades = sorted({_shade(block.kernel) for block in blocks if block.params or block.macs})
    names = {0: "no kernel", 7: "7×7" + (" or more" if any(block.kernel > 7 for block in blocks) else "")}
    items = [(_FILLS[shade], names.get(shade, f"{shade}×{shade}")) for shade in shades]
    told = [("expand 6: six times as many channels inside", any(block.expansion for block in blocks))]
    told += [("dashed: no weights", any(not block.params and not block.macs for block in blocks))]
    told += [("taller: more pixels", len({block.size for block in blocks}) > 1)]
    told += [("outlined: different", any(is_own(column.changes) for column in columns))]
    items += [("", text) for text, occurs in told if occurs]
    x, sheet.y = _MARGIN, sheet.y + 12
    for fill, text in items:
        room = text_width(text, SIZE) + (11 if fill else 0) + 8
        if x + room > sheet.width:
            x, sheet.y = _MARGIN, sheet.y + 11
        if fill:
            sheet.marks.append(Box(x, sheet.y - 4, 8, 8, fill))
        sheet.marks.append(Words(x + (11 if fill else 0), sheet.y, text, anchor="start", faint=True))
        x += room
