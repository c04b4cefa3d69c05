"""The blocks of a network from the input to the classes: what each is, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from torch import nn

from optnas.cost import format_cost
from optnas.cost.calls import Call, Run, run_parts
from optnas.errors import UsageError
from optnas.space import CHOSEN, Build, ReplayTrial
from optnas.space.graph import fixed_seed

__all__ = ["Block", "network_blocks", "stage_shares", "summary", "total_macs", "total_params", "trial_blocks"]

_Convolution = nn.modules.conv._ConvNd
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_NORMS = (nn.LayerNorm, nn.RMSNorm)


@dataclass(frozen=True)
class Block:
    """What is drawn as one box."""

    kind: str
    """The option that was chosen for it, or else what kind of module it is."""
    kernel: int
    """The largest kernel of its convolutions in pixels; 0 without one."""
    channels: int
    """That it gives on."""
    size: tuple[int, int]
    """(height, width) that it gives on; (length, 1) for sequences, (1, 1) for vectors."""
    params: int
    """Without those that a block before it holds too."""
    macs: int | None
    """Multiply-adds of one image until the next block begins; None if an operator of the network is not counted."""
    taken: int = 0
    """Channels that it takes in; 0 with several inputs."""
    expansion: float = 0.0
    """The most channels inside of it over those that it takes in; 0 for one layer, and where choices are inside."""
    stage: int = 1
    """From 1; blocks in a row of one size are a stage."""
    choice: str = ""
    """The name of the choice that it was chosen by, if it was."""
    parts: tuple[tuple[str, str], ...] = ()
    """What was chosen inside of it, as (choice, option), in the order of its modules."""
    layers: tuple[str, ...] = ()
    """The kinds of modules that it is made of, in their order."""


def trial_blocks(build: Build, input_shape: Sequence[int], params: Mapping[str, Any]) -> list[Block]:
    """The blocks of a trial's network, built anew.

    Args:
        build: The space, for such images.
        input_shape: (channels, height, width) of one image.
        params: The trial's; those that the space does not ask for are left aside.

    Raises:
        UsageError: If the params are of another space, or the space returns no module.
        Whatever the space or the network raises.
    """
    with fixed_seed():
        module = build(ReplayTrial(params))
    if not isinstance(module, nn.Module):
        raise UsageError(f"the space must return a torch.nn.Module, got {type(module).__name__}")
    return network_blocks(module, input_shape, params)


def network_blocks(
    module: nn.Module, input_shape: Sequence[int], choices: Mapping[str, Any] | None = None
) -> list[Block]:
    """The blocks of a network in the order in which they run; one that runs twice is there twice.

    A block is what was chosen as one, a module of a class of its own, or a layer; layers without weights to
    multiply with, such as activations, are part of the block before them, and so is what is computed between blocks.
    A module that only runs several blocks one after another is taken apart. The multiply-adds of all blocks sum to
    those of `optnas.cost.macs`, their parameters to those of all modules that ran.

    Args:
        module: The network; not changed.
        input_shape: One input without the batch, (channels, height, width).
        choices: The trial's params, by which blocks that were chosen are named.

    Raises:
        UsageError: If `input_shape` is no sequence of positive integers.
        Whatever the module's forward raises.
    """
    pieces = _pieces(module)
    chains = _chains(pieces)
    watched = [*pieces, *(part for parts in chains.values() for part in parts)]
    run = run_parts(module, input_shape, watched)
    calls = list(_shown(run, chains))
    if not calls:  # it does everything in its own forward
        watched, run = [module], run_parts(module, input_shape, [module])
        calls = list(run.calls)
    shown = {call.module for call in calls}
    around = _around(module, [part for part in watched if part in shown or part not in chains])
    ends = [*(call.macs_before for call in calls[1:]), run.macs or 0]
    begin, counted, blocks = 0, set[int](), list[Block]()
    for call, end in zip(calls, ends, strict=True):
        held = {id(one): one.numel() for one in (*around, *call.module.parameters()) if id(one) not in counted}
        found = _block(call, sum(held.values()), None if run.macs is None else end - begin, choices or {})
        if _is_minor(call.module) and blocks:
            blocks[-1] = _joined(blocks[-1], found)
        else:
            blocks.append(found)
        begin, around = end, []
        counted.update(held)
    return _staged(blocks)


def total_macs(blocks: Sequence[Block]) -> int | None:
    """Multiply-adds of one image; None where they are not known."""
    known = [block.macs for block in blocks if block.macs is not None]
    return sum(known) if len(known) == len(blocks) else None


def total_params(blocks: Sequence[Block]) -> int:
    """Parameters of all blocks."""
    return sum(block.params for block in blocks)


def summary(blocks: Sequence[Block]) -> str:
    """What a network costs, and where most of it goes: "12 blocks, 2.46 M MACs (52% in stage 1), 63.8 k parameters"."""
    macs = total_macs(blocks)
    if not blocks:
        return "no blocks"
    count = f"{len(blocks)} block{'s' if len(blocks) > 1 else ''}"
    params = f"{format_cost('params', total_params(blocks))} parameters"
    if macs is None:
        return f"{count}, MACs not known, {params}"
    shares = stage_shares(blocks)
    most = max(shares, key=lambda stage: shares[stage], default=0)
    where = f" ({shares[most]:.0%} in stage {most})" if len(shares) > 1 else ""
    return f"{count}, {format_cost('macs', macs)} MACs{where}, {params}"


def stage_shares(blocks: Sequence[Block]) -> dict[int, float]:
    """The share of the multiply-adds by stage; nothing where they are not known, or none are made."""
    total = total_macs(blocks)
    if not total:
        return {}
    stages = groupby(blocks, key=lambda block: block.stage)
    return {stage: (total_macs(list(members)) or 0) / total for stage, members in stages}


def _pieces(module: nn.Module) -> list[nn.Module]:
    """The blocks and minor layers that a module is made of, those of containers in their order."""
    return [piece for child in module.children() for piece in _split(child)] or [module]


def _split(module: nn.Module) -> list[nn.Module]:
    is_container = isinstance(module, _CONTAINERS) and CHOSEN not in module.__dict__ and not _is_single(module)
    return _pieces(module) if is_container else [module]


def _chains(pieces: Sequence[nn.Module]) -> dict[nn.Module, list[nn.Module]]:
    """Modules that may only run several blocks one after another, at any depth, with these."""
    chains: dict[nn.Module, list[nn.Module]] = {}
    for piece in pieces:
        inner = _pieces(piece) if CHOSEN not in piece.__dict__ else []
        if sum(CHOSEN in part.__dict__ or len(_layers(part)) > 1 for part in inner) > 1:
            chains |= {piece: inner, **_chains(inner)}
    return chains


def _shown(run: Run, chains: Mapping[nn.Module, list[nn.Module]], within: int | None = None) -> Iterator[Call]:
    """The calls that are shown, in their order: a chain's own ones, where each takes what the one before it gave."""
    for place, call in enumerate(run.calls):
        if call.within != within:
            continue
        inner = [one for one in run.calls if one.within == place]
        if call.module in chains and len(inner) > 1 and all(one.follows for one in inner[1:]):
            yield from _shown(run, chains, place)
        else:
            yield call


