"""Which blocks of one network or two are drawn as one box, which stand above each other, and in which row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from optnas.report.blocks import Block, total_macs, total_params
from optnas.report.differences import Pair

__all__ = ["Cell", "Column", "columns_of", "rows_of", "runs_of"]


@dataclass(frozen=True)
class Cell:
    """Blocks in a row that are drawn as one."""

    block: Block
    """The first."""
    count: int
    macs: int | None
    """Of all."""
    params: int
    """Of all."""


@dataclass(frozen=True)
class Column:
    """What stands above each other, one for each network; None where one has nothing there."""

    cells: tuple[Cell | None, ...]
    changes: tuple[str, ...] = ()
    """What is different between two networks."""

    @property
    def macs(self) -> int | None:
        """That the last network takes more than the first."""
        amounts = [0 if cell is None else cell.macs for cell in self.cells]
        return None if amounts[0] is None or amounts[-1] is None else amounts[-1] - amounts[0]


def columns_of(pairs: Sequence[Pair], networks: int) -> list[Column]:
    columns = []
    for _, group in groupby(pairs, key=lambda pair: (_looks(pair.left), _looks(pair.right), pair.changes)):
        members = list(group)
        sides = [[pair.left for pair in members], [pair.right for pair in members]][:networks]
        changes = members[0].changes if networks > 1 else ()
        columns.append(Column(tuple(_cell([block for block in side if block]) for side in sides), changes))
    return columns


def rows_of(columns: Sequence[Column], most: int) -> list[list[Column]]:
    """About equally long, and broken where a stage ends if one does thereabouts."""
    rows, rest = [], list(columns)
    while len(rest) > most:
        left = math.ceil(len(rest) / most)
        even = math.ceil(len(rest) / left)
        least = max(even * 2 // 3, len(rest) - (left - 1) * most)
        ends = [end for end in range(least, most + 1) if _stage(rest[end - 1]) != _stage(rest[end])]
        end = min(ends, key=lambda end: abs(end - even), default=even)
        rows.append(rest[:end])
        rest = rest[end:]
    return [*rows, rest] if rest else rows


def runs_of(cells: Sequence[Cell | None]) -> list[tuple[int, int, int]]:
    """Stages with the places of their first and last cell."""
    runs: list[tuple[int, int, int]] = []
    for place, cell in enumerate(cells):
        if cell and runs and runs[-1][0] == cell.block.stage:
            runs[-1] = (cell.block.stage, runs[-1][1], place)
        elif cell:
            runs.append((cell.block.stage, place, place))
    return runs


def _looks(block: Block | None) -> Block | None:
    """Equal for blocks that look alike."""
    return block and replace(block, params=min(block.params, 1), macs=None, layers=(), taken=0)


def _cell(blocks: Sequence[Block]) -> Cell | None:
    return Cell(blocks[0], len(blocks), total_macs(blocks), total_params(blocks)) if blocks else None


def _stage(column: Column) -> int:
    return next(cell.block.stage for cell in column.cells if cell)
