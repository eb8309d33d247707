"""neurn._core's part of the aligner: what it takes and refuses, and every instruction set."""

import os
import subprocess
import sys

import numpy as np
import pytest

from neurn import _core

SCORING = _core.AlignScoring(1, -2, None, 0, -2)
REGION = _core.AlignRegion()
NONE = np.zeros(0, dtype=np.uint16)
START = np.zeros(1, dtype=np.int64)


def tokens(*values):
    return np.array(values, dtype=np.uint16)


def test_empty_arrays():
    assert _core.align_score(NONE, NONE, SCORING, REGION) == 0
    score, moves = _core.align_path(NONE, NONE, SCORING, REGION)
    assert (score, moves.tolist(), moves.dtype) == (0, [], np.uint8)
    scores, arrows = _core.align_matrix(NONE, NONE, SCORING, REGION)
    assert (scores.tolist(), arrows.tolist()) == ([[0]], [[0]])
    crossed = _core.align_cross(NONE, START, NONE, START, False, SCORING, REGION, 1)
    assert crossed.shape == (0, 0)
    pairs = np.zeros((0, 2), dtype=np.int64)
    assert _core.align_pairs(NONE, START, pairs, SCORING, REGION, 1).shape == (0,)
    table = _core.AlignScoring(0, 0, np.zeros((0, 0), dtype=np.int32), 0, -1)
    assert _core.align_score(NONE, NONE, table, REGION) == 0


@pytest.mark.parametrize(
    "strings",
    [
        [],
        [""],
        ["", "a", ""],
        ["CMRC", "LLCM"],  # letters with others between
        ["BDC", "EB"],  # each letter from the first to the last
        ["aé", "\xff\x80"],
        ["ab", "日本", "é"],
        ["a", "\U0001f600b", "\U0010ffff\ud800日"],
        ["".join(map(chr, range(2**16 + 500)))],
    ],
)
def test_characters_are_ranked(strings):
    numbered, offsets, codes = _core.align_characters(strings)
    distinct, rank = np.unique([ord(c) for c in "".join(strings)], return_inverse=True)
    assert (numbered.dtype, offsets.dtype, codes.dtype) == (np.uint16, np.int64, np.uint32)
    np.testing.assert_array_equal(codes, distinct)
    np.testing.assert_array_equal(numbered, rank.astype(np.uint16))
    assert offsets.tolist() == [0, *np.cumsum([len(string) for string in strings])]


def test_what_is_no_string_has_no_characters():
    with pytest.raises(TypeError, match="strings must be of str"):
        _core.align_characters(["a", b"a"])


@pytest.mark.parametrize(
    "values",
    [[5], [7, -3, 7, 5], [4, 2, 3], [-(2**63), -(2**63) + 2], [2**63 - 1, 2**63 - 3]],
)
def test_integers_are_ranked(values):
    numbered, distinct = _core.align_rank(np.array(values), 1000)
    assert distinct.tolist() == sorted(set(values))
    assert [distinct[number] for number in numbered] == values


def test_integers_far_apart_are_not_ranked():
    assert _core.align_rank(np.array([-(2**63), 2**63 - 1]), 2**21) is None
    assert _core.align_rank(np.array([0, 1000]), 1000) is None
    assert _core.align_rank(np.array([], dtype=np.int64), 1000) is None


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: _core.AlignScoring(1, 1, None, 1, 0), "gap_open must be <= 0, got 1"),
        (lambda: _core.AlignScoring(1, 1, None, 0, 2), "gap_extend must be <= 0, got 2"),
        (
            lambda: _core.AlignScoring(1, 1, np.zeros((1, 2), dtype=np.int32), 0, 0),
            "table must be square",
        ),
        (
            lambda: _core.align_score(
                tokens(0, 3), NONE, _core.AlignScoring(0, 0, np.eye(3, dtype="i4"), 0, 0), REGION
            ),
            "a must be below the substitution table's size, 3, got 3",
        ),
        (
            lambda: _core.align_score(tokens(1)[None], NONE, SCORING, REGION),
            "a must have 1 dimension",
        ),
        (
            lambda: _core.align_cross(NONE, START[:0], NONE, START, False, SCORING, REGION, 1),
            "a_offsets must have 1 dimension and an entry",
        ),
        (
            lambda: _core.align_cross(NONE, START, NONE, START + 1, False, SCORING, REGION, 1),
            "b_offsets must rise from 0 to the number of tokens, 0, got 1 at position 0",
        ),
        (
            lambda: _core.align_cross(
                NONE, START, NONE, np.zeros(2, dtype="i8"), True, SCORING, REGION, 1
            ),
            "symmetric needs one set twice",
        ),
        (
            lambda: _core.align_pairs(
                NONE, START, np.zeros((1, 3), dtype="i8"), SCORING, REGION, 1
            ),
            "pairs must have shape (pairs, 2)",
        ),
        (
            lambda: _core.align_pairs(
                NONE, np.zeros(2, dtype="i8"), np.array([[0, 1]]), SCORING, REGION, 1
            ),
            "pairs must hold numbers of sequences, 0 to 0, got 1",
        ),
    ],
)
def test_errors(call, sentence):
    with pytest.raises(ValueError) as raised:
        call()
    assert str(raised.value) == sentence


@pytest.mark.parametrize("name", ["baseline", "avx2", "avx512"])
def test_every_instruction_set_gives_the_same_result(name):
    code = """
import numpy as np
from neurn import _native, align
rng = np.random.default_rng(0)
a, b = rng.integers(0, 4, 3000), rng.integers(0, 4, 2900)
table = rng.integers(-4, 6, (4, 4))
for gap_open in (0, -3):
    for scale in (1, 2**30):
        scoring = align.Scoring(scale, -2 * scale, -2 * scale, gap_open * scale)
        result = align.align(a, b, scoring)
        print(result.score, hash(result.moves.tobytes()))
    print(align.score(a, b, align.Scoring.from_array(table, range(4), -2, gap_open)))
"""
    results = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "NEURN_CPU": choice, "PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for choice in (name, "")
    ]
    assert results[0] == results[1]
