"""What it costs to send a job away: milliseconds a job, and seconds until a killed worker is replaced.

python studies/executor_overhead.py
python studies/executor_overhead.py --jobs 20 --kills 1    # a look
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

from optnas.study import Executor, InProcess, ProcessPool, versions
from optnas.study.limits import Limits
from optnas.study.ray_executor import RayExecutor

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--jobs", type=int, default=300, help="empty jobs, one after another (default: %(default)s)")
parser.add_argument("--kills", type=int, default=5, help="workers that are killed (default: %(default)s)")
arguments = parser.parse_args()


def nothing(job: Any) -> Any:
    return job


def die(job: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def report(name: str, make: Callable[[], Executor], kill: bool = True) -> None:
    began = time.perf_counter()
    with closing(make()) as executor:
        executor.submit(nothing, 0).result()
        first = time.perf_counter() - began
        took = []
        for number in range(arguments.jobs):
            began = time.perf_counter()
            executor.submit(nothing, number).result()
            took.append(1000 * (time.perf_counter() - began))
        replaced = []
        for _ in range(arguments.kills if kill else 0):
            began = time.perf_counter()
            executor.submit(die, 0).exception()
            executor.submit(nothing, 0).result()
            replaced.append(time.perf_counter() - began)
    spread = f"{min(replaced):.1f} to {max(replaced):.1f}" if replaced else "-"
    median, dearest = statistics.median(took), statistics.quantiles(took, n=20)[-1]
    print(f"{name:24}{first:10.1f}{median:12.2f}{dearest:10.2f}{spread:>16}")


print(f"{'':24}{'first, s':>10}{'median, ms':>12}{'95 %, ms':>10}{'replaced, s':>16}")
report("in this process", InProcess, kill=False)
report("processes", lambda: ProcessPool(1))
report("processes, limited", lambda: ProcessPool(1, 10**10, 3600))
report("Ray", lambda: RayExecutor(most=1))
report("Ray, limited", lambda: RayExecutor(most=1, limits=Limits(10**10, 3600)))
print(f"{arguments.jobs} jobs, {arguments.kills} kills, {os.cpu_count()} cores; {versions()}")
