"""What a network costs, known before it is trained."""

from optnas.cost.blocks import BLOCKWISE, BlockCounter
from optnas.cost.constraint import Constraint, parse_budget, parse_constraint, parse_constraints, parse_quantity
from optnas.cost.device import device_fingerprint
from optnas.cost.energy import energy_mj
from optnas.cost.latency import Latency, latency_ms, measure_file, measure_latency, reference_latency_ms
from optnas.cost.macs import UncountedOperator, count_operator, macs, macs_by_module
from optnas.cost.names import COSTS, format_cost
from optnas.cost.params import params
from optnas.cost.peak_memory import peak_memory_bytes
from optnas.cost.price import EXACT, USUAL, Prices
from optnas.cost.profile import Profile, profile
from optnas.cost.remote import DeviceFailed
from optnas.cost.size_bytes import size_bytes
from optnas.cost.table import LatencyTable, load_table

__all__ = [
    "BLOCKWISE",
    "COSTS",
    "EXACT",
    "USUAL",
    "BlockCounter",
    "Constraint",
    "DeviceFailed",
    "Latency",
    "LatencyTable",
    "Prices",
    "Profile",
    "UncountedOperator",
    "count_operator",
    "device_fingerprint",
    "energy_mj",
    "format_cost",
    "latency_ms",
    "load_table",
    "macs",
    "macs_by_module",
    "measure_file",
    "measure_latency",
    "params",
    "parse_budget",
    "parse_constraint",
    "parse_constraints",
    "parse_quantity",
    "peak_memory_bytes",
    "profile",
    "reference_latency_ms",
    "size_bytes",
]
