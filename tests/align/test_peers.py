"""The same scores as Biopython and parasail give, where those are right."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurn import align

sequences = st.text("ACGT", min_size=1, max_size=60)
gaps = st.integers(-6, 0)


def random_pairs(count, longest, seed=0):
    rng = np.random.default_rng(seed)
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    for _ in range(count):
        yield tuple("".join(rng.choice(letters, rng.integers(1, longest))) for _ in "ab")


def biopython(scoring):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        biopython = pytest.importorskip("Bio.Align")
    aligner = biopython.PairwiseAligner(mode="global")
    aligner.match_score, aligner.mismatch_score = scoring.match, scoring.mismatch
    aligner.open_gap_score = scoring.gap_open + scoring.gap
    aligner.extend_gap_score = scoring.gap
    return aligner


@given(sequences, sequences, st.integers(-1, 9), st.integers(-9, 1), gaps, gaps)
def test_biopython(a, b, match, mismatch, gap, gap_open):
    scoring = align.Scoring(match, mismatch, gap, gap_open)
    assert align.score(a, b, scoring) == biopython(scoring).score(a, b)


@settings(max_examples=20)
@given(sequences, sequences, gaps, gaps)
def test_biopython_with_a_substitution_matrix(a, b, gap, gap_open):
    substitution_matrices = pytest.importorskip("Bio.Align.substitution_matrices")
    blosum = substitution_matrices.load("BLOSUM62")
    scoring = align.Scoring.from_array(np.array(blosum), blosum.alphabet, gap, gap_open)
    aligner = biopython(scoring)
    aligner.substitution_matrix = blosum
    assert align.score(a, b, scoring) == aligner.score(a, b)


@given(sequences, sequences, st.integers(-1, 9), st.integers(-9, 1), gaps, gaps)
def test_parasail_scan(a, b, match, mismatch, gap, gap_open):
    parasail = pytest.importorskip("parasail")
    matrix = parasail.matrix_create("ACGT", match, mismatch)
    scoring = align.Scoring(match, mismatch, gap, gap_open)
    peer = parasail.nw_scan_32(a, b, -gap_open - gap, -gap, matrix)
    assert align.score(a, b, scoring) == peer.score


def test_parasail_scan_on_longer_pairs():
    parasail = pytest.importorskip("parasail")
    matrix = parasail.matrix_create("ACDEFGHIKLMNPQRSTVWY", 1, -2)
    a, b = zip(*random_pairs(300, 400), strict=True)
    for gap_open in (0, -5):
        peer = [
            parasail.nw_scan_16(x, y, 2 - gap_open, 2, matrix).score
            for x, y in zip(a, b, strict=True)
        ]
        assert align.paired(a, b, align.Scoring(gap_open=gap_open)).tolist() == peer


def test_parasails_striped_kernels_are_wrong_where_ours_are_not():
    # Its lazy-F loop raises H to max(H, F), subtracts the opening cost from H and the extension
    # cost from F, and leaves where no F is greater than H. With equal costs none ever is, as H was
    # at least F: a gap that comes from the stripe before reaches its first row and no other.
    # Nothing here stops early: every cell is computed from its three neighbours.
    parasail = pytest.importorskip("parasail")
    letters = "ACDEFGHIKLMNPQRSTVWY"
    matrix = parasail.matrix_create(letters, 1, -2)
    a, b = zip(*random_pairs(400, 300), strict=True)
    right = [parasail.nw_scan_16(x, y, 2, 2, matrix).score for x, y in zip(a, b, strict=True)]
    striped = [parasail.nw_striped_16(x, y, 2, 2, matrix).score for x, y in zip(a, b, strict=True)]
    assert align.paired(a, b).tolist() == right
    assert sum(x != y for x, y in zip(striped, right, strict=True)) > 0
    assert all(x <= y for x, y in zip(striped, right, strict=True))
    # With opening dearer than extension it is right.
    scoring = align.Scoring(gap_open=-1)
    striped = [parasail.nw_striped_16(x, y, 3, 2, matrix).score for x, y in zip(a, b, strict=True)]
    assert align.paired(a, b, scoring).tolist() == striped