def _around(module: nn.Module, blocks: Sequence[nn.Module]) -> list[nn.Parameter]:
    """Parameters that a network keeps beside its blocks, such as an embedding of positions."""
    inside = {part for block in blocks for part in block.modules()}
    return [one for part in module.modules() if part not in inside for one in part.parameters(recurse=False)]


def _block(call: Call, params: int, macs: int | None, choices: Mapping[str, Any]) -> Block:
    module, layers = call.module, _layers(call.module)
    kernel = max((max(layer.kernel_size) for layer in layers if isinstance(layer, _Convolution)), default=0)
    chosen = [part for part in module.modules() if part is not module and CHOSEN in part.__dict__]
    channels, size = _shape(call.output, _widths(layers, "out"))
    taken = [_shape(one, _widths(layers, "in"))[0] for one in call.inputs]
    return Block(
        kind=_chosen(module, choices)[1] if CHOSEN in module.__dict__ else _kind(module, layers),
        kernel=kernel,
        channels=channels,
        size=size,
        params=params,
        macs=macs,
        taken=taken[0] if len(taken) == 1 else 0,
        expansion=_expansion(layers, taken, channels) if not chosen else 0.0,
        choice=_chosen(module, choices)[0] if CHOSEN in module.__dict__ else "",
        parts=tuple(_chosen(part, choices) for part in chosen),
        layers=tuple(dict.fromkeys(_told(module) or [_name(module)])),
    )


