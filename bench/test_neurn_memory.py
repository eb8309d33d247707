"""Peak memory beyond the result, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench import report
from bench.measure import CPUS, use_cores
from bench.report import Row


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_peak(direction, threads, quick, figures):
    if len(CPUS) < threads:
        pytest.skip("needs two cores")
    use_cores(threads)  # the process inherits them
    side = 512 if quick else 4096
    command = [sys.executable, "-m", "bench.peak_memory", direction, str(threads), str(side)]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    beyond = int(done.stdout)
    planes = beyond / (4 * side**2)
    cells = {
        "pass": direction,
        "threads": str(threads),
        "result, MB": f"{12 * side**2 / 1e6:.1f}",
        "beyond it, MB": f"{beyond / 1e6:.1f}",
        "in planes": f"{planes:.2f}",
        "planes a thread": f"{planes / threads:.2f}",
    }
    figures.add(report.MEMORY, Row(cells, "at most 1 a thread", planes <= threads))
