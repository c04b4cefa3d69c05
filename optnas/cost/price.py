"""All costs by name, measured on one network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from optnas.cost.latency import measure_latency
from optnas.cost.macs import macs
from optnas.cost.params import params
from optnas.cost.peak_memory import peak_memory_bytes
from optnas.cost.size_bytes import size_bytes

__all__ = ["EXACT", "Prices"]

_COUNTERS: Mapping[str, Callable[[nn.Module, tuple[int, int, int]], int]] = {
    "params": params,
    "macs": macs,
    "size_bytes": size_bytes,
    "peak_memory_bytes": peak_memory_bytes,
}

#: The costs that are counted, in milliseconds and without noise.
EXACT = tuple(_COUNTERS)


@dataclass(frozen=True)
class Prices:
    """Measures costs by name; the settings that make latencies of one study comparable."""

    device: str = "cpu"
    """Where latency is timed."""
    reference_ms: float | None = None
    """What the reference network takes there; None calibrates it once a process."""
    seconds: float = 0.4
    """How long one network is timed."""

    def __call__(self, name: str, module: nn.Module, input_shape: tuple[int, int, int]) -> dict[str, float]:
        """The cost called `name`, in its unit; for `latency_ms` also `latency_spread_ms`.

        Raises:
            KeyError: If there is no such cost.
            Whatever the module's forward raises.
        """
        if name == "latency_ms":
            latency = measure_latency(
                module, input_shape, device=self.device, seconds=self.seconds, reference_ms=self.reference_ms
            )
            return {"latency_ms": latency.latency_ms, "latency_spread_ms": latency.spread_ms}
        return {name: _COUNTERS[name](module, input_shape)}
