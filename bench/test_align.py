"""Alignment: sets and single pairs beside their peers, and what else is promised of their speed."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from bench.align_contests import AlignContests, Goals, neurn_path, neurn_scores
from bench.align_peers import PARASAIL, STRINGZILLAS
from bench.align_workloads import WORKLOADS
from bench.measure import CPUS
from neurn import _native

# Goal in GCUPS, the peer to beat, and how many times its cells a second.
GOALS = {
    "W1": (20, PARASAIL, 12),
    "W2": (70, STRINGZILLAS, 7),
    "W3": (50, PARASAIL, 30),
    "W4": (25, PARASAIL, 30),
    "W5": (40, STRINGZILLAS, 6),
}
WITH_PATH = ("W4", "W4r")


@pytest.fixture
def contests(stopwatch, figures) -> AlignContests:
    return AlignContests(stopwatch, figures.add)


@pytest.fixture
def goals(figures) -> Goals:
    return Goals(figures.add)


@pytest.mark.parametrize("name", ["W1", "W2", "W5", "W3", "W4", "W3r", "W4r"])
def test_beside_peers(name, quick, contests, goals):
    work = WORKLOADS[name](quick)
    speed, ratios = contests.beside_peers(work, path=name in WITH_PATH)
    if name not in GOALS:
        return
    gcups, peer, times = GOALS[name]
    goals.at_least(f"{name}: cells a second", speed, gcups, " GCUPS")
    goals.at_least(f"{name}: times {peer.name}", ratios.get(peer.name), times)
    if ratios:
        best = min(ratios, key=ratios.__getitem__)
        goals.goal(f"{name}: times the best right peer, {best}", f"{ratios[best]:.3g}", "", None)


@pytest.mark.skipif(len(CPUS) < 2, reason="needs two cores")
def test_two_cores(quick, contests, goals):
    work = WORKLOADS["W2"](quick)
    calls = {"two": neurn_scores(work, threads=2), "one": neurn_scores(work)}
    times = contests.race(calls, cores={"two": 2, "one": 1})
    goals.at_least("W2: two cores, times one", times.ratio("one", "two").median, 1.8)


def test_related_pairs_are_faster(quick, contests, goals):
    calls = {name: neurn_scores(WORKLOADS[name](quick)) for name in ("W3r", "W3")}
    times = contests.race(calls)
    of = WORKLOADS["W3r"](quick).cells / WORKLOADS["W3"](quick).cells
    ratio = times.ratio("W3", "W3r").median * of
    goals.at_least("W3r: cells a second, times those of W3", ratio, 3)


def test_a_path_in_a_millisecond(quick, contests, goals):
    work = WORKLOADS["W4"](quick)
    times = contests.race({"path": neurn_path(work), "score": neurn_scores(work)})
    goals.at_most("W4: a pair with its path", times.ms("path"), 1, " ms")


def test_overhead_of_a_pair(quick, contests, goals):
    work = WORKLOADS["W0"](quick)
    times = contests.race({"all_pairs": neurn_scores(work)})
    nanoseconds = times.ms("all_pairs") * 1e6 / len(work.pairs)
    goals.at_most("a pair of one token each, in a set", nanoseconds, 100, " ns")


@pytest.mark.parametrize("name", ["W1", "W2", "W3", "W4", "W5"])
def test_avx2(name, quick, goals):
    if _native.cpu_kernels() != "avx512":
        pytest.skip("needs a processor with AVX-512")
    # In turn, so that a change of the machine's pace meets both.
    ratios = []
    for _ in range(1 if quick else 3):
        wide = _in_process(name, "avx512", quick)
        ratios.append(wide / _in_process(name, "avx2", quick))
    ratio = statistics.median(ratios)
    goals.at_least(f"{name}: cells a second with AVX2, of those with AVX-512", ratio, 0.33)


def _in_process(name: str, kernels: str, quick: bool) -> float:
    command = [sys.executable, "-m", "bench.align_in_process", name, *["--quick"] * quick]
    done = subprocess.run(
        command,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "NEURN_CPU": kernels},
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)
