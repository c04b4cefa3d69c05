"""The energy of one image, estimated from what is computed and moved."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from optnas.cost._folding import folded_norms
from optnas.cost.macs import macs
from optnas.cost.size_bytes import stored_bytes
from optnas.space.graph import Graph, record

__all__ = ["energy_mj"]

# Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014: 45 nm at 0.9 V.
_PJ_MULTIPLY_ADD = 3.7 + 0.9
"""A multiplication and an addition of 32-bit floats."""
_PJ_SRAM_BYTE = 100 / 8
"""64 bits from a memory of 1 MB on the chip."""
_PJ_DRAM_BYTE = 1950 / 8
"""64 bits from DRAM: the middle of 1.3 and 2.6 nJ."""
_MJ = 1e-9


def energy_mj(module: nn.Module, input_shape: Sequence[int]) -> float:
    """An estimate of the millijoules that one image takes: good for comparing networks, not for a battery's hours.

    Each multiply-add costs one multiplication and one addition of 32-bit floats; each weight comes from DRAM once;
    each activation is written to a memory on the chip by the operator that makes it, and read by each that uses it.
    Batch norms that are folded away (see `size_bytes`) move nothing, nor do views.

    The coefficients are those of 45 nm (Horowitz 2014). A phone of today takes several times less for everything,
    8-bit integers less again, and an accelerator reuses what it has read; caches, the operating system and the
    screen are left out. It was measured on no device.

    Args:
        module: The network; not changed.
        input_shape: One input without the batch, (channels, height, width).

    Raises:
        UncountedOperator: As `macs`.
        Whatever the module's forward raises.
    """
    graph = record(module, input_shape)
    picojoules = _PJ_MULTIPLY_ADD * macs(module, input_shape)
    picojoules += _PJ_DRAM_BYTE * stored_bytes(graph) + _PJ_SRAM_BYTE * moved_bytes(graph)
    return picojoules * _MJ


def moved_bytes(graph: Graph) -> int:
    """Bytes of activations that operators read and write; a view, which makes no memory of its own, moves none."""
    fixed = {value.storage for value in (*graph.weights, *(value for value, _ in graph.constants))}
    folded, total = folded_norms(graph), 0
    for index, operator in enumerate(graph.operators):
        sources = {value.storage for value in operator.reads}
        made = [value for value in operator.outputs if value.storage not in sources or value.storage in operator.writes]
        if index in folded or not made:
            continue
        read = [value for value in operator.reads if value.storage not in fixed]
        total += sum(value.size_bytes for value in (*read, *made))
    return total
