"""Memory grows with the lengths, not with their product."""

import subprocess
import sys

import pytest

PEAK = """
import resource, sys
import numpy as np
from neurn import align
n, gap_open = int(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(0)
a, b = rng.integers(0, 20, n), rng.integers(0, 20, n)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
alignment = align.align(a, b, align.Scoring(gap_open=gap_open))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
moves = alignment.moves
assert (moves != 4).sum() == (moves != 2).sum() == n
opens = np.diff(np.concatenate([[0], moves])) != 0
score = sum(np.where(a[np.cumsum(moves != 4)[moves == 1] - 1]
                     == b[np.cumsum(moves != 2)[moves == 1] - 1], 1, -2))
score += -2 * (moves != 1).sum() + gap_open * (opens & (moves != 1)).sum()
assert score == alignment.score == align.score(a, b, align.Scoring(gap_open=gap_open))
"""


@pytest.mark.parametrize(("n", "gap_open"), [(100_000, 0), (200_000, 0), (40_000, -3)])
def test_long_pair_aligns_in_little_memory(n, gap_open):
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(n), str(gap_open)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) * 1024 < 300e6
