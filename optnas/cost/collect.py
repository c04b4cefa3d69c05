"""Making a table of blocks: find those of a space, time each alone, and see how well they foretell whole networks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.stats import kendalltau
from torch import nn

from optnas.cost.blocks import _BLOCK, _Memory, foretell_ms
from optnas.cost.identity import digest_of, kind_of
from optnas.cost.kept import KeptBlocks
from optnas.cost.price import Prices
from optnas.cost.remote import DeviceFailed
from optnas.cost.table import Features, LatencyTable, TableError, TimedBlock, UnknownBlock, within_reach
from optnas.errors import UsageError, first_line
from optnas.space import CHOSEN, Build, RandomTrial
from optnas.space.graph import fixed_seed

__all__ = ["Found", "build_table", "find_blocks"]

#: Draws in a row without a new block that end the search for more, and draws at most.
_QUIET, _MOST = 300, 5000
#: How long a block is timed; its errors average out over a network.
_SECONDS = 0.04
#: Whole networks that scale and offset come from, and others that tell the error.
_CALIBRATION, _TEST = 20, 30


class Found:
    """A block of a space, not timed."""

    def __init__(self, module: nn.Module, input_shape: tuple[int, ...], features: Features, chosen: bool) -> None:
        self.module, self.input_shape, self.features = module, input_shape, features
        self.chosen = chosen
        """Whether it is an option of `choose`."""
        self.kind = kind_of(module)

    def real(self) -> nn.Module:
        """A copy with values: positive ones, so that nothing is left out for being zero."""
        return _filled(self.module, torch.Generator().manual_seed(0))


def build_table(
    build: Build,
    input_shape: tuple[int, int, int],
    prices: Prices,
    *,
    space: str = "",
    classes: int = 10,
    blocks: int | None = None,
    seed: int = 0,
    kept: KeptBlocks | None = None,
    on_step: Callable[[str, int, int], None] = lambda what, done, of: None,
) -> LatencyTable:
    """Time the blocks of a space, each alone beyond an empty network, and judge the sum on whole networks.

    Args:
        build: The space, for such images.
        input_shape: (channels, height, width) of one image.
        prices: What times them, without a table.
        space: Its name, for a person.
        classes: The outputs of the classifier.
        blocks: The most that are timed, spread over kinds and sizes; the others are estimated. None times all.
        seed: Of the draws.
        kept: Blocks that are not timed again, and where those are kept that are; it is left to the caller to remove.
        on_step: Told what is done, how many are and of how many. The first of "blocks timed" tells of kept ones.

    Raises:
        UsageError: If no network of the space works, no block can be timed, `blocks` are too few to estimate the
            others, or networks do not take longer for longer blocks.
        DeviceFailed: If the device does not answer.
    """
    kept = kept or KeptBlocks(None)
    prices = kept.open(prices)
    found = find_blocks(build, input_shape, seed, lambda known: on_step("blocks found", known, known))
    picked = _spread(found, blocks)
    timed, problem = _timed(picked, input_shape, prices, kept, partial(on_step, "blocks timed"))
    if not timed:
        raise UsageError(f"latency table: expected blocks that {prices.runtime} can time, got none: {problem}")
    table = LatencyTable(
        space=space,
        input_shape=input_shape,
        classes=classes,
        runtime=prices.runtime,
        device=prices.fingerprint(),
        reference_ms=float(prices.reference_ms or 0),
        offset_ms=0.0,
        scale=1.0,
        blocks=timed,
        untimed=len(found) - len(timed),
        error=TableError(0, 0.0, 0.0, 0.0),
    )
    return _judged(table, build, prices, seed, partial(on_step, "networks timed"))


def _timed(
    picked: Mapping[str, Found],
    input_shape: tuple[int, int, int],
    prices: Prices,
    kept: KeptBlocks,
    on_step: Callable[[int, int], None],
) -> tuple[dict[str, TimedBlock], str]:
    """Those blocks that can be timed, by digest, and why the first of the others cannot."""
    briefly, problem = replace(prices, seconds=_SECONDS), ""
    missing = [name for name in picked if name not in kept.blocks]
    before = len(picked) - len(missing)
    on_step(before, len(picked))
    empty_ms = briefly.latency(nn.Identity(), input_shape).latency_ms
    for done, name in enumerate(missing, before + 1):
        block = picked[name]
        try:
            beyond_ms = briefly.latency(block.real(), block.input_shape).latency_ms - empty_ms
        except DeviceFailed:
            raise
        except Exception as error:  # networks with it do not work there either, which is said when one is built
            problem = problem or f"{block.kind}: {first_line(error)}"
        else:
            time_ns = max(0, round(beyond_ms * 1e6))
            kept.add(name, TimedBlock(block.kind, block.input_shape, block.features, time_ns))
        on_step(done, len(picked))
    return {name: kept.blocks[name] for name in picked if name in kept.blocks}, problem


def find_blocks(
    build: Build, input_shape: tuple[int, int, int], seed: int = 0, on_new: Callable[[int], None] = lambda known: None
) -> dict[str, Found]:
    """The blocks of random networks, by digest; at each `choose` all options at the shape of its input.

    Draws until many in a row show no new one. A block is an option of `choose` that chooses nothing within, or a
    largest module without such options; the network itself is taken apart in any case.

    Raises:
        UsageError: If none of the first networks works.
    """
    generator, finder = np.random.default_rng([seed, 0]), _Finder()
    quiet = failed = 0
    for drawn in range(1, _MOST + 1):
        before = len(finder.found)
        try:
            with fixed_seed():
                finder.look(build, generator, input_shape)
        except Exception as error:
            failed += 1
            if failed == drawn == 20:
                raise UsageError(f"none of {drawn} random networks of the space works: {first_line(error)}") from None
        quiet = 0 if len(finder.found) > before else quiet + 1
        if quiet == 0:
            on_new(len(finder.found))
        if quiet == _QUIET:
            break
    return finder.found


class _Offers(RandomTrial):
    """Keeps the options of each choice by the tag of the module that was built of one."""

    def __init__(self, generator: np.random.Generator, memory: _Memory) -> None:
        super().__init__(generator)
        self.build_option = memory.build  # type: ignore[method-assign]
        self.options: dict[str, list[Callable[[], nn.Module]]] = {}

    def choose(self, name: str, options: Mapping[str, Callable[[], nn.Module]]) -> nn.Module:
        module = super().choose(name, options)
        self.options[module.__dict__[CHOSEN]] = list(options.values())
        return module


class _Finder:
    def __init__(self) -> None:
        self.found: dict[str, Found] = {}
        self._memory = _Memory()
        self._seen: set[tuple[int, tuple[int, ...]]] = set()

    def look(self, build: Build, generator: np.random.Generator, input_shape: tuple[int, int, int]) -> None:
        trial = _Offers(generator, self._memory)
        network = build(trial).eval().to("meta")
        calls: list[tuple[nn.Module, tuple[int, ...]]] = []
        for part in set(_parts(network)):
            self._memory._describe(part, {})
            part.__dict__["forward"] = partial(_noted, calls, part, part.forward)
        with torch.no_grad(), self._memory._counter:
            network(torch.empty(1, *input_shape, device="meta"))
        for part, shape in calls:
            tag = part.__dict__.get(CHOSEN)
            for builder in trial.options.get(str(tag), []):
                option = self._memory.build(builder)
                if not any(CHOSEN in inner.__dict__ for inner in option.modules()):
                    self._add(option, shape, True)
            if tag is None:
                self._add(part, shape, False)

    def _add(self, module: nn.Module, input_shape: tuple[int, ...], chosen: bool) -> None:
        known = module.__dict__.get(_BLOCK) or self._memory._describe(module, {})
        if known.name is not None:
            if (known.name, input_shape) in self._seen:
                return
            self._seen.add((known.name, input_shape))
        name = digest_of(module, input_shape)
        if name is None or name in self.found:  # what has no name cannot be looked up
            return
        images, counter = torch.empty(1, *input_shape, device="meta"), self._memory._counter
        counter.macs = 0
        with torch.no_grad(), counter:
            output = module(images)
        features = counter.macs, known.params, images.numel(), output.numel()
        self.found[name] = Found(copy.copy(module), input_shape, features, chosen)


def _noted(calls: list[Any], part: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    calls.append((part, tuple(args[0].shape[1:])))
    return forward(*args, **kwargs)


def _parts(module: nn.Module, is_root: bool = True) -> Iterator[nn.Module]:
    children = list(module.children())
    inside = any(CHOSEN in part.__dict__ for child in children for part in child.modules())
    if not (inside or (children and (is_root or digest_of(module, ()) is None))):
        yield module
        return
    for child in children:
        yield from _parts(child, False)


def _filled(module: nn.Module, generator: torch.Generator) -> nn.Module:
    """A copy of a module that the memory described, without what it was given there."""
    clone = copy.copy(module)
    for name in ("forward", _BLOCK):
        clone.__dict__.pop(name, None)
    clone._parameters = {key: _values(tensor, generator) for key, tensor in module._parameters.items()}
    clone._buffers = {key: _values(tensor, generator) for key, tensor in module._buffers.items()}
    clone._modules = {key: child and _filled(child, generator) for key, child in module._modules.items()}
    return clone


def _values(tensor: torch.Tensor | None, generator: torch.Generator) -> Any:
    if tensor is None:
        return None
    filled = torch.zeros(tensor.shape, dtype=tensor.dtype)
    if tensor.is_floating_point():
        filled.uniform_(0.5, 1.5, generator=generator)
    return nn.Parameter(filled, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else filled


def _spread(found: Mapping[str, Found], most: int | None) -> dict[str, Found]:
    """Enough of each kind to estimate the others, then those outside `choose`, which most networks have, then options.

    All are spread evenly over kinds and multiply-adds. Raises `UsageError` if so many are not enough.
    """
    if most is None or most >= len(found):
        return dict(found)
    kinds: dict[str, list[str]] = {}
    for name in sorted(found, key=lambda n: (found[n].kind, found[n].features)):
        kinds.setdefault(found[name].kind, []).append(name)
    needed = {kind: _enough(found, names) for kind, names in kinds.items()}
    picked = dict.fromkeys(name for names in needed.values() for name in names)
    if len(picked) > most:
        each = "\n".join(f"{len(needed[kind])} of {len(names)} {kind}" for kind, names in kinds.items())
        raise UsageError(
            f"latency table: expected at least {len(picked)} blocks to estimate the other {len(found) - len(picked)} "
            f"from, as listed by kind, got {most}",
            f"blocks to time:\n{each}",
        )
    for chosen in (False, True):
        rest = [name for names in kinds.values() for name in names if name not in picked]
        rest = [name for name in rest if found[name].chosen == chosen]
        picked |= dict.fromkeys(_evenly(rest, most - len(picked)))
    return {name: found[name] for name in picked}


def _enough(found: Mapping[str, Found], names: Sequence[str]) -> list[str]:
    """The fewest of blocks of one kind, spread evenly, that the others can be estimated from."""
    for many in range(1, len(names)):
        picked = _evenly(names, many)
        others = [found[name].features for name in set(names).difference(picked)]
        if within_reach(others, [found[name].features for name in picked]):
            return picked
    return list(names)


def _evenly(names: Sequence[str], many: int) -> list[str]:
    places = np.linspace(0, len(names) - 1, min(many, len(names)))
    return [names[place] for place in sorted({round(place) for place in places})]


def _judged(
    table: LatencyTable, build: Build, prices: Prices, seed: int, on_step: Callable[[int, int], None]
) -> LatencyTable:
    """The same with scale and offset from some networks, and its error on others."""
    generator, seen = np.random.default_rng([seed, 1]), []
    rows: list[tuple[float, float]] = []
    unknown = 0
    for _ in range(4 * (_CALIBRATION + _TEST)):
        trial = RandomTrial(generator)
        try:
            with fixed_seed():
                network = build(trial)
            if trial.params in seen or not isinstance(network, nn.Module):
                continue
            seen.append(trial.params)
            sum_ms = foretell_ms(table, network, table.input_shape)
            rows.append((sum_ms, prices.latency(network, table.input_shape).latency_ms))
        except DeviceFailed:
            raise
        except UnknownBlock:
            unknown += 1  # a block of it could not be timed
            continue
        except Exception:
            continue  # a network of the space that does not work
        on_step(len(rows), _CALIBRATION + _TEST)
        if len(rows) == _CALIBRATION + _TEST:
            break
    if unknown > len(rows):
        raise UsageError(
            f"latency table: expected enough timed blocks to estimate the other {table.untimed}, "
            f"got {len(table.blocks)}, by which {unknown} of {unknown + len(rows)} networks are not known"
        )
    known = min(_CALIBRATION, len(rows) // 2)
    if known < 2:
        raise UsageError(f"latency table: expected at least 4 different networks to judge it by, got {len(rows)}")
    sums, times = np.array(rows).T
    offset_ms, scale = _line(sums[:known], times[:known])
    if scale == 0:
        raise UsageError(
            f"latency table: expected networks of slower blocks to be slower, got no such thing among {known}: by a "
            "sum of blocks all would take the same; time them one by one in a search without a table"
        )
    foretold, timed = offset_ms + scale * sums[known:], times[known:]
    wrong = np.abs(foretold / timed - 1)
    tau = float(kendalltau(foretold, timed)[0])
    error = TableError(len(timed), float(np.median(wrong)), float(np.quantile(wrong, 0.9)), tau)
    return replace(table, offset_ms=offset_ms, scale=scale, error=error)


def _line(sums: NDArray[np.float64], times: NDArray[np.float64]) -> tuple[float, float]:
    """Offset and scale, neither below 0, that make the squares of the relative errors least."""
    design = np.column_stack([np.ones(len(sums)), sums]) / times[:, None]
    offset_ms, scale = nnls(design, np.ones(len(sums)))[0]
    return float(offset_ms), float(scale)
