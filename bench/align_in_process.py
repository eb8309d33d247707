"""Time one workload in a process of its own: python -m bench.align_in_process W2 [--quick].

The instruction set is chosen when the library is loaded, from NEURN_CPU. Prints the median of
several rounds in seconds.
"""

from __future__ import annotations

import statistics
import sys
import time

from bench.align_contests import neurn_path, neurn_scores
from bench.align_workloads import WORKLOADS
from bench.measure import use_cores

ROUNDS = 7


def seconds(name: str, quick: bool) -> float:
    use_cores(1)
    work = WORKLOADS[name](quick)
    call = neurn_path(work) if name.startswith("W4") else neurn_scores(work)
    call()
    measured = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        call()
        measured.append(time.perf_counter() - start)
    return statistics.median(measured)


if __name__ == "__main__":
    print(seconds(sys.argv[1], "--quick" in sys.argv[2:]))
