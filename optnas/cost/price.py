"""All costs by name, measured on one network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from optnas.cost.blocks import foretell_ms
from optnas.cost.device import device_fingerprint
from optnas.cost.energy import energy_mj
from optnas.cost.latency import Latency, measure_latency, reference_latency_ms
from optnas.cost.macs import macs
from optnas.cost.params import params
from optnas.cost.peak_memory import peak_memory_bytes
from optnas.cost.remote import measure_remote, remote_fingerprint, remote_reference_ms
from optnas.cost.size_bytes import size_bytes
from optnas.cost.table import LatencyTable
from optnas.runtime import make_runtime

__all__ = ["EXACT", "USUAL", "Prices"]

_COUNTERS: Mapping[str, Callable[[nn.Module, tuple[int, int, int]], float]] = {
    "params": params,
    "macs": macs,
    "size_bytes": size_bytes,
    "peak_memory_bytes": peak_memory_bytes,
    "energy_mj": energy_mj,
}

#: The costs that are counted, in milliseconds and without noise.
EXACT = tuple(_COUNTERS)
#: Those that are counted of every network; an estimate has to be asked for.
USUAL = tuple(name for name in EXACT if name != "energy_mj")


@dataclass(frozen=True)
class Prices:
    """Measures costs by name; the settings that make latencies of one study comparable."""

    runtime: str = "eager"
    """What runs the networks that are timed, one of `optnas.runtime.RUNTIMES`."""
    device: str = "cpu"
    """Where it runs them."""
    reference_ms: float | None = None
    """What the reference network takes there; None calibrates it once a process."""
    seconds: float | None = None
    """How long one network is timed; None for what the runtime needs."""
    command: str | None = None
    """If given, networks are timed where this command runs them: see `measure_remote`."""
    table: LatencyTable | None = None
    """If given, `latency_ms` is foretold from it; `latency` still measures."""

    def __call__(self, name: str, module: nn.Module, input_shape: tuple[int, int, int]) -> dict[str, float]:
        """The cost called `name`, in its unit; for a measured `latency_ms` also `latency_spread_ms`.

        Raises:
            KeyError: If there is no such cost.
            DeviceFailed: If the device of the command is gone.
            UsageError: As `foretell_ms`, if there is a table.
            Whatever the runtime or the module's forward raises.
        """
        if name == "latency_ms" and self.table is not None:
            return {"latency_ms": foretell_ms(self.table, module, input_shape)}
        if name == "latency_ms":
            latency = self.latency(module, input_shape)
            return {"latency_ms": latency.latency_ms, "latency_spread_ms": latency.spread_ms}
        return {name: _COUNTERS[name](module, input_shape)}

    def latency(self, module: nn.Module, input_shape: Sequence[int]) -> Latency:
        """One measurement; raises as `measure_latency` and `measure_remote`."""
        if self.command is not None:
            return measure_remote(self.command, self.runtime, module, input_shape, self.reference_ms)
        runtime = make_runtime(self.runtime, self.device)
        return measure_latency(
            module, input_shape, runtime=runtime, seconds=self.seconds, reference_ms=self.reference_ms
        )

    def calibrated(self) -> Prices:
        """The same with a reference time: one value for the life of a study keeps its latencies comparable."""
        if self.reference_ms is not None or self.table is not None:
            return self
        if self.command is not None:
            return replace(self, reference_ms=remote_reference_ms(self.command, self.runtime))
        return replace(self, reference_ms=reference_latency_ms(make_runtime(self.runtime, self.device)))

    def fingerprint(self) -> dict[str, Any]:
        """What must be the same for two latencies to be compared, as plain values."""
        if self.table is not None:
            return {**self.table.device, "latency_table": self.table.digest}
        if self.command is not None:
            return remote_fingerprint(self.command, self.runtime)
        return device_fingerprint(make_runtime(self.runtime, self.device))
