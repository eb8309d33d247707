"""Peak memory of the best map for each neuron: python -m bench.compare_memory NEURONS MAPS SIDE.

Prints seconds, and the bytes that the process held at its peak beyond what it held before the call,
with both sets of maps (single precision).
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch

from bench.peak_memory import forget_peak, status
from neurn import compare


def measure(neurons: int, maps: int, side: int) -> tuple[float, int]:
    random = np.random.default_rng(0)
    first, second = (
        random.standard_normal((n, side, side), dtype=np.float32) for n in (neurons, maps)
    )
    settings = {"pairing": "best", "permutations": 0, "dtype": torch.float32}
    compare.rmse(first[:100], second[:100], **settings)  # code is loaded
    forget_peak()
    before, begin = status("VmRSS"), time.perf_counter()
    compare.rmse(first, second, **settings)
    return time.perf_counter() - begin, status("VmHWM") - before


if __name__ == "__main__":
    print(*measure(*map(int, sys.argv[1:])))
