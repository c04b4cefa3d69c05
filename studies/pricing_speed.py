"""How fast are networks priced? Counting by blocks beside counting whole networks, on the same networks.

    python studies/pricing_speed.py                                  # mobile space at 28, 32, 64 and 224 pixels, cell
    python studies/pricing_speed.py --networks 20 --sizes 28

"new" are random networks, the first that are seen; "near" are mutants of some of them, which is what a sampler
asks for. Both ways must give the same counts, or the script ends with an error.
"""

import argparse
import time
from functools import partial

import numpy as np

from optnas.cost import BLOCKWISE, BlockCounter, macs, params, size_bytes
from optnas.space import ReplayTrial, cell, mobile, mutate, sample
from optnas.study import versions
from optnas.threads import one_thread

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--networks", type=int, default=100, help="of each kind (default: %(default)s)")
parser.add_argument("--sizes", type=int, nargs="+", default=[28, 32, 64, 224], help="pixels (default: %(default)s)")
arguments = parser.parse_args()


def whole(build, shape, choices):
    """Build a network and count it by tracing, as is done once for each network that is trained."""
    module = build(ReplayTrial(choices))
    return dict(zip(BLOCKWISE, (params(module), macs(module, shape), size_bytes(module, shape)), strict=True))


def milliseconds(count, networks):
    """CPU time a network, and the counts."""
    began = time.process_time()
    counted = [count(choices) for choices in networks]
    return 1e3 * (time.process_time() - began) / len(networks), counted


spaces = [(f"mobile {size}", mobile, (3 if size > 28 else 1, size, size)) for size in arguments.sizes]
print(f"{'space':12} {'whole':>9} {'new':>9} {'near':>9}   ms a network; near is so many times as fast as whole")
for name, space, shape in [*spaces, ("cell", cell, (3, 32, 32))]:
    build = partial(space, input_shape=shape)
    generator = np.random.default_rng(0)
    new = [sample(build, generator) for _ in range(arguments.networks)]
    near = [mutate(build, new[index % 10], generator) for index in range(arguments.networks)]
    counter = BlockCounter(build, shape)
    with one_thread():
        slow, expected = milliseconds(partial(whole, build, shape), near)
        times = []
        for networks in (new, near):
            spent, counted = milliseconds(counter, networks)
            times.append(spent)
        if counted != expected:
            raise SystemExit(f"{name}: the two ways differ")
    print(f"{name:12} {slow:9.2f} {times[0]:9.2f} {times[1]:9.2f}   {slow / times[1]:.0f} times", flush=True)
print(", ".join(f"{name} {number}" for name, number in versions().items()))
