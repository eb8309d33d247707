"""``neurn bench``: how fast the kernels are on this machine, beside what they are measured by."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch.nn import functional

import neurn
from neurn import _native, align
from neurn._command import ArgumentError

_SECONDS = 0.4  # of each measurement, at least


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``neurn bench``."""
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--threads", metavar="N", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def run(options: argparse.Namespace) -> int:
    """Measure, print and return 0.

    Raises
    ------
    ArgumentError
        If the device or number of threads is not allowed.
    """
    if options.threads < 1:
        raise ArgumentError(f"argument --threads: must be at least 1, got {options.threads}")
    if options.device not in ("cpu", "cuda"):
        raise ArgumentError(f"argument --device: must be cpu or cuda, got {options.device!r}")
    if options.device == "cuda" and not torch.cuda.is_available():
        raise ArgumentError("argument --device: there is no GPU that torch can use")
    before = torch.get_num_threads()
    torch.set_num_threads(options.threads)
    try:
        rows = measure(options.device, options.threads, None if options.quiet else _say)
    finally:
        torch.set_num_threads(before)
    if options.json:
        about = {"device": options.device, "threads": options.threads}
        about |= {"kernels": _native.cpu_kernels(), "torch": torch.__version__}
        print(json.dumps(about | {"measurements": rows}))
        return 0
    print(f"{'measured':<44}{'by':<34}{'ratio':>8}")
    for row in rows:
        print(f"{row['measured']:<44}{row['by']:<34}{row['ratio']:>8.2g}")
    print("ratio: time of the first over time of the second; below 1 is faster")
    return 0


def measure(
    device: str = "cpu", threads: int = 1, say: Callable[[str], object] | None = None
) -> list[dict[str, Any]]:
    """Return ratios of times, each the best of several on the same data.

    Parameters
    ----------
    device : str
    threads : int
        Of the aligner; torch's own setting decides for the operator.
    say : callable, optional
        Told what is being measured.

    Returns
    -------
    list of dict
        ``measured``, ``by``, ``ratio``, and ``seconds`` of both.
    """
    rows: list[dict[str, Any]] = []

    def row(
        measured: str,
        by: str,
        ours: Callable[[], Any],
        theirs: Callable[[], Any],
        counts: tuple[int, int] = (1, 1),
    ) -> None:
        if say is not None:
            say(f"{measured}, by {by}")
        seconds = _best(ours, device) / counts[0], _best(theirs, device) / counts[1]
        rows.append(
            {"measured": measured, "by": by, "ratio": seconds[0] / seconds[1], "seconds": seconds}
        )

    x = torch.rand(8, 3, 224, 224, device=device)
    out = torch.empty_like(x)
    what = "NeuRN forward, 8x3x224x224, k = 3"
    row(what, "copying the batch", lambda: neurn.neurn(x), lambda: out.copy_(x))
    row(what, "the same in eager torch", lambda: neurn.neurn(x), lambda: _eager(x))
    needing = x.clone().requires_grad_()

    def backward(layer: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[], Any]:
        return lambda: torch.autograd.grad(layer(needing).sum(), needing)

    row(
        "NeuRN forward and backward",
        "the same in eager torch",
        backward(neurn.neurn),
        backward(_eager),
    )
    random = np.random.default_rng(0)
    sequences = [random.integers(0, 8, 60) for _ in range(300)]
    row(
        "aligning 60 x 60 tokens, in a set of pairs",
        "the same, one pair at a time",
        lambda: align.all_pairs(sequences, threads=threads),
        lambda: [align.score(a, b) for a, b in pairwise(sequences)],
        (len(sequences) * (len(sequences) - 1) // 2, len(sequences) - 1),
    )
    return rows


def _eager(x: torch.Tensor) -> torch.Tensor:
    padded = functional.pad(x, (1, 1, 1, 1), "reflect")
    mean = functional.avg_pool2d(padded, 3, 1)
    sigma = (functional.avg_pool2d(padded**2, 3, 1) - mean**2).clamp(min=1e-12).sqrt()
    return sigma / sigma.amax(dim=(1, 2, 3), keepdim=True)


def _best(call: Callable[[], Any], device: str) -> float:
    """Return the least time of a call, in seconds."""
    best, total = float("inf"), 0.0
    call()
    while total < _SECONDS:
        if device == "cuda":
            torch.cuda.synchronize()
        begin = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        taken = time.perf_counter() - begin
        best, total = min(best, taken), total + taken
    return best


def _say(text: str) -> None:
    print(f"measuring {text}", file=sys.stderr, flush=True)
