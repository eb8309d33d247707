"""The contests, the same for the forward and the backward pass: run one, put down its row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from bench import report
from bench.measure import Call, Spread, Stopwatch, Timings, copier
from bench.report import Row
from bench.tensors import label

KERNEL_SIZES = (3, 5, 7, 9, 15, 21, 31)
TIMES_NEURN = {
    "avg_pool2d": 100,
    "torch.compile(avg_pool2d)": 6,
    "torch.compile(shifted slices)": 6,
}


@dataclass
class Contests:
    """What a test needs to hold its contest."""

    stopwatch: Stopwatch
    add: Callable[[str, Row], None]

    def beside_memcpy(
        self, table: str, shape: tuple[int, ...], k: int, x: Tensor, call: Call, goal: float
    ) -> None:
        times = self.stopwatch.race({"neurn": call, "memcpy": copier(x), "clone": x.clone})
        of_memcpy = times.ratio("neurn", "memcpy")
        cells = {
            "tensor": label(shape),
            "k": str(k),
            "ms": _ms(times, "neurn"),
            "memcpy, ms": _ms(times, "memcpy"),
            "of clone": f"{times.ratio('neurn', 'clone').median:.2f}",
            "of memcpy": f"{of_memcpy.median:.2f}",
            "quartiles": _quartiles(of_memcpy),
        }
        self.add(table, Row(cells, f"at most {goal:g}", of_memcpy.median <= goal))

    def over_kernel_sizes(
        self, direction: str, shape: tuple[int, ...], calls: dict[int, Call]
    ) -> None:
        times = self.stopwatch.race({f"k = {k}": calls[k] for k in reversed(KERNEL_SIZES)})
        ratios = {k: times.ratio(f"k = {k}", "k = 3").median for k in KERNEL_SIZES[1:]}
        cells = {
            "tensor": label(shape),
            "pass": direction,
            "k = 3, ms": _ms(times, "k = 3"),
            **{f"k = {k}": f"{ratio:.2f}" for k, ratio in ratios.items()},
        }
        row = Row(cells, "at most 1.5 of k = 3", max(ratios.values()) <= 1.5)
        self.add(report.KERNEL_SIZE, row)

    def two_cores(self, direction: str, shape: tuple[int, ...], call: Call) -> None:
        times = self.stopwatch.race({"two": call, "one": call}, cores={"two": 2, "one": 1})
        speedup = times.ratio("one", "two")
        cells = {
            "tensor": label(shape),
            "pass": direction,
            "one core, ms": _ms(times, "one"),
            "two cores, ms": _ms(times, "two"),
            "times as fast": f"{speedup.median:.2f}",
            "quartiles": _quartiles(speedup),
        }
        self.add(report.CORES, Row(cells, "at least 1.8", speedup.median >= 1.8))

    def other_kind(
        self, direction: str, shape: tuple[int, ...], kind: str, x: Tensor, call: Call
    ) -> None:
        times = self.stopwatch.race({"neurn": call, "memcpy": copier(x)})
        cells = {
            "tensor": label(shape),
            "pass": direction,
            "type": kind,
            "ms": _ms(times, "neurn"),
            "memcpy, ms": _ms(times, "memcpy"),
            "of memcpy": f"{times.ratio('neurn', 'memcpy').median:.2f}",
        }
        self.add(report.OTHERS, Row(cells))

    def beside_peer(
        self, direction: str, shape: tuple[int, ...], k: int, name: str, peer: Call, call: Call
    ) -> None:
        times = self.stopwatch.race({name: peer, "neurn": call}, least=3, most=20)
        ratio = times.ratio(name, "neurn").median
        cells = {
            "tensor": label(shape),
            "k": str(k),
            "pass": direction,
            "peer": name,
            "ms": _ms(times, name),
            "neurn, ms": _ms(times, "neurn"),
            "times as long": f"{ratio:.1f}",
        }
        goal = TIMES_NEURN.get(name) if direction == "forward" else None
        row = Row(cells) if goal is None else Row(cells, f"at least {goal}", ratio >= goal)
        self.add(report.PEERS, row)


def _ms(times: Timings, name: str) -> str:
    return f"{times.ms(name):.2f}"


def _quartiles(spread: Spread) -> str:
    return f"{spread.low:.2f} to {spread.high:.2f}"
