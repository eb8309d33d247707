"""Timing of contestants side by side: the same memory, the same core, the same second."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import pytest
import torch
from torch import Tensor

Call = Callable[[], object]

CPUS = sorted(os.sched_getaffinity(0))  # before any pinning


def keep_memory_warm() -> bool:
    """Make freed blocks stay in the process; whether this C library could be told so.

    By default glibc gives every block above 32 MB back to the kernel when it is freed, so a call
    that allocates its result pays for page faults, several times the cost of a copy, while a
    copy into a buffer that is already there pays none. Off, so that work is compared with work.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return False
    trim_threshold, mmap_threshold, mmap_max = -1, -3, -4
    told = library.mallopt(trim_threshold, 1 << 30)
    told = told and (library.mallopt(mmap_threshold, 1 << 30) or library.mallopt(mmap_max, 0))
    # The heap would grow call by call until its free blocks are large enough: let it begin so.
    torch.zeros(1 << 29, dtype=torch.uint8)
    return bool(told)


def use_cores(count: int) -> None:
    """Run on `count` cores, torch and OpenCV with as many threads."""
    cpus = CPUS[-count:]
    count = min(count, len(CPUS))
    if count == 1:
        os.sched_setaffinity(0, cpus)  # pool threads that still wait busily keep off this core
    else:
        for task in os.listdir("/proc/self/task"):
            with contextlib.suppress(ProcessLookupError):  # a thread that ended meanwhile
                os.sched_setaffinity(int(task), cpus)
    torch.set_num_threads(count)
    cv2.setNumThreads(count)


def copier(source: Tensor) -> Call:
    """Return a memcpy of `source` into memory that is there already."""
    target = torch.empty_like(source).copy_(source)
    destination, origin, size = target.data_ptr(), source.data_ptr(), source.nbytes

    def memcpy(kept: tuple[Tensor, Tensor] = (source, target)) -> None:
        ctypes.memmove(destination, origin, size)

    return memcpy


@dataclass(frozen=True)
class Spread:
    """Median and quartiles over the rounds."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: list[float]) -> Spread:
        if len(values) < 2:
            return Spread(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return Spread(median, low, high)


@dataclass(frozen=True)
class Timings:
    """Seconds of each round, by contestant; entries of one round stand at one place."""

    seconds: dict[str, list[float]]

    def ms(self, name: str) -> float:
        return statistics.median(self.seconds[name]) * 1e3

    def ratio(self, name: str, other: str) -> Spread:
        pairs = zip(self.seconds[name], self.seconds[other], strict=True)
        return Spread.of([a / b for a, b in pairs])


@dataclass
class Stopwatch:
    """Times contestants in turn, round by round, and hands the first to pytest-benchmark."""

    benchmark: Any
    quick: bool
    timer: Callable[[], float]
    shared: list[float]  # of each race on one core, the part of the time that others had it

    def race(
        self,
        contestants: dict[str, Call],
        *,
        cores: dict[str, int] | None = None,
        seconds: float = 2.0,
        least: int = 15,
        most: int = 200,
    ) -> Timings:
        """Time every contestant in each of `least` to `most` rounds, `seconds` in all if possible.

        `cores`: how many each may use, where that is not one.
        """
        names = list(contestants)
        # Results are dropped within the measured time, as in a loop that uses and forgets them.
        calls = {name: _without_result(call) for name, call in contestants.items()}
        measured: dict[str, list[float]] = {name: [] for name in names}
        slow: set[str] = set()

        def prepare(name: str) -> None:
            if cores is not None:
                use_cores(cores[name])
            # The caches as its own last call leaves them, and not another's, as in a loop over one
            # contestant. For those that take long this is no matter.
            if name not in slow:
                calls[name]()

        def measure(name: str) -> float:
            prepare(name)
            start = self.timer()
            calls[name]()
            return self.timer() - start

        if not self.benchmark.enabled:
            pytest.skip("benchmarks are disabled: the results were checked, not timed")
        if cores is not None and self.timer is not time.perf_counter:
            pytest.skip("only the wall clock can tell two cores from one")

        estimates = {name: measure(name) for name in names}
        slow |= {name for name, estimate in estimates.items() if estimate > 0.3}
        once = sum(estimates[name] * (1 if name in slow else 2) for name in names)
        rounds = 2 if self.quick else max(least, min(most, int(seconds / once)))

        def others() -> None:
            # Forward and backward in turn, so that none always follows the same one.
            turn = 1 if len(measured[names[-1]]) % 2 else -1
            for name in names[1:][::turn]:
                measured[name].append(measure(name))
            prepare(names[0])

        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        wall, own = time.perf_counter(), time.thread_time()
        self.benchmark.pedantic(calls[names[0]], setup=others, rounds=rounds)
        wall, own = time.perf_counter() - wall, time.thread_time() - own
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
        self.benchmark.extra_info["page faults a round"] = round(faults / rounds, 1)
        if cores is None:
            self.shared.append(max(0.0, 1 - own / wall))
        measured[names[0]] = list(self.benchmark.stats.stats.data)
        timings = Timings(measured)
        for name in names[1:]:
            spread = timings.ratio(names[0], name)
            self.benchmark.extra_info[f"times {name}"] = round(spread.median, 4)
        return timings


def _without_result(call: Call) -> Call:
    def run() -> None:
        call()

    return run
