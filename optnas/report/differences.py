"""What is different between two networks, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby, zip_longest

from optnas.cost import format_cost
from optnas.report.blocks import Block, total_macs, total_params

__all__ = ["Difference", "Pair", "aligned", "comparison", "differences", "is_own", "signed"]

#: Choices that are named one by one; of more only the number is said.
_NAMED = 3


@dataclass(frozen=True)
class Pair:
    """What stands in one place of two networks; None where one of them has nothing there."""

    left: Block | None
    right: Block | None

    @property
    def changes(self) -> tuple[str, ...]:
        """What is different, as "kernel 3 -> 5"; nothing where the blocks are alike."""
        left, right = self.left, self.right
        if left is None or right is None:
            return (f"{right.kind} added",) if right is not None else (f"{left.kind} removed",) if left else ()
        return tuple(_changes(left, right))

    @property
    def macs(self) -> int | None:
        """Multiply-adds that the right one takes more; None where they are not known."""
        amounts = [0 if block is None else block.macs for block in (self.left, self.right)]
        return None if amounts[0] is None or amounts[1] is None else amounts[1] - amounts[0]

    @property
    def params(self) -> int:
        """Parameters that the right one has more."""
        return (self.right.params if self.right else 0) - (self.left.params if self.left else 0)


@dataclass(frozen=True)
class Difference:
    """The same change in one or several places; its text is a sentence."""

    where: str
    """The names of the choices, or the stages and blocks (from 1; of the right network where they are added)."""
    changes: tuple[str, ...]
    """Such as "kernel 3 -> 5"."""
    macs: int | None
    """Multiply-adds that the right network takes more there; None where they are not known."""
    params: int
    """Parameters that it has more."""

    def __str__(self) -> str:
        costs = [f"{signed('macs', self.macs)} MACs"] if self.macs else []
        costs += [f"{signed('params', self.params)} parameters"] if self.params else []
        return f"{self.where}: {', '.join((*self.changes, *costs))}"


def differences(left: Sequence[Block], right: Sequence[Block]) -> list[Difference]:
    """What the right network does differently, in the order of the blocks; the same change is told once.

    Args:
        left: The blocks of one network.
        right: Of the other.
    """
    numbers = _numbers(left) | _numbers(right)
    found: dict[tuple[str, ...], list[Pair]] = {}
    for pair in aligned(left, right):
        if pair.changes:
            found.setdefault(pair.changes, []).append(pair)
    return [_difference(changes, several, numbers) for changes, several in found.items()]


def aligned(left: Sequence[Block], right: Sequence[Block]) -> list[Pair]:
    """The blocks of two networks side by side.

    Blocks of the same choice belong together, others of the same kind and size, in their order. What stands between
    two such pairs is paired by position.
    """
    matcher = SequenceMatcher(None, [_key(block) for block in left], [_key(block) for block in right], autojunk=False)
    return [
        Pair(one, other)
        for _, a, b, c, d in matcher.get_opcodes()
        for one, other in zip_longest(left[a:b], right[c:d])
    ]  # fmt: skip


def comparison(left: Sequence[Block], right: Sequence[Block], titles: tuple[str, str]) -> str:
    """How much two networks differ, in one sentence.

    Args:
        left: The blocks of one network.
        right: Of the other.
        titles: What they are called.
    """
    pairs = aligned(left, right)
    changed = sum(is_own(pair.changes) for pair in pairs)
    if not any(pair.changes for pair in pairs):
        return f"{titles[0]} and {titles[1]} are built alike"
    amounts = [("params", total_params(left), total_params(right))]
    macs = total_macs(left), total_macs(right)
    if macs[0] is not None and macs[1] is not None:
        amounts.insert(0, ("macs", macs[0], macs[1]))
    names = {"macs": "MACs", "params": "parameters"}
    costs = [
        f"{signed(cost, new - old)} {names[cost]}" + (f" ({new / old - 1:+.0%})" if old and new != old else "")
        for cost, old, new in amounts
    ]
    return f"{titles[1]} against {titles[0]}: {changed} of {len(pairs)} blocks differ, {', '.join(costs)}"


def is_own(changes: Sequence[str]) -> bool:
    """Whether a block itself is different, and not only what comes to it."""
    return any(not change.startswith("input ") for change in changes)


def signed(cost: str, value: float) -> str:
    """A difference of a cost: "+1.23 M", "-412", "0"."""
    sign = "+" if value > 0 else "-" if value < 0 else ""
    return f"{sign}{format_cost(cost, abs(value))}"


def _key(block: Block) -> tuple[object, ...]:
    return (block.choice,) if block.choice else (block.kind, block.size)


def _changes(left: Block, right: Block) -> Iterable[str]:
    bare = not left.params or not right.params  # of a skipped block no kernel is told
    found = []
    if not bare:
        found += [_change("kernel", left.kernel, right.kernel)]
        found += [_change("expansion", f"{left.expansion:.3g}", f"{right.expansion:.3g}")]
    if left.kind != right.kind and not any(found):
        found.append(f"{left.kind} -> {right.kind}")
    found += [_change("width", left.channels, right.channels), _change("size", *map(_size, (left, right)))]
    if len(left.parts) == len(right.parts):
        found += [_change(old[0], old[1], new[1]) for old, new in zip(left.parts, right.parts, strict=True)]
    elif left.parts != right.parts:
        found.append("other choices inside")
    if not bare and left.parts == right.parts:
        found.append(_swapped(left.layers, right.layers))
    if not any(found):
        found.append(_change("input", left.taken, right.taken))
    if not any(found) and (left.params, left.macs) != (right.params, right.macs):
        found.append("other layers inside")
    return filter(None, found)


def _change(name: str, old: object, new: object) -> str:
    return f"{name} {old} -> {new}" if old != new else ""


def _swapped(old: Sequence[str], new: Sequence[str]) -> str:
    gone = ", ".join(name for name in old if name not in new)
    come = ", ".join(name for name in new if name not in old)
    if gone and come:
        return f"{gone} -> {come}"
    return f"without {gone}" if gone else f"with {come}" if come else ""


def _size(block: Block) -> str:
    return "x".join(map(str, block.size))


def _numbers(blocks: Sequence[Block]) -> dict[int, int]:
    """By id the number of each block in its stage."""
    stages = groupby(blocks, key=lambda block: block.stage)
    return {id(block): number for _, members in stages for number, block in enumerate(members, 1)}


def _difference(changes: tuple[str, ...], several: Sequence[Pair], numbers: Mapping[int, int]) -> Difference:
    macs = [pair.macs for pair in several]
    known = [amount for amount in macs if amount is not None]
    blocks = [block for pair in several if (block := pair.left or pair.right)]
    others = [pair.left for pair in several if pair.left and pair.right and not pair.left.choice]
    return Difference(
        where=_where(blocks, numbers, dict.fromkeys(block.kind for block in others)),
        changes=changes,
        macs=sum(known) if len(known) == len(macs) else None,
        params=sum(pair.params for pair in several),
    )


def _where(blocks: Sequence[Block], numbers: Mapping[int, int], kinds: Iterable[str]) -> str:
    """Choices by their names; other blocks by their stages and numbers, with what they are."""
    names = list(dict.fromkeys(block.choice for block in blocks if block.choice))
    others = [block for block in blocks if not block.choice]
    for stage, members in groupby(others, key=lambda block: block.stage):
        there = [numbers[id(block)] for block in members]
        are_in_a_row = len(there) > 1 and there[-1] - there[0] == len(there) - 1
        several = f"{there[0]} to {there[-1]}" if are_in_a_row else ", ".join(map(str, there))
        names.append(f"stage {stage} block{'s' if len(there) > 1 else ''} {several}")
    if len(names) > _NAMED:
        return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
    told = ", ".join(kinds)
    return ", ".join(names) + (f" ({told})" if told else "")
