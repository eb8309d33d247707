"""Time and memory of contestants on a GPU, in turn, each behind a flushed cache."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

Call = Callable[[], object]


@dataclass(frozen=True)
class Stopwatch:
    """Times calls by events on the stream: what the GPU takes, not what Python does."""

    device: torch.device
    rounds: int

    def race(self, contestants: dict[str, Call]) -> dict[str, float]:
        """Return each contestant's median over the rounds, in ms."""
        times: dict[str, list[float]] = {name: [] for name in contestants}
        for call in contestants.values():  # compiles, chooses algorithms, fills pools of memory
            call()
        names = list(contestants)
        for turn in range(self.rounds):
            for name in names if turn % 2 else reversed(names):
                times[name].append(self._once(contestants[name]))
        return {name: statistics.median(all_of_it) for name, all_of_it in times.items()}

    def _once(self, call: Call) -> float:
        if self.device.type != "cuda":
            start = time.perf_counter()
            call()
            return (time.perf_counter() - start) * 1e3
        # More than any L2 cache holds. While it is written, Python puts the call on the stream.
        torch.zeros(1 << 28, dtype=torch.uint8, device=self.device)
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end))


def peak_bytes(call: Call, device: torch.device) -> int | None:
    """Return the most memory that a call holds beyond what it returns."""
    if device.type != "cuda":
        return None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    result = call()
    peak = torch.cuda.max_memory_allocated() - before
    kept = torch.cuda.memory_allocated() - before
    del result
    return peak - kept
