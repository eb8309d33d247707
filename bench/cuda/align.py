"""Sets and a long pair scored on a GPU, beside the CPU's kernels on the same machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from neurn import align
from neurn.align.encoding import encode

Row = dict[str, str]

# Cells that a multiprocessor can compute in a cycle, from the instructions of the inner loops:
# bench/README.md says how.
CELLS_PER_CYCLE = {
    "bit planes": 100.5,
    "two pairs a register, table": 15.9,
    "two pairs a register": 18.3,
    "strips": 2.0,
}
H200_HERTZ = 1.98e9
# Cells of a part of a workload that the CPU is given.
CPU_CELLS = 3e9
CHECKED_PAIRS = 2000


@dataclass(frozen=True)
class Workload:
    """Sequences, all against all, or the first with the second."""

    name: str
    sequences: list[NDArray[np.int64]]
    scoring: align.Scoring
    kernel: str
    goal: float | None = None  # TCUPS
    pair: bool = False

    @property
    def cells(self) -> float:
        """Cells of the pairs that are asked for: i < j."""
        sizes = np.array([len(sequence) for sequence in self.sequences], dtype=float)
        return float(sizes.sum() ** 2 - (sizes**2).sum()) / 2

    def part(self, cells: float) -> Workload:
        """Return a part with about as many cells."""
        if self.cells <= cells:
            return self
        share = (cells / self.cells) ** 0.5
        if self.pair:
            kept = [sequence[: int(share * len(sequence))] for sequence in self.sequences]
        else:
            kept = self.sequences[: max(2, int(share * len(self.sequences)))]
        return Workload(self.name, kept, self.scoring, self.kernel, self.goal, self.pair)


def workloads(rehearse: bool) -> list[Workload]:
    """Return what is measured; of a rehearsal, in small."""
    rng = np.random.default_rng(0)

    def random_set(count: int, low: int, high: int, symbols: int = 20) -> list[NDArray[np.int64]]:
        return [rng.integers(0, symbols, rng.integers(low, high + 1)) for _ in range(count)]

    table = rng.integers(-4, 5, (20, 20))
    table = table + table.T
    np.fill_diagonal(table, rng.integers(4, 12, 20))
    affine = align.Scoring.from_array(table, range(20), gap=-1, gap_open=-10)
    published = align.Scoring()
    few, many, long = (20, 40, 300) if rehearse else (1000, 20_000, 50_000)
    large = random_set(many, 30, 300)
    kind = "bit planes"
    # Two blocks of bit planes would leave the other processors idle: 44 are scored pair by pair.
    small = random_set(44, 21, 70 if rehearse else 700, 12)
    tables = "two pairs a register, table"
    return [
        Workload("44 of 21-700", small, published, "two pairs a register"),
        Workload(f"W2: {few:,} of 30-300", random_set(few, 30, 300), published, kind),
        Workload(f"{many:,} of 30-300", large, published, kind, 4),
        Workload(f"{many:,} of 30-300, table, affine", large, affine, tables, 1),
        Workload(
            f"{long:,} x {long:,}", random_set(2, long, long, 4), published, "strips", None, True
        ),
    ]


def _seconds(call: Callable[[], object], device: torch.device, rounds: int) -> float:
    times = []
    call()
    for _ in range(rounds):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def _kernel_call(work: Workload, device: torch.device) -> Callable[[], torch.Tensor]:
    """Return the operator's call, arguments on the device: all pairs in one tile, or a list."""
    encoded, whole = encode(work.sequences, work.scoring), work.scoring.whole
    scores = [whole.match, whole.mismatch] if encoded.table is None else encoded.table
    tokens, offsets, substitution = (
        torch.as_tensor(np.asarray(x)).to(device)
        for x in (encoded.tokens.astype(np.int32), encoded.offsets, scores)
    )
    gaps = float(whole.gap_open), float(whole.gap)
    if work.pair:
        pairs = torch.tensor([[0, 1]], device=device)
        return lambda: torch.ops.neurn.nw_scores(tokens, offsets, pairs, substitution, *gaps)
    every = torch.arange(len(work.sequences), device=device)
    return lambda: torch.ops.neurn.nw_cross_scores(
        tokens, offsets, every, every, substitution, *gaps
    )


def _check(work: Workload, scores: torch.Tensor) -> None:
    """What is timed is also right; the tests of the package look closer."""
    rng = np.random.default_rng(1)
    if work.pair:
        assert scores.tolist() == [align.score(*work.sequences, work.scoring)]
        return
    first, second = rng.integers(0, len(work.sequences), (2, CHECKED_PAIRS))
    a, b = ([work.sequences[i] for i in side] for side in (first, second))
    expected = align.paired(a, b, work.scoring)
    np.testing.assert_array_equal(scores.cpu().numpy()[first, second], expected)


def table_rows(device: torch.device, rehearse: bool) -> list[Row]:
    """Measure every workload."""
    rows = []
    rounds = 2 if rehearse else 5
    for work in workloads(rehearse):
        tile = work.part(3e8 * 3e4 if not rehearse else 1e6)
        call = _kernel_call(tile, device)
        _check(tile, call())
        # The operator computes both orders of a pair, all_pairs one.
        asked = tile.cells if work.pair else float(sum(map(len, tile.sequences)) ** 2)
        kernel = asked / _seconds(call, device, rounds) / 1e12
        cpu_part = work.part(CPU_CELLS)
        if work.pair:
            whole = None
            cpu = _seconds(lambda: align.score(*cpu_part.sequences, work.scoring), device, 1)  # noqa: B023
        else:
            target = device if device.type == "cuda" else None
            whole = work.cells / 1e12
            whole /= _seconds(
                lambda: align.all_pairs(work.sequences, work.scoring, device=target),  # noqa: B023
                device,
                1,
            )
            cpu = _seconds(lambda: align.all_pairs(cpu_part.sequences, work.scoring), device, 1)  # noqa: B023
        of_cpu = kernel / (cpu_part.cells / cpu / 1e12)
        row = {
            "workload": work.name,
            "TCUPS": f"{kernel:.3g}",
            "all_pairs, TCUPS": "" if whole is None else f"{whole:.3g}",
            "times the CPU": f"{of_cpu:.0f}",
            "predicted limit, TCUPS": "",
            "of the limit, %": "",
            "goal, TCUPS": "" if work.goal is None else f"{work.goal:g}",
            "result": "",
        }
        if device.type == "cuda":
            properties = torch.cuda.get_device_properties(device)
            hertz = 1e3 * getattr(properties, "clock_rate", 0) or H200_HERTZ
            limit = CELLS_PER_CYCLE[work.kernel] * properties.multi_processor_count * hertz / 1e12
            row["predicted limit, TCUPS"] = f"{limit:.3g}"
            row["of the limit, %"] = f"{100 * kernel / limit:.0f}"
            if work.goal is not None:
                row["result"] = "met" if kernel >= work.goal else "**missed**"
        rows.append(row)
    return rows
