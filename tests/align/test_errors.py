"""One sentence for each thing that is not allowed: what came, and what may."""

import math

import numpy as np
import pytest
import torch

from neurn import align

CALLS = {
    "score": lambda a, b, **options: align.score(a, b, **options),
    "align": lambda a, b, **options: align.align(a, b, **options),
    "score_matrix": lambda a, b, **options: align.score_matrix(a, b, **options),
    "similarity": lambda a, b, **options: align.similarity(a, b, **options),
}


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"match": math.nan}, ValueError, "match must be a finite number, got nan"),
        ({"mismatch": -math.inf}, ValueError, "mismatch must be a finite number, got -inf"),
        ({"gap": 2}, ValueError, "gap must be <= 0, got 2"),
        ({"gap_open": 0.5}, ValueError, "gap_open must be <= 0, got 0.5"),
        ({"gap": "x"}, TypeError, "gap must be a number, got 'x'"),
        ({"match": 1j}, TypeError, "match must be a number, got 1j"),
        (
            {"match": 2**61},
            ValueError,
            "match must be below 2^61 once all scores are whole, got 2.30584e+18 in units of 1/1",
        ),
        (
            {"matrix": {("A", "A"): math.nan}},
            ValueError,
            "matrix[('A', 'A')] must be a finite number, got nan",
        ),
        ({"matrix": {"AB": 1}}, ValueError, "matrix must have pairs of tokens as keys, got 'AB'"),
        (
            {"matrix": {}},
            ValueError,
            "matrix must hold the score of a pair of tokens, got none",
        ),
        (
            {"matrix": {("A", "A"): 2**31}},
            ValueError,
            "the scores of a matrix must fit 32 bits once all scores are whole, "
            "got 2.14748e+09 in units of 1/1",
        ),
        (
            {"matrix": 5},
            TypeError,
            "matrix must be a mapping {(x, y): score} or a pair (array, alphabet), got int",
        ),
        (
            {"matrix": (np.zeros((2, 3)), "AB")},
            ValueError,
            "matrix must be square, got shape (2, 3)",
        ),
        (
            {"matrix": (np.eye(2), "ABC")},
            ValueError,
            "alphabet must have one token for each row of the matrix, got 3 tokens and 2 rows",
        ),
        (
            {"matrix": (np.eye(2), "AA")},
            ValueError,
            "alphabet must not repeat a token, got 'A' twice",
        ),
        (
            {"matrix": (np.eye(2), [[], "A"])},
            TypeError,
            "alphabet must hold hashable tokens, got []",
        ),
        (
            {"matrix": (np.array([[1, np.inf], [0, 1]]), "AB")},
            ValueError,
            "every score of the matrix must be a finite number, got inf",
        ),
    ],
)
def test_scoring(arguments, error, sentence):
    with pytest.raises(error) as raised:
        align.Scoring(**arguments)
    assert str(raised.value) == sentence


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    ("a", "b", "options", "error", "sentence"),
    [
        (5, "A", {}, TypeError, "a must be a sequence of tokens, got int"),
        ("A", {"A"}, {}, TypeError, "b must be a sequence of tokens, got set"),
        ([[1]], "A", {}, TypeError, "a must hold hashable tokens, got list"),
        (["A"], [([],)], {}, TypeError, "b must hold hashable tokens, got tuple"),
        (
            np.zeros((2, 2), dtype=int),
            "A",
            {},
            ValueError,
            "a must have one dimension, got shape (2, 2)",
        ),
        (
            torch.zeros((), dtype=torch.int32),
            "A",
            {},
            ValueError,
            "a must have one dimension, got shape ()",
        ),
        ("A", "A", {"band": -1}, ValueError, "band must be >= 0, got -1"),
        ("A", "A", {"band": 1.5}, TypeError, "band must be a whole number or None, got 1.5"),
        (
            "A",
            "A",
            {"free_ends": "c"},
            ValueError,
            "free_ends must be of 'a_begin', 'a_end', 'b_begin', 'b_end', 'a', 'b', 'both', "
            "got 'c'",
        ),
        (
            "AX",
            "A",
            {"scoring": align.Scoring(matrix={("A", "A"): 1})},
            ValueError,
            "the scoring's matrix must hold every token, and lacks 'X'",
        ),
        (
            "A",
            "A",
            {"scoring": align.Scoring(2**60)},
            OverflowError,
            "scores of sequences of 1 and 1 tokens can exceed 2^61 under this scoring: "
            "use smaller scores",
        ),
        (
            np.arange(2**16 + 1),
            "",
            {},
            ValueError,
            "there may be at most 65,536 distinct tokens, got 65,537",
        ),
        (
            "".join(map(chr, range(2**16 + 1))),
            "A",
            {},
            ValueError,
            "there may be at most 65,536 distinct tokens, got 65,537",
        ),
        (
            np.arange(2**16 + 1) * 1000,
            np.arange(3) * 1000,
            {},
            ValueError,
            "there may be at most 65,536 distinct tokens, got 65,537",
        ),
        (
            list(range(2**16 + 1)),
            "A",
            {},
            ValueError,
            "there may be at most 65,536 distinct tokens, got 65,538",
        ),
    ],
)
def test_pairs(call, a, b, options, error, sentence):
    with pytest.raises(error) as raised:
        call(a, b, **options)
    assert str(raised.value) == sentence


