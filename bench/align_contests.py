"""The contests of the aligner: run one, check its scores, put down its rows."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from bench import report
from bench.align_peers import PEERS, Call, Scores, numba_rows
from bench.align_workloads import GAP, MATCH, MISMATCH, Workload
from bench.measure import Stopwatch, Timings
from bench.report import Row
from neurn import align

SCORING = align.Scoring(match=MATCH, mismatch=MISMATCH, gap=GAP)
PART_SECONDS = 0.15  # about what a peer's part takes
CHECKED_CELLS = 4.1e8  # of each workload, against an aligner of a few lines


def neurn_scores(work: Workload, threads: int = 1) -> Call:
    """The call that a user makes for such a workload."""
    if work.shape == "all":
        i, j = work.pairs.T
        sequences = work.sequences
        return lambda: align.all_pairs(sequences, SCORING, threads=threads)[i, j]
    if len(work.pairs) == 1:
        a, b = work.sequences
        return lambda: np.array([align.score(a, b, SCORING)])
    operands = encoded(work)
    return lambda: torch.ops.neurn.nw_scores(*operands, 0.0, float(GAP)).numpy()


def neurn_path(work: Workload) -> Call:
    a, b = work.sequences
    return lambda: np.array([align.align(a, b, SCORING).score])


def encoded(work: Workload) -> tuple[torch.Tensor, ...]:
    """Return tokens, offsets, pairs and substitution of `torch.ops.neurn.nw_scores`."""
    text = "".join(work.sequences).encode()
    tokens = torch.from_numpy(np.frombuffer(text, dtype=np.uint8) - ord("A"))
    lengths = [len(sequence) for sequence in work.sequences]
    offsets = torch.tensor([0, *np.cumsum(lengths).tolist()])
    return tokens, offsets, torch.from_numpy(work.pairs), torch.tensor([MATCH, MISMATCH])


@functools.cache
def _right(sequences: tuple[str, ...], pairs: bytes, shape: str) -> Scores:
    listed = np.frombuffer(pairs, dtype=np.int64).reshape(-1, 2)
    return numba_rows(Workload("", "", list(sequences), listed, shape))()


def right_scores(work: Workload) -> Scores:
    """Scores of a row-by-row aligner without any trick; a workload's are kept."""
    return _right(tuple(work.sequences), work.pairs.tobytes(), work.shape)


@dataclass
class Goals:
    """Puts down what is promised and what was measured."""

    add: Callable[[str, Row], None]

    def goal(self, what: str, figure: str, goal: str, met: bool | None) -> None:
        cells = {"what": what, "figure": figure}
        self.add(report.ALIGN_GOALS, Row(cells, goal, met))

    def at_least(self, what: str, value: float | None, goal: float, unit: str = "") -> None:
        figure = "not installed" if value is None else f"{value:.3g}{unit}"
        met = None if value is None else value >= goal
        self.goal(what, figure, f"at least {goal:g}{unit}", met)

    def at_most(self, what: str, value: float, goal: float, unit: str) -> None:
        self.goal(what, f"{value:.3g}{unit}", f"at most {goal:g}{unit}", value <= goal)


def _count_wrong(call: Call, work: Workload) -> int:
    return int((call() != right_scores(work)).sum())


@dataclass(frozen=True)
class _Entry:
    """A contestant's part of a workload, and how many of its checked scores are wrong."""

    part: Workload
    call: Call
    wrong: int
    checked: int  # 0: it solves another problem

    def row(self, name: str, ms: float, ratio: float) -> Row:
        wrong = f"{self.wrong:,} of {self.checked:,}" if self.checked else "other costs"
        cells = {
            "workload": self.part.name,
            "aligner": name,
            "cells": f"{self.part.cells / 1e6:,.2f} M",
            "ms": f"{ms:.3g}",
            "GCUPS": f"{self.part.cells / ms / 1e6:.3g}",
            "pairs/s": f"{len(self.part.pairs) / ms * 1e3:,.0f}",
            "wrong scores": wrong,
            "neurn is": "" if name == "neurn" else f"{ratio:.1f} times as fast",
        }
        return Row(cells)


@dataclass
class AlignContests:
    """What a test needs to hold its contest."""

    stopwatch: Stopwatch
    add: Callable[[str, Row], None]

    def beside_peers(self, work: Workload, path: bool = False) -> tuple[float, dict[str, float]]:
        """Time neurn and every peer; return neurn's GCUPS, and how many times those of each peer.

        Peers that give wrong scores, or solve another problem, are not among these.
        """
        prepare = neurn_path if path else neurn_scores
        checked = work.part(CHECKED_CELLS)
        wrong = _count_wrong(prepare(checked), checked)
        assert wrong == 0, f"{wrong} of {len(checked.pairs)} scores are wrong"
        entries = {"neurn": _Entry(work, prepare(work), wrong, len(checked.pairs))}
        absent = []
        for peer in PEERS:
            prepare_peer = peer.path if path else peer.prepare
            if prepare_peer is None:
                continue
            if peer.version() is None:
                absent.append(peer.name)
                continue
            part = peer.part(work, PART_SECONDS, path)
            call = prepare_peer(part)
            wrong = 0 if peer.unit_costs else _count_wrong(call, part)
            checked_pairs = 0 if peer.unit_costs else len(part.pairs)
            entries[peer.name] = _Entry(part, call, wrong, checked_pairs)
        calls = {name: entry.call for name, entry in entries.items()}
        times = self.stopwatch.race(calls, seconds=4.0, least=5, most=40)

        ratios = {}
        for name, entry in entries.items():
            # Of each round, the cells a second of the one over those of the other.
            ratios[name] = times.ratio(name, "neurn").median * work.cells / entry.part.cells
            self.add(report.ALIGN_PEERS, entry.row(name, times.ms(name), ratios[name]))
        for name in absent:
            cells = {"workload": work.name, "aligner": name, "cells": "not installed"}
            self.add(report.ALIGN_PEERS, Row(cells))
        right = [peer.name for peer in PEERS if peer.right and peer.name in entries]
        speed = work.cells / times.ms("neurn") / 1e6
        return speed, {
            name: ratios[name]
            for name in right
            if entries[name].checked and not entries[name].wrong
        }

    def race(self, contestants: dict[str, Call], **options: object) -> Timings:
        return self.stopwatch.race(contestants, least=7, most=50, **options)
