"""Other aligners, as called from Python. Each gets a workload and returns its scores in order.

What can be made once for a set (a profile, a database, a tape of strings) is made for each call of
`prepare`, before the clock starts: this favours the peers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from numpy.typing import NDArray

from bench.align_workloads import GAP, LETTERS, MATCH, MISMATCH, Workload

Scores = NDArray[np.int64]
Call = Callable[[], Scores]


@dataclass(frozen=True)
class Peer:
    """An aligner; `speed` and `pair_speed` are guesses that size its part of a workload.

    In billion cells a second, of a set and of one long pair.
    """

    name: str
    distribution: str
    speed: float
    pair_speed: float
    prepare: Callable[[Workload], Call]
    path: Callable[[Workload], Call] | None = None  # with the alignment, or at least its CIGAR
    unit_costs: bool = False  # another problem: edit distance
    right: bool = True  # for all pairs, not just those at hand

    def part(self, work: Workload, seconds: float, path: bool) -> Workload:
        speed = self.pair_speed if len(work.pairs) == 1 else self.speed
        return work.part(speed * 1e9 * seconds * (0.5 if path else 1.0))

    def version(self) -> str | None:
        try:
            return version(self.distribution)
        except PackageNotFoundError:
            return None


def _rows(work: Workload) -> Iterator[tuple[str, list[str]]]:
    """Group the pairs by their first sequence."""
    for i, group in itertools.groupby(work.pairs.tolist(), key=lambda pair: pair[0]):
        yield work.sequences[i], [work.sequences[j] for _, j in group]


def _one_by_one(work: Workload, score: Callable[[str, str], float]) -> Call:
    pairs = [(work.sequences[i], work.sequences[j]) for i, j in work.pairs.tolist()]
    return lambda: np.array([score(a, b) for a, b in pairs], dtype=np.int64)


def stringzillas(work: Workload) -> Call:
    import stringzilla
    import stringzillas

    classes = (np.arange(256) % 32).astype(np.uint8)
    costs = np.where(np.eye(32, dtype=bool), MATCH, MISMATCH).astype(np.int8)
    engine = stringzillas.NeedlemanWunschScores(classes, costs, GAP, GAP)
    device = stringzillas.DeviceScope(cpu_cores=1)
    if work.shape == "all":
        tape = stringzilla.Strs(work.sequences)
        i, j = work.pairs.T
        return lambda: engine(tape, device=device)[i, j]
    # It knows sets and their cross products only: W5 is one.
    rows, columns = np.unique(work.pairs[:, 0]), np.unique(work.pairs[:, 1])
    queries = stringzilla.Strs([work.sequences[i] for i in rows])
    candidates = stringzilla.Strs([work.sequences[j] for j in columns])
    i = np.searchsorted(rows, work.pairs[:, 0])
    j = np.searchsorted(columns, work.pairs[:, 1])
    return lambda: engine(queries, candidates, device=device)[i, j]


def pyopal(work: Workload) -> Call:
    return _pyopal(work, "score")


def pyopal_path(work: Workload) -> Call:
    return _pyopal(work, "full")


def _pyopal(work: Workload, mode: str) -> Call:
    import pyopal
    from scoring_matrices import ScoringMatrix

    scores = np.where(np.eye(20, dtype=bool), MATCH, MISMATCH).tolist()
    matrix = ScoringMatrix(scores, alphabet=LETTERS[:20])
    aligner = pyopal.Aligner(matrix, gap_open=-GAP, gap_extend=-GAP)
    rows = [(a, pyopal.Database(targets, matrix.alphabet)) for a, targets in _rows(work)]

    def run() -> Scores:
        hits = (aligner.align(a, targets, mode=mode, algorithm="nw") for a, targets in rows)
        return np.array([hit.score for row in hits for hit in row], dtype=np.int64)

    return run


def _parasail_bits(work: Workload) -> int:
    """Return the narrowest scores that hold every cell: those of parasail wrap without a word."""
    lowest = GAP * sum(sorted(map(len, work.sequences))[-2:])
    return 16 if lowest > -(2**15) else 32


def _parasail(kernel: str, work: Workload) -> Call:
    import parasail

    matrix = parasail.matrix_create(LETTERS[:20], MATCH, MISMATCH)
    bits = _parasail_bits(work)
    align = getattr(parasail, f"nw_{kernel}_profile_{bits}")
    profile = getattr(parasail, f"profile_create_{bits}")
    rows = [(profile(a, matrix), targets) for a, targets in _rows(work)]

    def run() -> Scores:
        return np.array(
            [align(a, b, -GAP, -GAP).score for a, targets in rows for b in targets],
            dtype=np.int64,
        )

    return run


def parasail_scan(work: Workload) -> Call:
    return _parasail("scan", work)


def parasail_striped(work: Workload) -> Call:
    return _parasail("striped", work)


def parasail_path(work: Workload) -> Call:
    import parasail

    matrix = parasail.matrix_create(LETTERS[:20], MATCH, MISMATCH)

    align = getattr(parasail, f"nw_trace_scan_{_parasail_bits(work)}")

    def one(a: str, b: str) -> int:
        result = align(a, b, -GAP, -GAP, matrix)
        _ = result.cigar.seq
        return int(result.score)

    return _one_by_one(work, one)


def biopython(work: Workload) -> Call:
    return _one_by_one(work, _biopython().score)


def biopython_path(work: Workload) -> Call:
    aligner = _biopython()
    return _one_by_one(work, lambda a, b: aligner.align(a, b)[0].score)


def _biopython():
    from Bio.Align import PairwiseAligner

    return PairwiseAligner(mode="global", match_score=MATCH, mismatch_score=MISMATCH, gap_score=GAP)


def scikit_bio(work: Workload) -> Call:
    return _scikit_bio(work, 0)


def scikit_bio_path(work: Workload) -> Call:
    return _scikit_bio(work, 1)


def _scikit_bio(work: Workload, paths: int) -> Call:
    from skbio.alignment import pair_align

    options = {
        "mode": "global",
        "sub_score": (MATCH, MISMATCH),
        "gap_cost": -GAP,
        "free_ends": False,
        "max_paths": paths,
    }
    return _one_by_one(work, lambda a, b: pair_align(a, b, **options).score)


def pywfa(work: Workload) -> Call:
    return _pywfa(work, "score")


def pywfa_path(work: Workload) -> Call:
    return _pywfa(work, "full")


def _pywfa(work: Workload, scope: str) -> Call:
    from pywfa import WavefrontAligner

    # Penalties, with 0 for a match: the score is ((n + m) MATCH + penalties) / 2.
    aligner = WavefrontAligner(
        scope=scope,
        distance="affine",
        span="end-to-end",
        match=0,
        mismatch=2 * (MATCH - MISMATCH),
        gap_opening=0,
        gap_extension=MATCH - 2 * GAP,
        memory_mode="biwfa" if max(map(len, work.sequences)) > 2000 else "high",
    )

    def one(a: str, b: str) -> int:
        result = aligner(a, b)
        return ((len(a) + len(b)) * MATCH + int(result.score)) // 2

    return _one_by_one(work, one)


def numba_rows(work: Workload) -> Call:
    import numba

    @numba.njit(cache=False)
    def score(a, b, match, mismatch, gap):
        row = gap * np.arange(b.size + 1)
        for i in range(a.size):
            diagonal = row[0]
            left = row[0] + gap
            row[0] = left
            for j in range(b.size):
                up = row[j + 1]
                best = diagonal + (match if a[i] == b[j] else mismatch)
                left = max(best, max(up, left) + gap)
                diagonal = up
                row[j + 1] = left
        return row[-1]

    coded = [np.frombuffer(sequence.encode(), dtype=np.uint8) for sequence in work.sequences]
    pairs = [(coded[i], coded[j]) for i, j in work.pairs.tolist()]
    score(coded[0][:1], coded[0][:1], MATCH, MISMATCH, GAP)  # compiles
    return lambda: np.array([score(a, b, MATCH, MISMATCH, GAP) for a, b in pairs], dtype=np.int64)


def edlib(work: Workload) -> Call:
    import edlib

    return _one_by_one(work, lambda a, b: edlib.align(a, b, task="distance")["editDistance"])


def edlib_path(work: Workload) -> Call:
    import edlib

    return _one_by_one(work, lambda a, b: edlib.align(a, b, task="path")["editDistance"])


def rapidfuzz(work: Workload) -> Call:
    from rapidfuzz.distance import Levenshtein

    return _one_by_one(work, Levenshtein.distance)


def rapidfuzz_path(work: Workload) -> Call:
    from rapidfuzz.distance import Levenshtein

    return _one_by_one(work, lambda a, b: len(Levenshtein.editops(a, b)))


STRINGZILLAS = Peer("StringZillas", "stringzillas-cpus", 5.0, 0.2, stringzillas)
PARASAIL = Peer("parasail scan", "parasail", 1.5, 2.8, parasail_scan, parasail_path)
PEERS = (
    STRINGZILLAS,
    PARASAIL,
    Peer("parasail striped", "parasail", 2.0, 3.0, parasail_striped, right=False),
    Peer("pyopal", "pyopal", 1.5, 0.3, pyopal, pyopal_path),
    Peer("Biopython", "biopython", 0.3, 0.3, biopython, biopython_path),
    Peer("numba, row by row", "numba", 0.3, 0.3, numba_rows),
    Peer("scikit-bio", "scikit-bio", 0.15, 0.18, scikit_bio, scikit_bio_path),
    Peer("pywfa", "pywfa", 0.07, 0.1, pywfa, pywfa_path),
    Peer("edlib (unit costs)", "edlib", 2.0, 8.0, edlib, edlib_path, unit_costs=True),
    Peer(
        "rapidfuzz (unit costs)", "rapidfuzz", 8.0, 20.0, rapidfuzz, rapidfuzz_path, unit_costs=True
    ),
)