def _joined(block: Block, minor: Block) -> Block:
    """A block with what goes with it. A person wants to see what it looks at, not that all of it is pooled then."""
    takes_size = minor.channels == block.channels and minor.size != (1, 1)
    return replace(
        block,
        size=minor.size if takes_size else block.size,
        params=block.params + minor.params,
        macs=None if block.macs is None or minor.macs is None else block.macs + minor.macs,
        layers=tuple(dict.fromkeys(block.layers + minor.layers)),
    )


def _staged(blocks: Sequence[Block]) -> list[Block]:
    stage, staged = 1, list[Block]()
    for block in blocks:
        stage += bool(staged) and block.size != staged[-1].size
        staged.append(replace(block, stage=stage))
    return staged


def _layers(module: nn.Module) -> list[nn.Module]:
    """Its parts that multiply with weights."""
    return [part for part in module.modules() if _multiplies(part)]


def _multiplies(part: nn.Module) -> bool:
    if isinstance(part, _Convolution | nn.Linear):
        return True
    return not isinstance(part, _NORMS) and any(one.dim() > 1 for one in part.parameters(recurse=False))


def _is_single(module: nn.Module) -> bool:
    """Whether it multiplies with weights once: a convolution with all that goes with it."""
    return not any(CHOSEN in part.__dict__ for part in module.modules()) and len(_layers(module)) == 1


def _is_minor(module: nn.Module) -> bool:
    return CHOSEN not in module.__dict__ and not _layers(module)


def _shape(shape: Sequence[int] | None, widths: Sequence[int]) -> tuple[int, tuple[int, int]]:
    """Channels and size of a tensor with its batch; channels are where a layer has that width, first or last."""
    sizes = tuple(shape or ())[1:]
    if len(sizes) < 2:
        return (sizes[0] if sizes else 1), (1, 1)
    is_last = sizes[0] not in widths and (sizes[-1] in widths or len(sizes) == 2)
    channels, rest = (sizes[-1], sizes[:-1]) if is_last else (sizes[0], sizes[1:])
    return channels, (rest[0], 1) if len(rest) == 1 else (rest[-2], rest[-1])


def _expansion(layers: Sequence[nn.Module], taken: Sequence[int], given: int) -> float:
    """Of an inverted residual block 1 or more, of a bottleneck less; layers that only lead out of it are left aside."""
    if len(layers) < 2 or len(taken) != 1:
        return 0.0
    inside = [one for layer in layers for one in _widths([layer], "out") if one != given or _looks_around(layer)]
    return max(inside, default=given) / taken[0]


def _widths(layers: Sequence[nn.Module], end: str) -> list[int]:
    """Channels that layers take "in" or give "out"."""
    found = [getattr(layer, f"{end}_{what}", None) for layer in layers for what in ("channels", "features")]
    return [width for width in found if isinstance(width, int)]


def _looks_around(layer: nn.Module) -> bool:
    return isinstance(layer, _Convolution) and max(layer.kernel_size) > 1


def _kind(module: nn.Module, layers: Sequence[nn.Module]) -> str:
    if isinstance(module, nn.Sequential) and layers:
        module = layers[0]
    if isinstance(module, _Convolution):
        name = "depthwise" if module.groups == module.in_channels > 1 else "conv"
        name = "transposed" if module.transposed else name
        return f"{name} {'x'.join(map(str, module.kernel_size))}"
    return "linear" if isinstance(module, nn.Linear) else _name(module)


def _name(module: nn.Module) -> str:
    name = type(module).__name__.lstrip("_")
    return "Linear" if name == "NonDynamicallyQuantizableLinear" else name  # what attention calls its last one


def _told(module: nn.Module) -> list[str]:
    """The kinds of layers and of modules of a class of their own that a block is made of, not what is in these."""
    children = list(module.children())
    return [name for child in children for name in (_told(child) if isinstance(child, _CONTAINERS) else [_name(child)])]


def _chosen(module: nn.Module, choices: Mapping[str, Any]) -> tuple[str, str]:
    """The name of the choice that a module was built for, and its option."""
    name = str(module.__dict__[CHOSEN]).partition("#")[0]
    return name, str(choices.get(name, name))