def test_pair_of_unknown_tokens():
    scoring = align.Scoring(matrix={("A", "A"): 1})
    with pytest.raises(ValueError, match="the scoring's matrix must hold every token"):
        scoring.pair("A", "X")


def test_too_large_matrix_names_align():
    with pytest.raises(ValueError) as raised:
        align.score_matrix("A" * 5000, "A" * 5000)
    assert str(raised.value) == (
        "score_matrix keeps at most 25,000,000 cells, got 25,010,001 for 5,000 and 5,000 tokens: "
        "use align, which keeps no matrix"
    )


def test_too_large_alphabet():
    with pytest.raises(ValueError, match="at most 65,536 distinct tokens, got 65,537"):
        align.Scoring(matrix={(i, i): 1 for i in range(2**16 + 1)})


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        (
            {"metric": "distance"},
            ValueError,
            "metric must be one of 'score', 'similarity', got 'distance'",
        ),
        (
            {"dtype": np.int8},
            ValueError,
            "dtype must be int32, int64, float32 or float64, got int8",
        ),
        (
            {"dtype": np.int32, "metric": "similarity"},
            ValueError,
            "dtype must be a floating one for scores that are not whole, got int32",
        ),
        (
            {"dtype": np.int64, "scoring": align.Scoring(0.5)},
            ValueError,
            "dtype must be a floating one for scores that are not whole, got int64",
        ),
        (
            {"dtype": np.int32, "scoring": align.Scoring(2**40)},
            ValueError,
            "dtype must hold the scores, and one of 1099511627776 exceeds int32",
        ),
        ({"threads": 0}, ValueError, "threads must be a whole number >= 1, got 0"),
        ({"threads": 1.5}, ValueError, "threads must be a whole number >= 1, got 1.5"),
        (
            {"progress": "yes"},
            TypeError,
            "progress must be True, False, None or callable, got 'yes'",
        ),
        ({"band": -2}, ValueError, "band must be >= 0, got -2"),
        (
            {"scoring": align.Scoring(2**60)},
            OverflowError,
            "scores of sequences of 1 and 1 tokens can exceed 2^61 under this scoring: "
            "use smaller scores",
        ),
    ],
)
def test_sets(options, error, sentence):
    for call in (
        lambda: align.all_pairs(["A"], **options),
        lambda: align.cross_pairs(["A"], ["A"], **options),
        lambda: align.paired(["A"], ["A"], **options),
    ):
        with pytest.raises(error) as raised:
            call()
        assert str(raised.value) == sentence


def test_names_of_sequences_in_sets():
    with pytest.raises(TypeError, match=r"^sequence 1 must be a sequence of tokens, got int$"):
        align.all_pairs(["A", 5])
    with pytest.raises(TypeError, match=r"^b\[0\] must hold hashable tokens, got list$"):
        align.cross_pairs(["A"], [[[]]])
    with pytest.raises(TypeError, match=r"^a\[0\] must be a sequence of tokens, got int$"):
        align.paired([5], ["A"])
    with pytest.raises(ValueError, match=r"^a and b must hold as many sequences, got 1 and 2$"):
        align.paired(["A"], ["A", "B"])
