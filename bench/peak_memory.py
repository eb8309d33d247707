"""Peak memory of one call in a process of its own: python -m bench.peak_memory PASS THREADS SIDE.

Prints the bytes that the process held at its peak beyond what it held before the tensors were made
and beyond the tensors themselves: x and the result, and for backward the gradient and y as well.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import torch

import neurn


def status(key: str) -> int:
    found = re.search(rf"^{key}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def forget_peak() -> None:
    # getrusage's ru_maxrss can neither be reset nor told from that of the parent process.
    Path("/proc/self/clear_refs").write_text("5")


def peak(direction: str, threads: int, side: int) -> int:
    torch.set_num_threads(threads)
    _run(direction, 64 * threads)  # code is loaded, threads have their stacks
    before = status("VmRSS")
    return _run(direction, side) - before


def _run(direction: str, side: int) -> int:
    """Return the peak without the tensors."""
    x = torch.rand(1, 3, side, side)
    tensors = [x]
    if direction == "backward":
        grad = torch.rand_like(x)
        y = neurn.neurn(x.requires_grad_())
        tensors += [y, grad]
        forget_peak()
        tensors.append(torch.autograd.grad(y, x, grad)[0])
    else:
        forget_peak()
        tensors.append(neurn.neurn(x))
    return status("VmHWM") - sum(tensor.nbytes for tensor in tensors)


if __name__ == "__main__":
    print(peak(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
